"""Tests of holds and of what becomes of them, against a real server and the arithmetic of `core.holds`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from redis.asyncio import Redis

from costsvc.core.budget import Kind, Mode, Scope
from costsvc.core.errors import StoreUnavailable
from costsvc.core.holds import Balance, Hold, admits
from costsvc.core.money import NANO_PER_USD
from costsvc.core.opening import Opening
from costsvc.core.windows import Calendar, Rolling, Unit
from costsvc.store import keys
from costsvc.store.charges import charge_of
from costsvc.store.hold_call import Held, Refused, Stale, Unseeded
from costsvc.store.ledger import Settled
from tests.store.money import AT, DAY, Bench, amounts, budget, entry, opening

HOUR = timedelta(hours=1)
WINDOWS = [DAY, Rolling(timedelta(days=1)), Calendar(Unit.HOUR, "Asia/Kolkata")]


@pytest.fixture
def bench(store: Redis) -> Bench:
    """Give one process's view of an empty store."""
    return Bench(store)


async def arrived(once: Callable[[], Any]) -> Any:
    """Repeat until the store answers, as callers do."""
    while True:
        try:
            return await once()
        except StoreUnavailable:
            await asyncio.sleep(0)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("seed", range(6))
async def test_any_order_of_ends_equals_the_model(bench: Bench, window: Any, seed: int) -> None:
    """Holds, releases, bills, risks and their ends, in any order and repeated, add up as the model says."""
    random = Random(seed)
    limit, overshoot = 10_000, 500
    await bench.define(budget(window=window, limit_nano_usd=limit, strict=False))
    model, held, lost = Balance(), {}, {}
    for number in range(120):
        began = opening(f"a{number}")
        bill, q, w = sorted(random.randrange(900) for _ in range(3))
        asked = Hold(q_nano_usd=q, w_nano_usd=w)
        outcome = await arrived(lambda began=began, asked=asked: bench.hold(began, asked))
        assert isinstance(outcome, Held) is admits(
            model, asked, limit_nano_usd=limit, overshoot_nano_usd=overshoot
        )
        if isinstance(outcome, Held):
            model, held[began.attempt_id] = model.held(asked), (began, asked, bill)
        else:
            assert outcome.balance == model
        for _ in range(random.randrange(3)):
            model = await one_end(bench, random, model, held, lost)
        assert await bench.balance() == model
        assert model.spent_nano_usd + model.at_risk_nano_usd <= limit + overshoot
    risks = await bench.holds.at_risk(count=1_000)
    assert {row.attempt_id for row in risks.rows} == set(lost)
    upper = sum(asked.most_nano_usd for _, asked, _ in lost.values())
    assert await bench.holds.at_risk_sums("acme") == (len(lost), len(lost), upper)


async def one_end(bench: Bench, random: Random, model: Balance, held: Any, lost: Any) -> Balance:
    """End one hold or one risk, sometimes twice; return the model after it."""
    end = random.choice(["release", "settle", "lose", "late", "nothing"])
    source = lost if end in {"late", "nothing"} else held
    if not source:
        return model
    attempt_id = random.choice(sorted(source))
    began, asked, bill = source.pop(attempt_id)
    for _ in range(random.choice([1, 2])):
        if end in {"settle", "late"}:
            await arrived(lambda: bench.ledger.settle(entry(began, bill), label_keys=()))
        elif end == "release":
            await arrived(lambda: bench.holds.release(attempt_id, AT))
        elif end == "lose":
            await arrived(lambda: bench.holds.lose(attempt_id, AT, lower_nano_usd=1, reason="cut"))
        else:
            await arrived(lambda: bench.holds.resolve(attempt_id, AT))
    if end == "lose":
        lost[attempt_id] = (began, asked, bill)
    ends = {
        "release": lambda: model.released(asked),
        "settle": lambda: model.settled(asked, bill),
        "lose": lambda: model.lost(asked),
        "late": lambda: model.resolved(asked, bill),
        "nothing": lambda: model.resolved(asked, 0),
    }
    return ends[end]()


async def test_a_rolling_window_forgets_bucket_by_bucket(bench: Bench, store: Redis) -> None:
    """What counts at any time is what the last duration cost, at most one bucket more, whatever ends when."""
    await bench.define(budget(window=Rolling(HOUR), limit_nano_usd=10**9))
    spent: list[tuple[datetime, int]] = []
    random, now = Random(3), AT
    for number in range(80):
        now += timedelta(seconds=random.choice([1, 20, 90, 600, 4_000 if number % 20 == 0 else 5]))
        began = opening(f"a{number}", started_at=now)
        assert isinstance(await bench.hold(began, amounts(number)), Held)
        if number % 3 == 0:
            await bench.holds.lose(began.attempt_id, now, reason="cut")
        else:
            await bench.ledger.settle(entry(began, number), label_keys=())
        spent.append((now.replace(second=0), number))
        oldest = now.replace(second=0) - HOUR
        balance = await bench.balance(at=now)
        known = balance.spent_nano_usd + balance.at_risk_nano_usd
        assert known == sum(amount for at, amount in spent if at >= oldest)
        sums = await store.hmget(*await store.keys(f"{keys.BALANCE}*"), ["spent", "at_risk"])
        assert sum(int(each or 0) for each in sums) == known
    late = opening("a75", started_at=AT)  # an end whose bucket is long gone changes nothing
    before = await bench.balance(at=now)
    charge = charge_of(bench.applications(late)[0])
    await bench.ledger.settle(entry(opening("late", started_at=AT), 99, charges=(charge,)), label_keys=())
    assert await bench.balance(at=now) == before


