"""Sealing: entries older than the retention go into an archive, and their sums stay in the store.

Entries are written to a file first, and then exchanged for what they add up to in one step of the server: at
any moment they are in the store, or in a file and a checkpoint; never in neither, never in both. What a
checkpoint has is added up from the entries and not taken from rollups, so that an audit still finds what is
wrong with those. An entry that comes late into a sealed hour is sealed in the next round.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from time import monotonic
from typing import Any

from redis.asyncio import Redis

from costsvc.core.entry import Entry
from costsvc.store import entry_codec, keys
from costsvc.store.archive import Archive
from costsvc.store.audit_entries import Sums, add_to, capped
from costsvc.store.connection import Script, ask, translated
from costsvc.store.job_lease import JobLease
from costsvc.store.ledger import fields_of
from costsvc.store.rollups import FEW_VALUES, pack

AT_ONCE = 2_000
"""Entries a file, and a step of the server, which takes some milliseconds."""

_TENANTS_AT_ONCE = 100
_PAUSE_S = 0.05  # between steps, so that calls hardly notice
_BUDGET_S = 2.0


@dataclass(frozen=True, slots=True)
class _Part:
    """The oldest entries of an hour, and what they add up to."""

    hour: str
    first: int
    entries: list[Entry]
    sums: dict[str, Sums] = field(default_factory=dict)
    charges: Counter[str] = field(default_factory=Counter)


class Sealing:
    """Seals hours, while it has the lease."""

    def __init__(self, client: Redis, archive: Archive, lease: JobLease) -> None:
        self._client = client
        self._archive = archive
        self._lease = lease
        self._seal = Script.load("seal")
        self._retire = Script.load("retire_hour")
        self._raise = Script.load("raise_since")

    async def seal_before(self, day: datetime, *, now: datetime) -> int:
        """Seal the hours of the UTC days before that of `day`; return how many entries that were.

        It must lie further back than an attempt is remembered.

        Raises:
            StoreUnavailable, OSError: what is done is done; begin again.
        """
        if not await self._lease.take(now):
            return 0
        before, began, sealed = keys.day_of(day), monotonic(), 0
        await self._run(self._raise, [keys.HOURS_SINCE], [before])
        listed = {member.decode() for member in await self._ask("SMEMBERS", keys.HOURS)}
        for hour in sorted(each for each in listed if each[:8] < before):
            while count := await self._seal_part(hour):
                sealed += count
                if not await self._lease.take(now + timedelta(seconds=monotonic() - began)):
                    return sealed
                await asyncio.sleep(_PAUSE_S)
            await self._remove_rollups(hour)
            await self._run(self._retire, [keys.entries(hour), keys.HOURS], [hour])
        await self._lease.give_back(now)
        return sealed

    async def _seal_part(self, hour: str) -> int:
        """Seal the oldest entries of an hour; return how many, 0 where there are none or others seal them."""
        async with translated(_BUDGET_S), self._client.pipeline(transaction=True) as pipeline:
            pipeline.hget(keys.SEALED, hour)
            pipeline.lrange(keys.entries(hour), 0, AT_ONCE - 1)
            first, rows = await pipeline.execute()
        if not rows:
            return 0
        part = await asyncio.to_thread(_add_up, hour, int(first or 0), rows)
        await self._cap(part)
        await asyncio.to_thread(self._archive.write, hour, part.first, part.entries)
        return len(rows) if await self._run(self._seal, *_seal_call(part)) else 0

    async def _cap(self, part: _Part) -> None:
        """Count values without a cell of their own as `_other`, as the day's rollup does."""
        day = part.hour[:8]
        for tenant, sums in part.sums.items():
            names = [name for name in sums if name.partition("=")[0] not in FEW_VALUES]
            if not names:
                continue
            cells = await self._ask("HMGET", keys.rollup_values(tenant, day), *names)
            known = {name: () for name, cell in zip(names, cells, strict=True) if cell is not None}
            part.sums[tenant] = capped(sums, known)

    async def _remove_rollups(self, hour: str) -> None:
        """Remove what all tenants have of an hour: their day has it too."""
        tenants = sorted(await self._ask("SMEMBERS", keys.TENANTS))
        for first in range(0, len(tenants), _TENANTS_AT_ONCE):
            some = [tenant.decode() for tenant in tenants[first : first + _TENANTS_AT_ONCE]]
            few = [keys.rollup(tenant, hour) for tenant in some]
            await self._ask("UNLINK", *few, *(keys.rollup_values(tenant, hour) for tenant in some))

    async def _ask(self, *command: str | bytes | int) -> Any:
        async with translated(_BUDGET_S):
            return await ask(self._client, *command)

    async def _run(self, script: Script, script_keys: list[str], args: list[str | bytes | int]) -> Any:
        async with translated(_BUDGET_S):
            return await script.run(self._client, script_keys, args)


def _add_up(hour: str, first: int, rows: Sequence[bytes]) -> _Part:
    part = _Part(hour, first, [entry_codec.decode(row) for row in rows])
    for row, entry in zip(rows, part.entries, strict=True):
        sums, measures = part.sums.setdefault(entry.tenant, {}), entry.measures()
        for fields in fields_of(entry, entry_codec.counted_label_keys(row)):
            for name in fields:
                add_to(sums, name, measures)
        for charge in set(entry.charges):
            part.charges[charge] += entry.cost_nano_usd
    return part


def _seal_call(part: _Part) -> tuple[list[str], list[str | bytes | int]]:
    """Return what `seal.lua` is asked."""
    checkpoints = [keys.checkpoint(tenant, part.hour[:8]) for tenant in part.sums]
    args: list[str | bytes | int] = [part.hour, part.first, len(part.entries), len(part.charges)]
    for charge, cost_nano_usd in part.charges.items():
        args += [charge, cost_nano_usd]
    for number, sums in enumerate(part.sums.values(), start=1):
        for name, measures in sums.items():
            args += [number, name, pack(measures)]
    return [keys.entries(part.hour), keys.SEALED, keys.BALANCE, *checkpoints], args
