"""Tests of stored answers on a server of their own: what it has, and what becomes of calls without it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from costsvc import v1
from costsvc.data import read_text
from costsvc.store import keys
from costsvc.store.connection import open_store
from costsvc.store.embedded import EmbeddedValkey

HIT, MISS, NEAR = v1.CACHE_OUTCOME_HIT, v1.CACHE_OUTCOME_MISS, v1.CACHE_OUTCOME_NEAR_IDENTICAL
ACME = {"metadata": (("costsvc-tenant", "acme"),)}
ASKED, DRESSED = "What is the capital of France?", "what's the capital of France"
POLICY = """
[response_cache.help]
tasks = ["help"]
ttl_s = 600
near_identical = "on"
most_mistakes = "0.99"
[tasks.help]
tier = "simple"
max_tokens = 4000
[router.support]
quality_floor = "0.97"
"""
STAYS = ("{ledger}:rollup:acme:", "{ledger}:claim:acme:", "{ledger}:balance:acme:", "{ledger}:balances:acme")
"""Money; and which request ids were answered, or a repeat would be paid again within a day."""


@pytest.fixture
async def answers(tmp_path: Path) -> AsyncIterator[EmbeddedValkey]:
    """Run a server for stored answers."""
    async with EmbeddedValkey(tmp_path / "answers") as server:
        yield server


@pytest.fixture
async def apart(serve: Any, tmp_path: Path, answers: EmbeddedValkey) -> AsyncIterator[Any]:
    """Run a service that keeps its answers there."""
    file = tmp_path / "policy.toml"
    file.write_text(read_text("policy.toml") + POLICY)
    async with serve(policy=file, cache_redis_url=answers.url) as service:
        yield service


async def names(client: Redis, pattern: str = "*") -> set[str]:
    """Return the names of keys."""
    return {name.decode() async for name in client.scan_iter(pattern)}


async def kept(client: Redis, count: int, pattern: str = "*:answer") -> None:
    """Wait until so many answers are stored: that happens a moment after a call is answered."""
    while len(await names(client, pattern)) < count:  # noqa: ASYNC110 - a store has no event
        await asyncio.sleep(0.005)


async def test_answers_are_on_their_server_and_money_is_not(
    apart: Any, answers: EmbeddedValkey, store: Redis
) -> None:
    """Hits come from there, invalidating works there, and neither server has the other's keys."""
    async with open_store(answers.url) as client:
        first = await apart.complete(task="help")
        await kept(client, 1)
        assert (await apart.complete(task="help")).cache_outcome == HIT
        await apart.admin.InvalidateCache(v1.InvalidateCacheRequest(tenant="default"))
        again = await apart.complete(task="help")
        assert (first.cache_outcome, again.cache_outcome) == (MISS, MISS)
        await apart.booked(3)
        assert {name.split(":")[0] for name in await names(client)} == {"cache"}
        assert not await names(store, "cache:*")


async def test_erasing_a_tenants_contents_leaves_only_money(
    apart: Any, answers: EmbeddedValkey, store: Redis
) -> None:
    """On both servers, after calls that used everything; what stays is listed here, and nothing else does."""
    scope = v1.BudgetScope(kind=v1.BUDGET_KIND_TENANT, value="acme")
    window = v1.BudgetWindow(calendar=v1.CalendarWindow(unit=v1.CALENDAR_UNIT_DAY))
    budget = v1.Budget(id="acme", scope=scope, window=window, limit_nano_usd=10**12)
    await apart.admin.SetBudget(v1.SetBudgetRequest(budget=budget))
    async with open_store(answers.url) as client:
        await apart.complete(ASKED, task="help", options=ACME, request_id="r", conversation_id="c")
        await kept(client, 1, "*:near")
        near = await apart.complete(DRESSED, task="help", options=ACME)
        assert near.cache_outcome == NEAR
        routed = await apart.complete(task="support", options=ACME)
        other = await apart.complete(task="support")
        await kept(store, 2, keys.seen("*"))
        await apart.booked(4)
        await apart.admin.ReportCacheMistake(v1.ReportCacheMistakeRequest(response_id=near.response_id))
        for answer in (routed, other):
            outcome = v1.RecordOutcomeRequest(response_id=answer.response_id, score_permille=500)
            await apart.admin.RecordOutcome(outcome)
        before = await apart.report(tenant="acme")
        response = await apart.admin.DeleteTenantData(v1.DeleteTenantDataRequest(tenant="acme"))
        counts = {content.kind: content.erased_count for content in response.contents}
        assert {kind: count for kind, count in counts.items() if count} == {
            "stored_answers": 1,
            "cache_records": 2,
            "repeated_answers": 1,
            "conversations": 1,
            "router_records": 2,
            "answered_prompts": 1,
        }
        left = {name for name in await names(store) | await names(client) if "acme" in name}
        assert {name for name in left if not name.startswith(STAYS)} == set()
        assert await names(store, keys.seen("*")) == {keys.seen(other.response_id)}
        assert [name async for name, _ in store.zscan_iter(keys.ROUTER_TASKS)] == [b"default:support"]
        assert await apart.report(tenant="acme") == before


async def freeze(answers: EmbeddedValkey) -> None:
    """Stop the server in whatever it does."""
    os.kill(answers.pid, signal.SIGSTOP)


async def kill(answers: EmbeddedValkey) -> None:
    """End the server at once."""
    os.kill(answers.pid, signal.SIGKILL)
    await answers.stop()


@pytest.mark.parametrize(
    ("lose", "again"),
    [
        (freeze, lambda answers: os.kill(answers.pid, signal.SIGCONT)),
        (kill, lambda answers: asyncio.ensure_future(answers.start())),
    ],
    ids=["frozen", "gone"],
)
async def test_without_their_server_everything_is_a_miss(
    apart: Any, answers: EmbeddedValkey, lose: Any, again: Any
) -> None:
    """Also under a hard budget, from the first call on; it is said once, and hits come back with it."""
    window = v1.BudgetWindow(calendar=v1.CalendarWindow(unit=v1.CALENDAR_UNIT_DAY))
    scope = v1.BudgetScope(kind=v1.BUDGET_KIND_EVERYTHING)
    budget = v1.Budget(id="b", scope=scope, window=window, limit_nano_usd=10**12)
    await apart.admin.SetBudget(v1.SetBudgetRequest(budget=budget))
    first = await apart.complete(task="help")
    async with open_store(answers.url) as client:
        await kept(client, 1)
    await lose(answers)
    burst = await asyncio.gather(*(apart.complete(f"Question {n}?", task="help") for n in range(5)))
    await apart.line("cache_away")
    later = [await apart.complete(task="help") for _ in range(3)]
    assert {answer.cache_outcome for answer in (*burst, *later)} == {MISS}
    assert all(answer.attempt_count == 1 for answer in (*burst, *later))
    entries = await apart.booked(9)
    assert sum(entry.cost_nano_usd for entry in entries) == sum(apart.bill().values())
    assert first.bill.cost_nano_usd > 0
    waiting = again(answers)
    await apart.line("cache_back")
    if waiting is not None:
        await waiting
    while (await apart.complete(task="help")).cache_outcome != HIT:  # noqa: ASYNC110 - nor here
        await asyncio.sleep(0.01)
    assert len(apart.lines("cache_away")) == len(apart.lines("cache_back")) == 1
    assert not apart.lines("store_away")
