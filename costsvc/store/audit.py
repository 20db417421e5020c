"""Checking what the store adds up against what it was added up from, while calls go on.

Entries are read hour by hour, a page at a time. Sums are then read together with the entries that have come
since, in one step of the server, so that each sum is compared with exactly the entries that are in it. Nobody
may seal hours meanwhile: the audit holds the lease of that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, TypeVar

from redis.asyncio import Redis

from costsvc.core.auditing import Finding, Kind
from costsvc.core.catalog import Catalog
from costsvc.store import keys
from costsvc.store.audit_entries import LiveEntries, Sums, add_to, capped, cells, differences
from costsvc.store.audit_money import Money
from costsvc.store.connection import ask, translated
from costsvc.store.job_lease import JobLease

_PAGE = 500  # entries, a few tenths of a millisecond for everybody else
_TENANTS_AT_ONCE = 8
_BALANCES_AT_ONCE = 200
_READ_BUDGET_S = 10.0
_WAIT_S = 0.5
_DAY = timedelta(days=1)

T = TypeVar("T")


class SealingGoesOn(Exception):
    """Hours were sealed meanwhile, so nothing can be said; repeat the audit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """What was checked, and everything that was found.

    `rounding_pico_usd` is what the `exact_count` entries whose catalogue is at hand are above their exact
    cost, less than 1,000 each. `based_nano_usd` is what balances count that no live entry shows: the
    ledger's sums that budgets began with, and sealed entries.
    """

    entry_count: int
    cost_nano_usd: int
    exact_count: int
    rounding_pico_usd: int
    cell_count: int
    sealed_count: int
    balance_count: int
    based_nano_usd: int
    risk_count: int
    held_count: int
    findings: tuple[Finding, ...]


async def audit(client: Redis, catalog: Catalog, *, owner: str) -> Audit:
    """Check every sum of the store.

    `owner` names this process, as another holder of the lease would be named.

    Raises:
        SealingGoesOn: the lease was lost for a while, such as on a machine that was asleep.
        StoreUnavailable: no answer in time.
    """
    lease = JobLease(client, owner, keys.SEALING)
    while not await lease.take(datetime.now(UTC)):  # noqa: ASYNC110 - a lease has no event
        await asyncio.sleep(_WAIT_S)
    try:
        return await _Auditor(client, catalog, lease).run()
    finally:
        await lease.give_back(datetime.now(UTC))


