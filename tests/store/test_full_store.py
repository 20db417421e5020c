"""Tests of a store whose memory is full: it takes no new holds, and all that ends one or makes room."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from redis.asyncio import Redis

from costsvc.core.errors import StoreUnavailable
from costsvc.core.holds import Balance
from costsvc.store import keys
from costsvc.store.acceptance import check_store
from costsvc.store.archive import Archive
from costsvc.store.job_lease import JobLease
from costsvc.store.sealing import Sealing
from tests.store.money import AT, Bench, amounts, budget, entry, opening

DAY = timedelta(days=1)


@pytest.fixture
async def bench(store: Redis) -> AsyncIterator[Bench]:
    """Give a store with a budget and three holds on it, which then becomes full."""
    made = Bench(store)
    await check_store(store)
    await made.define(budget())
    for name in ("settled", "freed", "lost"):
        await made.hold(opening(name), amounts(10))
    await store.config_set("maxmemory", 1)
    yield made
    await store.config_set("maxmemory", 0)


async def test_a_full_store_takes_no_hold_and_ends_all_that_it_has(bench: Bench) -> None:
    """Bills, releases and risks arrive; new money is refused."""
    with pytest.raises(StoreUnavailable):
        await bench.hold(opening("new"), amounts(10))
    await bench.settle(entry(opening("settled"), 7))
    assert await bench.holds.release("freed", AT)
    assert await bench.holds.lose("lost", AT, reason="cut")
    assert await bench.balance() == Balance(spent_nano_usd=7, at_risk_nano_usd=10)


async def test_a_full_store_knows_who_lives(bench: Bench) -> None:
    """A process that could not say so would end no hold that it could not end at once, and sweep none."""
    now = datetime.now(UTC)
    await bench.holds.renew(now)
    assert bench.holds.lease.judges(now)


async def test_a_full_store_lets_a_process_start(bench: Bench, store: Redis) -> None:
    """One that has settlements in its journal can book them."""
    await check_store(store)
    await bench.load()


async def test_a_full_store_is_sealed(bench: Bench, store: Redis, tmp_path: Path) -> None:
    """What makes room needs none."""
    await bench.settle(entry(opening("settled"), 7))
    sealing = Sealing(store, Archive(tmp_path), JobLease(store, "one", keys.SEALING))
    assert await sealing.seal_before(AT + DAY, now=AT + 30 * DAY) == 1
