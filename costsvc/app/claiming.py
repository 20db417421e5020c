"""Claiming a request id in the store, where one of the calls of all processes has the claim.

The others ask again and again until it has ended: they hold no money and make no attempt.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import structlog

from costsvc.app.attempt import Attempt, Completed
from costsvc.app.audience import Audience
from costsvc.app.endings import Endings
from costsvc.app.policies import PolicyInForce
from costsvc.app.waiting import wait_s
from costsvc.core.errors import CostsvcError, OutcomeUnknown, RequestIdReused, StillRunning, StoreUnavailable
from costsvc.ports import Clock
from costsvc.store.claims import Answered, Claim, Claimed, Claims, Ending, Standing
from costsvc.store.exchange import Exchange, Pending
from costsvc.store.leases import LEASE
from costsvc.store.presence import one_call

LATEST = timedelta(seconds=1)
"""How long after it was asked for a claim may still be made; a clock that is off by more goes without."""

log = structlog.get_logger()


class Deserted(CostsvcError):
    """Nobody waits any more for a call of another process."""


@dataclass(slots=True)
class Leader:
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


Found = Claimed | Answered | Standing | None
"""What became of a claim; None where the store is away."""


@dataclass(frozen=True, slots=True)
class Asking:
    """A claim that was asked for."""

    leader: Leader
    asked: Pending[Claimed | Answered | Standing]
    not_after: datetime

    def found(self) -> Found:
        """Return what became of it: read it once."""
        leader = self.leader
        try:
            found = self.asked.result()
        except StoreUnavailable:
            leader.is_open, leader.doubtful_until = True, self.not_after
            return None
        leader.is_open |= isinstance(found, Claimed)
        if found == Claimed(again=True):
            log.warning("request_runs_again", tenant=leader.claim.tenant, request_id=leader.claim.request_id)
        return found


class Claiming:
    """The claims of this process."""

    def __init__(self, claims: Claims, policy_in_force: PolicyInForce, clock: Clock) -> None:
        self.endings = Endings(claims, clock)
        self._claims = claims
        self._policy_in_force = policy_in_force
        self._clock = clock

    async def tell(self, leader: Leader, ending: Ending) -> None:
        """End a claim; a store that is away is told later."""
        leader.is_open = False
        await self.endings.tell(leader.claim, ending, leader.doubtful_until)

    def ask(self, exchange: Exchange, leader: Leader) -> Asking:
        """Ask for the request id of a call, along with other questions; `found` reads the answer."""
        now = self._clock.now()
        not_after = now + LATEST
        repeats_lost = self._policy_in_force.policy.repeats_lost
        asked = self._claims.ask(
            exchange, leader.claim, now=now, not_after=not_after, repeats_lost=repeats_lost
        )
        return Asking(leader, asked, not_after)

    async def claim(self, leader: Leader, attempt: Attempt, found: Found) -> Attempt | Answered:
        """Return the attempt once it may be made, or what an earlier call has answered.

        `found` is what was found at first; the same attempt is returned where that let it be made.

        Where the store is away the attempt may be made, unless another was just seen to run: within a lease.

        Raises:
            RequestIdReused, OutcomeUnknown, StillRunning: it may not be made, now or at all.
            Deserted: its callers have left while another ran.
        """
        began_s, seen_s = self._clock.monotonic(), -math.inf
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
                raise Deserted
            attempt = self.resumed(attempt)
            with one_call():  # the time for the store is for the call that may follow
                exchange = Exchange()
                asking = self.ask(exchange, leader)
                await exchange.send()
                found = asking.found()

    def left_s(self, attempt: Attempt) -> float:
        """Return how much of its time an attempt has left."""
        return attempt.started_s + attempt.timeout_s - self._clock.monotonic()

    def resumed(self, attempt: Attempt) -> Attempt:
        """Return an attempt that begins now, with the time that is left of it; raise StillRunning without."""
        left_s = self.left_s(attempt)
        if left_s <= 0:
            raise StillRunning
        now, now_s = self._clock.now(), self._clock.monotonic()
        return replace(attempt, started_at=now, started_s=now_s, timeout_s=left_s)
