"""What the prompt cache did for each tenant, a hash a day; and the last prompts, to tell changes by.

    before = sums.ask(exchange, tenant, ids)                  along with other questions
    sums.add(exchange, tenant, rows, traits, at=...)          with what follows an answer

Sums are bounded: a day has about a thousand fields, and what is new beyond them counts together. They are
advice: what a call cost and saved is in the ledger. Each tenant has a fixed number of places for its last
prompts, which are kept for an hour; of two with one place the later one stays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any, NamedTuple

from redis.asyncio import Redis

from costsvc.core.tallies import OTHER, WIDTHS, Row
from costsvc.core.traits import Traits, unpack_traits
from costsvc.store import keys
from costsvc.store.connection import Script, ask, translated
from costsvc.store.exchange import Exchange, Pending

MOST_FIELDS = 1_000
TRAITS_KEPT = timedelta(hours=1)
_TRAIT_PLACES = 1 << 12
_BAR = "|"
_READ_BUDGET_S = 1.0
_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)


class Sums(NamedTuple):
    """What some days add up to, and when the first call among them was, seconds since 1970, or None."""

    rows: Sequence[Row]
    first_s: int | None


class PromptSums:
    """The sums of all tenants; each day's are kept for some days, which only matters to who adds."""

    def __init__(self, client: Redis, kept_days: int = 1) -> None:
        self._client = client
        self._kept_s = max(kept_days, 1) * (_DAY // _SECOND)
        self._tally = Script.load("tally")

    def ask(self, exchange: Exchange, tenant: str, ids: Sequence[str]) -> Pending[dict[str, Traits]]:
        """Ask for the last prompts under some names; those that are not kept are missing."""
        places = [_place(tenant, id_) for id_ in ids]

        def read(texts: Any) -> dict[str, Traits]:
            found = {id_: _traits(text, id_) for id_, text in zip(ids, texts, strict=True)}
            return {id_: traits for id_, traits in found.items() if traits is not None}

        return exchange.ask(self._client, "MGET", *places, read=read)

    def add(
        self,
        exchange: Exchange,
        tenant: str,
        rows: Sequence[Row],
        traits: Mapping[str, Traits],
        *,
        at: datetime,
    ) -> None:
        """Add rows to the day of an instant, and keep prompts under some names."""
        for id_, each in traits.items():
            text = f"{id_}\n{each.pack()}"
            kept_s = TRAITS_KEPT // _SECOND
            exchange.ask(self._client, "SET", _place(tenant, id_), text, "EX", kept_s, read=bool)
        if rows:
            words: list[str | bytes | int] = [MOST_FIELDS, self._kept_s, int(at.timestamp())]
            for row in rows:
                rest = _BAR.join((row.kind, *(OTHER for _ in row.words)))
                words += [_BAR.join((row.kind, *row.words)), rest, len(row.sums), *row.sums]
            day = keys.prompt_sums(tenant, keys.day_of(at))
            exchange.run(self._client, self._tally, [day], words, read=int)

    async def read(self, tenant: str, start: datetime, end: datetime) -> Sums:
        """Return what a tenant's days from one instant to another add up to.

        Raises:
            StoreUnavailable: no answer in time.
        """
        days, day = [], start.replace(hour=0, minute=0, second=0, microsecond=0)
        while day < end:
            days.append(keys.day_of(day))
            day += _DAY
        sums: dict[tuple[str, tuple[str, ...]], list[int]] = {}
        first_s: int | None = None
        for name in days:
            async with translated(_READ_BUDGET_S):
                fields = await ask(self._client, "HGETALL", keys.prompt_sums(tenant, name))
            first_s = _add(sums, _pairs(fields), first_s)
        return Sums([Row(kind, words, tuple(each)) for (kind, words), each in sums.items()], first_s)


def _add(
    sums: dict[tuple[str, tuple[str, ...]], list[int]], fields: Mapping[str, int], first_s: int | None
) -> int | None:
    """Add a day's fields; return the earlier of two beginnings."""
    for name, value in fields.items():
        if name == "first":
            first_s = value if first_s is None else min(first_s, value)
            continue
        kind, *words, number = name.split(_BAR)
        word_count, sum_count = WIDTHS.get(kind, (0, 0))
        if len(words) != word_count or not 1 <= int(number) <= sum_count:
            continue  # of another version
        row = sums.setdefault((kind, tuple(words)), [0] * sum_count)
        row[int(number) - 1] += value
    return first_s


def _pairs(fields: Any) -> dict[str, int]:
    items = fields.items() if isinstance(fields, dict) else zip(fields[::2], fields[1::2], strict=True)
    return {name.decode(): int(value) for name, value in items}


def _place(tenant: str, id_: str) -> str:
    place = int.from_bytes(blake2b(id_.encode(), digest_size=4).digest()) % _TRAIT_PLACES
    return keys.prompt_traits(tenant, place)


def _traits(text: bytes | None, id_: str) -> Traits | None:
    """Return the prompt that is kept under a name, None where its place is empty, or another's."""
    if text is None:
        return None
    name, _, packed = text.partition(b"\n")
    try:
        return unpack_traits(packed) if name == id_.encode() else None
    except ValueError:
        return None
