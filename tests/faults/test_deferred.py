"""What was deferred is answered in time although the replica dies that decides about it."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from costsvc import v1
from costsvc.core.money import ceil_nano
from costsvc.data import read_text
from costsvc.provider_sim import RunningSim, start
from tests.faults.processes import serving, until

QUICK = "[defer]\nlongest_wait_s = 1\n"
A_DAY_S, A_MINUTE_S = 86_400, 60


@pytest.fixture
async def sim() -> AsyncIterator[RunningSim]:
    """Run a provider whose batches take an hour."""
    async with await start(batch_delay_s=3_600) as running:
        yield running


async def deferred(stub: v1.BatchServiceStub, tolerance_s: int, **fields: object) -> v1.Deferred:
    """Defer a request."""
    request = v1.DeferRequest(request=v1.Request(messages=[v1.Message(text="x")], **fields))  # type: ignore[arg-type]
    request.tolerance.FromSeconds(tolerance_s)
    return (await stub.Defer(request)).deferred


async def test_another_replica_goes_on_where_the_leader_is_killed(
    valkey: str, store: object, sim: RunningSim, tmp_path: Path
) -> None:
    """It knows the batches of the one that led, and keeps the tolerances of what came since."""
    assert store
    policy = tmp_path / "policy.toml"
    policy.write_text(read_text("policy.toml") + QUICK)
    options = ("--redis-url", valkey, "--policy", str(policy))
    async with (
        serving(tmp_path / "one", sim.url, *options) as leader,
        serving(tmp_path / "two", sim.url, *options) as other,
    ):
        stub = v1.BatchServiceStub(other.channel)

        async def state_of(found: v1.Deferred) -> v1.Deferred:
            request = v1.GetDeferredRequest(deferred_id=found.deferred_id)
            return (await stub.GetDeferred(request)).deferred

        async def is_at_provider() -> bool:
            return bool(sim.batches.running())

        patient = await deferred(stub, A_DAY_S)
        await until(is_at_provider)
        assert (await state_of(patient)).state == v1.DEFERRED_STATE_IN_BATCH
        leader.process.send_signal(signal.SIGSTOP)
        urgent = await deferred(stub, A_MINUTE_S, max_tokens=2_000)
        assert await leader.end(signal.SIGKILL) == -signal.SIGKILL

        async def is_answered() -> bool:
            return (await state_of(urgent)).state == v1.DEFERRED_STATE_ANSWERED

        await until(is_answered, A_MINUTE_S)
        answered = await state_of(urgent)
        assert answered.end_time.seconds < answered.deadline_time.seconds
        assert (await state_of(patient)).state == v1.DEFERRED_STATE_IN_BATCH
        assert len(sim.batches.running()) == 1
        [line] = sim.bill.lines()
        assert answered.response.bill.cost_nano_usd == ceil_nano(line.pico_usd)