class _Auditor:
    def __init__(self, client: Redis, catalog: Catalog, lease: JobLease) -> None:
        self._client = client
        self._lease = lease
        self._live = LiveEntries(catalog)
        self._money = Money(self._live)
        self._findings = self._live.findings
        self._cell_count = 0

    async def run(self) -> Audit:
        sealed = await self._ask("HGETALL", keys.SEALED)
        listed = await self._ask("SMEMBERS", keys.HOURS)
        days = _days({hour.decode()[:8] for hour in (*sealed, *listed)})
        tenants = sorted(name.decode() for name in await self._ask("SMEMBERS", keys.TENANTS))
        for day in days:
            await self._check_day(day, tenants)
        hours = [hour for day in days for hour in _hours(day)]
        self._live.begin_day()
        await self._check_money(hours)
        await self._check_lists()
        if await self._ask("HGETALL", keys.SEALED) != sealed:
            raise SealingGoesOn
        return Audit(
            entry_count=self._live.count,
            cost_nano_usd=self._live.cost_nano_usd,
            exact_count=self._live.exact_count,
            rounding_pico_usd=self._live.rounding_pico_usd,
            cell_count=self._cell_count,
            sealed_count=sum(map(int, sealed.values())),
            balance_count=self._money.balance_count,
            based_nano_usd=self._money.based_nano_usd,
            risk_count=self._money.risk_count,
            held_count=self._money.held_count,
            findings=tuple(self._findings),
        )

    async def _check_day(self, day: str, tenants: Sequence[str]) -> None:
        hours = _hours(day)
        self._live.begin_day()
        await self._renew()
        counts = await self._snapshot((), [("LLEN", keys.entries(hour)) for hour in hours])
        for hour, count in zip(hours, counts, strict=True):
            if count:
                await self._read(hour)
        since = (await self._ask("GET", keys.HOURS_SINCE) or b"").decode()
        periods = [day, *(hours if day >= since else ())]
        for some in _some(tenants, _TENANTS_AT_ONCE):
            names = [
                name for tenant in some for name in (keys.checkpoint(tenant, day), *_hashes(tenant, periods))
            ]
            replies = iter(await self._snapshot(hours, [("HGETALL", name) for name in names]))
            for tenant in some:
                self._check_tenant(tenant, day, periods, [next(replies) for _ in range(1 + 2 * len(periods))])

    def _check_tenant(
        self, tenant: str, day: str, periods: Sequence[str], hashes: Sequence[dict[bytes, bytes]]
    ) -> None:
        checkpoint, *kept_hashes = hashes
        whole: Sums = {name: list(sums) for name, sums in cells(checkpoint).items()}
        for hour in _hours(day):
            for name, sums in self._live.sums(tenant, hour).items():
                add_to(whole, name, sums)
        pairs = zip(kept_hashes[::2], kept_hashes[1::2], strict=True)
        for period, pair in zip(periods, pairs, strict=True):
            kept = cells(*pair)
            expected = whole if period == day else self._live.sums(tenant, period)
            self._cell_count += len(kept)
            self._findings += differences(f"{tenant} {_written(period)}", kept, capped(expected, kept))

    async def _read(self, hour: str) -> None:
        """Read an hour's entries up to what is its end by now."""
        while True:
            await self._renew()
            first = self._live.read[hour]
            rows = await self._ask("LRANGE", keys.entries(hour), first, first + _PAGE - 1)
            if not rows:
                return
            self._live.add(hour, rows)

    async def _check_money(self, hours: Sequence[str]) -> None:
        members = [
            (budget_id.decode(), member.decode())
            for budget_id in sorted(await self._ask("SMEMBERS", keys.BUDGETS_COUNTED))
            for member in await self._ask("ZRANGE", keys.balances(budget_id.decode()), 0, -1)
        ]
        for some in _some(members, _BALANCES_AT_ONCE):
            await self._check_balances(hours, some)
        missing = self._money.missing(datetime.now(UTC), members)
        if missing:  # those that are new since the members were listed, or gone
            await self._check_balances(hours, missing)
        sums, index_count, risks = await self._snapshot(
            (), [("HGETALL", keys.AT_RISK_SUMS), ("ZCARD", keys.AT_RISK_INDEX), ("HVALS", keys.AT_RISK)]
        )
        self._findings += self._money.check_risks(sums, index_count, risks)

    async def _check_balances(self, hours: Sequence[str], members: Sequence[tuple[str, str]]) -> None:
        await self._renew()
        commands = [*self._money.COMMANDS, *(("HGETALL", keys.balance(*member)) for member in members)]
        risks, held, *tables = await self._snapshot(hours, commands)
        self._findings += self._money.check_balances(members, tables, risks, held)

    async def _check_lists(self) -> None:
        """Look for entries of hours and tenants that no index names: nothing would ever come across them."""
        listed = {
            kind: {member.decode() for member in await self._ask("SMEMBERS", name)}
            for kind, name in (("hour", keys.HOURS), ("tenant", keys.TENANTS))
        }
        found = {
            "hour": {hour for hour, count in self._live.read.items() if count},
            "tenant": self._live.tenants,
        }
        self._findings += [
            Finding(kind=Kind.UNLISTED, where=name, what=kind, kept=0, expected=1)
            for kind, names in found.items()
            for name in sorted(names - listed[kind])
        ]

    async def _snapshot(self, hours: Sequence[str], commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Return replies of one moment, for which the entries of some hours are read up to that moment."""
        async with translated(_READ_BUDGET_S), self._client.pipeline(transaction=True) as pipeline:
            for hour in hours:
                pipeline.lrange(keys.entries(hour), self._live.read[hour], -1)
            for command in commands:
                pipeline.execute_command(*command)
            replies: list[Any] = await pipeline.execute()
        for hour, rows in zip(hours, replies, strict=False):
            self._live.add(hour, rows)
        return replies[len(hours) :]

    async def _ask(self, *command: str | bytes | int) -> Any:
        async with translated(_READ_BUDGET_S):
            return await ask(self._client, *command)

    async def _renew(self) -> None:
        if not await self._lease.take(datetime.now(UTC)):
            raise SealingGoesOn


def _hashes(tenant: str, periods: Sequence[str]) -> Iterator[str]:
    for period in periods:
        yield keys.rollup(tenant, period)
        yield keys.rollup_values(tenant, period)


def _days(known: set[str]) -> list[str]:
    """Return all days from the first known to the last, also such as no list names, today, and the next."""
    now = datetime.now(UTC)
    days = {keys.day_of(now), keys.day_of(now + _DAY)}
    day = datetime.strptime(min(known, default=keys.day_of(now)), "%Y%m%d").replace(tzinfo=UTC)
    while (name := keys.day_of(day)) <= max(known, default=""):
        days.add(name)
        day += _DAY
    return sorted(days)


def _hours(day: str) -> list[str]:
    return [f"{day}{hour:02}" for hour in range(24)]


def _written(period: str) -> str:
    """Return an hour or a day for people."""
    day = f"{period[:4]}-{period[4:6]}-{period[6:8]}"
    return f"{day}T{period[8:]}" if period[8:] else day


def _some(values: Sequence[T], count: int) -> Iterator[list[T]]:
    rest = iter(values)
    while some := list(islice(rest, count)):
        yield some
