"""The budgets in force, as this process knows them: the store tells when they have changed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from costsvc.core.budget import Application, Definitions, applying, define
from costsvc.core.entry import Entry
from costsvc.store.budgets import BudgetBook
from costsvc.store.charges import charge_of


class InForce:
    """The definitions of one version."""

    def __init__(self, book: BudgetBook) -> None:
        self._book = book
        self._definitions: Definitions = define(())
        self.version = -1

    async def load(self) -> None:
        """Learn the definitions.

        Raises:
            StoreUnavailable: the store cannot be asked.
            UnreadableBudget: a newer version of costsvc wrote one.
        """
        self.version, self._definitions = await self._book.load()

    async def refresh(self) -> None:
        """Learn the definitions, if they have changed; raise what `load` raises."""
        if await self._book.version() != self.version:
            await self.load()

    def applying(
        self, *, tenant: str, labels: Mapping[str, str], model: str, at: datetime
    ) -> list[Application]:
        """Return the budgets that apply to a call.

        Raises:
            TooManyBudgets: more than one hold can take.
        """
        return applying(self._definitions, tenant=tenant, labels=labels, model=model, at=at)

    def charges(self, entry: Entry) -> tuple[str, ...]:
        """Return what an entry counts against: what it names, and every budget that applies by now."""
        now = applying(
            self._definitions,
            tenant=entry.tenant,
            labels=entry.labels,
            model=entry.answering_model,
            at=entry.started_at,
            most=None,
        )
        return tuple(dict.fromkeys((*entry.charges, *map(charge_of, now))))
