"""Tests of calls that would write the same prefix of the provider's cache at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

SHIPPED = Path("costsvc/data/policy.toml").read_text()
SYSTEM = "You know everything about bicycles, and you say it in one sentence. " * 600
CALLS = 50


def together(wait_ms: int) -> str:
    """Return the shipped policy with a wait."""
    return SHIPPED.replace("first_write_wait_ms = 0", f"first_write_wait_ms = {wait_ms}")


@pytest.fixture
async def waiting(serve: Any, tmp_path: Path) -> AsyncIterator[Any]:
    """Give a service whose calls wait for each other's first bytes."""
    path = tmp_path / "policy.toml"
    path.write_text(together(20_000))
    async with serve(policy=path) as service:
        yield service


async def ask(service: Any, count: int, *, streams: bool = False, **fields: Any) -> list[Any]:
    """Ask so many different questions about one prompt at once, and return their usages."""
    fields = {"system": SYSTEM, "task": "faq"} | fields

    async def one(n: int) -> Any:
        if streams:
            *_, last = await service.stream(f"What is part {n}?", **fields)
            return last.completed.bill.usage
        return (await service.complete(f"What is part {n}?", **fields)).bill.usage

    return await asyncio.gather(*(one(n) for n in range(count)))


def writers(usages: list[Any]) -> int:
    """Count the calls that wrote the prompt, and assert that all others read it."""
    found = [usage.cache_write_5m_tokens > 5_000 for usage in usages]
    assert all(wrote or usage.cache_read_tokens > 5_000 for wrote, usage in zip(found, usages, strict=True))
    return sum(found)


@pytest.mark.parametrize("streams", [False, True])
async def test_one_writes_and_all_others_read(waiting, streams):
    """Fifty at once, as answers or as streams: one write, forty-nine reads, and books like the bill."""
    waiting.sim.settings.first_byte_s = 0.2
    assert writers(await ask(waiting, CALLS, streams=streams)) == 1
    entries = await waiting.booked(CALLS)
    assert {entry.attempt_id: entry.cost_nano_usd for entry in entries} == waiting.bill()


async def test_without_waiting_most_of_them_write(service):
    """What the policy leaves off as shipped, for the sake of time: it costs about ten times as much."""
    service.sim.settings.first_byte_s = 2.0
    assert writers(await ask(service, CALLS)) > CALLS // 2


async def test_a_writer_that_fails_lets_the_next_go_ahead(waiting):
    """Nobody waits for what does not come."""
    waiting.sim.settings.first_byte_s = 0.2
    waiting.sim.faults.add("error", status=400)
    results = await asyncio.gather(
        *(waiting.complete(f"What is part {n}?", system=SYSTEM, task="faq") for n in range(8)),
        return_exceptions=True,
    )
    answers = [result.bill.usage for result in results if not isinstance(result, BaseException)]
    assert len(answers) == 7
    assert writers(answers) == 1


async def test_other_prompts_do_not_wait(waiting):
    """Each prompt has a writer of its own."""
    waiting.sim.settings.first_byte_s = 0.2
    mine, another = await asyncio.gather(ask(waiting, 3), ask(waiting, 3, system=f"Another one. {SYSTEM}"))
    assert (writers(mine), writers(another)) == (1, 1)


async def test_a_call_never_waits_for_longer_than_policy_and_deadline_let_it(serve, tmp_path):
    """It goes ahead by itself, and pays for its own write."""
    path = tmp_path / "policy.toml"
    path.write_text(together(50))
    async with serve(policy=path) as service:
        service.sim.settings.first_byte_s = 0.5
        usages = await ask(service, 3)
        assert writers(usages) == 3
        assert (
            'costsvc_prompt_cache_waits_total{outcome="too_long"} 2.0'
            in service.running.parts.calls.metrics.text().decode()
        )
