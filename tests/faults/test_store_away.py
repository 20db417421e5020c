"""Tests of servers whose store freezes under load, or fails over without its last moments."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest

from costsvc import v1
from costsvc.client import error_info
from costsvc.core.holds import Balance
from costsvc.core.money import ceil_nano
from costsvc.store import keys
from costsvc.store.budgets import BudgetBook
from costsvc.store.connection import ask, open_store
from costsvc.store.embedded import EmbeddedValkey
from costsvc.store.holds import Holds
from costsvc.store.ledger import Ledger
from tests.faults.processes import Provider, Server, serving, until
from tests.faults.stores import Store

FREEZE_S = float(os.environ.get("COSTSVC_FREEZE_S", "4"))  # 30 for the long form
BEFORE_S = 3.0
ADDED_S = 0.15
BEGAN = datetime.now(UTC) - timedelta(minutes=1)


@dataclass
class Crowd:
    """Callers of one tenant, each with a call at a time: how long calls took, and how they ended."""

    server: Server
    tenant: str
    took_s: list[float] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)

    async def call(self) -> str:
        """Make a call; return OK or the reason why not."""
        request = v1.CompleteRequest(
            request=v1.Request(messages=[v1.Message(text="How does a bicycle stay upright?")], task="support")
        )
        metadata = (("costsvc-tenant", self.tenant),)
        try:
            await v1.CostServiceStub(self.server.channel).Complete(request, timeout=20, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            return error_info(error).reason
        return "OK"

    @asynccontextmanager
    async def calling(self, at_once: int, pause_s: float = 0) -> AsyncIterator[None]:
        """Make calls for as long as the context lasts, and let the last ones end."""
        goes_on = True

        async def caller() -> None:
            while goes_on:
                began_s = time.monotonic()
                self.ends.append(await self.call())
                self.took_s.append(time.monotonic() - began_s)
                await asyncio.sleep(pause_s)

        callers = [asyncio.ensure_future(caller()) for _ in range(at_once)]
        try:
            yield
        finally:
            goes_on = False
            await asyncio.gather(*callers)


def share(values: list[float], permille: int) -> float:
    """Return the value that so many do not exceed."""
    return sorted(values)[min(len(values) * permille // 1000, len(values) - 1)]


def cpu_s(server: Server) -> float:
    """Return how much processor time a server has used."""
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def define(server: Server, tenant: str, mode: v1.BudgetMode) -> None:
    """Give a tenant a budget with room for everything."""
    budget = v1.Budget(
        id=tenant,
        scope=v1.BudgetScope(kind=v1.BUDGET_KIND_TENANT, value=tenant),
        window=v1.BudgetWindow(calendar=v1.CalendarWindow(unit=v1.CALENDAR_UNIT_MONTH)),
        mode=mode,
        limit_nano_usd=10**12,
    )
    await v1.AdminServiceStub(server.channel).SetBudget(v1.SetBudgetRequest(budget=budget))


async def balance(url: str, budget_id: str) -> Balance:
    """Return what a budget counts; nothing where it has met no call."""
    async with open_store(url, connect_timeout_s=5) as client:
        found = await BudgetBook(client).balances(budget_id, datetime.now(UTC))
    return found[0][2] if found else Balance()


async def booked(url: str) -> list[tuple[str, int]]:
    """Return attempt and cost of every entry."""
    found, hour = [], BEGAN
    async with open_store(url, connect_timeout_s=5) as client:
        while hour.replace(minute=0, second=0, microsecond=0) <= datetime.now(UTC):
            found += (await Ledger(client).entries(hour, count=100_000)).entries
            hour += timedelta(hours=1)
    return sorted((entry.attempt_id, entry.cost_nano_usd) for entry in found)


async def billed(provider: Provider) -> list[tuple[str, int]]:
    """Return attempt and cost of every line of the bill."""
    return sorted((line["attempt"], ceil_nano(int(line["pico_usd"]))) for line in await provider.bill())


@pytest.mark.timeout(60 + 3 * FREEZE_S)
async def test_a_store_that_freezes_under_load_delays_little_and_loses_nothing(
    tmp_path: Path, say: Callable[[str], None]
) -> None:
    """Soft: later for the first only; hard: refused soon, unspent; CPU as before; all booked."""
    latency = ("--first-byte-ms", "25", "--ms-per-token", "0")
    async with (
        EmbeddedValkey(tmp_path / "store") as store,
        Provider(tmp_path / "provider.txt", *latency) as provider,
        serving(tmp_path / "data", provider.url, "--redis-url", store.url) as server,
    ):
        await define(server, "soft", v1.BUDGET_MODE_SOFT)
        await define(server, "hard", v1.BUDGET_MODE_HARD)
        await asyncio.gather(*(Crowd(server, tenant).call() for tenant in ("soft", "hard")))
        before = await load(server, BEFORE_S)
        os.kill(store.pid, signal.SIGSTOP)
        try:
            during = await load(server, FREEZE_S)
            idle_s = cpu_s(server)
            await asyncio.sleep(2)
            idle_s = cpu_s(server) - idle_s
        finally:
            os.kill(store.pid, signal.SIGCONT)
        for name, found in (("before", before), ("frozen", during)):
            say(f"\n{name}: {found}")
        say(f"\nidle and frozen: {idle_s / 2:.1%} of a core")
        assert set(before.soft.ends) | set(before.hard.ends) | set(during.soft.ends) == {"OK"}
        assert set(during.hard.ends) <= {"OK", "BUDGET_UNCHECKED"}
        assert during.hard.ends.count("OK") <= 1  # one was held before
        assert share(during.soft.took_s, 500) - share(before.soft.took_s, 500) < ADDED_S / 3
        assert share(during.soft.took_s, 980) - share(before.soft.took_s, 980) < ADDED_S
        assert share(during.hard.took_s, 900) < ADDED_S
        assert during.cpu_share < 1.5 * before.cpu_share + 0.1
        assert idle_s < 0.2

        async def agrees() -> bool:
            return await booked(store.url) == await billed(provider)

        await until(agrees)
        assert await Crowd(server, "hard").call() == "OK"
        await until(agrees)
        counted = [await balance(store.url, tenant) for tenant in ("soft", "hard")]
        assert all(each.sum_w_nano_usd == each.at_risk_nano_usd == 0 for each in counted)
        assert sum(each.spent_nano_usd for each in counted) == sum(cost for _, cost in await billed(provider))
        assert len(server.events("store_away")) == len(server.events("store_back")) == 1


@dataclass(frozen=True)
class Found:
    """What a load met."""

    soft: Crowd
    hard: Crowd
    cpu_share: float

    def __str__(self) -> str:
        """Say it for people."""
        lines = [
            f"{len(crowd.ends)} {crowd.tenant} calls, median {share(crowd.took_s, 500) * 1000:.1f} ms, "
            f"98 % {share(crowd.took_s, 980) * 1000:.1f} ms, worst {max(crowd.took_s) * 1000:.1f} ms"
            for crowd in (self.soft, self.hard)
        ]
        return f"{'; '.join(lines)}; CPU {self.cpu_share:.0%}"


async def load(server: Server, duration_s: float) -> Found:
    """Let callers of both tenants call for a while, about as often whatever becomes of their calls."""
    soft, hard, began_s = Crowd(server, "soft"), Crowd(server, "hard"), cpu_s(server)
    async with soft.calling(4, pause_s=0.05), hard.calling(1, pause_s=0.1):
        await asyncio.sleep(duration_s)
    return Found(soft, hard, (cpu_s(server) - began_s) / duration_s)


async def test_a_fail_over_without_the_tail_keeps_every_hold_and_every_bill(tmp_path: Path) -> None:
    """Held before or in the tail; settled or lost in it, or after it: each ends once."""
    latency = ("--first-byte-ms", "3000", "--ms-per-token", "0")
    async with (
        Store(tmp_path) as store,
        Provider(tmp_path / "provider.txt", *latency) as provider,
        serving(tmp_path / "data", provider.url, "--redis-url", store.url) as server,
    ):
        await define(server, "hard", v1.BUDGET_MODE_HARD)
        crowd = Crowd(server, "hard")
        assert await crowd.call() == "OK"
        await provider.misbehave({"kind": "cut_after_headers"})
        before = calls(crowd, 5)  # one of them ends nobody knows how, and is made again
        first = await until_held(store.url, lambda found: len(found) == 5)
        failing = asyncio.ensure_future(store.fail_over(behind_s=4.5))
        in_the_tail = calls(crowd, 5)
        await asyncio.wait(in_the_tail)
        across = calls(crowd, 5)
        flying = await until_held(store.url, lambda found: len(found - first) >= 5) - first
        await failing
        await until_held(store.url, lambda found: flying <= found and not found & first)
        assert not any(call.done() for call in across)
        ends = await asyncio.gather(*before, *in_the_tail, *across)
        assert ends == ["OK"] * 15

        async def is_told() -> bool:
            counted = await balance(store.url, "hard")
            return counted.sum_w_nano_usd == 0 and not await held(store.url)

        await until(is_told)
        await assert_agreement(store.url, provider)
        assert {event["booking_again"] > 0 for event in server.events("store_changed")} == {True}


def calls(crowd: Crowd, count: int) -> list[asyncio.Task[str]]:
    """Make so many calls at once."""
    return [asyncio.ensure_future(crowd.call()) for _ in range(count)]


async def held(url: str) -> set[bytes]:
    """Return the attempts that the store holds for."""
    async with open_store(url, connect_timeout_s=5) as client:
        owners = await ask(client, "ZRANGE", keys.LEASES, 0, -1)
        found = [await ask(client, "SMEMBERS", keys.holds(owner.decode())) for owner in owners]
    return {member for members in found for member in members}


async def until_held(url: str, wanted: Callable[[set[bytes]], bool]) -> set[bytes]:
    """Wait until the store holds for certain attempts, and return them."""
    found: set[bytes] = set()

    async def is_held() -> bool:
        nonlocal found
        found = await held(url)
        return wanted(found)

    await until(is_held)
    return found


async def assert_agreement(url: str, provider: Provider) -> None:
    """Check that each line of the bill is an entry of its amount, or a risk around it, and counts once."""
    bill, entries = dict(await billed(provider)), await booked(url)
    async with open_store(url, connect_timeout_s=5) as client:
        risks = {row.attempt_id: row for row in (await Holds(client, owner="test").at_risk()).rows}
    assert len(dict(entries)) == len(entries)
    assert entries == sorted((attempt, cost) for attempt, cost in bill.items() if attempt not in risks)
    assert all(
        row.lower_nano_usd <= bill.get(attempt, 0) <= row.upper_nano_usd for attempt, row in risks.items()
    )
    counted = await balance(url, "hard")
    assert counted.spent_nano_usd == sum(cost for _, cost in entries)
    assert counted.at_risk_nano_usd == sum(row.upper_nano_usd for row in risks.values())
    assert len(risks) == 1
