"""Ending holds that no settlement ends: freed, or at risk; now, or as soon as the store is back.

A store that lost its last moments has such holds again, as they were before their end. So ends are kept for a
while, as settlements are in the journal, and told again to another store; twice is once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from costsvc.core.errors import Bounds, StoreUnavailable
from costsvc.core.holds import Hold
from costsvc.core.opening import Opening
from costsvc.ports import Clock
from costsvc.store.holds import Holds

KEPT = timedelta(minutes=15)
MOST_KEPT = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How an attempt without a bill ended; `reason` says why it may have spent, `bounds` what."""

    opening: Opening
    hold: Hold
    charges: Sequence[str]
    may_have_spent: bool
    reason: str
    bounds: Bounds | None = None


class Ends:
    """Ends of this process's attempts."""

    def __init__(self, holds: Holds, clock: Clock) -> None:
        self._holds = holds
        self._clock = clock
        self._untold: dict[str, End] = {}
        self._told: deque[tuple[datetime, End]] = deque(maxlen=MOST_KEPT)

    async def tell(self, end: End) -> None:
        """End a hold now, or as soon as the store is back."""
        self._untold[end.opening.attempt_id] = end
        with suppress(StoreUnavailable):
            await self._tell(end)

    async def tell_rest(self) -> None:
        """Tell what could not be told; forget what is old.

        Raises:
            StoreUnavailable: some is told; call again.
        """
        for end in list(self._untold.values()):
            await self._tell(end)
        while self._told and self._told[0][0] < self._clock.now() - KEPT:
            self._told.popleft()

    async def tell_again(self) -> None:
        """Tell another store what the one before knew.

        Raises:
            StoreUnavailable: some is told; call `tell_rest`.
        """
        self._untold = {end.opening.attempt_id: end for _, end in self._told} | self._untold
        self._told.clear()
        await self.tell_rest()

    async def _tell(self, end: End) -> None:
        opening = end.opening
        if end.may_have_spent:
            await self._holds.lose(
                opening.attempt_id,
                opening.started_at,
                lower_nano_usd=end.bounds.lower_nano_usd if end.bounds else 0,
                upper_nano_usd=end.bounds.upper_nano_usd if end.bounds else None,
                reason=end.reason,
                unheld=(opening, end.hold, end.charges),
            )
        else:
            await self._holds.release(opening.attempt_id, opening.started_at)
        if self._untold.pop(opening.attempt_id, None):
            self._told.append((self._clock.now(), end))
