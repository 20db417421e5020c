from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costsvc.core.budget import Application, Budget, Kind, Mode, Scope
from costsvc.core.errors import BudgetUnbounded
from costsvc.core.holds import Balance, Hold, admits, check_bounded, crossed, refusal
from costsvc.core.windows import Calendar, Unit, window_at

AT = datetime(2026, 11, 22, 12, tzinfo=UTC)
DAY = Calendar(Unit.DAY)
BUDGET = Budget(id="b", scope=Scope(Kind.EVERYTHING), window=DAY, limit_nano_usd=1_000)
USED = Balance(spent_nano_usd=400, at_risk_nano_usd=100, sum_q_nano_usd=200, sum_w_nano_usd=300)


def hold(q: int, w: int | None) -> Hold:
    """Return a hold of these amounts."""
    return Hold(q_nano_usd=q, w_nano_usd=w, unbounded="" if w is not None else "compaction")


def application(budget: Budget = BUDGET) -> Application:
    """Return the budget as it applies now."""
    return Application(budget=budget, instance="", window=window_at(DAY, AT))


@pytest.mark.parametrize(
    ("q", "w", "overshoot", "admitted"),
    [
        (300, 300, 100, True),
        (301, 301, 101, False),
        (300, 301, 100, False),
        (0, 300, 100, True),
        (200, 200, 0, True),
        (200, 201, 0, False),
        (300, None, 100, True),
    ],
)
def test_a_hold_is_admitted_to_the_last_nano(q: int, w: int | None, overshoot: int, admitted: bool) -> None:
    """Both rules count what is spent and at risk; one the likely, one the worst of what is held."""
    assert admits(USED, hold(q, w), limit_nano_usd=1_000, overshoot_nano_usd=overshoot) is admitted


@pytest.mark.parametrize(
    ("asked", "worst_case", "bound", "held"),
    [(hold(301, 301), False, 1_000, 200), (hold(300, 301), True, 1_050, 300)],
)
def test_a_refusal_adds_up(asked: Hold, worst_case: bool, bound: int, held: int) -> None:
    """Its numbers are those of the rule that refused: their sum is above its bound."""
    error = refusal(application(), USED, asked)
    assert (error.worst_case, error.bound_nano_usd, error.held_nano_usd) == (worst_case, bound, held)
    assert (error.budget_id, error.scope, error.limit_nano_usd) == ("b", "everything", 1_000)
    assert error.resets_at == datetime(2026, 11, 23, tzinfo=UTC)
    total = error.spent_nano_usd + error.at_risk_nano_usd + error.held_nano_usd + error.asked_nano_usd
    assert total > error.bound_nano_usd


def test_a_call_without_a_bound_is_refused_by_hard_budgets_only() -> None:
    """Soft and shadow budgets count it by its likely cost."""
    soft, shadow = (application(replace(BUDGET, mode=mode)) for mode in (Mode.SOFT, Mode.SHADOW))
    check_bounded(hold(1, None), [soft, shadow])
    check_bounded(hold(1, 2), [application()])
    with pytest.raises(BudgetUnbounded) as refused:
        check_bounded(hold(1, None), [soft, application()])
    assert (refused.value.budget_id, refused.value.reason) == ("b", "compaction")


limits = st.integers(1, 10_000)
amounts = st.integers(0, 500)
calls = st.tuples(amounts, amounts, amounts).map(sorted)  # the bill or q, in either order, and then w
ENDS: tuple[Callable[[Balance, Hold, int], Balance], ...] = (
    lambda balance, held, _: balance.released(held),
    lambda balance, held, bill: balance.settled(held, bill),
    lambda balance, held, _: balance.lost(held),
    lambda balance, held, bill: balance.lost(held).resolved(held, bill),
    lambda balance, held, _: balance.lost(held).resolved(held, 0),
)


@given(limits, st.integers(0, 1_000), st.lists(calls), st.data())
def test_spend_never_passes_limit_and_overshoot(limit, overshoot, calls, data):
    """In whatever order calls begin and end, as long as no bill is above its worst."""
    balance, open_holds = Balance(), []
    for bill, q, w in calls:
        asked = hold(q, w)
        if admits(balance, asked, limit_nano_usd=limit, overshoot_nano_usd=overshoot):
            balance = balance.held(asked)
            open_holds.append((asked, bill))
        while open_holds and data.draw(st.booleans()):
            ended = open_holds.pop(data.draw(st.integers(0, len(open_holds) - 1)))
            balance = data.draw(st.sampled_from(ENDS))(balance, *ended)
        assert balance.spent_nano_usd + balance.at_risk_nano_usd <= limit + overshoot
        assert balance.sum_q_nano_usd == sum(held.q_nano_usd for held, _ in open_holds)
        assert balance.sum_w_nano_usd == sum(held.most_nano_usd for held, _ in open_holds)
    for held, _ in open_holds:  # the worst that can still happen
        balance = balance.settled(held, held.most_nano_usd)
    assert balance.spent_nano_usd + balance.at_risk_nano_usd <= limit + overshoot
    assert (balance.sum_q_nano_usd, balance.sum_w_nano_usd) == (0, 0)


@given(st.lists(st.integers(0, 3_000), min_size=1), limits)
def test_each_threshold_is_crossed_once_on_the_way_up(rises, limit):
    """However spend rises, every threshold at or below its end is met exactly once."""
    thresholds, sums = (500, 800, 950, 1000), [0]
    for rise in rises:
        sums.append(sums[-1] + rise)
    met = [at for before, after in pairwise(sums) for at in crossed(before, after, limit, thresholds)]
    assert met == [at for at in thresholds if at * limit <= sums[-1] * 1_000]


def test_a_threshold_is_met_exactly_and_not_by_falling() -> None:
    """Half of five is two and a half: two do not reach it, three do; corrections downward meet none."""
    assert crossed(0, 2, 5, (500,)) == ()
    assert crossed(2, 3, 5, (500,)) == (500,)
    assert crossed(3, 0, 5, (500,)) == crossed(3, 3, 5, (500,)) == ()
    assert crossed(399_999_999, 400_000_000, 15_000_000_000, (990,)) == ()
