"""Holding money on every budget that applies, by the definitions in force: they may change meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from costsvc.app.definitions import InForce
from costsvc.app.flights import LATEST
from costsvc.app.seeding import Seeding
from costsvc.core.budget import Application
from costsvc.core.errors import StoreUnavailable
from costsvc.core.holds import Hold, check_bounded, refusal
from costsvc.core.opening import Opening
from costsvc.metrics import Metrics
from costsvc.ports import Clock
from costsvc.store.hold_call import Held, Refused, Stale, Unseeded
from costsvc.store.holds import Holds

_ROUNDS = 4  # definitions that change, and balances to seed, while one hold is made


class Admitted(NamedTuple):
    """What a hold was made by: the version of the definitions, what applied, and what the store said."""

    version: int
    applications: list[Application]
    held: Held


class Admitting:
    """The way into the budgets: their definitions, and the store's word."""

    def __init__(
        self, holds: Holds, in_force: InForce, seeding: Seeding, metrics: Metrics, clock: Clock
    ) -> None:
        self._holds = holds
        self._in_force = in_force
        self._seeding = seeding
        self._metrics = metrics
        self._clock = clock

    async def admit(
        self,
        opening: Opening,
        hold: Hold,
        applying: Callable[[], list[Application]],
        until: datetime | None = None,
    ) -> Admitted:
        """Hold on what applies, or on nothing; `until` makes it a reservation.

        Raises:
            BudgetExceeded, BudgetUnbounded, TooManyBudgets: nothing is held.
            StoreUnavailable: the store cannot be asked.
        """
        for _ in range(_ROUNDS):
            version, applications = self._in_force.version, applying()
            check_bounded(hold, applications)
            held = await self._hold(opening, applications, hold, until)
            if held is not None:
                return Admitted(version, applications, held)
        raise StoreUnavailable("budgets change faster than a hold can be made")

    async def _hold(
        self, opening: Opening, applications: list[Application], hold: Hold, until: datetime | None
    ) -> Held | None:
        """Try once; None where something had to be put right first."""
        now, version = self._clock.now(), self._in_force.version
        answer = await self._holds.hold(
            opening,
            applications,
            hold,
            version=version,
            now=now,
            not_after=now + LATEST,
            until=until,
        )
        match answer:
            case Held():
                return answer
            case Refused():
                self._metrics.budget_refused()
                raise refusal(applications[answer.index], answer.balance, hold)
            case Stale():
                await self._in_force.load()
            case Unseeded():
                unseeded = [applications[index] for index in answer.indexes]
                await self._seeding.seed(unseeded, version, now)
        return None
