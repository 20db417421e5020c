"""Tests of when a new policy comes into force."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress

import pytest

from costsvc.app import policies
from costsvc.app.policies import PolicyInForce, PolicyWatch
from costsvc.config import load_catalog_files
from costsvc.core.policy import policy_hash, read_policy
from costsvc.data import read_text
from costsvc.metrics import Metrics

CATALOG = load_catalog_files()
SHIPPED = read_text("policy.toml")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look more often than in production."""
    monkeypatch.setattr(policies, "LOOK_EVERY_S", 0.001)
    monkeypatch.setattr(policies, "SETTLE_S", 0.001)


@asynccontextmanager
async def watching(texts: Iterator[str]) -> AsyncIterator[tuple[PolicyInForce, PolicyWatch]]:
    """Run a watch that reads one text after the other."""
    in_force, metrics = PolicyInForce(read_policy(SHIPPED, CATALOG)), Metrics()
    watch = PolicyWatch(in_force, lambda: next(texts), lambda text: read_policy(text, CATALOG), metrics)
    work = asyncio.ensure_future(watch.keep_looking())
    yield in_force, watch
    work.cancel()
    with suppress(asyncio.CancelledError):
        await work


async def test_half_a_file_is_not_taken() -> None:
    """A file that is still being written may be a policy by chance: it must stay as it is for a moment."""
    taken = []

    def texts() -> Iterator[str]:
        for number in range(50):  # no two readings agree
            taken.append(in_force.policy.hash)
            yield f"{SHIPPED}# {number}"
        while True:
            yield f"{SHIPPED}# complete"

    async with watching(texts()) as (in_force, _):
        async with asyncio.timeout(10):
            while in_force.policy.hash == policy_hash(SHIPPED):  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.001)
        assert set(taken) == {policy_hash(SHIPPED)}
        assert in_force.policy.hash == policy_hash(f"{SHIPPED}# complete")


async def test_who_asks_says_that_the_file_is_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal is not waited for: what the first reading finds comes into force."""
    monkeypatch.setattr(policies, "LOOK_EVERY_S", 60)
    count = 0

    def texts() -> Iterator[str]:
        nonlocal count
        while True:
            count += 1
            yield f"{SHIPPED}# {count}"

    async with watching(texts()) as (in_force, watch):
        watch.ask()
        async with asyncio.timeout(10):
            while in_force.policy.hash == policy_hash(SHIPPED):  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.001)
        assert in_force.policy.hash == policy_hash(f"{SHIPPED}# 1")
