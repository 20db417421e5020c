"""Tests of definitions and of what budgets count, against a real server."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from costsvc.core.budget import DEFAULT_THRESHOLDS_PERMILLE, Budget, Kind, Mode, Scope
from costsvc.core.holds import Balance
from costsvc.core.request import Tier
from costsvc.core.windows import Calendar, Rolling, Unit, window_at
from costsvc.store import keys
from costsvc.store.charges import charge_of
from costsvc.store.connection import open_store
from costsvc.store.hold_call import Held, Refused, Stale, Unseeded
from tests.store.money import AT, LABEL_KEYS, LONG_AGO, Bench, amounts, budget, entry, opening

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def bench(store: Redis) -> Bench:
    """Give one process's view of an empty store."""
    return Bench(store)


DEFINITIONS = st.builds(
    Budget,
    id=st.from_regex(r"[a-z0-9._-]{1,64}", fullmatch=True),
    scope=st.builds(Scope, st.sampled_from(Kind), st.text(max_size=5), st.text(max_size=5)),
    window=st.one_of(
        st.builds(Calendar, st.sampled_from(Unit), st.sampled_from(["UTC", "Asia/Kolkata"])),
        st.builds(Rolling, st.integers(1, 500_000).map(lambda minutes: timedelta(minutes=minutes))),
    ),
    limit_nano_usd=st.integers(1, 9 * 10**15),
    mode=st.sampled_from(Mode),
    strict=st.booleans(),
    overshoot_permille=st.integers(0, 1000),
    thresholds_permille=st.just(DEFAULT_THRESHOLDS_PERMILLE),
    cap_tier=st.sampled_from([None, *Tier]),
)


@given(st.lists(DEFINITIONS, max_size=5, unique_by=lambda each: each.id))
async def test_definitions_come_back_as_they_were_put(valkey, budgets):
    """Whatever a definition says, the store gives it back, alone, listed and loaded."""
    client = open_store(valkey)
    await client.flushdb()
    book = Bench(client).book
    for each in budgets:
        await book.put(each, created_at=AT)
    assert [await book.get(each.id) for each in budgets] == budgets
    assert list(await book.list()) == sorted(budgets, key=lambda each: each.id)
    version, definitions = await book.load()
    assert version == await book.version()
    assert {each for group in definitions.by_scope.values() for each in group} == set(budgets)
    await client.aclose()


async def test_every_change_raises_the_version(bench: Bench) -> None:
    """A definition that is put again, or removed, makes what was loaded before stale."""
    await bench.define(budget())
    versions = [bench.version]
    for limit in (5, 6):
        await bench.book.put(budget(limit_nano_usd=limit), created_at=AT)
        versions.append(await bench.book.version())
    assert await bench.book.created_at("b") == LONG_AGO
    assert await bench.book.delete("b")
    versions.append(await bench.book.version())
    assert not await bench.book.delete("b")
    assert versions == sorted(set(versions))
    assert (await bench.book.get("b"), await bench.book.created_at("b")) == (None, None)
    assert await bench.ask(opening("a"), amounts(1)) == Stale()


async def test_lowering_and_raising_a_limit_takes_effect_at_once(bench: Bench) -> None:
    """The next hold after a change meets the new limit; what was spent stays."""
    await bench.define(budget())
    assert isinstance(await bench.hold(opening("a"), amounts(600)), Held)
    await bench.ledger.settle(entry(opening("a"), 600), label_keys=())
    await bench.book.put(budget(limit_nano_usd=600), created_at=AT)
    refused = await bench.hold(opening("b"), amounts(1))
    assert isinstance(refused, Refused)
    assert refused.balance == Balance(spent_nano_usd=600)
    await bench.book.put(budget(limit_nano_usd=601), created_at=AT)
    assert isinstance(await bench.hold(opening("b"), amounts(1)), Held)
    assert await bench.balance() == Balance(spent_nano_usd=600, sum_q_nano_usd=1, sum_w_nano_usd=1)


