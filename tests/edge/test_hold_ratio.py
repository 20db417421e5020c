"""What is held for calls comes close to what they cost: budgets have room for what there is money for."""

from __future__ import annotations

from pathlib import Path

from costsvc.client import Client

ROOT = Path(__file__).parents[2]
LEARNING_CALLS = 200


async def test_after_200_calls_of_the_demo_half_hold_at_most_twice_their_cost(service, monkeypatch):
    """And few hold less than they cost: what is likely is an upper quantile, not a mean."""
    monkeypatch.syspath_prepend(ROOT)
    from benchmarks import traffic, workload

    registry = service.running.parts.calls.metrics.registry

    def counts(*bounds: str) -> list[float]:
        below = [registry.get_sample_value("costsvc_hold_ratio_bucket", {"le": bound}) for bound in bounds]
        return [*below, registry.get_sample_value("costsvc_hold_ratio_count")]

    jobs, learning, call_count = workload.load(), [], 0
    while call_count < LEARNING_CALLS:
        learning.append(jobs.pop(0))
        call_count += learning[-1].call_count
    async with Client(service.running.address, tenant="demo") as client:
        for some in (learning, jobs):
            before = counts("0.75", "2.0")
            _, problems = await traffic.send(client, some, run="r", at_once=4, provider_url=service.sim.url)
            assert not problems
    short, fitting, billed = (now - then for now, then in zip(counts("0.75", "2.0"), before, strict=True))
    assert billed > 80
    assert fitting >= billed / 2
    assert short <= billed * 0.05
