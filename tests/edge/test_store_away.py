"""Tests of a store that is frozen, killed or not there: calls are answered, and booked later, once."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from costsvc import v1
from costsvc.edge.server import CannotStart, serving
from costsvc.settings import read_settings
from costsvc.store import keys
from costsvc.store.connection import StoreRefused
from costsvc.store.embedded import EmbeddedValkey

SERVICE = "costsvc.v1.CostService"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture
async def own(tmp_path: Path) -> AsyncIterator[EmbeddedValkey]:
    """Run a store of the test's own, which it may freeze."""
    async with EmbeddedValkey(tmp_path / "own") as server:
        yield server


@asynccontextmanager
async def frozen(server: EmbeddedValkey) -> AsyncIterator[None]:
    """Stop the server's process as a pause of its machine would, and thaw it."""
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


async def test_a_frozen_store_does_not_hold_up_answers(serve, own):
    """Calls are answered within a quarter of a second more, and each is booked once after the thaw."""
    async with serve(redis_url=own.url) as service:
        await service.complete(task="faq")
        async with frozen(own):
            began = time.monotonic()
            first = await service.complete(task="faq")
            assert time.monotonic() - began < 0.35
            began = time.monotonic()
            others = await asyncio.gather(*(service.complete(f"{n}?", task="faq") for n in range(20)))
            assert time.monotonic() - began < 0.6
        entries = await service.booked(22)
        booked = {entry.response_id: entry.cost_nano_usd for entry in entries}
        for answer in (first, *others):
            assert booked[answer.response_id] == answer.bill.cost_nano_usd
        assert {entry.attempt_id: entry.cost_nano_usd for entry in entries} == service.bill()
        totals = (await service.report()).totals
        assert (totals.call_count, totals.bill.cost_nano_usd) == (22, sum(service.bill().values()))
        assert len(service.lines("store_away")) == 1
        assert len(service.lines("store_back")) == 1


async def test_readiness_follows_the_store_and_liveness_does_not(serve, own):
    """A frozen store takes the process out of the rotation, and a thawed one puts it back."""
    async with serve(redis_url=own.url) as service:
        stub = health_pb2_grpc.HealthStub(service.channel)

        async def until(status: int) -> None:
            async for answer in stub.Watch(health_pb2.HealthCheckRequest(service=SERVICE)):
                if answer.status == status:
                    return

        await until(SERVING)
        async with frozen(own):
            await until(NOT_SERVING)
            alive = await stub.Check(health_pb2.HealthCheckRequest())
            assert alive.status == SERVING
        await until(SERVING)
        assert [line["store"] for line in service.lines("readiness")] == [True, False, True]


async def test_what_needs_the_store_fails_as_retryable(serve, own, refused):
    """Record and Report cannot do without it; Route and Estimate can."""
    async with serve(redis_url=own.url) as service:
        usage = b'{"input_tokens":1,"output_tokens":1}'
        recording = v1.RecordRequest(request_id="r-1", model="claude-haiku-5-5", usage_json=usage)
        async with frozen(own):
            for call in (service.stub.Record(recording), service.report()):
                found = await refused(call)
                assert (found.code, found.reason) == (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")
                assert (found.pushback, found.retry_s) == ("500", 0.5)
            assert (await service.route()).decision.model
            assert await service.stub.Estimate(v1.EstimateRequest(request=service.request()))
        while True:
            try:
                await service.stub.Record(recording)
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.ALREADY_EXISTS:
                    break  # the frozen server has executed what it was sent
            else:
                break
        assert len(await service.booked()) == 1


async def test_a_stop_waits_for_what_is_not_booked_yet(serve, own):
    """What the store has not taken when the service stops is booked before it ends."""
    async with serve(redis_url=own.url) as service:
        os.kill(own.pid, signal.SIGSTOP)
        answer = await service.complete(task="faq")
        asyncio.get_running_loop().call_later(0.2, os.kill, own.pid, signal.SIGCONT)
    [entry] = await service.entries()
    assert entry.cost_nano_usd == answer.bill.cost_nano_usd
    assert [line["unbooked_entries"] for line in service.lines("stopped")] == [0]


async def start(tmp_path: Path, **options: object) -> None:
    """Start and stop a service."""
    given = {"listen": "127.0.0.1:0", "ops": "127.0.0.1:0", "upstream": "simulated", "data_dir": tmp_path}
    async with serving(read_settings(given | options)):
        pass


async def test_a_store_that_is_not_there_is_one_sentence(tmp_path, own):
    """The service does not start without the store that it was told to use."""
    await own.stop()
    with pytest.raises(CannotStart, match=r"^the store does not answer \(.*\): .*correct --redis-url$"):
        await start(tmp_path, redis_url=own.url)


async def test_data_of_a_newer_version_is_refused(tmp_path, store, valkey):
    """An older service does not touch what it does not understand."""
    await store.set(keys.SCHEMA, 99)
    with pytest.raises(StoreRefused, match="schema 99"):
        await start(tmp_path, redis_url=valkey)