async def test_a_burst_of_twenty_with_room_for_five_lets_five_by(store: Redis) -> None:
    """However many processes ask at once, a strict budget admits exactly what it has room for."""
    replicas = [Bench(store, f"replica{number}") for number in range(3)]
    await replicas[0].define(budget(limit_nano_usd=599))
    outcomes = await asyncio.gather(
        *(replicas[number % 3].hold(opening(f"a{number}"), amounts(100)) for number in range(20))
    )
    assert sum(isinstance(each, Held) for each in outcomes) == 5
    assert await replicas[0].balance() == Balance(sum_q_nano_usd=500, sum_w_nano_usd=500)


async def test_a_thousand_first_seen_tenants_never_overspend_a_template(bench: Bench) -> None:
    """Each tenant's first calls come at once, and each gets its own budget of two calls from the first."""
    await bench.define(budget(scope=Scope(Kind.EACH_TENANT), limit_nano_usd=250), created_at=AT)

    async def call(tenant: int, number: int) -> bool:
        began = opening(f"{tenant}-{number}", tenant=f"t{tenant}")
        async with gate:
            return isinstance(await arrived(lambda: bench.hold(began, amounts(100))), Held)

    gate = asyncio.Semaphore(64)
    calls = [call(tenant, number) for number in range(4) for tenant in range(1_000)]
    assert sum(await asyncio.gather(*calls)) == 2_000
    found = [balance.sum_w_nano_usd for _, _, balance in await bench.book.balances("b", AT)]
    assert found == [200] * 1_000


@pytest.mark.parametrize("usd", [99_999, 100_001, 8_900_000])
@pytest.mark.parametrize("window", WINDOWS)
async def test_money_is_exact_to_the_nano_at_any_size(bench: Bench, usd: int, window: Any) -> None:
    """One nano-USD more than there is room for is refused, one less is not, and every sum is exact."""
    limit = usd * NANO_PER_USD + 7
    await bench.define(budget(window=window, limit_nano_usd=limit))
    await bench.hold(opening("a"), amounts(limit - 3))
    await bench.ledger.settle(entry(opening("a"), limit - 3), label_keys=())
    assert isinstance(await bench.hold(opening("b"), amounts(4)), Refused)
    assert isinstance(await bench.hold(opening("b"), amounts(2)), Held)
    assert isinstance(await bench.hold(opening("c"), amounts(1)), Held)
    assert isinstance(await bench.hold(opening("d"), amounts(1)), Refused)
    await bench.holds.lose("b", AT, reason="cut", lower_nano_usd=1)
    assert await bench.balance() == Balance(
        spent_nano_usd=limit - 3, at_risk_nano_usd=2, sum_q_nano_usd=1, sum_w_nano_usd=1
    )


async def test_a_large_risk_is_exact(bench: Bench) -> None:
    """Bounds at risk of $8.9 million come back to the nano."""
    large = 8_900_000 * NANO_PER_USD + 1
    await bench.define(budget(limit_nano_usd=large))
    assert isinstance(await bench.hold(opening("a"), amounts(large)), Held)
    assert await bench.holds.lose("a", AT, reason="cut", lower_nano_usd=large - 1)
    [risk] = (await bench.holds.at_risk()).rows
    assert (risk.lower_nano_usd, risk.upper_nano_usd, risk.opening) == (large - 1, large, opening("a"))
    assert await bench.holds.at_risk_sums("acme") == (1, large - 1, large)


async def test_a_refused_hold_changes_nothing_anywhere(bench: Bench, store: Redis) -> None:
    """Where one of several budgets has no room, none of them, and no record, knows of the call."""
    await bench.define(
        budget("a"), budget("b", limit_nano_usd=50), budget("c", scope=Scope(Kind.EACH_TENANT))
    )
    before = {key: await store.dump(key) for key in await store.keys()}
    refused = await bench.ask(opening("x"), amounts(60))
    assert refused == Refused(index=1, balance=Balance())
    assert {key: await store.dump(key) for key in await store.keys()} == before
    assert isinstance(await bench.ask(opening("x"), amounts(50)), Held)


