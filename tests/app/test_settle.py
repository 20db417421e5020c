from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from costsvc.app.booking import Booking
from costsvc.app.definitions import InForce
from costsvc.app.policies import PolicyInForce
from costsvc.app.settle import Settlement
from costsvc.app.telling import Teller, freed, lost, settled
from costsvc.app.watch import StoreWatch
from costsvc.config import load_catalog_files, load_policy_file
from costsvc.core.entry import Entry
from costsvc.core.errors import JournalFailed
from costsvc.core.holds import Hold
from costsvc.core.savings import Savings
from costsvc.core.usage import Usage
from costsvc.metrics import Metrics
from costsvc.ports import SystemClock
from costsvc.store import entry_codec
from costsvc.store.budgets import BudgetBook
from costsvc.store.connection import open_store
from costsvc.store.embedded import EmbeddedValkey
from costsvc.store.holds import Holds
from costsvc.store.journal import Journal, Limits
from costsvc.store.ledger import Ledger
from costsvc.store.presence import Presence
from tests.store.money import opening

POLICY_IN_FORCE = PolicyInForce(load_policy_file(None, load_catalog_files()))
AT = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)


def entry(number: int) -> Entry:
    """Return an entry of an attempt."""
    return Entry(
        entry_id=f"e-{number}",
        attempt_id=f"a-{number}",
        response_id=f"r-{number}",
        request_id="",
        provider_request_id="",
        tenant="t",
        requested_model="auto",
        answering_model="claude-haiku-5-5",
        baseline_model="claude-opus-5-5",
        tier="simple",
        usage=Usage(input_tokens=number),
        cost_nano_usd=number,
        baseline_nano_usd=number,
        savings=Savings(),
        catalog_hash="h",
        started_at=AT,
        settled_at=AT,
    )


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedValkey]:
    """Run a store that the test may freeze."""
    async with EmbeddedValkey(tmp_path / "one") as running:
        yield running


@pytest.fixture
async def ledger(server: EmbeddedValkey) -> AsyncIterator[Ledger]:
    """Give the ledger in it."""
    client = open_store(server.url)
    yield Ledger(client)
    await client.aclose()


@asynccontextmanager
async def settling(
    server: EmbeddedValkey, directory: Path, limits: Limits | None = None
) -> AsyncIterator[Settlement]:
    """Run a settlement with what works beside it, on a journal of its own."""
    journal, presence, metrics = Journal(directory, limits), Presence(), Metrics()
    await journal.open()
    client = open_store(server.url, presence)
    ledger = Ledger(client)
    booking = Booking(ledger, InForce(BudgetBook(client)), POLICY_IN_FORCE)
    teller = Teller(booking, Holds(client, owner="test"))
    made = Settlement(teller, journal, metrics, SystemClock(), presence=presence)
    watch = StoreWatch(presence, ledger, (made,), metrics)
    work = (watch.keep_watching(), made.keep_trying(), made.keep_journal())
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        yield made
    finally:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await journal.close()
        await client.aclose()


async def costs(ledger: Ledger) -> list[int]:
    """Return what is booked, in the order of the entries."""
    return [found.cost_nano_usd for found in (await ledger.entries(AT)).entries]


async def test_entries_wait_for_the_store_in_their_order(server, ledger, tmp_path):
    """What cannot be booked waits on the disk, and all is booked once."""
    async with settling(server, tmp_path / "journal") as settlement:
        assert await settlement.drain(10) == 0  # it knows which store answers: what that takes is taken
        await settlement.book(entry(1))
        os.kill(server.pid, signal.SIGSTOP)
        for number in (2, 3, 4):
            await settlement.book(entry(number))
            [segment] = settlement._journal._segments
            assert segment.durable_count == number, "only the disk has it"
        assert await settlement.drain(0.01) == 3
        os.kill(server.pid, signal.SIGCONT)
        assert await settlement.drain(10) == 0
        await settlement.book(entry(5))
        assert await costs(ledger) == [1, 2, 3, 4, 5]


async def test_the_next_start_books_what_the_store_did_not_take(server, ledger, tmp_path):
    """What waits when the process ends is booked by the next one."""
    os.kill(server.pid, signal.SIGSTOP)
    async with settling(server, tmp_path / "journal") as settlement:
        await asyncio.gather(*(settlement.book(entry(number)) for number in range(20)))
        assert await settlement.drain(0.01) == 20
    os.kill(server.pid, signal.SIGCONT)
    async with settling(server, tmp_path / "journal") as settlement:
        assert await settlement.drain(10) == 0
        assert sorted(await costs(ledger)) == list(range(20))
    async with settling(server, tmp_path / "journal") as settlement:
        assert settlement._journal.waiting_count == 0, "a clean journal books nothing again"


