"""Tests of bills that come late: after a risk, after what people said of it, and after new budgets."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from itertools import product
from typing import Any

import pytest
from redis.asyncio import Redis

from costsvc.core.budget import Kind, Scope
from costsvc.core.entry import CORRECTED, MEASURES, RESOLVED, REVERSED
from costsvc.core.holds import Balance
from costsvc.core.money import NANO_PER_USD
from costsvc.core.usage import Usage
from costsvc.core.windows import Rolling
from costsvc.store import keys
from costsvc.store.charges import charge_of
from costsvc.store.hold_call import Held
from tests.store.money import AT, DAY, LABEL_KEYS, Bench, amounts, budget, entry, opening

COST, CALLS = MEASURES.index("cost_nano_usd"), MEASURES.index("call_count")
HOUR = timedelta(hours=1)
WORST, BILL, SAID = 90, 40, 25
ENDS = ("settle", "lose", "say", "say_nothing", "release")


@pytest.fixture
def bench(store: Redis) -> Bench:
    """Give one process's view of an empty store."""
    return Bench(store)


async def do(bench: Bench, step: str, attempt_id: str, model: str) -> None:
    """Take one step with an attempt; people say that `model` answered."""
    began = opening(attempt_id, tenant=attempt_id)
    charges = tuple(charge_of(each) for each in bench.applications(began))
    match step:
        case "settle":
            await bench.settle(entry(began, BILL, charges=charges))
        case "lose":
            await bench.holds.lose(attempt_id, AT, reason="cut", unheld=(began, amounts(30, WORST), charges))
        case "say":
            said = entry(began, SAID, state=RESOLVED, answering_model=model, usage=Usage(output_tokens=3))
            await bench.settle(said)
        case "say_nothing":
            await bench.holds.resolve(attempt_id, AT)
        case "release":
            await bench.holds.release(attempt_id, AT)


def after(steps: Sequence[str]) -> tuple[str, int]:
    """Return the state that steps lead to, and what is spent in it: the model."""
    state, spent = "held", 0
    for step in steps:
        match step, state:
            case "settle", "held" | "gone" | "lost" | "said" | "free":
                state, spent = "settled", BILL
            case "lose", "held" | "gone":
                state = "lost"
            case "say", "lost":
                state, spent = "said", SAID
            case "say_nothing", "lost":
                state = "free"
            case "release", "held":
                state = "gone"
    return state, spent


@pytest.mark.parametrize("model", ["small", "other"])
async def test_every_order_of_ends_adds_up_to_the_last_word(bench: Bench, model: str) -> None:
    """The bill is the last word, then what people say; budgets, rollups and entries agree on it, always."""
    await bench.define(budget(scope=Scope(Kind.EACH_TENANT)))
    for number, steps in enumerate(product(ENDS, repeat=4)):
        name = f"a{number}"
        await bench.hold(opening(name, tenant=name), amounts(30, WORST))
        for step in steps:
            await do(bench, step, name, model)
        state, spent = after(steps)
        at_risk, held = WORST * (state == "lost"), (30, WORST) if state == "held" else (0, 0)
        assert await bench.balance(instance=name) == Balance(
            spent_nano_usd=spent, at_risk_nano_usd=at_risk, sum_q_nano_usd=held[0], sum_w_nano_usd=held[1]
        ), steps
        assert (await bench.holds.at_risk_sums(name))[0] == (state == "lost"), steps
        cells = await bench.ledger.rollups.read(name, AT - HOUR, AT + HOUR, "model")
        assert sum(cell.measures[COST] for cell in cells) == spent, steps
        assert sum(cell.measures[CALLS] for cell in cells) == (spent > 0), steps
        by_model = {cell.value: cell.measures[COST] for cell in cells if any(cell.measures)}
        last = {"settled": "small", "said": model}.get(state)
        assert by_model == ({last: spent} if last else {}), steps


async def every_entry(bench: Bench) -> list[Any]:
    """Return what is booked."""
    return list((await bench.ledger.entries(AT)).entries)


async def test_a_bill_after_a_resolution_appends_the_signed_difference_once(bench: Bench) -> None:
    """It may be less than was thought; repeated, it changes nothing."""
    await bench.define(budget())
    await bench.hold(opening("a"), amounts(30, WORST))
    await bench.holds.lose("a", AT, reason="cut")
    charges = tuple(charge_of(each) for each in bench.applications(opening("a")))
    said = entry(opening("a"), 60, state=RESOLVED, charges=charges, usage=Usage(output_tokens=6))
    bill = entry(opening("a"), BILL, charges=charges, usage=Usage(output_tokens=4))
    await bench.settle(said)
    for _ in range(3):
        await bench.settle(bill)
    booked = await every_entry(bench)
    assert [(each.state, each.cost_nano_usd) for each in booked] == [(RESOLVED, 60), (CORRECTED, -20)]
    assert booked[1].usage == Usage(output_tokens=-2)
    assert await bench.balance() == Balance(spent_nano_usd=BILL)
    assert (await bench.ledger.entry_by_attempt("a", AT)) == booked[1]


async def test_a_bill_of_another_model_takes_the_resolution_back(bench: Bench) -> None:
    """So that the sums of each model are right; also when the process ends between the two."""
    await bench.hold(opening("a"), amounts(30, WORST))
    await bench.holds.lose("a", AT, reason="cut")
    await bench.settle(entry(opening("a"), SAID, state=RESOLVED, answering_model="other"))
    for _ in range(2):
        await bench.settle(entry(opening("a"), BILL))
    states = [(each.state, each.answering_model, each.cost_nano_usd) for each in await every_entry(bench)]
    assert states == [(RESOLVED, "other", SAID), (REVERSED, "other", -SAID), ("settled", "small", BILL)]


