"""Reading rollups: the sums that settlements keep, by UTC day and, of recent days, by hour.

A settlement adds to its hour and to its day, so a day never has to be made of hours: old hours are simply
removed. Reports read days wherever whole ones will do, which makes a month thirty small reads.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from struct import Struct

from redis.asyncio import Redis

from costsvc.core.entry import MEASURES
from costsvc.store import keys
from costsvc.store.connection import ask, translated

FEW_VALUES = frozenset({"model", "tier"})
"""Dimensions whose cells lie together; the others are capped."""

_PACKED = Struct(f"<{len(MEASURES)}q")
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
_AT_ONCE = 48  # periods a round trip: a millisecond or two for everybody else
_SCAN_COUNT = 4_096  # a cell hash of ordinary size is read in one step
_MANY = 2_000  # cells: to read more takes so long that it is done beside the event loop
_READ_BUDGET_S = 1.0  # of one round trip, which no call waits for
_GLOB_SPECIAL = re.compile(r"([\\*?\[\]])")


@dataclass(frozen=True, slots=True)
class Cell:
    """What one value of a dimension adds up to in a UTC hour or day, in the order of `MEASURES`."""

    start: datetime
    end: datetime
    value: str
    measures: tuple[int, ...]


class Rollups:
    """The sums of all tenants."""

    def __init__(self, client: Redis) -> None:
        self._client = client

    async def hours_since(self) -> datetime:
        """Return the UTC midnight from which on there are hours; before it there are days only."""
        async with translated():
            day: bytes | None = await ask(self._client, "GET", keys.HOURS_SINCE)
        if day is None:
            return datetime.min.replace(tzinfo=UTC)
        return datetime.strptime(day.decode(), "%Y%m%d").replace(tzinfo=UTC)

    async def read(
        self, tenant: str, start: datetime, end: datetime, dimension: str, *, by_hour: bool = False
    ) -> list[Cell]:
        """Return the cells of the UTC days in [start, end) and of the hours at its ends, in order, by value.

        With `by_hour`, of all its hours. A day that no longer has hours comes whole, also where only a part
        is asked for. A dimension is `model`, `tier`, `task` or `label:<key>`. Read some periods at a time:
        years are many small steps between which others are served.
        """
        since = await self.hours_since()
        while True:
            cells: list[Cell] = []
            periods = _periods(start, end, since, by_hour=by_hour)
            while some := list(islice(periods, _AT_ONCE)):
                cells += await self._some(tenant, some, dimension)
            before, since = since, await self.hours_since()
            if since == before or since <= start:  # else hours went while they were read
                return cells

    async def _some(
        self, tenant: str, periods: Sequence[tuple[datetime, datetime]], dimension: str
    ) -> list[Cell]:
        prefix = f"{dimension}="
        name = keys.rollup if dimension in FEW_VALUES else keys.rollup_values
        hashes = [name(tenant, _name(start, end)) for start, end in periods]
        async with translated(_READ_BUDGET_S):
            if dimension in FEW_VALUES:
                found = await self._whole(hashes)
            else:
                found = await self._matching(hashes, prefix)
        if sum(map(len, found)) < _MANY:
            return _cells(periods, found, prefix)
        return await asyncio.to_thread(_cells, periods, found, prefix)

    async def _whole(self, hashes: Sequence[str]) -> list[dict[bytes, bytes]]:
        async with self._client.pipeline(transaction=False) as pipeline:
            for name in hashes:
                pipeline.hgetall(name)
            return list(await pipeline.execute())

    async def _matching(self, hashes: Sequence[str], prefix: str) -> list[dict[bytes, bytes]]:
        """Return of each hash the fields with the prefix, in one round trip unless a hash is large."""
        pattern = _GLOB_SPECIAL.sub(r"\\\1", prefix) + "*"
        found: list[dict[bytes, bytes]] = [{} for _ in hashes]
        cursors = dict.fromkeys(range(len(hashes)), 0)
        while cursors:
            async with self._client.pipeline(transaction=False) as pipeline:
                for index, cursor in cursors.items():
                    pipeline.hscan(hashes[index], cursor, match=pattern, count=_SCAN_COUNT)
                replies: list[tuple[int, dict[bytes, bytes]]] = await pipeline.execute()
            for index, (_, fields) in zip(cursors, replies, strict=True):
                found[index] |= fields
            cursors = {
                index: cursor for index, (cursor, _) in zip(cursors, replies, strict=True) if cursor != 0
            }
        return found


def pack(measures: Sequence[int]) -> bytes:
    """Return measures as a cell keeps them."""
    return _PACKED.pack(*measures)


def unpack(packed: bytes) -> tuple[int, ...]:
    """Read a cell; measures newer than it are zero, and measures newer than this code are skipped."""
    return _PACKED.unpack(packed.ljust(_PACKED.size, b"\0")[: _PACKED.size])


def _cells(
    periods: Sequence[tuple[datetime, datetime]], found: Sequence[dict[bytes, bytes]], prefix: str
) -> list[Cell]:
    return [
        Cell(start, end, field.decode()[len(prefix) :], unpack(packed))
        for (start, end), cells in zip(periods, found, strict=True)
        for field, packed in sorted(cells.items())
        if field.startswith(prefix.encode())
    ]


def _periods(
    start: datetime, end: datetime, hours_since: datetime, *, by_hour: bool
) -> Iterator[tuple[datetime, datetime]]:
    """Yield the beginnings and ends of what [start, end) is read as: hours that begin in it, and days."""
    at = start.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    if at < start:
        at += _HOUR
    while at < end:
        midnight = at.replace(hour=0)
        if at < hours_since or (not by_hour and at == midnight and at + _DAY <= end):
            yield midnight, midnight + _DAY
            at = midnight + _DAY
        else:
            yield at, at + _HOUR
            at += _HOUR


def _name(start: datetime, end: datetime) -> str:
    return keys.hour_of(start) if end - start == _HOUR else keys.day_of(start)
