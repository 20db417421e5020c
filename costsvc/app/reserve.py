"""Reservations: money held for a call that the caller makes itself, which ends by its bill, or unspent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from costsvc.app.attempt import Attempt
from costsvc.app.capping import hold_capped
from costsvc.app.holding import Holding
from costsvc.app.ids import made_at
from costsvc.app.plan import Plan
from costsvc.app.planner import Planner
from costsvc.core.errors import AlreadyRecorded, UnknownHold
from costsvc.ports import Clock
from costsvc.store.holds import Holds
from costsvc.store.presence import one_call
from costsvc.store.reservations import Recorded, Reservation, Reservations

NUMBER = 0
"""Of the attempt that a reservation is: costsvc's own attempts are counted from 1."""

_SECOND, _MINUTE = timedelta(seconds=1), timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A reservation as it is made; the plan is that of a lower tier where a full soft budget caps it."""

    hold_id: str
    plan: Plan
    expires_at: datetime


class Reserving:
    """The use cases behind `reserve` and Release, and the reservations behind Record."""

    def __init__(
        self,
        *,
        planner: Planner,
        holding: Holding,
        holds: Holds,
        reservations: Reservations,
        clock: Clock,
        new_id: Callable[[], str],
    ) -> None:
        self._planner = planner
        self._holding = holding
        self._holds = holds
        self._reservations = reservations
        self._clock = clock
        self._new_id = new_id

    async def reserve(self, plan: Plan, tenant: str, duration: timedelta) -> Held:
        """Hold what a plan may cost; the reservation ends with the second in which the duration does.

        Raises:
            BudgetExceeded, BudgetUnbounded, BudgetUnchecked, TooManyBudgets: nothing is held.
            StoreUnavailable: the store cannot be asked; nothing is held for long.
        """
        now = self._clock.now()
        expires_at = (now + duration).replace(microsecond=0) + _SECOND
        attempt = Attempt(
            response_id=self._new_id(),
            number=NUMBER,
            tenant=tenant,
            plan=plan,
            started_at=now,
            started_s=self._clock.monotonic(),
            timeout_s=duration / _SECOND,
        )
        with one_call():
            attempt, _ = await hold_capped(self._holding, self._planner, self._new_id, attempt, expires_at)
        return Held(hold_id=attempt.attempt_id, plan=attempt.plan, expires_at=expires_at)

    async def release(self, hold_id: str, tenant: str) -> None:
        """End a reservation that spent nothing, held or at risk.

        Raises:
            UnknownHold: there is none, or it is released.
            AlreadyRecorded: it has its bill.
            StoreUnavailable: it may have happened or not; repeat it.
        """
        found = await self.find(hold_id, tenant)
        started_at = found.opening.started_at
        if not await self._holds.release(hold_id, started_at):
            await self._holds.resolve(hold_id, started_at)

    async def find(self, hold_id: str, tenant: str) -> Reservation:
        """Return a reservation of a tenant that has no bill yet.

        Raises:
            UnknownHold, AlreadyRecorded, StoreUnavailable.
        """
        try:
            made, number = hold_id.split(".")
            at = made_at(made) if number == str(NUMBER) else None
        except ValueError:
            at = None
        if at is None:
            raise UnknownHold(hold_id)
        found = await self._reservations.find(hold_id, (at, at - _MINUTE))  # its id is a little younger
        if isinstance(found, Recorded):
            raise AlreadyRecorded(found.entry_id)
        if found is None or found.opening.tenant != tenant:
            raise UnknownHold(hold_id)
        return found
