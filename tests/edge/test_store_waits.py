"""Tests of how often a call waits for the store, one wait after the other."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from costsvc import v1
from costsvc.store import presence
from tests.policies import uncached

NAMESPACE = """
[response_cache.help]
tasks = ["faq"]
ttl_s = 600
near_identical = "on"
"""
HIT, MISS, NEAR = v1.CACHE_OUTCOME_HIT, v1.CACHE_OUTCOME_MISS, v1.CACHE_OUTCOME_NEAR_IDENTICAL
NAMED = {"request_id": "r", "conversation_id": "c"}


@pytest.fixture
async def cached(serve: Any, tmp_path: Path) -> AsyncIterator[Any]:
    """Run a service whose task faq has a namespace."""
    file = tmp_path / "policy.toml"
    file.write_text(uncached() + NAMESPACE)
    async with serve(policy=file) as service:
        yield service


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[int]]:
    """Give the way to ask how often each call since the last time has waited; trips at once are one wait."""
    counts: Counter[int] = Counter()
    calls: list[Any] = []
    enter = presence._Purse.enter

    def counted(purse: Any) -> float:
        if purse.depth == 0 and purse.left_s < math.inf:
            calls.append(purse)  # which keeps its identity
            counts[id(purse)] += 1
        return enter(purse)

    def read() -> list[int]:
        found = list(counts.values())
        counts.clear()
        calls.clear()
        return found

    monkeypatch.setattr(presence._Purse, "enter", counted)
    return read


async def stored(service: Any, waits: Callable[[], list[int]], **fields: Any) -> None:
    """Have an answer that is stored."""
    answer = await service.complete(task="faq", **fields)
    while answer.cache_outcome != HIT:
        answer = await service.complete(task="faq", **fields)
    waits()


@pytest.mark.parametrize("fields", [{}, NAMED])
async def test_a_call_of_the_provider_waits_three_times(cached: Any, waits: Any, fields: Any) -> None:
    """To look, to hold and to settle, whatever the call names; also where nothing is cached."""
    await cached.complete("Who invented the bicycle?", task="faq")
    waits()
    answer = await cached.complete(task="faq", **fields)
    assert (answer.cache_outcome, waits()) == (MISS, [3])
    await cached.complete(request_id="s", conversation_id="c")
    assert waits() == [3]
    await cached.stream(task="faq", request_id="t", text="And the car?")
    assert waits() == [3]


@pytest.mark.parametrize("fields", [{}, NAMED])
async def test_a_hit_waits_once(cached: Any, waits: Any, fields: Any) -> None:
    """Whose the request is, what is stored and where the conversation is are asked together."""
    await stored(cached, waits)
    answer = await cached.complete(task="faq", **fields)
    assert (answer.cache_outcome, waits()) == (HIT, [1])
    await cached.stream(task="faq", request_id="t", conversation_id="d")
    assert waits() == [1]


async def test_a_near_identical_hit_waits_once(cached: Any, waits: Any) -> None:
    """What is blocked is asked for along with the answer."""
    await stored(cached, waits)
    answer = await cached.complete("how does a bicycle stay upright", task="faq", **NAMED)
    assert (answer.cache_outcome, waits()) == (NEAR, [1])


async def test_a_repeated_request_waits_once_and_leads_nobody(cached: Any, waits: Any, store: Any) -> None:
    """It gets the answer of the first, and gives up the turn that it took before it knew."""
    first = await cached.complete(task="faq", request_id="r")
    await cached.booked(1)
    while keys := await store.keys("cache:*:answer"):
        await store.delete(*keys)
    waits()
    again = await cached.complete(task="faq", request_id="r")
    assert (again.response_id, again.replayed, waits()) == (first.response_id, True, [1])
    while await store.keys("cache:*:lead"):
        pass
    assert (await cached.complete(task="faq")).cache_outcome == MISS
