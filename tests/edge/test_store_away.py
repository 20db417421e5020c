"""Tests of a store that is frozen, killed or not there: calls are answered, and booked later, once."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from costsvc import v1
from costsvc.core.budget import Budget, Kind, Mode, Scope
from costsvc.core.holds import Balance
from costsvc.core.windows import Calendar, Unit
from costsvc.edge.server import serving
from costsvc.edge.stores import CannotStart
from costsvc.settings import read_settings
from costsvc.store import keys
from costsvc.store.budgets import BudgetBook
from costsvc.store.connection import StoreRefused, open_store
from costsvc.store.embedded import EmbeddedValkey
from costsvc.store.fits import FitBook
from tests.core.test_routing_by_score import FIT
from tests.policies import uncached

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


async def test_a_hard_budget_refuses_what_nobody_can_check(serve, own, refused):
    """Unspent, soon, naming the budget; and at once as long as the store is known to be away."""
    async with serve(redis_url=own.url) as service:
        await define(own, Mode.HARD)
        await service.complete(task="faq")
        async with frozen(own):
            for longest_s in (0.25, 0.1):
                began = time.monotonic()
                found = await refused(service.complete(task="faq"))
                assert time.monotonic() - began < longest_s
                assert (found.code.name, found.reason) == ("UNAVAILABLE", "BUDGET_UNCHECKED")
                assert (found.metadata["budget_id"], found.pushback) == ("b", "500")
        assert len(service.sim.requests) == 1
        assert await counted(service, "rejected") == 2
        await service.line("store_back")
        await service.complete(task="faq")
        await service.booked(2)


async def test_a_hard_budget_may_let_calls_by(serve, own, tmp_path):
    """With `on_store_failure = "allow"` a call is made, counted, and booked in the budget afterwards."""
    shipped = uncached()
    policy = tmp_path / "policy.toml"
    policy.write_text(shipped.replace('on_store_failure = "reject"', 'on_store_failure = "allow"'))
    async with serve(redis_url=own.url, policy=policy) as service:
        await define(own, Mode.HARD)
        await service.complete(task="faq")
        async with frozen(own):
            await service.complete(task="faq")
        await service.booked(2)
        assert await counted(service, "hard_budget") == 1
        assert await balance(own) == Balance(spent_nano_usd=sum(service.bill().values()))


async def test_a_call_under_way_is_held_for_when_the_store_is_back(serve, own):
    """What began without a hold has one as soon as somebody can hold it, and ends it with its bill."""
    async with serve(redis_url=own.url) as service:
        await define(own, Mode.SOFT)
        await service.complete(task="faq")
        spent = (await balance(own)).spent_nano_usd
        service.sim.settings.first_byte_s = 1.5
        async with frozen(own):
            call = asyncio.ensure_future(service.complete(task="faq"))
            while not await counted(service, "soft_budget"):  # noqa: ASYNC110 - a metric has no event
                await asyncio.sleep(0.01)
        while not (found := await balance(own)).sum_w_nano_usd:  # noqa: ASYNC110 - nor has the store
            await asyncio.sleep(0.01)
        assert not call.done()
        assert found.sum_w_nano_usd >= found.sum_q_nano_usd > 0
        await call
        await service.booked(2)
        assert (await balance(own)).sum_w_nano_usd == 0
        assert (await balance(own)).spent_nano_usd == sum(service.bill().values()) > spent


async def define(server: EmbeddedValkey, mode: Mode) -> None:
    """Set a budget with room for everything."""
    scope, window = Scope(Kind.EVERYTHING), Calendar(Unit.MONTH, "UTC")
    budget = Budget(id="b", scope=scope, window=window, limit_nano_usd=10**12, mode=mode)
    async with open_store(server.url) as client:
        await BudgetBook(client).put(budget, created_at=datetime.now(UTC))


async def balance(server: EmbeddedValkey) -> Balance:
    """Return what the budget counts."""
    async with open_store(server.url) as client:
        [(_, _, found)] = await BudgetBook(client).balances("b", datetime.now(UTC))
    return found


async def counted(service, why: str) -> float:
    """Return how many attempts were not held for."""
    async with aiohttp.ClientSession() as http:
        reply = await http.get(f"http://{service.running.ops_address}/metrics")
        lines = (await reply.text()).splitlines()
    name = f'costsvc_unheld_attempts_total{{why="{why}"}} '
    return sum(float(line.removeprefix(name)) for line in lines if line.startswith(name))


async def test_a_score_serves_on_and_outcomes_fail_as_retryable(serve, own, tmp_path, refused):
    """Learned calls are answered by the score in memory, as soon as others; what is lost is counted."""
    policy = tmp_path / "policy.toml"
    policy.write_text(uncached() + "[router.faq]\n")
    async with open_store(own.url) as client:
        await FitBook(client).put("default", "faq", FIT)
    async with serve(redis_url=own.url, policy=policy) as service:
        first = await service.complete(task="faq")
        await service.running.parts.router.scores.refresh()
        async with frozen(own):
            began = time.monotonic()
            answer = await service.complete(task="faq")
            assert time.monotonic() - began < 0.35
            assert answer.decision.reasons[0].code == "local_score"
            request = v1.RecordOutcomeRequest(response_id=first.response_id, score_permille=900)
            found = await refused(service.admin.RecordOutcome(request))
            assert (found.code.name, found.reason) == ("UNAVAILABLE", "STORE_UNAVAILABLE")
            metrics = service.running.parts.calls.metrics.text().decode()
            assert "costsvc_prompts_not_kept_total 1.0" in metrics
        await service.line("store_back")
        assert (await service.admin.RecordOutcome(request)).outcome_count == 1
        lost = v1.RecordOutcomeRequest(response_id=answer.response_id, score_permille=900)
        assert (await refused(service.admin.RecordOutcome(lost))).reason == "UNKNOWN_RESPONSE"


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
