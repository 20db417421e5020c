"""Batches that nobody can look after: others do not wait for them, and their money does not stay held."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

from redis.asyncio import Redis

from costsvc import v1
from costsvc.provider_sim import RunningSim
from costsvc.store import batch_keys
from tests.edge.conftest import Serve
from tests.edge.test_batches import FAST, create, ended, item
from tests.edge.test_deferred import Following

DAY_S = timedelta(days=1).total_seconds()


async def until(holds: Callable[[], Coroutine[Any, Any, bool]]) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(20):
        while not await holds():  # noqa: ASYNC110 - neither store nor provider has an event
            await asyncio.sleep(0.02)


async def test_a_batch_that_cannot_be_read_keeps_no_other_waiting(
    serve: Serve, sim: RunningSim, store: Redis
) -> None:
    """Neither who sends batches nor who books their results stops at it, and no file is removed for it."""
    sim.settings.batch_delay_s = 0.0
    first = "0" * 32
    await store.hset(batch_keys.batch("default", first), "head", "{")
    await store.sadd(batch_keys.OPEN, f"default:{first}")
    async with serve(**FAST) as service:
        stub = v1.BatchServiceStub(service.channel)
        made = await create(stub, item("a"))
        assert (await ended(stub, made.batch.batch_id)).counts.succeeded_count == 1
        events = {event["event"] for event in service.log.events}
        assert {"batch_not_tended", "batch_not_submitted"} <= events


async def test_results_that_cannot_be_read_end_a_batch_in_two_days(
    serve: Serve, sim: RunningSim, store: Redis
) -> None:
    """They are not read at every look, and what they may have cost is at risk, not held for ever."""
    sim.settings.batch_delay_s = 3_600.0
    async with serve(Following(sim), **FAST) as service:
        stub = v1.BatchServiceStub(service.channel)
        batch = (await create(stub, item("a"), item("b"))).batch

        async def is_running() -> bool:
            return bool(sim.batches.running())

        def told() -> int:
            return sum(event["event"] == "batch_results_missing" for event in service.log.events)

        async def is_missed() -> bool:
            return told() > 0

        await until(is_running)
        await store.delete(batch_keys.items("default", batch.batch_id))
        sim.clock.advance(3_700)
        await until(is_missed)
        await asyncio.gather(*(service.running.parts.batches.poller.poll() for _ in range(5)))
        assert told() == 1
        sim.clock.advance(2 * DAY_S)
        await ended(stub, batch.batch_id)
        at_risk = (await service.admin.ListAtRisk(v1.ListAtRiskRequest())).attempts
        assert sum(risk.upper_nano_usd for risk in at_risk) == batch.held_nano_usd
