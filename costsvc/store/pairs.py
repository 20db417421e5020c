"""Pairs of answers to the same prompt, of the routed model and of the baseline: kept for those who compare.

A tenant's pairs are one sorted set, in the order in which they were made. What is too old goes when one is
added, and all of it some time after the last.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta

from redis.asyncio import Redis

from costsvc.store import keys
from costsvc.store.connection import ask, translated

MOST_PAIRS = 1_000
"""Of a tenant: the newest."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND, _MILLISECOND = timedelta(microseconds=1), timedelta(milliseconds=1)
_DAY_AND_A_HALF_MS = 36 * 3600 * 1000
_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of the answers: by which model, in an attempt of which id, for how much, and its text."""

    model: str
    attempt_id: str
    cost_nano_usd: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two answers to what a call asked; `response_id` is the call's.

    `preference` is what a judge says, "" where none was asked, or it had no opinion.
    """

    tenant: str
    task: str
    response_id: str
    asked: str
    answered: Side
    baseline: Side
    made_at: datetime
    preference: str = ""


class PairBook:
    """The pairs of all tenants, and what they have cost on a day."""

    def __init__(self, client: Redis) -> None:
        self._client = client

    async def keep(self, pair: Pair, kept: timedelta) -> None:
        """Keep a pair.

        Raises:
            StoreUnavailable: it may be kept or not.
        """
        key, at = keys.pairs(pair.tenant), _microseconds(pair.made_at)
        async with translated(), self._client.pipeline(transaction=False) as pipeline:
            pipeline.zadd(key, {encode(pair): at})
            pipeline.zremrangebyscore(key, "-inf", at - kept // _MICROSECOND)
            pipeline.zremrangebyrank(key, 0, -MOST_PAIRS - 1)
            pipeline.pexpire(key, kept // _MILLISECOND)
            await pipeline.execute()

    async def list(self, tenant: str, *, after: datetime, size: int) -> Sequence[Pair]:
        """Return a tenant's pairs that were made after an instant, oldest first.

        Raises:
            StoreUnavailable: no answer in time.
        """
        above = f"({_microseconds(after)}"
        async with translated():
            found: list[bytes] = await ask(
                self._client, "ZRANGE", keys.pairs(tenant), above, "+inf", "BYSCORE", "LIMIT", 0, size
            )
        return [decode(data) for data in found]

    async def spend(self, day: str, amount_nano_usd: int, limit_nano_usd: int) -> bool:
        """Count an amount against what a day may cost; return whether it has room, else nothing is counted.

        A negative amount gives back.

        Raises:
            StoreUnavailable: it may be counted or not.
        """
        key = keys.shadow_spent(day)
        async with translated(), self._client.pipeline(transaction=False) as pipeline:
            pipeline.incrby(key, amount_nano_usd)
            pipeline.pexpire(key, _DAY_AND_A_HALF_MS)
            spent, _ = await pipeline.execute()
            if spent <= limit_nano_usd or amount_nano_usd <= 0:
                return True
            pipeline.decrby(key, amount_nano_usd)
            await pipeline.execute()
        return False


def encode(pair: Pair) -> bytes:
    """Return a pair's bytes; `decode` gives back an equal pair."""
    record = asdict(replace(pair)) | {"v": _VERSION, "made_at": _microseconds(pair.made_at)}
    return zlib.compress(json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode())


def decode(data: bytes) -> Pair:
    """Return the pair that `encode` wrote."""
    record = json.loads(zlib.decompress(data))
    return Pair(
        tenant=record["tenant"],
        task=record["task"],
        response_id=record["response_id"],
        asked=record["asked"],
        answered=Side(**record["answered"]),
        baseline=Side(**record["baseline"]),
        made_at=_EPOCH + record["made_at"] * _MICROSECOND,
        preference=record["preference"],
    )


def _microseconds(at: datetime) -> int:
    return (at - _EPOCH) // _MICROSECOND
