"""Tests of the audit: clean after a mixed load, also while it runs, and each kind of damage is found."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from redis.asyncio import Redis

from costsvc.config import load_catalog_files
from costsvc.core.auditing import Kind
from costsvc.core.budget import Kind as Scoped
from costsvc.core.budget import Scope
from costsvc.core.errors import StoreUnavailable
from costsvc.core.opening import Opening
from costsvc.core.usage import Usage
from costsvc.core.windows import Calendar, Rolling, Unit
from costsvc.store import keys
from costsvc.store.audit import Audit, audit
from costsvc.store.charges import charge_of
from costsvc.store.hold_call import Held
from tests.store.money import Bench, amounts, budget, entry, opening

CATALOG = load_catalog_files()
NOW = datetime.now(UTC).replace(minute=30)
HOUR = timedelta(hours=1)
TEAMS = ("a", "b", "c d:e\nf")


async def audited(store: Redis) -> Audit:
    """Return an audit of the store."""
    return await audit(store, CATALOG, owner="auditor")


async def findings(store: Redis) -> list[tuple[Kind, str, str, int]]:
    """Return what an audit finds: kind, where, what, and by how much too much is kept."""
    return [(f.kind, f.where, f.what, f.kept - f.expected) for f in (await audited(store)).findings]


def began(number: int, random: Random) -> Opening:
    """Return an attempt of the last hours."""
    return opening(
        f"a{number}",
        tenant=random.choice(["acme", "b"]),
        model=random.choice(["small", "large"]),
        task=random.choice(["", "faq"]),
        labels={"team": random.choice(TEAMS), "other": "x"},
        started_at=NOW - random.randrange(30) * HOUR,
    )


async def one_call(bench: Bench, random: Random, number: int) -> None:
    """Hold, and then settle, release, lose, lose and settle, lose and resolve, or go on."""
    attempt = began(number, random)
    if not isinstance(await bench.hold(attempt, amounts(50, 90)), Held):
        return
    charges = tuple(charge_of(each) for each in bench.applications(attempt))
    settled = entry(attempt, random.randrange(1, 80), charges=charges)
    kind = random.randrange(8)
    if kind in {3, 4, 5}:
        await bench.holds.lose(attempt.attempt_id, attempt.started_at, lower_nano_usd=7, reason="broke")
    if kind in {0, 1, 3}:
        await bench.ledger.settle(settled, label_keys={"team"})
        await bench.ledger.settle(settled, label_keys={"team"})
    elif kind == 2:
        await bench.holds.release(attempt.attempt_id, attempt.started_at)
    elif kind == 4:
        await bench.holds.resolve(attempt.attempt_id, attempt.started_at)


async def load(bench: Bench, count: int, *, first: int = 0, seed: int = 3) -> None:
    """Make calls of every kind, ten at a time; one that waits for the store in vain ends wherever it is."""
    random = Random(seed)

    async def call(number: int) -> None:
        with suppress(StoreUnavailable):
            await one_call(bench, random, number)

    for start in range(first, first + count, 10):
        await asyncio.gather(*(call(number) for number in range(start, start + 10)))


@pytest.fixture
async def bench(store: Redis) -> Bench:
    """Give a process whose budgets are of every kind, some defined after the first calls."""
    bench = Bench(store)
    limit = 10**9
    since = NOW - timedelta(minutes=1)
    await bench.define(budget("all", limit_nano_usd=limit), created_at=since)
    await bench.define(
        budget("month", limit_nano_usd=limit, window=Calendar(Unit.MONTH, "Asia/Tokyo")),
        budget("rolling", limit_nano_usd=limit, window=Rolling(timedelta(days=2))),
        budget("tenants", limit_nano_usd=limit, scope=Scope(Scoped.EACH_TENANT)),
        budget("teams", limit_nano_usd=limit, scope=Scope(Scoped.EACH_LABEL, "team")),
    )
    await bench.define(
        budget("late", limit_nano_usd=limit, window=Rolling(timedelta(hours=5))), created_at=since
    )
    return bench


async def test_an_empty_store_is_clean(store: Redis) -> None:
    """Where nothing is, nothing is wrong."""
    assert (await audited(store)).findings == ()


async def test_a_mixed_load_leaves_a_clean_store(bench: Bench, store: Redis) -> None:
    """Settled, released, lost, resolved and running calls, repeats and templates: everything adds up."""
    await load(bench, 400)
    found = await audited(store)
    assert found.findings == ()
    assert found.entry_count > 100
    assert min(found.cell_count, found.balance_count, found.risk_count, found.held_count) > 10


async def test_what_a_budget_began_with_is_explained(bench: Bench, store: Redis) -> None:
    """The ledger's sum from before a definition, of entries that do not name the balance, is its base."""
    early = opening("early", started_at=NOW.replace(minute=0))
    await bench.ledger.settle(entry(early, 1_000), label_keys={"team"})
    await settled(bench)
    found = await audited(store)
    assert found.findings == ()
    assert found.based_nano_usd == 2_000  # of the two budgets that are younger than their windows
    for budget_id in ("all", "late"):
        assert (await bench.balance(budget_id, at=NOW)).spent_nano_usd == 1_040


