"""What is kept of answered prompts, and what callers say of their quality: what the local score learns from.

Prompts are kept for some days by the id of their answer. Who says how good an answer was makes it an outcome
of its tenant's task; of those the newest are kept. Nothing here is text of a prompt.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from redis.asyncio import Redis

from costsvc.core.request import Tier
from costsvc.store import keys, seen_codec
from costsvc.store.connection import Script, ask, translated
from costsvc.store.seen_codec import Seen

SEEN_TTL = timedelta(days=7)
"""How long after an answer its outcome can be told."""

OUTCOMES_TTL = timedelta(days=90)
"""How long a task's outcomes are kept after the newest."""

MOST_OUTCOMES = 3_000
"""Of a tenant's task: twice what published routers were fitted to; fitting to them takes 500 MB."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND, _SECOND = timedelta(milliseconds=1), timedelta(seconds=1)
_SCORE_UNIT = 1_000_000
_AT_ONCE = 200
_READ_BUDGET_S = 5.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rating:
    """How good a model's answer was, 0 to 1."""

    score: float
    model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A prompt, and what is known of the answers of each tier."""

    seen: Seen
    ratings: Mapping[Tier, Rating]


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How many outcomes there are, and of how many of them every tier is known."""

    outcomes: int
    complete: int


class OutcomeBook:
    """The outcomes of all tenants' tasks."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._record = Script.load("record_outcome")

    async def keep(self, answered: Sequence[tuple[str, Seen]]) -> None:
        """Keep answered prompts by the ids of their answers, in one exchange.

        Raises:
            StoreUnavailable: some may be kept.
        """
        ttl_ms = SEEN_TTL // _MILLISECOND
        async with translated(), self._client.pipeline(transaction=False) as pipeline:
            for response_id, seen in answered:
                pipeline.set(keys.seen(response_id), seen_codec.encode(seen), px=ttl_ms)
            await pipeline.execute()

    async def find(self, response_id: str) -> Seen | None:
        """Return what is kept of an answered prompt, None where nothing is, or no longer.

        Raises:
            StoreUnavailable: no answer in time.
        """
        async with translated():
            data: bytes | None = await ask(self._client, "GET", keys.seen(response_id))
        return _readable(data) if data is not None else None

    async def record(
        self, response_id: str, seen: Seen, ratings: Mapping[Tier, Rating], *, at: datetime
    ) -> Counts:
        """Take in what is known of a prompt's answers; of a tier that was rated before, the last one stands.

        Raises:
            StoreUnavailable: it may have happened or not; repeat it.
        """
        tenant, task = seen.tenant, seen.task
        args: list[str | bytes | int] = [
            *(response_id, (at - _EPOCH) // _MILLISECOND, MOST_OUTCOMES, OUTCOMES_TTL // _MILLISECOND),
            seen_codec.encode(seen),
            *(_slot(ratings.get(tier)) for tier in Tier),
        ]
        async with translated():
            await self._list(tenant, task, at)
            found = await self._record.run(self._client, _keys(tenant, task), args)
        return Counts(outcomes=found[0], complete=found[1])

    async def counts(self, tenant: str, task: str) -> Counts:
        """Return how many outcomes a task has.

        Raises:
            StoreUnavailable: no answer in time.
        """
        async with translated(), self._client.pipeline(transaction=False) as pipeline:
            pipeline.hlen(keys.outcomes(tenant, task))
            pipeline.scard(keys.outcomes_complete(tenant, task))
            found: list[int] = await pipeline.execute()
        return Counts(outcomes=found[0], complete=found[1])

    async def outcomes(self, tenant: str, task: str) -> AsyncIterator[Outcome]:
        """Yield a task's outcomes, each once.

        Raises:
            StoreUnavailable: no answer in time.
        """
        key, cursor = keys.outcomes(tenant, task), 0
        known: set[bytes] = set()
        while True:
            async with translated(_READ_BUDGET_S):
                page: Any
                cursor, page = await self._client.hscan(key, cursor, count=_AT_ONCE)
            for value in (page[name] for name in page.keys() - known):
                if (outcome := _outcome(value)) is not None:
                    yield outcome
            known |= page.keys()
            if not cursor:
                return

    async def tasks(self, *, tenant: str = "", task: str = "") -> list[tuple[str, str]]:
        """Return the tenants and tasks with outcomes, in their order; only of a tenant or task where given.

        Raises:
            StoreUnavailable: no answer in time.
        """
        async with translated(_READ_BUDGET_S):
            members: list[bytes] = await ask(self._client, "ZRANGE", keys.ROUTER_TASKS, 0, -1)
        pairs = (member.decode().partition(":") for member in sorted(members))
        return [
            (owner, name)
            for owner, _, name in pairs
            if (not tenant or owner == tenant) and (not task or name == task)
        ]

    async def _list(self, tenant: str, task: str, at: datetime) -> None:
        """Put a task on the list, and take off what has expired."""
        expired = at - OUTCOMES_TTL
        async with self._client.pipeline(transaction=False) as pipeline:
            pipeline.zadd(keys.ROUTER_TASKS, {f"{tenant}:{task}": (at - _EPOCH) // _SECOND})
            pipeline.zremrangebyscore(keys.ROUTER_TASKS, "-inf", (expired - _EPOCH) // _SECOND)
            pipeline.pexpire(keys.ROUTER_TASKS, OUTCOMES_TTL // _MILLISECOND)
            await pipeline.execute()


def _keys(tenant: str, task: str) -> list[str]:
    return [
        keys.outcomes(tenant, task),
        keys.outcomes_order(tenant, task),
        keys.outcomes_complete(tenant, task),
    ]


def _slot(rating: Rating | None) -> str:
    return f"{round(rating.score * _SCORE_UNIT)} {rating.model}" if rating else ""


def _outcome(value: bytes) -> Outcome | None:
    """Read an outcome; one of other features says nothing any more."""
    slots, _, record = value.partition(b";")
    seen = _readable(record)
    if seen is None:
        return None
    ratings = {
        tier: _rating(slot) for tier, slot in zip(Tier, slots.decode().split(","), strict=True) if slot
    }
    return Outcome(seen=seen, ratings=ratings)


def _rating(slot: str) -> Rating:
    score, _, model = slot.partition(" ")
    return Rating(score=int(score) / _SCORE_UNIT, model=model)


def _readable(data: bytes) -> Seen | None:
    try:
        return seen_codec.decode(data)
    except ValueError:
        log.warning("outcome_unreadable", exc_info=True)
        return None
