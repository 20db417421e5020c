"""Attempts under way in this process, and what each holds: a store that does not know it is told.

It holds then whatever the limits, because the attempt is under way already. Telling it twice, or beside the
attempt's end, changes nothing: it takes a hold once an attempt, and none of one that has ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from costsvc.core.budget import Application
from costsvc.core.holds import Hold
from costsvc.core.opening import Opening
from costsvc.ports import Clock
from costsvc.store.holds import Holds
from costsvc.store.presence import Presence

LATEST = timedelta(seconds=1)
"""How long after it was asked for a hold may still be made; a clock that is off by more refuses holds."""


@dataclass(slots=True, kw_only=True)
class Flight:
    """An attempt under way. `held_in` is the store that has its hold, None where none has."""

    opening: Opening
    applications: Sequence[Application]
    hold: Hold
    held_in: str | None
    has_ended: bool = False


class Flights:
    """All attempts under way that hold money, or should."""

    def __init__(self, holds: Holds, presence: Presence, clock: Clock) -> None:
        self._holds = holds
        self._presence = presence
        self._clock = clock
        self._flights: dict[str, Flight] = {}

    def begin(self, flight: Flight) -> None:
        """An attempt is about to be made."""
        self._flights[flight.opening.attempt_id] = flight

    def end(self, attempt_id: str) -> None:
        """An attempt is over: whoever says so ends its hold."""
        if flight := self._flights.pop(attempt_id, None):
            flight.has_ended = True

    async def hold_again(self) -> None:
        """Hold for every attempt that the store does not hold for.

        Raises:
            StoreUnavailable: some are held; call again.
        """
        for flight in list(self._flights.values()):
            if not flight.has_ended and flight.held_in != self._presence.store_id:
                await self._hold(flight)

    async def _hold(self, flight: Flight) -> None:
        opening, store_id, now = flight.opening, self._presence.store_id, self._clock.now()
        await self._holds.hold_again(
            opening, flight.applications, flight.hold, now=now, not_after=now + LATEST
        )
        flight.held_in = store_id
        if flight.has_ended:  # while the store was told: what ended it may have come before the hold
            await self._holds.release(opening.attempt_id, opening.started_at)
