"""Asking budgets whether they have room for a call that will be made later; nothing is held."""

from __future__ import annotations

from datetime import datetime

from costsvc.app.definitions import InForce
from costsvc.app.plan import Plan
from costsvc.app.planner import Planner
from costsvc.core.budget import Mode
from costsvc.core.holds import admits, check_bounded, refusal
from costsvc.core.prospect import hold_for
from costsvc.store.budgets import BudgetBook


class Room:
    """What hard budgets have left."""

    def __init__(self, book: BudgetBook, in_force: InForce, planner: Planner) -> None:
        self._book = book
        self._in_force = in_force
        self._planner = planner

    async def check(self, plan: Plan, tenant: str, at: datetime) -> None:
        """Let a call by that every hard budget has room for at the moment, at the price of a batch.

        Raises:
            BudgetExceeded, BudgetUnbounded, TooManyBudgets: nothing was spent.
            StoreUnavailable: the store cannot be asked.
        """
        hold = hold_for(self._planner.catalog, self._planner.foresee(plan, tenant), at=at, batch=True)
        model, labels = plan.decision.model.id, plan.request.labels
        applying = self._in_force.applying(tenant=tenant, labels=labels, model=model, at=at)
        hard = [each for each in applying if each.budget.mode is Mode.HARD]
        check_bounded(hold, hard)
        for application, balance in zip(hard, await self._book.peek(hard, at), strict=True):
            limit, overshoot = application.budget.limit_nano_usd, application.budget.overshoot_nano_usd
            if not admits(balance, hold, limit_nano_usd=limit, overshoot_nano_usd=overshoot):
                raise refusal(application, balance, hold)
