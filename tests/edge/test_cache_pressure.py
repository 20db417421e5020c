"""Tests of a store whose memory is short: stored answers make room, money stays, and calls go on."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from costsvc import v1
from costsvc.core.response_key import Scope
from costsvc.data import read_text
from costsvc.store import deferred_keys, keys
from costsvc.store.connection import ask, open_store
from costsvc.store.embedded import EmbeddedValkey
from costsvc.store.response_codec import StoredAnswer
from costsvc.store.responses import Place, Responses

ROOM_BYTES = 4_000_000
FILLED_BYTES = 40_000
QUESTIONS = 10
POLICY = """
[response_cache.help]
tasks = ["help"]
ttl_s = 600
[tasks.help]
tier = "simple"
max_tokens = 4000
"""


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Redis]:
    """Give a store of the test's own that evicts what has a time to live, least recently used first."""
    async with EmbeddedValkey(tmp_path / "small") as server, open_store(server.url) as opened:
        await ask(opened, "CONFIG", "SET", "maxmemory-policy", "volatile-lru")
        yield opened


@pytest.fixture
async def pressed(serve: Any, tmp_path: Path, client: Redis) -> AsyncIterator[Any]:
    """Run a service on it, with a hard budget."""
    file = tmp_path / "policy.toml"
    file.write_text(read_text("policy.toml") + POLICY)
    url = f"unix://{client.connection_pool.connection_kwargs['path']}"
    async with serve(policy=file, redis_url=url) as service:
        service.ledger = type(service.ledger)(client)
        window = v1.BudgetWindow(calendar=v1.CalendarWindow(unit=v1.CALENDAR_UNIT_DAY))
        scope = v1.BudgetScope(kind=v1.BUDGET_KIND_EVERYTHING)
        budget = v1.Budget(id="b", scope=scope, window=window, limit_nano_usd=10**12)
        await service.admin.SetBudget(v1.SetBudgetRequest(budget=budget))
        yield service


PROMISED = keys.LEDGER.encode(), deferred_keys.TAG.encode()
"""What the keys of money begin with, and those of requests that were promised an answer."""


async def info(client: Redis, section: str, name: str) -> int:
    """Return a number that the server tells of itself."""
    found: dict[str, Any] = await ask(client, "INFO", section)
    return int(found[name])


async def lasting(client: Redis) -> set[bytes]:
    """Return the keys that have no time to live."""
    names = [name async for name in client.scan_iter(count=1_000)]
    return {name for name in names if await ask(client, "PTTL", name) == -1}


async def stored(client: Redis) -> set[bytes]:
    """Return the keys of the answers that the service has stored."""
    return {name async for name in client.scan_iter(keys.stored_answer("default:", "*"))}


async def fill(client: Redis, until_evicted: int) -> None:
    """Store answers of another tenant until so many keys have been evicted."""
    responses, scope = Responses(client), Scope(tenant="filler", namespace="help", epoch=1)
    while await info(client, "stats", "evicted_keys") < until_evicted:
        place = Place(scope, secrets.token_hex(32))
        answer = StoredAnswer(
            tenant="filler",
            fingerprint=place.fingerprint,
            response_id="r",
            model="claude-haiku-5-5",
            stored_at=datetime.now(UTC),
            version=1,
            message_json=secrets.token_hex(FILLED_BYTES).encode(),
        )
        await responses.keep(place, answer, ttl=timedelta(minutes=10), token="t")


async def test_short_memory_costs_hits_and_never_money(pressed: Any, client: Redis) -> None:
    """While others' answers push out one's own: no key of money goes, no answer is wrong, the books agree."""
    questions = [f"Why is part {number} of a bicycle round?" for number in range(QUESTIONS)]
    paid = {}
    for question in questions:
        answer = await pressed.complete(question, task="help")
        paid[question] = {answer.message_json}
    await pressed.booked(QUESTIONS)
    used_bytes = await info(client, "memory", "used_memory")
    await ask(client, "CONFIG", "SET", "maxmemory", used_bytes + ROOM_BYTES)
    before = await lasting(client)
    filling = asyncio.ensure_future(fill(client, 300))
    outcomes = []
    while not filling.done():
        for question in questions:
            answer = await pressed.complete(question, task="help")
            outcomes.append(answer.cache_outcome)
            if answer.cache_outcome == v1.CACHE_OUTCOME_HIT:
                assert answer.message_json in paid[question]
            else:
                assert answer.attempt_count == 1
                paid[question].add(answer.message_json)
    await filling
    assert before <= await lasting(client)
    assert all(name.startswith(PROMISED) for name in await lasting(client))
    entries = await pressed.booked(QUESTIONS + len(outcomes))
    assert sum(entry.cost_nano_usd for entry in entries) == sum(pressed.bill().values())
    status = (await pressed.admin.GetBudget(v1.GetBudgetRequest(id="b"))).status
    assert status.balances[0].spent_nano_usd == sum(pressed.bill().values())
    assert set(outcomes) <= {v1.CACHE_OUTCOME_HIT, v1.CACHE_OUTCOME_MISS}
    assert not pressed.lines("store_away")


async def test_an_evicted_answer_is_asked_for_again(pressed: Any, client: Redis) -> None:
    """Where everything that can be evicted was, one's own answers were, too."""
    await pressed.complete(task="help")
    while not (mine := await stored(client)):  # noqa: ASYNC110 - a store has no event
        await asyncio.sleep(0.005)
    used_bytes = await info(client, "memory", "used_memory")
    await ask(client, "CONFIG", "SET", "maxmemory", used_bytes + ROOM_BYTES)
    while await stored(client) == mine:
        await fill(client, await info(client, "stats", "evicted_keys") + 50)
    again = await pressed.complete(task="help")
    assert again.cache_outcome == v1.CACHE_OUTCOME_MISS
    assert again.attempt_count == 1
    await pressed.booked(2)
