from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from costsvc.app import settle as settle_module
from costsvc.app.settle import Settlement
from costsvc.core.entry import Entry
from costsvc.core.errors import StoreUnavailable
from costsvc.core.savings import Savings
from costsvc.core.usage import Usage
from costsvc.metrics import Metrics
from costsvc.store.connection import open_store
from costsvc.store.embedded import EmbeddedValkey
from costsvc.store.ledger import Ledger

AT = datetime(2026, 11, 22, 12, tzinfo=UTC)


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
    async with EmbeddedValkey(tmp_path) as running:
        yield running


@pytest.fixture
async def ledger(server: EmbeddedValkey) -> AsyncIterator[Ledger]:
    """Give the ledger in it."""
    client = open_store(server.url)
    yield Ledger(client)
    await client.aclose()


@pytest.fixture
async def settlement(ledger: Ledger) -> AsyncIterator[Settlement]:
    """Give a settlement that keeps trying."""
    made = Settlement(ledger, frozenset(), Metrics())
    trying = asyncio.ensure_future(made.keep_trying())
    yield made
    trying.cancel()
    with suppress(asyncio.CancelledError):
        await trying


async def test_entries_wait_for_the_store_in_their_order(server, ledger, settlement):
    """What cannot be booked waits, later entries behind earlier ones, and all is booked once."""
    await settlement.book(entry(1))
    os.kill(server.pid, signal.SIGSTOP)
    for number in (2, 3, 4):
        await settlement.book(entry(number))
    assert await settlement.drain(0.01) == 3
    os.kill(server.pid, signal.SIGCONT)
    assert await settlement.drain(10) == 0
    await settlement.book(entry(5))
    booked = (await ledger.entries(AT)).entries
    assert [found.cost_nano_usd for found in booked] == [1, 2, 3, 4, 5]


async def test_calls_are_refused_when_too_much_waits(server, settlement, monkeypatch):
    """A call that could not be kept is not made."""
    monkeypatch.setattr(settle_module, "MAX_PENDING", 2)
    os.kill(server.pid, signal.SIGSTOP)
    for number in (1, 2):
        settlement.check_room()
        await settlement.book(entry(number))
    with pytest.raises(StoreUnavailable):
        settlement.check_room()
    os.kill(server.pid, signal.SIGCONT)
    assert await settlement.drain(10) == 0
    settlement.check_room()
