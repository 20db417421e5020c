"""Answering deferred requests by calls of their own, where no batch would in time, on some lanes.

Each is a call like any other: it holds money, is retried, and is booked. Its request id, or else its own id,
makes it one call however often it is sent, also when the process dies that sent it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from costsvc.app.attempt import Caller, Completed
from costsvc.app.complete import Completions
from costsvc.app.deferred_words import Words
from costsvc.app.ending_deferred import EndingDeferred
from costsvc.app.in_flight import InFlight
from costsvc.app.policies import PolicyInForce
from costsvc.core.deferred_errors import UnknownDeferred
from costsvc.core.errors import (
    BudgetExceeded,
    BudgetUnchecked,
    CostsvcError,
    Failure,
    JournalFailed,
    ProviderError,
    StillRunning,
    StoreUnavailable,
)
from costsvc.ports import Clock
from costsvc.store.deferred import DeferredBook
from costsvc.store.deferred_items import Item, State
from costsvc.store.deferred_queue import DeferredQueue

FIRST_REST, LONGEST_REST = timedelta(seconds=2), timedelta(minutes=1)
"""How long a request is left alone after its call has failed by no fault of its own."""

_PASSING = (BudgetExceeded, BudgetUnchecked, JournalFailed, StillRunning, StoreUnavailable)
_PASSING_FAILURES = frozenset(
    {Failure.RATE_LIMITED, Failure.OVERLOADED, Failure.UNAVAILABLE, Failure.TIMED_OUT, Failure.MALFORMED}
)

log = structlog.get_logger()


class SendingAlone:
    """The deferred requests that this process sends alone."""

    def __init__(
        self,
        *,
        queue: DeferredQueue,
        book: DeferredBook,
        completions: Completions,
        ending: EndingDeferred,
        words: Words,
        in_flight: InFlight,
        policy_in_force: PolicyInForce,
        clock: Clock,
        max_call_s: float,
    ) -> None:
        self._queue = queue
        self._book = book
        self._completions = completions
        self._ending = ending
        self._words = words
        self._in_flight = in_flight
        self._policy_in_force = policy_in_force
        self._clock = clock
        self._max_call_s = max_call_s
        self._waiting: deque[Item] = deque()
        self._sent: set[str] = set()
        self._rests: dict[str, tuple[datetime, int]] = {}
        self._is_leaving = False

    def want(self, items: Iterable[Item]) -> None:
        """Send these, most urgent first, and no others that wait: each as soon as a lane is free."""
        now = self._clock.now()
        if self._is_leaving:
            return
        self._waiting = deque(
            item for item in items if item.member not in self._sent and not self._rests_at(item, now)
        )
        self._fill()

    def leave(self) -> None:
        """Send nothing more; what is sent goes on."""
        self._is_leaving = True
        self._waiting.clear()

    def knows(self, item: Item) -> bool:
        """Tell whether a request is sent by this process."""
        return item.member in self._sent

    def _rests_at(self, item: Item, now: datetime) -> bool:
        until, _ = self._rests.get(item.member, (now, 0))
        return until > now

    def _fill(self) -> None:
        """Use the lanes; what cannot wait for one any more gets one of as many again."""
        lanes, now = self._policy_in_force.policy.defer.lanes, self._clock.now()
        while self._waiting:
            is_due = self._waiting[0].deadline - self._waiting[0].call <= now
            if len(self._sent) >= (2 * lanes if is_due else lanes):
                return
            item = self._waiting.popleft()
            if item.member not in self._sent:
                self._sent.add(item.member)
                self._in_flight.start(self._send(item))

    async def _send(self, item: Item) -> None:
        try:
            await self._answer(item)
        except StoreUnavailable as error:
            self._rest(item, error)
        except Exception:
            log.exception("deferred_failed", deferred_id=item.id, tenant=item.tenant)
            self._rests[item.member] = self._clock.now() + LONGEST_REST, 0
        finally:
            self._sent.discard(item.member)
            self._fill()

    async def _answer(self, item: Item) -> None:
        state = await self._queue.send(item.member)
        if state is None:  # it has ended, or its batch has just answered it
            return
        try:
            completed = await self._complete(item)
        except CostsvcError as error:
            await self._failed(item, state, error)
            return
        self._rests.pop(item.member, None)
        await self._ending.answered(item, self._words.write_answer(completed))

    async def _complete(self, item: Item) -> Completed:
        (body,) = await self._book.requests([item.member])
        if body is None:  # its tenant's contents were erased
            raise UnknownDeferred(item.id)
        request = replace(self._words.read(body), request_id=item.request_id or item.id)
        left_s = max((item.deadline - self._clock.now()).total_seconds(), item.call.total_seconds())
        deadline_s = self._clock.monotonic() + min(left_s, self._max_call_s)
        caller = Caller(tenant=item.tenant, deadline_s=deadline_s)
        attempt = self._completions.begin(request, caller, deferred=True)
        return await self._completions.answer(attempt)

    async def _failed(self, item: Item, state: State, error: CostsvcError) -> None:
        """Try later what may pass, as long as there is time; its batch may still answer what is in one."""
        is_late = self._clock.now() >= item.deadline
        if state is State.AGAIN or (_passes(error) and not is_late):
            await self._queue.take_back(item.member)
            self._rest(item, error)
        else:
            self._rests.pop(item.member, None)
            await self._ending.failed(item, error)

    def _rest(self, item: Item, error: CostsvcError) -> None:
        _, failures = self._rests.get(item.member, (None, 0))
        rest = min(FIRST_REST * 2**failures, LONGEST_REST)
        self._rests[item.member] = self._clock.now() + rest, min(failures + 1, 10)
        log.warning("deferred_again", deferred_id=item.id, tenant=item.tenant, error=type(error).__name__)


def _passes(error: CostsvcError) -> bool:
    if isinstance(error, ProviderError):
        return error.failure in _PASSING_FAILURES
    return isinstance(error, _PASSING)