async def test_soft_and_shadow_budgets_say_that_they_are_full_and_count(bench: Bench) -> None:
    """Neither refuses; both count what passes."""
    await bench.define(
        budget("hard", limit_nano_usd=10_000),
        budget("shadow", mode=Mode.SHADOW),
        budget("soft", mode=Mode.SOFT),
    )
    assert await bench.ask(opening("x"), amounts(1_000)) == Held()
    outcome = await bench.ask(opening("y"), amounts(1))
    assert outcome == Held(soft_full=("soft",), shadow_refused=("shadow",))
    assert (await bench.balance("shadow")).sum_q_nano_usd == 1_001


async def test_a_hold_is_made_once_however_often_it_is_asked(bench: Bench) -> None:
    """A repeated hold counts once; one whose attempt has ended is not made again."""
    await bench.define(budget())
    for _ in range(3):
        assert await bench.ask(opening("a"), amounts(400)) == Held()
    assert (await bench.balance()).sum_q_nano_usd == 400
    await bench.holds.lose("a", AT, reason="cut")
    with pytest.raises(StoreUnavailable):
        await bench.ask(opening("a"), amounts(400))


async def test_a_late_server_and_old_definitions_do_nothing(bench: Bench, store: Redis) -> None:
    """A server that wakes up after `not_after` holds nothing, and neither does one with newer definitions."""
    await bench.define(budget())
    before = await store.keys()
    with pytest.raises(StoreUnavailable):
        await bench.ask(opening("a"), amounts(1), not_after=datetime.now(UTC) - timedelta(seconds=1))
    assert await bench.ask(opening("a"), amounts(1), version=bench.version - 1) == Stale()
    assert await store.keys() == before


async def test_an_owner_asserts_its_holds_in_a_store_that_lost_them(bench: Bench, store: Redis) -> None:
    """A hold of an attempt under way is made whatever the limit, once, and not after the attempt's end."""
    await bench.define(budget(), created_at=AT)
    for _ in range(2):
        assert await bench.hold_again(opening("a"), amounts(5_000))
    assert isinstance(await bench.ask(opening("b"), amounts(1)), Unseeded)
    assert isinstance(await bench.hold(opening("b"), amounts(1)), Refused)
    assert await bench.balance() == Balance(sum_q_nano_usd=5_000, sum_w_nano_usd=5_000)
    assert await store.sismember(keys.holds("one"), f"{keys.day_of(AT)}:a")
    await bench.ledger.settle(entry(opening("a"), 7), label_keys=())
    assert not await bench.hold_again(opening("a"), amounts(5_000))
    assert await bench.balance() == Balance(spent_nano_usd=7)


async def test_an_attempt_without_a_record_counts_by_its_charges(bench: Bench) -> None:
    """A replay into a store that knows nothing of the hold adds the cost where the entry says, once."""
    await bench.define(budget("a", window=Rolling(HOUR)), budget("b", scope=Scope(Kind.EACH_TENANT)))
    charges = tuple(charge_of(each) for each in bench.applications(opening("x")))
    billed = entry(opening("x"), 70, charges=charges)
    assert not (await bench.ledger.settle(billed, label_keys=())).duplicate
    assert (await bench.ledger.settle(billed, label_keys=())).duplicate
    for budget_id, instance in (("a", ""), ("b", "acme")):
        assert await bench.balance(budget_id, instance=instance) == Balance(spent_nano_usd=70)
    assert (await bench.ledger.entries(AT)).entries == (billed,)


async def test_a_hold_is_settled_where_it_was_held_and_not_twice(bench: Bench) -> None:
    """An entry's charges do not count beside its hold; the window is that of the start."""
    await bench.define(budget())
    began: Opening = opening("x", started_at=AT.replace(hour=23, minute=59, second=59))
    await bench.hold(began, amounts(80))
    charges = tuple(charge_of(each) for each in bench.applications(began))
    billed = entry(began, 70, charges=charges)
    assert await bench.ledger.settle(billed, label_keys=()) == Settled("e-x", duplicate=False)
    assert await bench.balance() == Balance(spent_nano_usd=70)
    assert await bench.balance(at=AT + timedelta(days=1)) == Balance()
    assert not await bench.holds.release("x", AT)
    assert not await bench.holds.lose("x", AT, reason="cut")


async def test_without_budgets_an_attempt_is_recorded_all_the_same(bench: Bench) -> None:
    """So that it can be lost, listed and settled."""
    assert await bench.ask(opening("x"), amounts(5)) == Held()
    assert await bench.ledger.entry_by_attempt("x", AT) is None
    assert await bench.holds.lose("x", AT, reason="cut")
    assert await bench.holds.at_risk_sums("acme") == (1, 0, 5)
    assert not (await bench.ledger.settle(entry(opening("x"), 1), label_keys=())).duplicate
    assert await bench.holds.at_risk_sums("acme") == (0, 0, 0)
