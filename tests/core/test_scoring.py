from __future__ import annotations

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costsvc.core.features import BUCKETS, NAMES, features
from costsvc.core.scoring import (
    GainWeights,
    Scale,
    Weights,
    WeightsUnreadable,
    gains,
    quantized,
    read_prior,
    read_weights,
)
from costsvc.data import read_text

SCALE, PRIOR = read_prior(read_text("score_prior.json"))
FLOATS = st.floats(-2, 2, width=32)


@st.composite
def weights(draw: st.DrawFn) -> Weights:
    """Draw weights as a fit could have made them."""
    gains_ = []
    for _ in range(2):
        some = draw(st.dictionaries(st.integers(0, BUCKETS - 1), st.integers(-127, 127), max_size=20))
        grams = array("b", bytes(BUCKETS))
        for bucket, whole in some.items():
            grams[bucket] = whole
        counts = draw(st.lists(FLOATS, min_size=len(NAMES), max_size=len(NAMES)))
        gains_.append(
            GainWeights(
                intercept=draw(FLOATS), counts=tuple(counts), grams=grams, gram_unit=draw(FLOATS.map(abs))
            )
        )
    return Weights(gains=tuple(gains_))


@given(weights())
def test_weights_survive_the_store(some: Weights) -> None:
    """What is packed is read back the same, in less than 32 KB."""
    packed = some.to_bytes()
    assert len(packed) <= 32_768
    assert read_weights(packed) == some


@given(weights(), st.text(max_size=200))
def test_the_terms_add_up(some: Weights, text: str) -> None:
    """An explanation that names every term adds up to the gain that it explains."""
    found = features(text)
    for gain in gains(some, SCALE, found):
        terms = gain.main_terms(len(NAMES) + 2)
        assert sum(term.amount for term in terms) == pytest.approx(gain.total, abs=1e-6)
        assert [abs(term.amount) for term in terms] == sorted((abs(t.amount) for t in terms), reverse=True)


@given(st.lists(st.floats(-1, 1), max_size=50))
def test_whole_weights_are_near_enough(values: list[float]) -> None:
    """Quantizing moves no weight by more than half a unit."""
    whole, unit = quantized(values)
    assert all(
        abs(value - each * unit) <= unit / 2 + 1e-12 for value, each in zip(values, whole, strict=True)
    )


@pytest.mark.parametrize(
    "packed",
    [b"", b"CSW1", PRIOR.to_bytes()[:-1], PRIOR.to_bytes() + b"x", b"XXXX" + PRIOR.to_bytes()[4:]],
)
def test_damaged_weights_are_refused(packed: bytes) -> None:
    """What is cut, longer, or something else is no weights."""
    with pytest.raises(WeightsUnreadable):
        read_weights(packed)


def test_a_prior_for_other_features_is_refused() -> None:
    """Weights mean nothing for features that they were not fitted to."""
    with pytest.raises(WeightsUnreadable, match="features 99"):
        read_prior(read_text("score_prior.json").replace('"features": 1', '"features": 99'))


def test_the_scale_is_that_of_the_counts() -> None:
    """A count at its mean is 0, and one far away is cut."""
    scale = Scale(means=(1.0, 1.0), deviations=(2.0, 0.1))
    assert scale.standard([3.0, 100.0]) == [1.0, 3.0]
