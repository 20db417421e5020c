from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costsvc.core.calibration import WINDOW_CALLS, Band, Calibration
from costsvc.core.tokens import (
    INPUT_PRIOR,
    OUTPUT_PRIOR,
    TokenEstimate,
    calibrate_input,
    expect_output,
    observe_input,
    observe_output,
)


def test_before_any_call_the_prior_holds() -> None:
    """The estimate stands, and the upper quantile is half as much again, never above the bound."""
    calibration = Calibration(INPUT_PRIOR)
    wide, tight = TokenEstimate(expected=1_000, bound=9_000), TokenEstimate(expected=1_000, bound=1_100)
    assert calibrate_input(calibration, "acme", "m", wide).expected == 1_000
    assert calibrate_input(calibration, "acme", "m", wide).upper == 1_501
    assert calibrate_input(calibration, "acme", "m", tight).upper == 1_100


def test_calibration_converges_on_real_traffic() -> None:
    """In the long run the mean is within 5 %, and about one call in a hundred passes the upper value."""
    calibration, draws = Calibration(INPUT_PRIOR), random.Random(7)
    estimate = TokenEstimate(expected=1_000, bound=10_000)
    passed_count = 0
    for call in range(6_000):
        actual = int(1_300 * draws.lognormvariate(0, 0.1))
        if call >= 1_000:
            passed_count += actual > calibrate_input(calibration, "acme", "m", estimate).upper
        observe_input(calibration, "acme", "m", estimate, actual)
    assert calibrate_input(calibration, "acme", "m", estimate).expected == pytest.approx(1_307, rel=0.05)
    assert 0.003 <= passed_count / 5_000 <= 0.03
    assert calibrate_input(calibration, "acme", "m", estimate).upper == pytest.approx(1_640, rel=0.12)


@given(st.lists(st.floats(min_value=0, max_value=9), min_size=WINDOW_CALLS, max_size=3 * WINDOW_CALLS))
def test_a_full_window_knows_its_largest(values: list[float]) -> None:
    """The upper value is the largest of the last hundred calls, or the mean where that is above it."""
    calibration = Calibration(OUTPUT_PRIOR)
    for value in values:
        calibration.observe("key", value)
    band = calibration.band("key")
    assert band.upper == max(*values[-WINDOW_CALLS:], band.expected)


def test_calibration_follows_a_change() -> None:
    """When traffic changes, the mean follows within some dozen calls and the upper value rises at once."""
    calibration = Calibration(INPUT_PRIOR)
    estimate = TokenEstimate(expected=1_000, bound=10_000)
    for actual in [900] * 200 + [2_000] * 60:
        observe_input(calibration, "acme", "m", estimate, actual)
    corrected = calibrate_input(calibration, "acme", "m", estimate)
    assert corrected.expected == pytest.approx(2_000, rel=0.06)
    assert corrected.upper >= 1_990


@given(
    st.lists(st.integers(min_value=0, max_value=10**6), max_size=50),
    st.integers(1, 10**5),
    st.integers(1, 10**6),
)
def test_calibrated_numbers_stay_in_order(actuals: list[int], expected: int, bound: int) -> None:
    """Whatever is observed: 0 <= expected <= upper <= bound."""
    calibration = Calibration(INPUT_PRIOR)
    estimate = TokenEstimate(expected=min(expected, bound), bound=bound)
    for actual in actuals:
        observe_input(calibration, "acme", "m", estimate, actual)
    corrected = calibrate_input(calibration, "acme", "m", estimate)
    assert 0 <= corrected.expected <= corrected.upper <= bound


def test_unbounded_calls_teach_nothing() -> None:
    """What server tools read says nothing about the estimate of a prompt."""
    calibration = Calibration(INPUT_PRIOR)
    observe_input(calibration, "acme", "m", TokenEstimate(expected=10, bound=100, bounded=False), 404_500)
    observe_input(calibration, "acme", "m", TokenEstimate(expected=10, bound=100), 0)
    assert len(calibration) == 0


def test_tenants_and_models_are_learnt_apart() -> None:
    """One tenant's traffic does not move another's estimates."""
    calibration = Calibration(INPUT_PRIOR)
    estimate = TokenEstimate(expected=1_000, bound=10_000)
    observe_input(calibration, "acme", "m", estimate, 3_000)
    assert calibrate_input(calibration, "acme", "m", estimate).expected > 1_000
    assert calibrate_input(calibration, "other", "m", estimate).expected == 1_000
    assert calibrate_input(calibration, "acme", "n", estimate).expected == 1_000


def test_calibration_is_bounded() -> None:
    """The key that was observed longest ago gives way."""
    calibration = Calibration(Band(1.0, 1.5), capacity=2)
    for key in ("a", "b", "a", "c"):
        calibration.observe(key, 3.0)
    assert len(calibration) == 2
    assert calibration.band("a").expected > 1.0
    assert calibration.band("b") == Band(1.0, 1.5)


def test_output_lengths_are_learnt_up_to_the_cap() -> None:
    """A label is short and an analysis long, and neither passes max_tokens."""
    calibration = Calibration(OUTPUT_PRIOR)
    assert expect_output(calibration, "acme", "m", "label", 10).upper == 10
    assert expect_output(calibration, "acme", "m", "label", 100_000).expected == 400
    for _ in range(300):
        observe_output(calibration, "acme", "m", "label", 12)
        observe_output(calibration, "acme", "m", "analysis", 9_000)
    label = expect_output(calibration, "acme", "m", "label", 1_024)
    assert label.expected == 12
    assert 12 <= label.upper <= 24
    assert expect_output(calibration, "acme", "m", "analysis", 100_000).expected == pytest.approx(
        9_000, rel=0.01
    )
    assert expect_output(calibration, "acme", "m", "analysis", 1_024).upper == 1_024
