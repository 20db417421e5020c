"""Telling the store how calls with a request id have ended, also where it is away for a while."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from costsvc.core.errors import StoreUnavailable
from costsvc.ports import Clock
from costsvc.store.claims import Claim, Claims, Ending, Fate

TELL_EVERY_S = 1.0
MOST_UNTOLD, MOST_UNTOLD_BYTES = 10_000, 16_000_000
"""How many endings wait for the store at most, and how many bytes of their answers: of further ones, repeats
run again, or are told what the answer cost."""

_SETTLED = timedelta(seconds=1)  # after a claim can no longer be made

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Untold:
    claim: Claim
    ending: Ending
    due_at: datetime


class Endings:
    """Endings of this process."""

    def __init__(self, claims: Claims, clock: Clock) -> None:
        self._claims = claims
        self._clock = clock
        self._untold: dict[str, _Untold] = {}
        self._untold_bytes = 0

    def __len__(self) -> int:
        """Return how many the store does not know."""
        return len(self._untold)

    async def tell(self, claim: Claim, ending: Ending, doubtful_until: datetime | None) -> None:
        """End a claim now, or as soon as the store is back.

        Until `doubtful_until` the store may still make the claim, which it has not confirmed. What such a
        claim would undo is told again after that.
        """
        try:
            await self._claims.end(claim, ending)
            if doubtful_until is None or ending.fate is Fate.ANSWERED:
                return
        except StoreUnavailable:
            pass
        if len(self._untold) < MOST_UNTOLD:
            if self._untold_bytes + len(ending.answer) > MOST_UNTOLD_BYTES:
                ending = replace(ending, answer=b"")
            self._untold_bytes += len(ending.answer)
            due_at = (doubtful_until or self._clock.now()) + _SETTLED
            self._untold[claim.token] = _Untold(claim=claim, ending=ending, due_at=due_at)

    async def keep_telling(self) -> None:
        """Tell the store what it does not know yet, for as long as the process lives."""
        while True:
            await asyncio.sleep(TELL_EVERY_S)
            with suppress(StoreUnavailable):
                await self._tell_due(self._clock.now())

    async def _tell_due(self, now: datetime) -> None:
        for token, untold in list(self._untold.items()):
            if untold.due_at <= now:
                await self._end(untold)
                del self._untold[token]
                self._untold_bytes -= len(untold.ending.answer)

    async def _end(self, untold: _Untold) -> None:
        try:
            await self._claims.end(untold.claim, untold.ending)
        except StoreUnavailable:
            raise
        except Exception:
            log.exception("ending_failed")  # one bad claim must not hold up the others
