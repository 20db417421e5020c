"""Tests of the ledger against a real server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from redis.asyncio import Redis

from costsvc.core.entry import Entry
from costsvc.core.savings import Savings
from costsvc.core.usage import Usage
from costsvc.store.ledger import Ledger, Settled

START = datetime(2026, 3, 4, 23, 59, 59, 123456, tzinfo=UTC)


def entry(number: int = 1, **changes: Any) -> Entry:
    """Return a complete entry; equal numbers are the same attempt."""
    values: dict[str, Any] = {
        "entry_id": f"e{number}",
        "attempt_id": f"a{number}",
        "response_id": "",
        "request_id": f"r{number}",
        "provider_request_id": f"req_{number}",
        "tenant": "acme",
        "requested_model": "auto",
        "answering_model": "small",
        "baseline_model": "large",
        "tier": "simple",
        "usage": Usage(input_tokens=10, output_tokens=2),
        "cost_nano_usd": 20,
        "baseline_nano_usd": 100,
        "savings": Savings(routing_nano_usd=90, prompt_cache_nano_usd=-10),
        "catalog_hash": "c",
        "started_at": START,
        "settled_at": START + timedelta(seconds=2),
    }
    return Entry(**values | changes)


async def test_a_settlement_is_appended_once_however_often_it_is_repeated(store: Redis) -> None:
    """Repeating a settlement answers with the first entry and changes nothing."""
    ledger = Ledger(store)
    assert await ledger.settle(entry(), label_keys=()) == Settled("e1", duplicate=False)
    repeated = entry(entry_id="e2", cost_nano_usd=999)
    assert await ledger.settle(repeated, label_keys=()) == Settled("e1", duplicate=True)
    assert (await ledger.entries(START)).entries == (entry(),)
    [cell] = await ledger.rollups("acme", START - timedelta(hours=1), START, "model")
    assert (cell.value, cell.measures) == ("small", entry().measures())