async def test_two_people_who_disagree_are_not_both_right(bench: Bench) -> None:
    """A resolution that was begun before another ended the risk books nothing."""
    await bench.hold(opening("a"), amounts(30, WORST))
    await bench.holds.lose("a", AT, reason="cut")
    assert await bench.holds.resolve("a", AT)
    assert (await bench.settle(entry(opening("a"), SAID, state=RESOLVED))).duplicate
    assert await every_entry(bench) == []


@pytest.mark.parametrize("window", [DAY, Rolling(timedelta(days=1))])
@pytest.mark.parametrize("seeds_first", [True, False])
@pytest.mark.parametrize("knows", [True, False])
async def test_a_budget_that_is_defined_while_a_call_runs_counts_it_once(
    store: Redis, window: Any, seeds_first: bool, knows: bool
) -> None:
    """Whether it learns of the ledger before or after the bill, and whether the settling process knows it."""
    one, other = Bench(store, "one"), Bench(store, "other")
    held = await one.hold(opening("a"), amounts(30))
    assert isinstance(held, Held)
    version = one.version
    await other.define(budget(window=window), created_at=AT)
    if knows:
        await one.in_force.load()
    if seeds_first:
        assert isinstance(await other.hold(opening("b"), amounts(1)), Held)
    for _ in range(2):
        await one.settle(entry(opening("a"), 7), version=version)
    assert isinstance(await other.hold(opening("c"), amounts(1)), Held)
    assert (await other.balance()).spent_nano_usd == 7
    await one.settle(entry(opening("d"), 2))  # one that was never held, as recorded calls are
    assert (await other.balance()).spent_nano_usd == 9


async def test_more_budgets_than_one_hold_takes_count_all_the_same(bench: Bench) -> None:
    """What was spent is spent, however many budgets were defined since."""
    await bench.hold(opening("a"), amounts(30))
    await bench.define(*(budget(f"b{number:02}") for number in range(20)))
    await bench.settle(entry(opening("a"), 7))
    assert {(await bench.balance(f"b{number:02}")).spent_nano_usd for number in range(20)} == {7}


SIZES = [99_999, 100_001, 8_900_000]


@pytest.mark.parametrize("usd", SIZES)
@pytest.mark.parametrize("window", [DAY, Rolling(timedelta(days=1))])
async def test_every_script_is_exact_at_any_size(bench: Bench, usd: int, window: Any) -> None:
    """Held, freed, lost with bounds of its own, resolved, settled late and seeded: to the nano-USD."""
    large = usd * NANO_PER_USD + 7
    await bench.define(budget(window=window, limit_nano_usd=large))
    await bench.hold(opening("a"), amounts(large - 2, large))
    assert await bench.balance() == Balance(sum_q_nano_usd=large - 2, sum_w_nano_usd=large)
    assert await bench.holds.release("a", AT)
    assert await bench.balance() == Balance()
    await bench.hold(opening("b"), amounts(large - 2, large))
    await bench.holds.lose("b", AT, reason="cut", lower_nano_usd=large - 5, upper_nano_usd=large - 1)
    assert await bench.balance() == Balance(at_risk_nano_usd=large - 1)
    assert await bench.holds.at_risk_sums("acme") == (1, large - 5, large - 1)
    assert await bench.holds.resolve("b", AT)
    assert await bench.balance() == Balance()
    await bench.settle(entry(opening("b"), large - 3))
    assert await bench.balance() == Balance(spent_nano_usd=large - 3)
    await bench.define(budget("new", window=window, limit_nano_usd=large), created_at=AT)
    assert isinstance(await bench.hold(opening("c"), amounts(1)), Held)
    assert (await bench.balance("new")).spent_nano_usd == large - 3


async def test_sums_are_exact_beyond_what_a_double_holds(bench: Bench) -> None:
    """Cells of a rollup add up in 64 bits, in both directions and across 2^53 and 2^32."""
    values = [2**53 - 1, 1, 1, 2**53 + 1, 2**32 - 1, 3, -(2**53) - 5, -(2**54), 7]
    total = 0
    for number, value in enumerate(values):
        total += value
        await bench.settle(entry(opening(f"a{number}"), value, usage=Usage(output_tokens=number)))
        [cell] = await bench.ledger.rollups.read("acme", AT - HOUR, AT + HOUR, "model")
        assert cell.measures[COST] == total
    assert cell.measures[CALLS] == len(values)
    assert cell.measures[MEASURES.index("output_tokens")] == sum(range(len(values)))


async def test_what_a_risk_counted_against_a_late_bill_counts_against(bench: Bench, store: Redis) -> None:
    """Also where nobody else remembers, and its budget is no longer defined."""
    await bench.define(budget())
    await bench.hold(opening("a"), amounts(30, WORST))
    await bench.holds.lose("a", AT, reason="cut")
    await bench.holds.resolve("a", AT)
    await bench.book.delete("b")
    await bench.ledger.settle(entry(opening("a"), 5), label_keys=LABEL_KEYS)
    [key] = [name async for name in store.scan_iter(f"{keys.BALANCE}*")]
    assert await store.hget(key, "spent") == b"5"
