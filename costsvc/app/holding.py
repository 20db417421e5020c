"""Holding money for an attempt before it is made, and ending the hold when its outcome is known.

Budgets are enforced by the store, in one step for all that apply. This process only knows their definitions,
and learns from the store when they have changed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import structlog

from costsvc.app.admitting import Admitting
from costsvc.app.attempt import Attempt
from costsvc.app.definitions import InForce
from costsvc.app.flights import Flight, Flights
from costsvc.app.planner import Planner
from costsvc.app.reserved import Reserved, opening_of, reserved_by
from costsvc.app.seeding import Seeding
from costsvc.app.settle import Settlement
from costsvc.app.telling import freed, lost
from costsvc.core.budget import Application, Mode
from costsvc.core.errors import Bounds, BudgetUnchecked, JournalFailed, ProviderError, StoreUnavailable
from costsvc.core.policy import OnStoreFailure
from costsvc.core.prospect import hold_for
from costsvc.metrics import Metrics
from costsvc.ports import Clock
from costsvc.store.budgets import BudgetBook
from costsvc.store.hold_call import Held
from costsvc.store.holds import Holds
from costsvc.store.journal import Ticket
from costsvc.store.ledger import Ledger
from costsvc.store.presence import Presence

TEND_EVERY_S = 2.0
"""How often the lease is renewed and orphans are looked for; a lease lasts five times as long."""

CLEAR_EVERY = timedelta(hours=1)
KEPT_DAYS = 9  # attempts and recorded requests are remembered for 7 days, and a day begins anywhere

log = structlog.get_logger()


class Holding:
    """Holds of this process. `keep_tending` runs beside it, in a task of its own."""

    def __init__(
        self,
        *,
        book: BudgetBook,
        in_force: InForce,
        holds: Holds,
        ledger: Ledger,
        presence: Presence,
        settlement: Settlement,
        planner: Planner,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._book = book
        self._in_force = in_force
        self._holds = holds
        self._ledger = ledger
        self._presence = presence
        self._settlement = settlement
        self._flights = Flights(holds, presence, clock)
        self._admitting = Admitting(holds, in_force, Seeding(holds, ledger), metrics, clock)
        self._planner = planner
        self._metrics = metrics
        self._clock = clock
        self._cleared_at = datetime.min.replace(tzinfo=UTC)

    async def hold(self, attempt: Attempt, until: datetime | None = None) -> Reserved:
        """Hold what an attempt may cost on every budget that applies, or on none.

        `until` makes it a reservation, which ends then at the latest, whatever becomes of this process.

        While the store is away, calls are made without a hold; those that a hard budget applies to only where
        the policy allows it. They are booked, and held for, when the store is back.

        Raises:
            BudgetExceeded, BudgetUnbounded, TooManyBudgets: nothing is held, nothing was spent.
            BudgetUnchecked: a hard budget applies, and the store cannot be asked.
            StoreUnavailable: the store cannot be asked for a reservation.
            JournalFailed: what it costs could be lost with this process.
        """
        prospect = self._planner.foresee(attempt.plan, attempt.tenant)
        hold = hold_for(self._planner.catalog, prospect, at=attempt.started_at)
        store_id, held = self._presence.store_id, None
        try:
            version, applications, held = await self._admitting.admit(
                opening_of(attempt), hold, partial(self._applying, attempt), until
            )
        except StoreUnavailable as error:
            version, applications = self._in_force.version, self._applying(attempt)
            self._let_by(applications, error)
            if until is not None:
                raise
        reserved = reserved_by(attempt, version, applications, hold, held or Held())
        held_in = store_id if held else None
        if until is not None:  # it outlives this process, and is not its own
            return reserved
        trace = await self._trace(reserved)
        self._flights.begin(
            Flight(opening=reserved.opening, applications=applications, hold=hold, held_in=held_in)
        )
        return replace(reserved, trace=trace)

    @property
    def untold_count(self) -> int:
        """How many attempts were not made, and the store does not know it."""
        return self._holds.doubtful_count

    async def load(self) -> None:
        """Learn the definitions; without them no call may be made.

        Raises:
            StoreUnavailable: the store cannot be asked.
        """
        await self._in_force.load()

    async def recover(self, store_id: str, *, is_another: bool) -> None:  # noqa: ARG002 - `Recovers` says so
        """Show that this process lives before anybody could take it for dead, and what it holds.

        A store that is met for the first time may be another one for those who knew it: nobody is taken for
        dead before they had the time of a lease.

        Raises:
            StoreUnavailable: the store cannot be asked.
        """
        now = self._clock.now()
        await self._holds.renew(now)
        if is_another or self._in_force.version < 0:
            self._holds.lease.spare(now)
        await self.load()
        await self._flights.hold_again()

    async def release(self, reserved: Reserved) -> None:
        """Free the hold of an attempt that is not made after all."""
        await self._end(reserved, may_have_spent=False, reason="not_made")

    @asynccontextmanager
    async def ending(self, reserved: Reserved) -> AsyncIterator[None]:
        """End the hold where what is inside fails; settling, which is inside, ends it otherwise.

        It is freed, or at risk where the attempt may have been billed; also after a defect of ours.
        """
        try:
            yield
        except ProviderError as error:
            await self._end(
                reserved,
                may_have_spent=error.may_have_spent,
                reason=error.failure.value,
                bounds=error.bounds,
            )
            raise
        except BaseException:
            log.exception("attempt_unsettled", attempt_id=reserved.opening.attempt_id, failure="defect")
            self._metrics.unsettled("defect")
            await self._end(reserved, may_have_spent=True, reason="defect")
            raise
        finally:
            self._flights.end(reserved.opening.attempt_id)

    async def keep_tending(self) -> None:
        """Renew the lease, end what could not be ended, and take over from processes that are gone."""
        while True:
            try:
                await self._tend(self._clock.now())
            except StoreUnavailable:
                pass  # the watch says when the store goes and comes
            except Exception:
                log.exception("tending_failed")  # tried again: nothing here may end this task
            await asyncio.sleep(TEND_EVERY_S)

    async def _tend(self, now: datetime) -> None:
        await self._holds.renew(now)
        await self._in_force.refresh()
        await self._flights.hold_again()
        if now - self._cleared_at > CLEAR_EVERY:
            self._cleared_at = now
            await self._clear(now)
        swept = await self._holds.sweep(now)
        if swept:
            log.warning("orphans_at_risk", count=swept)

    async def _clear(self, now: datetime) -> None:
        """Remove what no attempt can meet any more: money keys have no time to live of their own."""
        before = now - timedelta(days=KEPT_DAYS)
        await self._ledger.forget_attempts(before.date())
        await self._book.sweep_windows(before)

    def _let_by(self, applications: list[Application], error: StoreUnavailable) -> None:
        """Let a call by without a hold, or raise BudgetUnchecked."""
        hard = next((each.budget for each in applications if each.budget.mode is Mode.HARD), None)
        if hard is not None and self._planner.policy.on_store_failure is OnStoreFailure.REJECT:
            self._metrics.unheld("rejected")
            raise BudgetUnchecked(hard.id) from error
        self._metrics.unheld("hard_budget" if hard else "soft_budget" if applications else "no_budget")

    def _applying(self, attempt: Attempt) -> list[Application]:
        request, model = attempt.plan.request, attempt.plan.decision.model
        return self._in_force.applying(
            tenant=attempt.tenant,
            labels=request.labels,
            model=model.id,
            at=attempt.started_at,
        )

    async def _trace(self, reserved: Reserved) -> Ticket:
        opening = reserved.opening
        try:
            return self._settlement.open(opening, reserved.hold, reserved.charges)
        except JournalFailed:
            with suppress(StoreUnavailable):  # else it is a risk when this process ends
                await self._holds.release(opening.attempt_id, opening.started_at)
            raise

    async def _end(
        self, reserved: Reserved, *, may_have_spent: bool, reason: str, bounds: Bounds | None = None
    ) -> None:
        """End a hold now, or as soon as the store is back."""
        opening = reserved.opening
        self._flights.end(opening.attempt_id)  # first, so that nobody holds for it again afterwards
        loss = lost(opening, reserved.hold, reserved.charges, reason, bounds)
        await self._settlement.end(loss if may_have_spent else freed(opening), reserved.trace)
