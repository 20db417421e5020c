"""Tests of the ledger against a real server."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta, timezone
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from costsvc.core.entry import MEASURES, Entry
from costsvc.core.errors import StoreUnavailable
from costsvc.core.money import NANO_PER_USD
from costsvc.core.savings import LeverSaving, Savings
from costsvc.core.usage import Usage
from costsvc.store import entry_codec, keys
from costsvc.store import ledger as ledger_module
from costsvc.store import rollups as rollups_module
from costsvc.store.ledger import Ledger, Settled
from costsvc.store.rollups import Cell

START = datetime(2026, 3, 4, 23, 59, 59, 123456, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
TEXT = st.text(max_size=20)
COUNT = st.integers(0, 10**9)
MONEY = st.integers(-(10**12), 10**12)


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


@pytest.fixture
def ledger(store: Redis) -> Ledger:
    """Give a ledger on an empty store."""
    return Ledger(store)


async def sums(ledger: Ledger, dimension: str, tenant: str = "acme") -> dict[str, tuple[int, ...]]:
    """Return what each value of a dimension adds up to in the two days around START."""
    total: dict[str, tuple[int, ...]] = {}
    for cell in await ledger.rollups.read(tenant, START - DAY, START + DAY, dimension):
        total[cell.value] = added(total.get(cell.value, (0,) * len(MEASURES)), cell.measures)
    return total


def added(first: tuple[int, ...], second: tuple[int, ...]) -> tuple[int, ...]:
    """Return the sum, measure by measure."""
    return tuple(a + b for a, b in zip(first, second, strict=True))


async def test_a_settlement_is_appended_once_however_often_it_is_repeated(ledger: Ledger) -> None:
    """Repeating a settlement answers with the first entry and changes nothing."""
    assert await ledger.settle(entry(), label_keys=()) == Settled("e1", duplicate=False)
    repeated = entry(entry_id="e2", cost_nano_usd=999)
    assert await ledger.settle(repeated, label_keys=()) == Settled("e1", duplicate=True)
    assert (await ledger.entries(START)).entries == (entry(),)
    assert await sums(ledger, "model") == {"small": entry().measures()}


async def test_a_late_settlement_belongs_to_the_hour_in_which_its_attempt_started(ledger: Ledger) -> None:
    """The attempt's start decides the hour, whatever its zone and whenever it settles."""
    tokyo = START.astimezone(timezone(9 * HOUR))
    await ledger.settle(entry(started_at=tokyo, settled_at=START + 3 * DAY), label_keys=())
    [cell] = await ledger.rollups.read("acme", START - DAY, START + DAY, "model", by_hour=True)
    hour = datetime(2026, 3, 4, 23, tzinfo=UTC)
    assert cell == Cell(hour, hour + HOUR, "small", entry().measures())


async def arrive(ledger: Ledger, settlement: Entry, turn: asyncio.Semaphore) -> Settled:
    """Repeat a settlement until it is known to have arrived, as its callers do, some at a time."""
    while True:
        with suppress(StoreUnavailable):
            async with turn:
                return await ledger.settle(settlement, label_keys={"team"})