async def test_a_new_budget_starts_from_what_its_window_has_cost(bench: Bench) -> None:
    """Entries of the window count, those before it and of others do not; the first hold asks for them."""
    for number, (tenant, started_at) in enumerate(
        [("acme", AT), ("acme", AT - HOUR), ("acme", AT - DAY), ("other", AT)]
    ):
        began = opening(f"old{number}", tenant=tenant, started_at=started_at)
        await bench.ledger.settle(entry(began, 10**number), label_keys=())
    await bench.define(budget(scope=Scope(Kind.EACH_TENANT)), created_at=AT)
    assert await bench.ask(opening("a"), amounts(1)) == Unseeded((0,))
    assert isinstance(await bench.hold(opening("a"), amounts(1)), Held)
    balance = await bench.balance(instance="acme")
    assert balance == Balance(spent_nano_usd=11, sum_q_nano_usd=1, sum_w_nano_usd=1)


SCOPES = [
    (Scope(Kind.EVERYTHING), "", 1111),
    (Scope(Kind.TENANT, "", "acme"), "acme", 1011),
    (Scope(Kind.MODEL, "", "small"), "small", 1101),
    (Scope(Kind.EACH_LABEL, "team"), "a:b c", 1110),
    (Scope(Kind.LABEL, "team", "a:b c"), "a:b c", 1110),
]


@pytest.mark.parametrize(("scope", "instance", "expected"), SCOPES)
@pytest.mark.parametrize(
    "window", [Calendar(Unit.DAY), Calendar(Unit.HOUR, "Asia/Kolkata"), Rolling(6 * HOUR)]
)
async def test_seeding_counts_what_the_scope_adds_up(bench, scope, instance, expected, window):
    """Rollups and the entries of a partial first hour agree on every scope; half-hour zones begin at half."""
    team = {"team": "a:b c"}
    earlier = [
        ("acme", "small", {}, AT + timedelta(minutes=1)),
        ("acme", "large", team, AT + timedelta(minutes=2)),
        ("other", "small", team, AT + timedelta(minutes=3)),
        ("acme", "small", team, AT + timedelta(minutes=31)),
    ]
    now = AT + timedelta(minutes=45)  # in the zone, the hour began at AT
    for number, (tenant, model, labels, started_at) in enumerate(earlier):
        began = opening(f"o{number}", tenant=tenant, model=model, labels=labels, started_at=started_at)
        await bench.ledger.settle(entry(began, 10**number), label_keys=LABEL_KEYS)
    before = opening("before", labels=team, started_at=window_at(window, now).start - timedelta(seconds=1))
    await bench.ledger.settle(entry(before, 10**6), label_keys=LABEL_KEYS)
    await bench.define(budget(scope=scope, window=window, limit_nano_usd=10**9), created_at=now)
    began = opening("new", labels=team, started_at=now)
    assert isinstance(await bench.hold(began, amounts(5)), Held)
    balance = await bench.balance(at=now, instance=instance)
    assert balance == Balance(spent_nano_usd=expected, sum_q_nano_usd=5, sum_w_nano_usd=5)


async def test_seeding_happens_once_and_not_over_a_bill(bench: Bench) -> None:
    """A sum changes nothing once a bill, another process or another definition has come before it."""
    await bench.define(budget(), created_at=AT)
    [application] = bench.applications(opening("a"))
    stale = await bench.ledger.spent(application, AT)
    late = entry(opening("late"), 7, charges=(charge_of(application),))
    await bench.ledger.settle(late, label_keys=())
    assert not await bench.holds.seed(application, stale, version=bench.version)
    fresh = await bench.ledger.spent(application, AT + HOUR)
    assert fresh.nano_usd == 7
    assert not await bench.holds.seed(application, fresh, version=bench.version - 1)
    assert await bench.holds.seed(application, fresh, version=bench.version)
    assert not await bench.holds.seed(application, fresh, version=bench.version)
    assert await bench.balance() == Balance(spent_nano_usd=7)


