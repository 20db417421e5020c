"""Tests of where a cascade begins."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costsvc.core.cascade import (
    PRIOR_FAILURE_RATE,
    PROBE_SHARE,
    FailureRates,
    Step,
    best_start,
    expected_costs,
)

RATES = st.floats(0, 1)
STEPS = st.lists(st.builds(Step, st.integers(1, 10**9), RATES), min_size=1, max_size=4)


def test_a_cheap_tier_pays_while_it_fails_less_than_it_saves():
    """At 1 to 2 it may fail half the time, at 1 to 20 nearly always."""
    assert expected_costs([Step(1, 0.25), Step(20, 0.9)]) == [6, 20]
    assert best_start([Step(20, 0.49), Step(40, 0.2)]) == 0
    assert best_start([Step(20, 0.51), Step(40, 0.2)]) == 1
    assert best_start([Step(1, 0.94), Step(20, 0.2)]) == 0
    assert best_start([Step(1, 0.96), Step(20, 0.2)]) == 1


def test_a_tier_that_does_not_pay_is_passed_over_on_the_way_up():
    """What follows a failure is the best of the rest, not always the next."""
    assert expected_costs([Step(1, 0.5), Step(20, 1), Step(40, 0)]) == [21, 60, 40]


def test_now_and_then_a_call_begins_lower_to_see():
    """The share of probes is small, and smaller where there is less to gain."""
    steps = [Step(1, 1.0), Step(20, 0.2)]
    assert best_start(steps) == 1
    assert best_start(steps, chance=0.0) == 0
    assert best_start(steps, chance=PROBE_SHARE) == 1
    assert best_start([Step(19, 1.0), Step(20, 0.2)], chance=PROBE_SHARE / 10) == 1
    assert best_start([Step(0, 1.0), Step(0, 1.0)], chance=0.0) == 0


@given(STEPS)
def test_no_other_start_is_cheaper(steps):
    """The best start costs no more than any, and no more than its own tier and the best of the rest."""
    costs = expected_costs(steps)
    best = best_start(steps)
    assert costs[best] == min(costs)
    assert costs[-1] == steps[-1].cost_nano_usd
    assert all(cost >= step.cost_nano_usd for cost, step in zip(costs, steps, strict=True))


@given(st.lists(st.booleans(), max_size=200))
def test_a_rate_is_a_share(outcomes):
    """It stays between 0 and 1, whatever is seen, and begins with the prior."""
    rates = FailureRates()
    assert rates.rate("a") == pytest.approx(PRIOR_FAILURE_RATE)
    for failed in outcomes:
        before = rates.rate("a")
        rates.learn("a", failed=failed)
        assert 0 <= rates.rate("a") <= 1
        assert (rates.rate("a") >= before) if failed else (rates.rate("a") <= before)
    assert rates.rate("b") == pytest.approx(PRIOR_FAILURE_RATE)


def test_memory_is_bounded():
    """The key that nothing was learnt of for longest is forgotten."""
    rates = FailureRates(capacity=2)
    for key in ("a", "b", "a", "c"):
        rates.learn(key, failed=True)
    assert len(rates) == 2
    assert rates.rate("b") == pytest.approx(PRIOR_FAILURE_RATE)
    assert rates.rate("a") > rates.rate("c") > PRIOR_FAILURE_RATE


@pytest.mark.parametrize("costs", [(1, 20), (20, 40), (1, 20, 40), (1, 3), (8, 10), (99, 100)])
@pytest.mark.parametrize("seed", range(20))
def test_a_check_that_always_fails_costs_little(costs, seed):
    """Over 100 calls at most 5 % more than beginning on the highest tier, probes included."""
    chance, rates, spent = random.Random(seed).random, FailureRates(), 0
    for _ in range(100):
        rungs, at_start = list(range(len(costs))), chance()
        while rungs:
            steps = [Step(costs[rung], rates.rate(rung)) for rung in rungs]
            start = best_start(steps, chance=at_start)
            spent += costs[rungs[start]]
            rates.learn(rungs[start], failed=True)
            rungs, at_start = rungs[start + 1 :], 1.0
    assert spent <= 1.05 * 100 * costs[-1]


def test_a_tier_that_has_become_good_is_found_again():
    """Probes bring it back."""
    chance, rates = random.Random(1).random, FailureRates()
    for _ in range(100):
        rates.learn(0, failed=True)
    begun = 0
    for _ in range(3_000):
        steps = [Step(20, rates.rate(0)), Step(40, rates.rate(1))]
        if best_start(steps, chance=chance()) == 0:
            begun += 1
            rates.learn(0, failed=False)
    assert begun > 1_000