async def test_rollups_equal_the_sum_of_entries_under_concurrency_and_repeats(ledger: Ledger) -> None:
    """After concurrent settlements with repeats, every cell is the sum of the entries that belong to it."""
    random = Random(7)
    entries = [
        entry(
            number,
            answering_model=random.choice(["small", "medium", "large"]),
            tier=random.choice(["simple", "complex"]),
            task=random.choice(["", "extract", "chat"]),
            labels={"team": random.choice("ab"), "secret": "x"},
            cost_nano_usd=random.randrange(10**12),
            savings=Savings(routing_nano_usd=random.randrange(-(10**11), 10**11)),
            started_at=START + timedelta(seconds=random.randrange(7200)),
        )
        for number in range(300)
    ]
    repeats = random.sample(entries, 150)
    turn = asyncio.Semaphore(20)
    settled = await asyncio.gather(*(arrive(ledger, each, turn) for each in entries + repeats))
    assert sum(each.duplicate for each in settled) >= len(repeats)
    expected: dict[str, dict[str, tuple[int, ...]]] = defaultdict(dict)
    for each in entries:
        values = {"model": each.answering_model, "tier": each.tier, "label:team": each.labels["team"]}
        for dimension, value in values.items() | ({("task", each.task)} if each.task else set()):
            before = expected[dimension].get(value, (0,) * len(MEASURES))
            expected[dimension][value] = added(before, each.measures())
    for dimension, cells in expected.items():
        assert await sums(ledger, dimension) == cells
    assert await sums(ledger, "label:secret") == {}
    kept = [e for hour in range(3) for e in (await ledger.entries(START + hour * HOUR)).entries]
    assert sorted(e.entry_id for e in kept) == sorted(e.entry_id for e in entries)


@pytest.mark.parametrize("dollars", [99_999, 100_000, 8_900_000])
async def test_sums_are_exact_where_a_number_as_text_would_not_be(ledger: Ledger, dollars: int) -> None:
    """Large sums keep their last nano-dollar, also when negative parts are added."""
    large = entry(
        1, cost_nano_usd=dollars * NANO_PER_USD, savings=Savings(routing_nano_usd=-dollars * NANO_PER_USD)
    )
    small = entry(2, cost_nano_usd=1_000_000_001, savings=Savings(routing_nano_usd=-1))
    await ledger.settle(large, label_keys=())
    await ledger.settle(small, label_keys=())
    assert await sums(ledger, "model") == {"small": added(large.measures(), small.measures())}