async def test_a_budget_that_counts_something_else_starts_from_the_ledger(bench: Bench) -> None:
    """A longer window, or a budget that was removed and came back, misses nothing that was spent."""
    await bench.define(budget())
    await bench.hold(opening("a"), amounts(5))
    await bench.ledger.settle(entry(opening("a"), 5), label_keys=())
    yesterday = opening("y", started_at=AT - DAY)
    await bench.ledger.settle(entry(yesterday, 20), label_keys=())
    await bench.book.put(budget(window=Calendar(Unit.MONTH)), created_at=AT)
    assert isinstance(await bench.hold(opening("b"), amounts(1)), Held)
    assert (await bench.balance()).spent_nano_usd == 25
    await bench.book.delete("b")
    await bench.load()
    await bench.ledger.settle(entry(opening("c"), 100), label_keys=())
    await bench.define(budget(window=Calendar(Unit.MONTH)), created_at=AT + HOUR)
    assert isinstance(await bench.hold(opening("d"), amounts(1)), Held)
    assert await bench.balance() == Balance(spent_nano_usd=125, sum_q_nano_usd=2, sum_w_nano_usd=2)


@pytest.mark.parametrize("is_seeded_first", [True, False])
@pytest.mark.parametrize("is_lost", [True, False])
async def test_a_call_under_way_when_a_budget_is_defined_counts_once(bench, is_seeded_first, is_lost):
    """Its entry names the budgets of its settlement: either the first balance has it, or it is added."""
    await bench.define(budget("old"))
    running = opening("running")
    await bench.hold(running, amounts(10))
    if is_lost:
        await bench.holds.lose("running", AT, reason="cut")
    await bench.define(budget("new"), created_at=AT)
    if is_seeded_first:
        await bench.hold(opening("other"), amounts(1))
    charges = tuple(charge_of(each) for each in bench.applications(running))
    assert len(charges) == 2
    await bench.ledger.settle(entry(running, 7, charges=charges), label_keys=())
    await bench.hold(opening("other"), amounts(1))
    for budget_id in ("old", "new"):
        balance = await bench.balance(budget_id)
        assert balance == Balance(spent_nano_usd=7, sum_q_nano_usd=1, sum_w_nano_usd=1)


@pytest.mark.parametrize("window", [Calendar(Unit.DAY), Rolling(HOUR)])
async def test_sweeping_removes_old_windows_only(
    bench: Bench, store: Redis, window: Calendar | Rolling
) -> None:
    """Balances of windows that ended before go with their index, those of later windows stay."""
    await bench.define(budget(window=window, scope=Scope(Kind.EACH_TENANT)))
    for number, tenant in enumerate(["first", "second", "acme"]):
        await bench.hold(opening(f"o{number}", tenant=tenant, started_at=AT - 9 * DAY), amounts(1))
    await bench.hold(opening("new"), amounts(1))
    rest = 1 if isinstance(window, Calendar) else 0  # a rolling window goes on
    assert await bench.book.sweep_windows(AT - 8 * DAY, count=1) == 2 + rest, "however many there are"
    assert await bench.book.sweep_windows(AT - 8 * DAY) == 0
    assert len(await store.keys(f"{keys.BALANCE}*")) == 1
    assert (await bench.balance(instance="acme")).sum_q_nano_usd >= 1


async def test_a_listing_is_bounded_and_knows_its_window(bench: Bench) -> None:
    """Instances come sorted, each with its text unquoted, and none of another window."""
    names = ["b c", "a:b", "ü\n", "x/y"]
    await bench.define(budget(scope=Scope(Kind.EACH_LABEL, "team")))
    for number, name in enumerate(names):
        for at in (AT, AT - DAY):
            began = opening(f"{number}-{at:%d}", labels={"team": name}, started_at=at)
            assert isinstance(await bench.hold(began, amounts(number)), Held)
    found = await bench.book.balances("b", AT)
    assert [(name, row.sum_q_nano_usd) for name, _, row in found] == sorted(
        (n, i) for i, n in enumerate(names)
    )
    assert {key for _, key, _ in found} == {window_at(Calendar(Unit.DAY), AT).key}
    assert await bench.book.balances("none", AT) == []