async def test_an_audit_is_clean_while_calls_go_on(bench: Bench, store: Redis) -> None:
    """Sums are compared with exactly the entries that are in them, however many come meanwhile."""
    await load(bench, 100)
    calls = asyncio.ensure_future(load(bench, 600, first=100, seed=4))
    audits = 0
    while not calls.done():
        assert (await audited(store)).findings == ()
        audits += 1
    await calls
    assert audits > 0


async def settled(bench: Bench) -> Opening:
    """Settle one attempt, and return it."""
    attempt = opening("one", task="faq", labels={"team": "a"}, started_at=NOW)
    assert isinstance(await bench.hold(attempt, amounts(50, 90)), Held)
    charges = tuple(charge_of(each) for each in bench.applications(attempt))
    await bench.ledger.settle(entry(attempt, 40, charges=charges), label_keys={"team"})
    return attempt


async def cell_changed(store: Redis, key: str, field: str) -> None:
    """Add 1 to the cost in a cell."""
    packed = bytearray(await store.hget(key, field) or b"")
    packed[8] += 1
    await store.hset(key, field, bytes(packed))


TODAY, THIS_HOUR = keys.day_of(NOW), keys.hour_of(NOW)
DAY_TEXT = f"{NOW:%Y-%m-%d}"


@pytest.mark.parametrize(
    ("key", "field", "where"),
    [
        (keys.rollup("acme", TODAY), "model=small", f"acme {DAY_TEXT} model=small"),
        (keys.rollup("acme", THIS_HOUR), "tier=simple", f"acme {DAY_TEXT}T{NOW:%H} tier=simple"),
        (keys.rollup_values("acme", TODAY), "task=faq", f"acme {DAY_TEXT} task=faq"),
        (keys.rollup_values("acme", THIS_HOUR), "label:team=a", f"acme {DAY_TEXT}T{NOW:%H} label:team=a"),
    ],
)
async def test_a_wrong_rollup_is_found(bench: Bench, store: Redis, key: str, field: str, where: str) -> None:
    """A cell that is off by one is named, with its measure and by how much."""
    await settled(bench)
    await cell_changed(store, key, field)
    assert await findings(store) == [(Kind.ROLLUP, where, "cost_nano_usd", 1)]


async def test_a_lost_cell_is_found(bench: Bench, store: Redis) -> None:
    """What should be in a cell that is gone is missed."""
    await settled(bench)
    await store.hdel(keys.rollup_values("acme", THIS_HOUR), "task=faq")
    found = await findings(store)
    assert {(kind, where) for kind, where, *_ in found} == {
        (Kind.ROLLUP, f"acme {DAY_TEXT}T{NOW:%H} task=_other")
    }


@pytest.mark.parametrize(
    ("budget_id", "field", "what"),
    [
        ("all", "spent", {"spent"}),
        ("month", "at_risk", {"at_risk"}),
        ("tenants", "q", {"q"}),
        ("teams", "w", {"w"}),
        ("rolling", "spent", {"spent"}),
    ],
)
async def test_a_wrong_balance_is_found(
    bench: Bench, store: Redis, budget_id: str, field: str, what: set[str]
) -> None:
    """Each sum of a balance is checked."""
    await settled(bench)
    [member] = await store.zrange(keys.balances(budget_id), 0, -1)
    await store.hincrby(keys.balance(budget_id, member.decode()), field, 5)
    found = await findings(store)
    assert found == [(Kind.BALANCE, f"{budget_id} {member.decode()}", name, 5) for name in what]


