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
from costsvc.store.rollups import Cell

if TYPE_CHECKING:
    from costsvc.store.ledger import Ledger

_COST = MEASURES.index("cost_nano_usd")
_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What an application's window has cost, by the ends of the hours and days that were added up.

    `before` is what the balance said when reading began, "" for nothing: where it says something else later,
    a settlement came in between, and the sum is of no use.
    """

    by_end: Mapping[datetime, int]
    before: str

    @property
    def nano_usd(self) -> int:
        """The sum."""
        return sum(self.by_end.values())


async def read_spent(ledger: Ledger, client: Redis, application: Application, until: datetime) -> Spent:
    """Add up whole UTC days and hours from rollups, and of the hour in which the window begins its entries.

    Of a time whose entries and hours are no longer kept, the whole day counts in which the window begins:
    rather too much than too little.
    """
    window = application.window
    member = keys.balance_member(window.key, application.instance)
    async with translated():
        before: bytes | None = await ask(client, "HGET", keys.balance(application.budget.id, member), "spent")
    by_end: dict[datetime, int] = {}
    hours_since = await ledger.rollups.hours_since()
    first = window.start.replace(minute=0, second=0, microsecond=0)
    if hours_since <= first < window.start:
        by_end[first + _HOUR] = await _entries_spent(ledger, application, first, until)
        if await ledger.rollups.hours_since() > first:  # its entries may be gone by now, with its hours
            return await read_spent(ledger, client, application, until)
        first += _HOUR
    end = min(until, window.end)
    async for cell in _rollups_spent(ledger, application, first, end):
        by_end[cell.end] = by_end.get(cell.end, 0) + cell.measures[_COST]
    return Spent(by_end=by_end, before=before.decode() if before is not None else "")


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
) -> AsyncIterator[Cell]:
    """Yield the cells of a scope; a dimension that has every entry is that of models."""
    scope, instance = application.budget.scope, application.instance
    by_label = scope.kind in {Kind.LABEL, Kind.EACH_LABEL}
    wanted = instance if by_label or scope.kind is Kind.MODEL else None
    dimension = f"label:{scope.key}" if by_label else "model"
    of_tenant = scope.kind in {Kind.TENANT, Kind.EACH_TENANT}
    for tenant in [instance] if of_tenant else await ledger.tenants():
        for cell in await ledger.rollups.read(tenant, start, end, dimension):
            if wanted is None or cell.value == wanted:
                yield cell
