"""What tests of budgets and holds share: definitions, attempts, and their ends."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from redis.asyncio import Redis

from costsvc.app.booking import Booking
from costsvc.app.definitions import InForce
from costsvc.app.policies import PolicyInForce
from costsvc.config import load_catalog_files, load_policy_file
from costsvc.core.budget import Application, Budget, Definitions, Kind, Scope, applying
from costsvc.core.entry import Entry
from costsvc.core.holds import Balance, Hold
from costsvc.core.opening import Opening
from costsvc.core.savings import Savings
from costsvc.core.usage import Usage
from costsvc.core.windows import Calendar, Unit
from costsvc.store.budgets import BudgetBook
from costsvc.store.hold_call import Held, Refused, Stale, Unseeded
from costsvc.store.holds import Holds
from costsvc.store.ledger import Ledger, Settled

AT = datetime(2026, 3, 4, 12, 30, tzinfo=UTC)
LONG_AGO = AT - timedelta(days=400)
DAY = Calendar(Unit.DAY)
LABEL_KEYS = frozenset({"team"})
_SHIPPED = load_policy_file(None, load_catalog_files())
POLICY_IN_FORCE = PolicyInForce(replace(_SHIPPED, report_labels=LABEL_KEYS))


def budget(budget_id: str = "b", **changes: Any) -> Budget:
    """Return a strict budget of 1,000 nano-USD a day for everything."""
    values: dict[str, Any] = {"window": DAY, "limit_nano_usd": 1_000, "scope": Scope(Kind.EVERYTHING)}
    return Budget(id=budget_id, **{"strict": True} | values | changes)


def opening(attempt_id: str, **changes: Any) -> Opening:
    """Return an attempt that begins at AT."""
    values: dict[str, Any] = {
        "attempt_id": attempt_id,
        "response_id": "resp",
        "request_id": "req",
        "tenant": "acme",
        "requested_model": "auto",
        "model": "small",
        "baseline_model": "large",
        "tier": "simple",
        "started_at": AT,
    }
    return Opening(**values | changes)


def entry(began: Opening, cost_nano_usd: int, **changes: Any) -> Entry:
    """Return the entry of an attempt."""
    values: dict[str, Any] = {
        "entry_id": f"e-{began.attempt_id}",
        "provider_request_id": "",
        "answering_model": began.model,
        "usage": Usage(input_tokens=1),
        "cost_nano_usd": cost_nano_usd,
        "baseline_nano_usd": cost_nano_usd,
        "savings": Savings(),
        "catalog_hash": "h",
        "settled_at": began.started_at + timedelta(seconds=1),
    }
    shared = ("attempt_id", "response_id", "request_id", "tenant", "labels", "task", "conversation_id")
    shared += ("requested_model", "baseline_model", "tier", "started_at")
    return Entry(**{name: getattr(began, name) for name in shared} | values | changes)


def amounts(q_nano_usd: int, w_nano_usd: int | None = None) -> Hold:
    """Return a hold; without a worst, likely and worst are the same."""
    return Hold(q_nano_usd=q_nano_usd, w_nano_usd=q_nano_usd if w_nano_usd is None else w_nano_usd)


class Bench:
    """One process's view of a store: its definitions, holds and ledger, as the service uses them."""

    def __init__(self, client: Redis, owner: str = "one") -> None:
        self.book = BudgetBook(client)
        self.holds = Holds(client, owner=owner)
        self.ledger = Ledger(client)
        self.in_force = InForce(self.book)
        self.booking = Booking(self.ledger, self.in_force, POLICY_IN_FORCE)
        self.version = 0
        self.definitions = Definitions({})

    async def define(self, *budgets: Budget, created_at: datetime = LONG_AGO) -> None:
        """Define budgets, and load them."""
        for each in budgets:
            await self.book.put(each, created_at=created_at)
        await self.load()

    async def load(self) -> None:
        """Load the definitions."""
        self.version, self.definitions = await self.book.load()

    def applications(self, began: Opening) -> list[Application]:
        """Return what applies to an attempt."""
        return applying(
            self.definitions,
            tenant=began.tenant,
            labels=began.labels,
            model=began.model,
            at=began.started_at,
        )

    async def ask(self, began: Opening, hold: Hold, **changes: Any) -> Held | Refused | Stale | Unseeded:
        """Ask for a hold once."""
        values = {"version": self.version, "now": AT, "not_after": datetime.now(UTC) + timedelta(minutes=1)}
        return await self.holds.hold(began, self.applications(began), hold, **values | changes)

    async def hold_again(self, began: Opening, hold: Hold) -> bool:
        """Hold for an attempt under way."""
        late = datetime.now(UTC) + timedelta(minutes=1)
        return await self.holds.hold_again(began, self.applications(began), hold, now=AT, not_after=late)

    async def hold(self, began: Opening, hold: Hold) -> Held | Refused:
        """Ask for a hold until the answer is yes or no."""
        while True:
            outcome = await self.ask(began, hold)
            if isinstance(outcome, Stale):
                await self.load()
            elif isinstance(outcome, Unseeded):
                applications = self.applications(began)
                for index in outcome.indexes:
                    found = await self.ledger.spent(applications[index], began.started_at)
                    await self.holds.seed(applications[index], found, version=self.version)
            else:
                return outcome

    async def settle(self, booked: Entry, **changes: Any) -> Settled:
        """Book an entry as the service does."""
        return await self.booking.book(booked, **changes)

    async def balance(self, budget_id: str = "b", *, at: datetime = AT, instance: str = "") -> Balance:
        """Return a balance; an empty one where there is none."""
        found = {name: balance for name, _, balance in await self.book.balances(budget_id, at)}
        return found.get(instance, Balance())
