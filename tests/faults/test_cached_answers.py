"""Identical questions at once on three server processes: one is paid, also where the one that asks dies."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest

from costsvc import v1
from costsvc.core.entry import Entry
from costsvc.data import read_text
from costsvc.store.connection import open_store
from costsvc.store.embedded import EmbeddedValkey
from costsvc.store.ledger import Ledger
from tests.faults.judge import Books, problems_of, total_nano_usd
from tests.faults.processes import Provider, Server, serving, until

CALLERS = 100
PATIENCE_S = 45.0
POLICY = """
[response_cache.help]
tasks = ["help"]
ttl_s = 600
[tasks.help]
tier = "simple"
max_tokens = 4000
"""
BEGAN = datetime.now(UTC)


@dataclass
class Trio:
    """Three servers on one store, and their provider."""

    servers: list[Server]
    provider: Provider
    store: EmbeddedValkey

    async def call(self, number: int, server: Server) -> tuple[bytes, int]:
        """Ask the one question, every other time as a stream; return the message, and what the cache did."""
        stub = v1.CostServiceStub(server.channel)
        question = v1.Request(
            messages=[v1.Message(text="Why does a chain stretch?")], task="help", request_id=f"call-{number}"
        )
        if number % 2:
            answer = await stub.Complete(v1.CompleteRequest(request=question), timeout=PATIENCE_S)
            return answer.message_json, answer.cache_outcome
        stream = stub.StreamComplete(v1.StreamCompleteRequest(request=question), timeout=PATIENCE_S)
        events = [event async for event in stream]
        return events[-1].completed.message_json, events[0].started.cache_outcome

    async def in_flight(self) -> int:
        """Return how many calls run on all servers."""
        return round(sum([await server.metric("costsvc_in_flight_calls") for server in self.servers]))

    async def entries(self) -> list[Entry]:
        """Return all entries."""
        found: list[Entry] = []
        async with open_store(self.store.url, connect_timeout_s=5) as client:
            hour = BEGAN
            while hour.replace(minute=0, second=0, microsecond=0) <= datetime.now(UTC):
                found += (await Ledger(client).entries(hour)).entries
                hour += timedelta(hours=1)
        return found

    async def books(self, server: Server) -> Books:
        """Return everything that there is about money."""
        risks = await v1.AdminServiceStub(server.channel).ListAtRisk(v1.ListAtRiskRequest())
        lines = await self.provider.bill()
        return Books(lines=lines, entries=await self.entries(), risks=risks.attempts, budgets=())


@asynccontextmanager
async def trio(path: Path, latency_ms: int) -> AsyncIterator[Trio]:
    """Run three servers with a namespace, and a provider that takes its time."""
    policy = path / "policy.toml"
    policy.write_text(read_text("policy.toml") + POLICY)
    latency = ("--first-byte-ms", str(latency_ms), "--ms-per-token", "0")
    async with AsyncExitStack() as stack:
        provider = await stack.enter_async_context(Provider(path / "provider.log", *latency))
        store = await stack.enter_async_context(EmbeddedValkey(path / "store"))
        options = ("--redis-url", store.url, "--policy", str(policy))
        starting = [
            stack.enter_async_context(serving(path / f"data-{n}", provider.url, *options)) for n in range(3)
        ]
        servers = await asyncio.gather(*starting)
        for server in servers:
            await until(server.is_ready)
        yield Trio(list(servers), provider, store)


def paid_and_hits(entries: Sequence[Entry]) -> tuple[int, int]:
    """Return how many entries cost something, and how many are hits."""
    return sum(entry.cost_nano_usd > 0 for entry in entries), sum(e.cache_outcome == "hit" for e in entries)


async def test_a_hundred_identical_questions_on_three_processes_are_paid_once(tmp_path: Path) -> None:
    """Unary and as streams: one call of the provider, equal answers, one paid entry and 99 hits."""
    async with trio(tmp_path, 200) as three:
        calls = (three.call(number, three.servers[number % 3]) for number in range(CALLERS))
        answers = await asyncio.gather(*calls)
        assert len({message for message, _ in answers}) == 1
        outcomes = Counter(outcome for _, outcome in answers)
        assert outcomes == {v1.CACHE_OUTCOME_MISS: 1, v1.CACHE_OUTCOME_HIT: CALLERS - 1}

        async def all_are_booked() -> bool:
            return paid_and_hits(await three.entries()) == (1, CALLERS - 1)

        await until(all_are_booked)
        books = await three.books(three.servers[0])
        assert len(books.lines) == 1
        assert sum(entry.cost_nano_usd for entry in books.entries) == total_nano_usd(books.lines)


@pytest.mark.timeout(120)
async def test_where_the_leading_process_is_killed_another_asks_once(tmp_path: Path) -> None:
    """Callers of the others wait on and are answered, its own after one retry elsewhere; the books agree."""
    async with trio(tmp_path, 1_500) as three:
        leading, *surviving = three.servers
        first = asyncio.ensure_future(three.call(0, leading))

        async def is_asked() -> bool:
            async with open_store(three.store.url) as client:
                return bool([key async for key in client.scan_iter("cache:*:lead")])

        await until(is_asked)
        on = {number: three.servers[number % 3] for number in range(1, CALLERS)}
        calls = {0: first} | {n: asyncio.ensure_future(three.call(n, on[n])) for n in on}

        async def all_wait() -> bool:
            return await three.in_flight() == CALLERS

        await until(all_wait)
        leading.process.send_signal(signal.SIGKILL)
        ends = dict(zip(calls, await asyncio.gather(*calls.values(), return_exceptions=True), strict=True))
        lost = [number for number in calls if on.get(number, leading) is leading]
        assert {number for number, end in ends.items() if isinstance(end, BaseException)} == set(lost)
        codes = {ends[number].code() for number in lost}
        assert codes == {grpc.StatusCode.UNAVAILABLE}
        retried = await asyncio.gather(*(three.call(number, surviving[number % 2]) for number in lost))
        answers = [end for end in ends.values() if not isinstance(end, BaseException)] + retried
        assert len({message for message, _ in answers}) == 1
        outcomes = Counter(outcome for _, outcome in answers)
        assert outcomes == {v1.CACHE_OUTCOME_MISS: 1, v1.CACHE_OUTCOME_HIT: CALLERS - 1}

        async def books_agree() -> bool:
            books = await three.books(surviving[0])
            all_told = paid_and_hits(books.entries) == (1, CALLERS - 1) and len(books.risks) == 1
            return all_told and not problems_of(books)

        await until(books_agree, 30)
        assert 1 <= len(await three.provider.bill()) <= 2