async def test_another_store_gets_what_the_first_had_acknowledged(server, tmp_path):
    """An acknowledgement is worth as much as the store that gave it."""
    async with settling(server, tmp_path / "journal") as settlement:
        for number in (1, 2, 3):
            await settlement.book(entry(number))
        await settlement.drain(10)
    async with EmbeddedValkey(tmp_path / "two") as other:
        client = open_store(other.url)
        async with settling(other, tmp_path / "journal") as settlement:
            await settlement.drain(10)
            assert await costs(Ledger(client)) == [1, 2, 3]
        await client.aclose()


async def test_another_store_hears_again_how_attempts_ended(server, tmp_path):
    """A loss and a release that the first store took are news to one that lacks them."""
    hold, charges = Hold(q_nano_usd=1, w_nano_usd=7), ()
    lost_one, freed_one = opening("lost", started_at=AT), opening("freed", started_at=AT)
    async with settling(server, tmp_path / "journal") as settlement:
        for began, news in (
            (lost_one, lost(lost_one, hold, charges, "cut")),
            (freed_one, freed(freed_one)),
        ):
            await settlement.end(news, settlement.open(began, hold, charges))
        await settlement.drain(10)
    async with EmbeddedValkey(tmp_path / "two") as other:
        client = open_store(other.url)
        holds = Holds(client, owner="dead")
        now = datetime.now(UTC)
        await holds.hold_again(freed_one, (), hold, now=now, not_after=now + timedelta(minutes=1))
        async with settling(other, tmp_path / "journal") as settlement:
            await settlement.drain(10)
            [risk] = (await holds.at_risk()).rows
            assert (risk.attempt_id, risk.upper_nano_usd, risk.reason) == ("lost", 7, "cut")
            assert not await holds.release("freed", AT)
        await client.aclose()


async def test_what_the_ledger_cannot_know_any_more_is_left_to_people(server, ledger, tmp_path):
    """An entry that is older than the ledger's memory of attempts could be booked twice: it is kept."""
    journal = Journal(tmp_path / "journal")
    await journal.open()
    old = replace(entry(1), started_at=AT - timedelta(days=8))
    for data in (entry_codec.encode(old), b"not an entry", entry_codec.encode(entry(2))):
        journal.leave(journal.append("a", data))
    await journal.close()
    async with settling(server, tmp_path / "journal") as settlement:
        assert await settlement.drain(10) == 0
        assert await costs(ledger) == [2]
        assert not (await ledger.entries(old.started_at)).entries
        assert [bool(s.is_settled) for s in settlement._journal._segments] == [False, True]


async def test_a_full_disk_refuses_calls_and_settles_all_the_same(server, ledger, small_disk):
    """Calls that run are booked in the store; new ones are refused until there is room."""
    limits = Limits(segment_bytes=16_384)
    ballast = small_disk / "ballast"
    async with settling(server, small_disk / "journal", limits) as settlement:
        ballast.write_bytes(bytes(room(small_disk) - 4_096))
        for number in range(100):
            await settlement.book(entry(number))
        with pytest.raises(JournalFailed, match="No space"):
            settlement.check_room()
        assert await settlement.drain(10) == 0
        assert sorted(await costs(ledger)) == list(range(100))
        ballast.unlink()
        await until_taken(settlement)
        await settlement.book(entry(100))
        assert (await costs(ledger))[-1] == 100


def room(disk: Path) -> int:
    """Return how many bytes are free."""
    found = os.statvfs(disk)
    return found.f_bavail * found.f_frsize


async def until_taken(settlement: Settlement) -> None:
    """Wait until calls are taken."""
    while True:
        try:
            settlement.check_room()
        except JournalFailed:
            await asyncio.sleep(0.01)
        else:
            return


async def test_what_only_memory_has_is_booked_by_one_at_a_time(server, ledger, tmp_path):
    """A store that comes back while the rest is tried gets every entry, in one booking each."""
    async with settling(server, tmp_path / "journal") as settlement:
        await settlement.drain(10)
        settlement._unjournaled.extend(settled(entry(number)) for number in range(5))
        both = (settlement.recover("another", is_another=True), settlement._catch_up())
        assert await asyncio.gather(*both) == [None, True]
        assert await costs(ledger) == [0, 1, 2, 3, 4]
