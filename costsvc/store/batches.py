"""Batches in the store: what any replica needs to look after one, and to book its results.

The results themselves are the provider's to keep. What is kept of an item is enough to book its result, and
that it is booked. Everything may be repeated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from redis.asyncio import Redis

from costsvc.core.batch import Batch, Item, Part
from costsvc.store import batch_codec, batch_keys, keys
from costsvc.store.connection import Script, ask, translated
from costsvc.store.leases import milliseconds

REMEMBERED = timedelta(days=30)

_BUDGET_S = 5.0  # no call of a caller waits for it
_FIELDS_AT_ONCE = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """An item whose result is booked: what it `counts_as`, and what it cost, here and by the standard API."""

    item: Item
    counts_as: str
    cost_nano_usd: int = 0
    standard_nano_usd: int = 0
    frees: bool = True


class BatchBook:
    """All batches of all tenants."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._open = Script.load("open_batch")
        self._move = Script.load("move_part")
        self._set = Script.load("set_if_there")
        self._mark = Script.load("mark_results")

    async def open(self, batch: Batch, packed_items: Sequence[bytes]) -> str:
        """Record a batch that is not accepted yet; return its id, or that of the first of its request id.

        Raises:
            StoreUnavailable: it may be recorded or not; it is removed in a while, unless it is accepted.
        """
        tenant, batch_id = batch.tenant, batch.id
        member = _member(tenant, batch_id)
        async with translated(_BUDGET_S):  # first, so that what a crash leaves is found when it is old
            await ask(self._client, "ZADD", batch_keys.BATCHES, milliseconds(batch.created_at), member)
        await self._fill(batch_keys.items(tenant, batch_id), dict(enumerate(packed_items)))
        script_keys = [
            *(batch_keys.batch(tenant, batch_id), batch_keys.of_tenant(tenant), batch_keys.OPEN),
            batch_keys.requests(tenant),
        ]
        fields = [word for pair in batch_codec.head(batch).items() for word in pair]
        async with translated(_BUDGET_S):
            known = await self._open.run(
                self._client, script_keys, [batch_id, member, batch.options.request_id, *fields]
            )
        if not known:
            return batch_id
        await self.forget(batch)
        return str(known.decode())

    async def accept(self, batch: Batch) -> bool:
        """Let a batch be sent; return False where it was taken for abandoned, and is no more."""
        return await self._set_there(batch, "accepted", 1)

    async def cancel(self, batch: Batch) -> bool:
        """Note that a batch is to end; return False where there is none."""
        return await self._set_there(batch, "canceled", 1)

    async def end(self, batch: Batch, now: datetime, *, is_closed: bool) -> None:
        """Note that all results of a batch are booked; `is_closed` where nothing of it is at risk."""
        await self._set_there(batch, "ended", batch_codec.micros(now))
        if not is_closed:
            return
        async with translated(_BUDGET_S):
            await ask(self._client, "SREM", batch_keys.OPEN, _member(batch.tenant, batch.id))

    async def read(self, tenant: str, batch_id: str) -> Batch | None:
        """Return a batch, None where there is none.

        Raises:
            StoreUnavailable: no answer in time.
        """
        async with translated(_BUDGET_S):
            table: Any = await self._client.hgetall(batch_keys.batch(tenant, batch_id))
        return batch_codec.read_batch(table)

    async def page(self, tenant: str, *, after: str, count: int) -> list[Batch]:
        """Return some of a tenant's batches, newest first, older than `after`."""
        key = batch_keys.of_tenant(tenant)
        last = f"({after}" if after else "+"
        async with translated(_BUDGET_S):
            ids = await ask(self._client, "ZREVRANGEBYLEX", key, last, "-", "LIMIT", 0, count)
        found = [await self.read(tenant, batch_id.decode()) for batch_id in ids]
        return [batch for batch in found if batch is not None]

    async def open_ones(self) -> list[tuple[str, str]]:
        """Return tenant and id of every batch that has not ended, oldest first."""
        async with translated(_BUDGET_S):
            members = await ask(self._client, "SMEMBERS", batch_keys.OPEN)
        pairs = [member.decode().rsplit(":", 1) for member in members]
        return sorted(((tenant, batch_id) for tenant, batch_id in pairs), key=lambda pair: pair[1])

    async def move(self, batch: Batch, old: Part, new: Part, *, further: Part | None = None) -> Part | None:
        """Change a part, and add a further one; return it with its version, None where others were first."""
        number = next(number for number, part in enumerate(batch.parts) if part.id == old.id)
        new = replace(new, version=old.version + 1)
        fields = [batch_codec.part_field(number), batch_codec.part(new)]
        if further is not None:
            fields += [batch_codec.part_field(len(batch.parts)), batch_codec.part(further)]
        args: list[str | bytes | int] = [fields[0], old.version, *fields]
        async with translated(_BUDGET_S):
            key = batch_keys.batch(batch.tenant, batch.id)
            moved = await self._move.run(self._client, [key], args)
        return new if moved else None

    async def rows(self, batch: Batch) -> list[bytes]:
        """Return what is kept of all items, by their index; `batch_codec.read_item` reads one.

        Raises:
            StoreUnavailable: no answer in time.
        """
        key = batch_keys.items(batch.tenant, batch.id)
        rows: list[bytes] = []
        for first in range(0, -(-batch.item_count // batch_codec.ROWS_AT_ONCE), _FIELDS_AT_ONCE):
            async with translated(_BUDGET_S):
                found = await ask(self._client, "HMGET", key, *range(first, first + _FIELDS_AT_ONCE))
            for packed in found:
                rows += batch_codec.unpack(packed) if packed else []
        return rows

    async def marked(self, batch: Batch, part: Part) -> bytes:
        """Return the bitmap of the items whose results are booked."""
        async with translated(_BUDGET_S):
            key = batch_keys.marks(batch.tenant, batch.id, part.id)
            found: bytes | None = await ask(self._client, "GET", key)
        return found or b""

    async def mark(self, batch: Batch, part: Part, marks: Sequence[Mark], read_bytes: int) -> int:
        """Note that results are booked, and free what was held for them; return how many were not noted.

        Raises:
            StoreUnavailable: it may have happened or not; repeat it.
        """
        script_keys = [
            batch_keys.batch(batch.tenant, batch.id),
            batch_keys.marks(batch.tenant, batch.id, part.id),
            keys.attempts(keys.day_of(part.started_at)),
            *(keys.BALANCE, keys.HOLDS, keys.AT_RISK, keys.AT_RISK_SUMS),
        ]
        args: list[str | bytes | int] = [batch_codec.tally_prefix(part.id), read_bytes, len(part.holds)]
        args += [part.hold_id(number) for number in range(len(part.holds))]
        for mark in marks:
            item = mark.item
            held = (item.q_nano_usd, item.w_nano_usd) if mark.frees else (0, 0)
            args += [item.index, item.hold, *held, mark.counts_as, mark.cost_nano_usd, mark.standard_nano_usd]
        async with translated(_BUDGET_S):
            return int(await self._mark.run(self._client, script_keys, args))

    async def note_ours(self, provider_id: str, at: datetime) -> None:
        """Remember that a batch at the provider is ours."""
        async with translated(_BUDGET_S):
            await ask(self._client, "ZADD", batch_keys.AT_PROVIDER, milliseconds(at), provider_id)

    async def ours(self, provider_ids: Sequence[str]) -> set[str]:
        """Return which of some batches at the provider are known to be ours."""
        if not provider_ids:
            return set()
        async with translated(_BUDGET_S):
            scores = await ask(self._client, "ZMSCORE", batch_keys.AT_PROVIDER, *provider_ids)
        return {name for name, score in zip(provider_ids, scores, strict=True) if score is not None}

    async def note_spool(self, spool: str, now: datetime) -> None:
        """Show that the process of a disk lives."""
        async with translated(_BUDGET_S):
            await ask(self._client, "ZADD", batch_keys.SPOOLS, milliseconds(now), spool)

    async def spools_since(self, since: datetime) -> set[str]:
        """Return the disks whose process was seen since an instant."""
        async with translated(_BUDGET_S):
            found = await ask(self._client, "ZRANGEBYSCORE", batch_keys.SPOOLS, milliseconds(since), "+inf")
        return {name.decode() for name in found}

    async def forget_before(self, at: datetime) -> None:
        """Remove batches that were created before an instant, as long as they have ended."""
        before = milliseconds(at)
        async with translated(_BUDGET_S):
            members = await ask(self._client, "ZRANGEBYSCORE", batch_keys.BATCHES, "-inf", before)
            await ask(self._client, "ZREMRANGEBYSCORE", batch_keys.AT_PROVIDER, "-inf", before)
            await ask(self._client, "ZREMRANGEBYSCORE", batch_keys.SPOOLS, "-inf", before)
        for member in members:
            tenant, batch_id = member.decode().rsplit(":", 1)
            batch = await self.read(tenant, batch_id)
            if batch is None:
                async with translated(_BUDGET_S):
                    await ask(self._client, "UNLINK", batch_keys.items(tenant, batch_id))
                    await ask(self._client, "ZREM", batch_keys.BATCHES, member)
            elif batch.ended_at is not None:
                await self.forget(batch)

    async def forget(self, batch: Batch) -> None:
        """Remove all that is known of a batch; what it cost stays in the ledger."""
        tenant, batch_id, request_id = batch.tenant, batch.id, batch.options.request_id
        gone = [batch_keys.items(tenant, batch_id)]
        gone += [batch_keys.marks(tenant, batch_id, part.id) for part in batch.parts]
        async with translated(_BUDGET_S):
            await ask(self._client, "UNLINK", batch_keys.batch(tenant, batch_id), *gone)
            await ask(self._client, "ZREM", batch_keys.of_tenant(tenant), batch_id)
            await ask(self._client, "SREM", batch_keys.OPEN, _member(tenant, batch_id))
            await ask(self._client, "ZREM", batch_keys.BATCHES, _member(tenant, batch_id))
            if request_id:
                known = await ask(self._client, "HGET", batch_keys.requests(tenant), request_id)
                if known == batch_id.encode():
                    await ask(self._client, "HDEL", batch_keys.requests(tenant), request_id)

    async def _fill(self, key: str, values: Mapping[int, bytes]) -> None:
        pairs = list(values.items())
        for first in range(0, len(pairs), _FIELDS_AT_ONCE):
            some = pairs[first : first + _FIELDS_AT_ONCE]
            async with translated(_BUDGET_S):
                await ask(self._client, "HSET", key, *(word for pair in some for word in pair))

    async def _set_there(self, batch: Batch, field: str, value: int) -> bool:
        key = batch_keys.batch(batch.tenant, batch.id)
        async with translated(_BUDGET_S):
            return bool(await self._set.run(self._client, [key], [field, value]))


def _member(tenant: str, batch_id: str) -> str:
    return f"{tenant}:{batch_id}"