async def test_cells_of_another_number_of_measures_are_kept(
    ledger: Ledger, store: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cell from before a measure existed is padded; measures that only newer code knows are not lost."""
    cell = keys.rollup("acme", keys.hour_of(START))
    for name in (cell, cell[:-2]):
        await store.hset(name, "model=small", (5).to_bytes(8, "little"))
    await ledger.settle(entry(1), label_keys=())
    assert await sums(ledger, "model") == {
        "small": added((5,) + (0,) * (len(MEASURES) - 1), entry().measures())
    }
    older = rollups_module.Struct("<1q")
    monkeypatch.setattr(rollups_module, "_PACKED", older)
    monkeypatch.setattr(Entry, "measures", lambda _: (1,))
    await ledger.settle(entry(2), label_keys=())
    monkeypatch.undo()
    assert await sums(ledger, "model") == {
        "small": added((6,) + (0,) * (len(MEASURES) - 1), entry().measures())
    }


async def test_a_recorded_request_is_booked_once_a_tenant_within_eight_days(ledger: Ledger) -> None:
    """A request id counts once a tenant, over midnight and for seven days more, then it is new.

    Also where a replica's clock is a day behind when it repeats the call.
    """
    first = await ledger.settle(entry(1, settled_at=START), label_keys=(), once_per="same")
    assert not first.duplicate
    for days in (-1, 0, 1, 7):
        later = entry(3 + days, settled_at=START + days * DAY)
        assert await ledger.settle(later, label_keys=(), once_per="same") == Settled("e1", duplicate=True)
    other = await ledger.settle(entry(20, tenant="b"), label_keys=(), once_per="same")
    assert not other.duplicate
    much_later = entry(21, settled_at=START + 8 * DAY)
    assert not (await ledger.settle(much_later, label_keys=(), once_per="same")).duplicate
    assert await ledger.tenants() == ["acme", "b"]


async def test_values_beyond_the_daily_limit_count_as_other(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Distinct values of a label are limited by tenant, key and day; known ones still count apart."""
    monkeypatch.setattr(ledger_module, "DISTINCT_VALUES", 2)
    at_midnight = START + timedelta(seconds=1)
    for number, value in enumerate("abcda"):
        await ledger.settle(entry(number, labels={"team": value}), label_keys={"team"})
    await ledger.settle(entry(10, labels={"team": "d"}, tenant="b"), label_keys={"team"})
    await ledger.settle(entry(11, labels={"team": "e"}, started_at=at_midnight), label_keys={"team"})
    counts = {value: measures[0] for value, measures in (await sums(ledger, "label:team")).items()}
    assert counts == {"a": 2, "b": 1, "_other": 2, "e": 1}
    assert set(await sums(ledger, "label:team", "b")) == {"d"}
    assert (await sums(ledger, "model"))["small"][0] == 6


async def test_a_value_that_reached_its_limit_stays_known_in_the_next_hour(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A value let in earlier in the day has its own cell in every later hour of it."""
    monkeypatch.setattr(ledger_module, "DISTINCT_VALUES", 1)
    await ledger.settle(entry(1, task="chat", started_at=START - HOUR), label_keys=())
    await ledger.settle(entry(2, task="code"), label_keys=())
    await ledger.settle(entry(3, task="chat"), label_keys=())
    assert {v: m[0] for v, m in (await sums(ledger, "task")).items()} == {"chat": 2, "_other": 1}


async def test_entries_are_paged_in_their_order_and_the_end_of_an_hour_can_grow(ledger: Ledger) -> None:
    """Reading on from where a page ended gives what is new and nothing twice."""
    for number in range(5):
        await ledger.settle(entry(number), label_keys=())
    first = await ledger.entries(START, count=3)
    rest = await ledger.entries(START, after=first.after, count=3)
    assert [e.entry_id for e in first.entries + rest.entries] == ["e0", "e1", "e2", "e3", "e4"]
    assert (await ledger.entries(START, after=rest.after)).entries == ()
    await ledger.settle(entry(9), label_keys=())
    assert (await ledger.entries(START, after=rest.after)).entries == (entry(9),)


async def test_an_entry_is_found_by_its_attempt(ledger: Ledger) -> None:
    """An attempt leads to its entry on its start day, and to nothing otherwise."""
    for number in range(3):
        await ledger.settle(entry(number), label_keys=())
    assert await ledger.entry_by_attempt("a1", START) == entry(1)
    assert await ledger.entry_by_attempt("a1", START + DAY) is None
    assert await ledger.entry_by_attempt("a7", START) is None


async def test_forgetting_attempts_keeps_entries_and_rollups(ledger: Ledger, store: Redis) -> None:
    """What is forgotten is that a day's attempts and requests were seen; days from the limit on stay."""
    await ledger.settle(entry(1, task="t", settled_at=START), label_keys=(), once_per="r")
    await ledger.settle(entry(2, started_at=START + DAY, settled_at=START + DAY), label_keys=())
    assert await ledger.forget_attempts(date(2026, 3, 4)) == 0
    assert await ledger.forget_attempts(date(2026, 3, 5)) == 1
    assert await ledger.entry_by_attempt("a1", START) is None
    assert await ledger.entry_by_attempt("a2", START + DAY) is not None
    assert (await ledger.entries(START)).entries != ()
    assert len(await sums(ledger, "model")) == 1
    assert await store.smembers(keys.DAYS) == {b"20260305"}


async def test_nothing_of_the_ledger_expires(ledger: Ledger, store: Redis) -> None:
    """No key of the ledger has a time to live, and all live in one slot."""
    await ledger.settle(entry(labels={"team": "a"}), label_keys={"team"}, once_per="r")
    names = [name async for name in store.scan_iter()]
    assert all(name.startswith(b"{ledger}:") for name in names)
    assert {await store.ttl(name) for name in names} == {-1}


async def test_settlements_are_taken_when_memory_is_full(ledger: Ledger, store: Redis) -> None:
    """Money that was spent is booked even where the server takes no other writes."""
    await store.config_set("maxmemory", 1)
    try:
        assert not (await ledger.settle(entry(), label_keys=())).duplicate
    finally:
        await store.config_set("maxmemory", 0)


async def test_a_year_is_read_in_steps_and_in_order(ledger: Ledger) -> None:
    """Whole days come as days, the rest by hours: those that begin in the range."""
    times = [START - 364 * DAY, START - 2 * HOUR, START]
    for number, started_at in enumerate(times):
        await ledger.settle(entry(number, started_at=started_at), label_keys=())
    cells = await ledger.rollups.read("acme", START - 365 * DAY, START, "model")
    hours = [at.replace(minute=0, second=0, microsecond=0) for at in times]
    assert [cell.start for cell in cells] == [hours[0].replace(hour=0), *hours[1:]]
    by_hour = await ledger.rollups.read("acme", START - 365 * DAY, START, "model", by_hour=True)
    assert [(cell.start, cell.end - cell.start) for cell in by_hour] == [(hour, HOUR) for hour in hours]
    exclusive = await ledger.rollups.read("acme", hours[0], hours[-1], "model", by_hour=True)
    assert exclusive == by_hour[:-1]


@pytest.mark.parametrize("dimension", ["model", "task", "label:team"])
async def test_days_and_hours_add_up_to_the_same(ledger: Ledger, dimension: str) -> None:
    """Each value's day is the sum of its hours."""
    for number in range(60):
        which = {
            "answering_model": f"m{number % 3}",
            "task": f"t{number % 4}",
            "labels": {"team": f"{number % 5}"},
        }
        await ledger.settle(entry(number, started_at=START - number * HOUR, **which), label_keys={"team"})
    first = START.replace(hour=0, minute=0, second=0, microsecond=0) - 2 * DAY
    whole: dict[tuple[datetime, str], tuple[int, ...]] = {}
    for cell in await ledger.rollups.read("acme", first, first + 3 * DAY, dimension, by_hour=True):
        key = (cell.start.replace(hour=0), cell.value)
        whole[key] = added(whole.get(key, (0,) * len(MEASURES)), cell.measures)
    days = await ledger.rollups.read("acme", first, first + 3 * DAY, dimension)
    assert {(cell.start, cell.value): cell.measures for cell in days} == whole
    assert {cell.end - cell.start for cell in days} == {DAY}


async def test_a_label_key_with_pattern_characters_reads_only_its_own_values(ledger: Ledger) -> None:
    """Characters that mean something in a server's pattern are taken literally."""
    labels = {"t*[a]?": "mine", "tx[a]y": "other"}
    await ledger.settle(entry(labels=labels), label_keys=labels.keys())
    assert set(await sums(ledger, "label:t*[a]?")) == {"mine"}


@given(
    text=st.fixed_dictionaries(
        dict.fromkeys(("request_id", "task", "speed", "state", "raw_usage_json"), TEXT)
    ),
    labels=st.dictionaries(TEXT, TEXT, max_size=3),
    usage=st.builds(Usage, input_tokens=COUNT, output_tokens=COUNT, web_search_count=COUNT),
    savings=st.builds(Savings, caller_nano_usd=MONEY, batch_nano_usd=MONEY),
    levers=st.lists(st.builds(LeverSaving, TEXT, MONEY), max_size=3).map(tuple),
    at=st.datetimes(timezones=st.just(UTC)),
)
def test_an_entry_reads_back_equal(
    text: dict[str, str],
    labels: dict[str, str],
    usage: Usage,
    savings: Savings,
    levers: tuple[LeverSaving, ...],
    at: datetime,
) -> None:
    """Encoding loses nothing, whatever the texts, the amounts and the microsecond."""
    original = entry(**text, labels=labels, usage=usage, savings=savings, levers=levers, started_at=at)
    assert entry_codec.decode(entry_codec.encode(original)) == original


def test_an_entry_of_a_newer_version_is_refused() -> None:
    """Bytes that this code does not understand are an error, not a wrong entry."""
    newer = entry_codec.encode(entry()).replace(b'"v":1', b'"v":2')
    with pytest.raises(ValueError, match="version 2"):
        entry_codec.decode(newer)
