"""Tests of what is booked when servers, stores and disks fail; the provider's bill is the judge."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest

from costsvc import v1
from costsvc.client import error_reason
from costsvc.core.entry import Entry
from costsvc.core.money import ceil_nano
from costsvc.provider_sim import RunningSim, start
from costsvc.store.connection import ask, open_store
from costsvc.store.embedded import EmbeddedValkey
from costsvc.store.journal import Journal
from costsvc.store.ledger import Ledger
from tests.faults.processes import EndedEarly, Server, has, serving, until
from tests.faults.stores import follow, free_port, listen, using

BEGAN = datetime.now(UTC) - timedelta(minutes=1)


@dataclass
class Site:
    """A provider, a store of the test's own, and a directory for servers."""

    sim: RunningSim
    path: Path
    store: EmbeddedValkey

    @asynccontextmanager
    async def serving(self, data: Path | None = None, *, ready: bool = True) -> AsyncIterator[Server]:
        """Run a server process on this store."""
        async with serving(data or self.path / "data", self.sim.url, "--redis-url", self.store.url) as server:
            if ready:
                await until(server.is_ready)
            yield server

    def bill(self) -> dict[str, int]:
        """Return what the provider charged by attempt, rounded up."""
        return {line.attempt or "": ceil_nano(line.pico_usd) for line in self.sim.bill.lines()}

    async def agrees(self) -> bool:
        """Say whether the ledger has one entry for each line of the bill, of its amount, and nothing else."""
        found = [(entry.attempt_id, entry.cost_nano_usd) for entry in await entries(self.store.url)]
        return sorted(found) == sorted(self.bill().items())


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """Run a provider and a store."""
    async with await start() as sim, EmbeddedValkey(tmp_path / "store") as store:
        yield Site(sim, tmp_path, store)


async def complete(server: Server, count: int) -> list[str]:
    """Have so many calls answered at once; return the ids of the answers."""
    stub = v1.CostServiceStub(server.channel)
    messages = [v1.Message(text="How does a bicycle stay upright?")]
    request = v1.CompleteRequest(request=v1.Request(messages=messages, task="support"))
    answers = await asyncio.gather(*(stub.Complete(request, timeout=20) for _ in range(count)))
    return [answer.response_id for answer in answers]


async def entries(url: str) -> list[Entry]:
    """Return every entry that the store has."""
    client, found, hour = open_store(url), [], BEGAN
    try:
        while hour.replace(minute=0, second=0, microsecond=0) <= datetime.now(UTC):
            found += (await Ledger(client).entries(hour, count=10_000)).entries
            hour += timedelta(hours=1)
    finally:
        await client.aclose()
    return found


async def test_a_killed_server_books_at_its_restart_what_a_frozen_store_did_not_take(site):
    """Calls that were answered and not booked when the process was killed are booked once, exactly."""
    async with site.serving() as server:
        await complete(server, 5)
        os.kill(site.store.pid, signal.SIGSTOP)
        await complete(server, 20)
        await complete(server, 20)  # the store is known to be away now: it hears nothing of these
        await server.end(signal.SIGKILL)
    os.kill(site.store.pid, signal.SIGCONT)
    assert len(site.bill()) == 45
    assert not await site.agrees()
    async with site.serving():
        await until(site.agrees)


async def test_calls_that_a_killed_server_made_without_the_store_are_at_risk(site):
    """The store heard nothing of them, and they were not answered: the server's next start knows them."""
    async with site.serving() as server:
        await complete(server, 1)
        os.kill(site.store.pid, signal.SIGSTOP)
        site.sim.faults.add("hang", count=None)
        calls = asyncio.ensure_future(complete(server, 5))
        await until(lambda: has(len(site.bill()) == 6))
        server.process.kill()
        await asyncio.wait([calls])
        assert isinstance(calls.exception(), grpc.aio.AioRpcError)
    os.kill(site.store.pid, signal.SIGCONT)
    async with site.serving() as server:
        admin = v1.AdminServiceStub(server.channel)

        async def are_at_risk() -> bool:
            return len((await admin.ListAtRisk(v1.ListAtRiskRequest())).attempts) == 5

        await until(are_at_risk)
        risks = (await admin.ListAtRisk(v1.ListAtRiskRequest())).attempts
        booked = {entry.attempt_id for entry in await entries(site.store.url)}
        assert {risk.attempt_id for risk in risks} == site.bill().keys() - booked
        assert {risk.reason for risk in risks} == {"owner_lost"}
        assert all(risk.upper_nano_usd >= site.bill()[risk.attempt_id] for risk in risks)


