"""What was spent before a budget was defined: its first balance, from the ledger."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from redis.asyncio import Redis

from costsvc.core.budget import Application, Kind, applies
from costsvc.core.entry import MEASURES
from costsvc.store import keys
from costsvc.store.connection import ask, translated

if TYPE_CHECKING:
    from costsvc.store.ledger import Ledger

_COST = MEASURES.index("cost_nano_usd")
_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What an application's window has cost, by the beginnings of hours, or of the window in its first hour.

    `before` is what the balance said when reading began, "" for nothing: where it says something else later,
    a settlement came in between, and the sum is of no use.
    """

    by_start: Mapping[datetime, int]
    before: str

    @property
    def nano_usd(self) -> int:
        """The sum."""
        return sum(self.by_start.values())


async def read_spent(ledger: Ledger, client: Redis, application: Application, until: datetime) -> Spent:
    """Add up whole UTC hours from rollups, and of the hour in which the window begins its entries."""
    window = application.window
    member = keys.balance_member(window.key, application.instance)
    async with translated():
        before: bytes | None = await ask(client, "HGET", keys.balance(application.budget.id, member), "spent")
    by_start: dict[datetime, int] = {}
    first = window.start.replace(minute=0, second=0, microsecond=0)
    if first < window.start:
        by_start[window.start] = await _entries_spent(ledger, application, first, until)
        first += _HOUR
    end = min(until, window.end)
    async for hour, cost_nano_usd in _rollups_spent(ledger, application, first, end):
        by_start[hour] = by_start.get(hour, 0) + cost_nano_usd
    return Spent(by_start=by_start, before=before.decode() if before is not None else "")


async def _entries_spent(ledger: Ledger, application: Application, hour: datetime, until: datetime) -> int:
    total_nano_usd, after = 0, ""
    while (page := await ledger.entries(hour, after=after)).entries:
        after = page.after
        total_nano_usd += sum(
            entry.cost_nano_usd
            for entry in page.entries
            if application.window.start <= entry.started_at < min(until, application.window.end)
            and applies(
                application.budget, tenant=entry.tenant, labels=entry.labels, model=entry.answering_model
            )
            == application.instance
        )
    return total_nano_usd


async def _rollups_spent(
    ledger: Ledger, application: Application, start: datetime, end: datetime
) -> AsyncIterator[tuple[datetime, int]]:
    """Yield each hour's cells; a dimension that has every entry is that of models."""
    scope, instance = application.budget.scope, application.instance
    by_label = scope.kind in {Kind.LABEL, Kind.EACH_LABEL}
    wanted = instance if by_label or scope.kind is Kind.MODEL else None
    of_tenant = scope.kind in {Kind.TENANT, Kind.EACH_TENANT}
    for tenant in [instance] if of_tenant else await ledger.tenants():
        for cell in await ledger.rollups(tenant, start, end, f"label:{scope.key}" if by_label else "model"):
            if wanted is None or cell.value == wanted:
                yield cell.hour, cell.measures[_COST]
