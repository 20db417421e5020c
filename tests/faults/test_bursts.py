"""Bursts of calls on three servers: budgets have one counter, which is right for the first call too."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest

from costsvc import v1
from costsvc.client import error_info
from costsvc.store.embedded import EmbeddedValkey
from tests.faults.judge import due_nano_usd
from tests.faults.processes import Provider, Server, serving, until

TEXT = "Why does a chain stretch?"
DAY = v1.BudgetWindow(calendar=v1.CalendarWindow(unit=v1.CALENDAR_UNIT_DAY))
EVERYTHING = v1.BudgetScope(kind=v1.BUDGET_KIND_EVERYTHING)
LATENCY = ("--first-byte-ms", "500")


@dataclass
class Trio:
    """Three servers on one store, and their provider."""

    servers: list[Server]
    provider: Provider

    async def define(self, scope: v1.BudgetScope, limit_nano_usd: int, **fields: object) -> None:
        """Define a budget of a day."""
        budget = v1.Budget(id="b", scope=scope, window=DAY, limit_nano_usd=limit_nano_usd, **fields)
        admin = v1.AdminServiceStub(self.servers[0].channel)
        await admin.SetBudget(v1.SetBudgetRequest(budget=budget))

    async def estimate(self) -> v1.CostRange:
        """Return what a call costs: few are above `upper`, none is above `worst`."""
        stub = v1.CostServiceStub(self.servers[0].channel)
        return (await stub.Estimate(v1.EstimateRequest(request=self._request()))).estimates[0].standard_cold

    async def call(self, number: int, tenant: str = "t") -> str:
        """Make a call on one of the servers; return OK or why not."""
        stub = v1.CostServiceStub(self.servers[number % 3].channel)
        try:
            await stub.Complete(
                v1.CompleteRequest(request=self._request()), metadata=(("costsvc-tenant", tenant),)
            )
        except grpc.aio.AioRpcError as error:
            info = error_info(error)
            return info.reason if info else error.code().name
        return "OK"

    async def billed(self) -> list[int]:
        """Return what each call that reached the provider was billed."""
        return [due_nano_usd(line) for line in await self.provider.bill()]

    @staticmethod
    def _request() -> v1.Request:
        return v1.Request(messages=[v1.Message(text=TEXT)], task="support")


@pytest.fixture
async def trio(tmp_path: Path) -> AsyncIterator[Trio]:
    """Run three servers, ready for calls."""
    async with AsyncExitStack() as stack:
        provider = await stack.enter_async_context(Provider(tmp_path / "provider.log", *LATENCY))
        store = await stack.enter_async_context(EmbeddedValkey(tmp_path))
        starting = (
            stack.enter_async_context(serving(tmp_path / f"data-{n}", provider.url, "--redis-url", store.url))
            for n in range(3)
        )
        servers = [await each for each in starting]
        for server in servers:
            await until(server.is_ready)
        yield Trio(servers, provider)


async def test_a_burst_on_three_servers_gets_what_there_is_room_for(trio):
    """Of 20 calls at once with room for exactly 5, whichever server they reach, 5 reach the provider."""
    await trio.define(EVERYTHING, 5 * (await trio.estimate()).worst_nano_usd, strict=True)
    found = Counter((await settled(trio.call, 20)).values())
    assert found == {"OK": 5, "BUDGET_EXCEEDED": 15}
    assert len(await trio.billed()) == 5


async def test_overshoot_lets_more_by_and_is_never_passed(trio):
    """By likely costs more calls fit than by worst ones, and the bill stays below limit and overshoot."""
    estimate = await trio.estimate()
    limit = 12 * estimate.worst_nano_usd
    assert estimate.upper_nano_usd < estimate.worst_nano_usd
    await trio.define(EVERYTHING, limit, overshoot_permille=1_000)
    found = Counter((await settled(trio.call, 60)).values())
    billed = await trio.billed()
    assert 12 < len(billed) == found["OK"] < 60
    assert set(found) == {"OK", "BUDGET_EXCEEDED"}
    assert sum(billed) <= 2 * limit


@pytest.mark.timeout(120)
async def test_a_thousand_tenants_that_come_at_once_spend_no_more_than_each_may(trio):
    """A template has a budget for each in the moment of its first call; the second, elsewhere, finds it."""
    each_tenant = v1.BudgetScope(kind=v1.BUDGET_KIND_EACH_TENANT)
    limit = (await trio.estimate()).worst_nano_usd
    await trio.define(each_tenant, limit, strict=True)
    outcomes = await settled(lambda number: trio.call(number, f"tenant-{number % 1_000}"), 2_000)
    assert set(outcomes.values()) == {"OK", "BUDGET_EXCEEDED"}
    answered = Counter(number % 1_000 for number, outcome in outcomes.items() if outcome == "OK")

    async def all_are_answered() -> bool:
        """Where a hold came too late for its call, it is in the way of others until it is freed."""
        missing = sorted(set(range(1_000)) - set(answered))
        again = await settled(lambda at: trio.call(at, f"tenant-{missing[at]}"), len(missing))
        answered.update(missing[at] for at, outcome in again.items() if outcome == "OK")
        return len(answered) == 1_000

    await until(all_are_answered)
    assert await trio.call(0, "tenant-0") == "BUDGET_EXCEEDED"
    billed = await trio.billed()
    assert len(billed) == sum(answered.values()) == 1_000
    assert max(billed) <= limit


async def settled(call: Callable[[int], object], count: int) -> dict[int, str]:
    """Make so many calls at once; those that a busy store kept waiting try again, as clients do."""
    outcomes: dict[int, str] = {}
    left = list(range(count))
    while left:
        outcomes |= dict(zip(left, await asyncio.gather(*map(call, left)), strict=True))
        left = [number for number in left if outcomes[number] in {"BUDGET_UNCHECKED", "STORE_UNAVAILABLE"}]
    return outcomes