async def test_a_lost_balance_is_found(bench: Bench, store: Redis) -> None:
    """A balance that entries name is missed, with its hash, and with its place in the index."""
    await settled(bench)
    [member] = await store.zrange(keys.balances("tenants"), 0, -1)
    await store.delete(keys.balance("tenants", member.decode()))
    for _ in range(2):
        assert await findings(store) == [(Kind.BALANCE, f"tenants {member.decode()}", "spent", -40)]
        await store.zrem(keys.balances("tenants"), member)


async def test_wrong_sums_of_risks_are_found(bench: Bench, store: Redis) -> None:
    """Count, bounds and index are those of the risks."""
    attempt = opening("lost", started_at=NOW)
    await bench.hold(attempt, amounts(50, 90))
    await bench.holds.lose("lost", NOW, lower_nano_usd=7, reason="broke")
    assert await findings(store) == []
    await store.hincrby(keys.AT_RISK_SUMS, "acme:upper", 2)
    await store.zadd(keys.AT_RISK_INDEX, {"acme:1:other": 0})
    assert await findings(store) == [(Kind.AT_RISK, "acme", "upper", 2), (Kind.AT_RISK, "all", "index", 1)]


async def test_tokens_without_a_cost_are_found(bench: Bench, store: Redis) -> None:
    """An entry of another catalogue cannot be priced, but tokens are never free, unless a refusal's."""
    free = entry(opening("free", started_at=NOW), 0)
    await bench.ledger.settle(free, label_keys=())
    refusal = entry(opening("refused", started_at=NOW), 0, stop_reason="refusal", usage=Usage(input_tokens=3))
    await bench.ledger.settle(refusal, label_keys=())
    assert await findings(store) == [(Kind.FREE, "acme e-free", "cost_nano_usd", -1)]


async def test_a_cost_that_is_not_that_of_its_usage_is_found(bench: Bench, store: Redis) -> None:
    """Entries of the catalogue at hand are priced again, exactly, and what rounding added is summed."""
    model = CATALOG.resolve("claude-haiku-5-5").id
    usage = '{"input_tokens": 3, "output_tokens": 0, "cache_read_input_tokens": 1}'
    values = {"answering_model": model, "raw_usage_json": usage, "catalog_hash": CATALOG.hash}
    first = entry(opening("right", started_at=NOW), 1, **values)
    await bench.ledger.settle(first, label_keys=())
    [finding] = (await audited(store)).findings
    assert (finding.kind, finding.kept) == (Kind.PRICE, 1)
    await store.flushdb()
    await bench.ledger.settle(replace(first, cost_nano_usd=finding.expected), label_keys=())
    found = await audited(store)
    assert found.findings == ()
    assert found.exact_count == 1
    assert 0 <= found.rounding_pico_usd < 1_000


async def test_an_entry_that_stands_twice_is_found(bench: Bench, store: Redis) -> None:
    """Whatever sums say, an entry is there once."""
    await settled(bench)
    row = await store.lindex(keys.entries(THIS_HOUR), -1)
    await store.rpush(keys.entries(THIS_HOUR), row)
    kinds = {kind for kind, *_ in await findings(store)}
    assert kinds == {Kind.TWICE, Kind.ROLLUP, Kind.BALANCE}


async def test_entries_that_no_index_has_are_found(bench: Bench, store: Redis) -> None:
    """An hour that no list names would never be sealed, and a tenant's rollups never checked."""
    await settled(bench)
    await store.srem(keys.HOURS, THIS_HOUR)
    await store.srem(keys.TENANTS, "acme")
    assert await findings(store) == [
        (Kind.UNLISTED, THIS_HOUR, "hour", -1),
        (Kind.UNLISTED, "acme", "tenant", -1),
    ]
