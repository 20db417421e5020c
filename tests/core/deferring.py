"""A model of two days on which calls are deferred: the scheduler that decides is the real one.

The provider's batches progress evenly. One that is canceled ends some seconds later; what it has done by then
is billed. Calls that are sent by themselves take some seconds, on as many lanes as the limits give.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from random import Random

from costsvc.core.batch_times import Ran
from costsvc.core.deferral import Deferred, Limits, Running, decide

START = datetime(2026, 11, 22, tzinfo=UTC)
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
CALL_AT_MOST_S = 40
_LATELY = 50

Takes = Callable[[Random, timedelta], timedelta]
"""Says how long a batch takes that begins so long after the start."""


def any_time(dice: Random, _: timedelta) -> timedelta:
    """Return a minute to twenty hours, each doubling as likely as another, whatever was before."""
    return MINUTE * 1200 ** dice.random()


def in_spells(dice: Random, since: timedelta) -> timedelta:
    """Return times that are short for some hours, and long for some."""
    return MINUTE * 1200 ** ((since / (8 * HOUR)) % 1) * dice.uniform(0.8, 1)


@dataclass(frozen=True)
class Outcome:
    """What became of all calls; patient are those that tolerate twice the time of their first batch."""

    kept_share: float
    paid_once_share: float
    patient_count: int
    half_price_share: float
    batch_count: int


@dataclass
class Batch:
    """A batch at that provider."""

    requests: tuple[Deferred, ...]
    began: datetime
    takes: timedelta
    is_canceled: bool = False
    again: set[str] = field(default_factory=set)


@dataclass
class Days:
    """What happens in these days, one event after the other."""

    takes: Takes
    limits: Limits
    dice: Random
    all: dict[str, Deferred] = field(default_factory=dict)
    queued: dict[str, Deferred] = field(default_factory=dict)
    batches: dict[str, Batch] = field(default_factory=dict)
    ran: list[Ran] = field(default_factory=list)
    lanes: list[datetime] = field(default_factory=list)
    answered_at: dict[str, datetime] = field(default_factory=dict)
    paid: Counter[str] = field(default_factory=Counter)
    half: set[str] = field(default_factory=set)
    was_in: dict[str, timedelta] = field(default_factory=dict)
    events: list[tuple[datetime, int, Callable[[datetime], None]]] = field(default_factory=list)
    numbers: count[int] = field(default_factory=count)
    batch_count: int = 0

    def at(self, when: datetime, what: Callable[[datetime], None]) -> None:
        """Let something happen."""
        heapq.heappush(self.events, (when, next(self.numbers), what))

    def run(self) -> None:
        """Let everything happen."""
        while self.events:
            now = self.events[0][0]
            while self.events and self.events[0][0] <= now + SECOND:
                heapq.heappop(self.events)[2](now)
            self._decide(now)

    def _decide(self, now: datetime) -> None:
        running = [
            Running(
                id=id_,
                requests=tuple(r for r in batch.requests if r.id not in batch.again),
                is_canceled=batch.is_canceled,
            )
            for id_, batch in self.batches.items()
        ]
        moves = decide(now, list(self.queued.values()), running, self.ran[-_LATELY:], self.limits)
        for ids in moves.batches:
            self._submit(now, tuple(self.queued.pop(id_) for id_ in ids))
        for id_ in moves.cancel:
            self._cancel(now, id_)
        for id_ in moves.alone:
            self._send(now, self.queued.pop(id_))
        for id_ in moves.again:
            next(b for b in self.batches.values() if id_ in {r.id for r in b.requests}).again.add(id_)
            self._send(now, self.all[id_])
        if moves.next_at is not None:
            self.at(moves.next_at, lambda _: None)

    def _submit(self, now: datetime, requests: tuple[Deferred, ...]) -> None:
        batch = Batch(requests, now, self.takes(self.dice, now - START))
        id_ = f"batch {next(self.numbers)}"
        self.batches[id_] = batch
        self.batch_count += 1
        for request in requests:
            self.was_in.setdefault(request.id, batch.takes)
        self.at(now + batch.takes, lambda at: self._end(at, id_))

    def _cancel(self, now: datetime, id_: str) -> None:
        self.batches[id_].is_canceled = True
        self.at(now + SECOND * self.dice.uniform(1, 20), lambda at: self._end(at, id_))

    def _end(self, now: datetime, id_: str) -> None:
        batch = self.batches.pop(id_, None)
        if batch is None:
            return
        took = now - batch.began
        self.ran.append(Ran(took, has_ended=took >= batch.takes))
        done = int(len(batch.requests) * min(1.0, took / batch.takes))
        for i, request in enumerate(self.dice.sample(batch.requests, len(batch.requests))):
            if i < done:
                self.paid[request.id] += 1
                self.half.add(request.id)
                self.answered_at.setdefault(request.id, now)
            elif request.id not in batch.again:
                self.queued[request.id] = request

    def _send(self, now: datetime, request: Deferred) -> None:
        begins = now
        if len(self.lanes) >= self.limits.lanes:
            begins = max(now, heapq.heappop(self.lanes))
        ends = begins + SECOND * self.dice.uniform(2, CALL_AT_MOST_S)
        heapq.heappush(self.lanes, ends)
        self.at(ends, lambda at: self._answered(at, request.id))

    def _answered(self, now: datetime, id_: str) -> None:
        self.paid[id_] += 1
        self.answered_at.setdefault(id_, now)


def defer_all(number: int, takes: Takes, limits: Limits, *, seed: int) -> Outcome:
    """Defer calls with tolerances from 5 minutes to 24 hours, some each quarter of an hour for half a day."""
    days = Days(takes, limits, Random(seed))
    for i in range(number):
        asked_at = START + 15 * MINUTE * (i % 48)
        request = Deferred(
            id=str(i),
            asked_at=asked_at,
            deadline=asked_at + 5 * MINUTE * 288 ** days.dice.random(),
            call=CALL_AT_MOST_S * SECOND,
            size_bytes=2_000,
        )
        days.all[request.id] = request
        days.at(asked_at, lambda _, request=request: days.queued.__setitem__(request.id, request))  # type: ignore[misc]
    days.run()
    return _outcome(days)


def _outcome(days: Days) -> Outcome:
    number = len(days.all)
    kept = sum(days.answered_at[id_] <= request.deadline for id_, request in days.all.items())
    patient = [
        id_ for id_, took in days.was_in.items() if days.all[id_].deadline - days.all[id_].asked_at > 2 * took
    ]
    return Outcome(
        kept_share=kept / number,
        paid_once_share=sum(days.paid[id_] == 1 for id_ in days.all) / number,
        patient_count=len(patient),
        half_price_share=sum(id_ in days.half and days.paid[id_] == 1 for id_ in patient) / len(patient),
        batch_count=days.batch_count,
    )