async def test_whatever_was_answered_before_a_kill_is_booked(site):
    """A server that is killed in the middle of its work loses no answer's cost and books none twice."""
    answered: list[str] = []

    async def load(server: Server) -> None:
        while True:
            answered.extend(await complete(server, 1))

    for kill_after in (20, 60):
        async with site.serving() as server:
            callers = [asyncio.ensure_future(load(server)) for _ in range(8)]
            await until(lambda wanted=kill_after: has(len(answered) >= wanted))
            server.process.kill()
            await asyncio.wait(callers)
            assert all(isinstance(caller.exception(), grpc.aio.AioRpcError) for caller in callers)
    async with site.serving() as server:
        await until(lambda: has(bool(server.events("readiness"))))
        await until(lambda: booked(site, answered))
    found = await entries(site.store.url)
    assert len({entry.attempt_id for entry in found}) == len(found)
    assert all(site.bill()[entry.attempt_id] == entry.cost_nano_usd for entry in found)


async def booked(site: Site, answered: list[str]) -> bool:
    """Say whether each of some answers has an entry."""
    return set(answered) <= {entry.response_id for entry in await entries(site.store.url)}


def cut_append_only_file(store: Path, size_bytes: int) -> None:
    """Take the end off a dead server's file, as a machine that fails does with what was not on its disk."""
    [path] = (store / "store" / "appendonlydir").glob("*.incr.aof")
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - size_bytes)


async def test_a_killed_store_gets_its_last_moments_back(site):
    """A store that starts again without its tail is given what it had acknowledged, while calls go on."""
    async with site.serving() as server:
        await complete(server, 30)
        await until(site.agrees)
        os.kill(site.store.pid, signal.SIGKILL)
        await site.store.stop()
        cut_append_only_file(site.path / "store", 20_000)
        await complete(server, 5)
        await site.store.start()
        assert len(await entries(site.store.url)) < 30
        await complete(server, 5)
        await until(site.agrees)
        assert len(site.bill()) == 40
        await until(lambda: has(bool(server.events("store_changed"))))  # lines are written together


async def test_a_fail_over_that_lacks_the_tail_is_made_good(site):
    """The same server process with the data of a replica that had fallen behind is told what it lacks."""
    async with EmbeddedValkey(site.path / "replica") as replica, site.serving() as server:
        await complete(server, 10)
        await until(site.agrees)
        await part(replica, site.store)
        await complete(server, 20)
        await until(site.agrees)
        await part(site.store, replica)
        assert len(await entries(replica.url)) == 10
        await complete(server, 5)
        await until(site.agrees)
        assert len(site.bill()) == 35


async def part(follower: EmbeddedValkey, leader: EmbeddedValkey) -> None:
    """Give a server the data of another, and let it go its own way."""
    port = free_port()
    await listen(leader, port)
    await follow(follower, port)
    async with using(follower) as client:
        await ask(client, "REPLICAOF", "NO", "ONE")


def child(pid: int) -> int:
    """Return a process's only child."""
    [found] = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(found)


async def test_a_service_that_is_killed_with_its_store_loses_nothing_that_was_answered(tmp_path):
    """Both end in the same moment, and the store's file lacks its end."""
    async with await start() as sim:
        site = Site(sim, tmp_path, EmbeddedValkey(tmp_path / "data"))
        async with serving(tmp_path / "data", sim.url) as server:
            await complete(server, 30)
            server.process.send_signal(signal.SIGSTOP)
            os.kill(child(server.process.pid), signal.SIGKILL)
            await server.end(signal.SIGKILL)
        cut_append_only_file(tmp_path / "data", 20_000)
        async with serving(tmp_path / "data", sim.url):
            await until(site.agrees)
            assert len(site.bill()) == 30


async def test_a_stop_leaves_a_clean_journal(site):
    """After SIGTERM there is nothing to book, and everything is kept in case the store loses it."""
    async with site.serving() as server:
        await complete(server, 20)
        assert await server.end(signal.SIGTERM) == 0
        assert [line["unbooked_entries"] for line in server.events("stopped")] == [0]
    journal = Journal(site.path / "data" / "journal")
    await journal.open()
    assert journal.waiting_count == 0
    journal.follow("another store")
    assert journal.waiting_count == 20
    await journal.close()
    assert await site.agrees()


async def test_two_servers_do_not_share_a_data_directory(site):
    """With one store for all, each process still needs a directory of its own, and is told so."""
    async with site.serving():
        with pytest.raises(EndedEarly):
            async with site.serving(ready=False):
                pass
        said = max(site.path.glob("*.log")).read_text()
        assert "is used by process" in said
        assert said.count("\n") == 1
        async with site.serving(site.path / "other"):
            pass


async def test_a_full_disk_refuses_calls_before_they_spend(site, small_disk):
    """Not ready, counted, refused with its own reason; with room on the disk all is well by itself."""
    async with site.serving(small_disk / "data", ready=False) as server:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await complete(server, 1)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert error_reason(caught.value) == v1.ERROR_REASON_JOURNAL_UNAVAILABLE
        assert not await server.is_ready()
        assert await server.metric("costsvc_journal_ok") == 0
        assert not site.bill()
        enlarge = ["mount", "-o", "remount,size=16m", str(small_disk)]
        await asyncio.to_thread(subprocess.run, enlarge, check=True)
        await until(server.is_ready)
        await complete(server, 3)
        await until(site.agrees)
        assert await server.metric("costsvc_journal_ok") == 1
