"""Answering a request id once: a repeat joins the running call, or gets its answer, and pays nothing.

In a process one call leads for a tenant and request id, and others follow it. The leaders of all processes
meet in the store, where one has the claim. While the store is away, only the calls of this process are told
apart.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar

from costsvc.app.attempt import Attempt, Completed, completed_before
from costsvc.app.audience import Audience
from costsvc.app.claiming import Claiming, Deserted, Leader
from costsvc.app.in_flight import InFlight
from costsvc.app.looking import Look, Looking
from costsvc.app.policies import PolicyInForce
from costsvc.app.settle import Settlement
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
    Violation,
)
from costsvc.core.request import ModelRequest
from costsvc.core.same_request import fingerprint
from costsvc.metrics import Metrics
from costsvc.store import answer_codec
from costsvc.store.answer_codec import KeptAnswer
from costsvc.store.claims import Answered, Claim, Claimed, Ending, Fate
from costsvc.store.exchange import Exchange
from costsvc.store.presence import one_call

LARGE_SIZE = 256 * 1024
"""Larger bodies and answers are hashed and compressed in a thread, so that other callers do not wait."""

T = TypeVar("T")
R = TypeVar("R")

Run = Callable[[Attempt, Look, Audience], Coroutine[Any, Any, Completed]]
"""Makes the call that a first attempt begins, by what the store said of it, for those who want its answer."""


class Once:
    """Calls with a request id, each answered once."""

    def __init__(
        self,
        *,
        claiming: Claiming,
        looking: Looking,
        settlement: Settlement,
        in_flight: InFlight,
        catalog: Catalog,
        policy_in_force: PolicyInForce,
        answer_ttl: timedelta,
        metrics: Metrics,
    ) -> None:
        self.claiming = claiming
        self._looking = looking
        self._settlement = settlement
        self._in_flight = in_flight
        self._catalog = catalog
        self._policy_in_force = policy_in_force
        self._answer_ttl = answer_ttl
        self._metrics = metrics
        self._leaders: dict[tuple[str, str], Leader] = {}

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
            attempt = self.claiming.resumed(attempt)

    async def keep(self, completed: Completed, entry: Entry) -> None:
        """Keep an answer for repeats, who then pay nothing: do it before the caller has it."""
        await self._keep(self._leaders[entry.tenant, entry.request_id], completed, entry)

    def keep_soon(self, completed: Completed, entry: Entry) -> None:
        """Keep an answer that cost nothing: the caller need not wait, and a repeat waits a moment."""
        leader = self._leaders[entry.tenant, entry.request_id]
        leader.is_open = False
        self._in_flight.start(_unhurried(self._keep(leader, completed, entry)))

    async def _keep(self, leader: Leader, completed: Completed, entry: Entry) -> None:
        answer = KeptAnswer(
            entry=entry,
            decision=completed.attempt.plan.decision,
            message_json=completed.message_json,
            checked=completed.checked,
            side_calls=completed.attempt.side_calls,
        )
        ending = Ending(
            Fate.ANSWERED,
            entry_id=entry.entry_id,
            cost_nano_usd=entry.cost_nano_usd,
            answer=await _aside(answer_codec.encode, answer, len(answer.message_json)),
            answer_ttl=self._answer_ttl,
        )
        await self.claiming.tell(leader, ending)

    def _start(self, key: tuple[str, str], asked: str, attempt: Attempt, run: Run) -> Leader:
        tenant, request_id = key
        leader = self._leaders[key] = Leader(
            Claim(tenant=tenant, request_id=request_id, fingerprint=asked, token=attempt.response_id)
        )
        leader.task = self._in_flight.start(self._lead(key, leader, attempt, run))
        return leader

    async def _follow(self, leader: Leader, attempt: Attempt) -> Completed | None:
        """Return what a running call answers, None where its end says nothing about this one."""
        try:
            async with asyncio.timeout(self.claiming.left_s(attempt)):
                completed = await leader.joined()
        except TimeoutError:
            raise StillRunning from None
        except ProviderError as error:
            if error.may_have_spent and not self._policy_in_force.policy.repeats_lost:
                raise OutcomeUnknown from error
            if error.may_have_spent or error.failure is Failure.TIMED_OUT:
                return None
            raise
        except (StillRunning, Deserted):
            return None
        self._metrics.replayed("joined")
        return replace(completed, is_replay=True)

    async def _lead(self, key: tuple[str, str], leader: Leader, attempt: Attempt, run: Run) -> Completed:
        try:
            return await self._answer(leader, attempt, run)
        finally:
            del self._leaders[key]

    async def _answer(self, leader: Leader, attempt: Attempt, run: Run) -> Completed:
        """Return what the call answers. A claim that was not ended by then, with an answer, ends here."""
        fate = Fate.FREE
        try:
            claimed, look = await self._claimed(leader, attempt)
            if isinstance(claimed, Answered):
                return self._repeated(claimed, attempt)
            return await run(claimed, look, leader.audience)
        except BaseException as error:
            fate = Fate.LOST if _may_have_spent(error) else Fate.FREE
            raise
        finally:
            if leader.is_open:
                await self.claiming.tell(leader, Ending(fate))

    async def _claimed(self, leader: Leader, attempt: Attempt) -> tuple[Attempt | Answered, Look]:
        """Claim the request id, and look for all else in the same trip.

        Where the call may not run yet, another may, and must not wait for a lead that this one took.
        """
        exchange = Exchange()
        look = await self._looking.begin(exchange, attempt)
        asking = self.claiming.ask(exchange, leader)
        await exchange.send()
        found = asking.found()
        if found is not None and not isinstance(found, Claimed):
            self._looking.dismiss(look)
        claimed = await self.claiming.claim(leader, attempt, found)
        if claimed is attempt or isinstance(claimed, Answered):
            return claimed, look
        return claimed, await self._looking.look(claimed)

    def _repeated(self, answered: Answered, attempt: Attempt) -> Completed:
        """Return a kept answer.

        It is booked once more, which changes nothing unless its process died before it had booked it.
        """
        try:
            kept = answer_codec.decode(answered.answer, self._catalog)
        except ValueError:
            raise AlreadyAnswered(answered.entry_id, answered.cost_nano_usd) from None
        self._in_flight.start(_unhurried(self._settlement.confirm(kept.entry)))
        self._metrics.replayed("kept")
        return completed_before(kept, attempt)


async def _unhurried(work: Awaitable[object]) -> None:
    """Do what no caller waits for."""
    with one_call(math.inf):
        await work


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
