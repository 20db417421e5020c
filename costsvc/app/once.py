"""Answering a request id once: a repeat joins the running call, or gets its answer, and pays nothing.

In a process one call leads for a tenant and request id, and others follow it. The leaders of all processes
meet in the store, where one has the claim. The others ask again and again until it has ended: they hold no
money and make no attempt. While the store is away, only the calls of this process are told apart.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

import structlog

from costsvc.app.attempt import Attempt, Completed, completed_before
from costsvc.app.audience import Audience
from costsvc.app.endings import Endings
from costsvc.app.in_flight import InFlight
from costsvc.app.policies import PolicyInForce
from costsvc.app.settle import Settlement
from costsvc.app.waiting import wait_s
from costsvc.core.catalog import Catalog
from costsvc.core.entry import Entry
from costsvc.core.errors import (
    AlreadyAnswered,
    CostsvcError,
    Failure,
    InvalidRequest,
    OutcomeUnknown,
    ProviderError,
    RequestIdReused,
    StillRunning,
    StoreUnavailable,
    Violation,
)
from costsvc.core.request import ModelRequest
from costsvc.core.same_request import fingerprint
from costsvc.metrics import Metrics
from costsvc.ports import Clock
from costsvc.store import answer_codec
from costsvc.store.answer_codec import KeptAnswer
from costsvc.store.claims import Answered, Claim, Claimed, Claims, Ending, Fate, Standing
from costsvc.store.leases import LEASE
from costsvc.store.presence import one_call

LATEST = timedelta(seconds=1)
"""How long after it was asked for a claim may still be made; a clock that is off by more goes without."""

LARGE_SIZE = 256 * 1024
"""Larger bodies and answers are hashed and compressed in a thread, so that other callers do not wait."""

T = TypeVar("T")
R = TypeVar("R")

Run = Callable[[Attempt, Audience], Coroutine[Any, Any, Completed]]
"""Makes the call that a first attempt begins, for those who want its answer."""

log = structlog.get_logger()


class _Deserted(CostsvcError):
    """Nobody waits any more for a call of another process."""


@dataclass(slots=True)
class _Leader:
    """The one call of this process with a request id that runs, or waits for another process."""

    claim: Claim
    task: asyncio.Task[Completed] | None = None
    audience: Audience = field(default_factory=Audience)
    is_open: bool = False
    """Whether the store has a claim of this call, or may have, that has not ended."""
    doubtful_until: datetime | None = None
    """Until when the store may still make a claim that it has not confirmed."""

    async def joined(self) -> Completed:
        """Return what the call answers, or raise what it raises; it goes on when its callers leave."""
        assert self.task is not None
        with self.audience.member():
            return await asyncio.shield(self.task)


class Once:
    """Calls with a request id, each answered once."""

    def __init__(
        self,
        *,
        claims: Claims,
        settlement: Settlement,
        in_flight: InFlight,
        catalog: Catalog,
        policy_in_force: PolicyInForce,
        answer_ttl: timedelta,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._claims = claims
        self.endings = Endings(claims, clock)
        self._settlement = settlement
        self._in_flight = in_flight
        self._catalog = catalog
        self._policy_in_force = policy_in_force
        self._answer_ttl = answer_ttl
        self._metrics = metrics
        self._clock = clock
        self._leaders: dict[tuple[str, str], _Leader] = {}

    async def answer(self, attempt: Attempt, run: Run) -> Completed:
        """Return the answer of a running or an earlier call with the same request id, else that of `run`.

        Raises:
            RequestIdReused, AlreadyAnswered, OutcomeUnknown, StillRunning: this call spent nothing.
            And what `run` raises.
        """
        asked = await _fingerprint(attempt.plan.request)
        key = attempt.tenant, attempt.plan.request.request_id
        while True:
            leader = self._leaders.get(key)
            if leader is None:
                return await self._start(key, asked, attempt, run).joined()
            if leader.claim.fingerprint != asked:
                raise RequestIdReused
            completed = await self._follow(leader, attempt)
            if completed is not None:
                return completed
            attempt = self._resumed(attempt)

    async def keep(self, completed: Completed, entry: Entry) -> None:
        """Keep an answer for repeats. Do it before the entry is booked: who repeats then pays nothing."""
        leader = self._leaders[entry.tenant, entry.request_id]
        answer = KeptAnswer(
            entry=entry,
            decision=completed.attempt.plan.decision,
            message_json=completed.message_json,
            checked=completed.checked,
        )
        ending = Ending(
            Fate.ANSWERED,
            entry_id=entry.entry_id,
            cost_nano_usd=entry.cost_nano_usd,
            answer=await _aside(answer_codec.encode, answer, len(answer.message_json)),
            answer_ttl=self._answer_ttl,
        )
        await self._tell(leader, ending)

    def _start(self, key: tuple[str, str], asked: str, attempt: Attempt, run: Run) -> _Leader:
        tenant, request_id = key
        leader = self._leaders[key] = _Leader(
            Claim(tenant=tenant, request_id=request_id, fingerprint=asked, token=attempt.response_id)
        )
        leader.task = self._in_flight.start(self._lead(key, leader, attempt, run))
        return leader

    async def _follow(self, leader: _Leader, attempt: Attempt) -> Completed | None:
        """Return what a running call answers, None where its end says nothing about this one."""
        try:
            async with asyncio.timeout(self._left_s(attempt)):
                completed = await leader.joined()
        except TimeoutError:
            raise StillRunning from None
        except ProviderError as error:
            if error.may_have_spent and not self._policy_in_force.policy.repeats_lost:
                raise OutcomeUnknown from error
            if error.may_have_spent or error.failure is Failure.TIMED_OUT:
                return None
            raise
        except (StillRunning, _Deserted):
            return None
        self._metrics.replayed("joined")
        return replace(completed, is_replay=True)

    async def _lead(self, key: tuple[str, str], leader: _Leader, attempt: Attempt, run: Run) -> Completed:
        try:
            return await self._answer(leader, attempt, run)
        finally:
            del self._leaders[key]

    async def _answer(self, leader: _Leader, attempt: Attempt, run: Run) -> Completed:
        """Return what the call answers. A claim that was not ended by then, with an answer, ends here."""
        fate = Fate.FREE
        try:
            claimed = await self._claim(leader, attempt)
            if isinstance(claimed, Answered):
                return self._repeated(claimed, attempt)
            return await run(claimed, leader.audience)
        except BaseException as error:
            fate = Fate.LOST if _may_have_spent(error) else Fate.FREE
            raise
        finally:
            if leader.is_open:
                await self._tell(leader, Ending(fate))

    async def _tell(self, leader: _Leader, ending: Ending) -> None:
        leader.is_open = False
        await self.endings.tell(leader.claim, ending, leader.doubtful_until)

    async def _claim(self, leader: _Leader, attempt: Attempt) -> Attempt | Answered:
        """Return the attempt once it may be made, or what an earlier call has answered.

        Where the store is away the attempt may be made, unless another was just seen to run: within a lease.
        """
        began_s, seen_s = self._clock.monotonic(), -math.inf
        found = await self._ask(leader)
        while True:
            now_s = self._clock.monotonic()
            match found:
                case Answered():
                    return found
                case Claimed():
                    return attempt
                case Standing.REUSED:
                    raise RequestIdReused
                case Standing.LOST:
                    raise OutcomeUnknown
                case Standing.RUNNING:
                    seen_s = now_s
                case None if now_s - seen_s > LEASE.total_seconds():
                    return attempt
            await asyncio.sleep(wait_s(now_s - began_s))
            if leader.audience.is_gone:
                raise _Deserted
            attempt = self._resumed(attempt)
            with one_call():  # the time for the store is for the call that may follow
                found = await self._ask(leader)

    async def _ask(self, leader: _Leader) -> Claimed | Answered | Standing | None:
        """Claim, or learn who has the claim; None where the store is away."""
        now = self._clock.now()
        not_after = now + LATEST
        try:
            found = await self._claims.claim(
                leader.claim,
                now=now,
                not_after=not_after,
                repeats_lost=self._policy_in_force.policy.repeats_lost,
            )
        except StoreUnavailable:
            leader.is_open, leader.doubtful_until = True, not_after
            return None
        leader.is_open |= isinstance(found, Claimed)
        if found == Claimed(again=True):
            log.warning("request_runs_again", tenant=leader.claim.tenant, request_id=leader.claim.request_id)
        return found

    def _repeated(self, answered: Answered, attempt: Attempt) -> Completed:
        """Return a kept answer.

        It is booked once more, which changes nothing unless its process died in between: it was kept first.
        """
        try:
            kept = answer_codec.decode(answered.answer, self._catalog)
        except ValueError:
            raise AlreadyAnswered(answered.entry_id, answered.cost_nano_usd) from None
        self._in_flight.start(self._settlement.confirm(kept.entry))
        self._metrics.replayed("kept")
        return completed_before(kept, attempt)

    def _left_s(self, attempt: Attempt) -> float:
        return attempt.started_s + attempt.timeout_s - self._clock.monotonic()

    def _resumed(self, attempt: Attempt) -> Attempt:
        """Return an attempt that begins now, with the time that is left of it; raise StillRunning without."""
        left_s = self._left_s(attempt)
        if left_s <= 0:
            raise StillRunning
        now, now_s = self._clock.now(), self._clock.monotonic()
        return replace(attempt, started_at=now, started_s=now_s, timeout_s=left_s)


def _may_have_spent(error: BaseException) -> bool:
    if isinstance(error, ProviderError):
        return error.may_have_spent
    return not isinstance(error, CostsvcError)


async def _fingerprint(request: ModelRequest) -> str:
    try:
        size = sum(len(member.text) for member in request.members.values())
        return await _aside(fingerprint, request, size)
    except RecursionError:
        raise InvalidRequest(Violation("request.messages_json", "nested too deeply")) from None


async def _aside(work: Callable[[T], R], value: T, size: int) -> R:
    return work(value) if size <= LARGE_SIZE else await asyncio.to_thread(work, value)
