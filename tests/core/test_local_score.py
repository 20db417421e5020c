from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costsvc.core.local_score import Fit, Proof, Routed, Score, best, score_of, worth_of
from costsvc.core.request import Tier
from costsvc.core.scoring import Gain, read_prior
from costsvc.data import read_text

SCALE, PRIOR = read_prior(read_text("score_prior.json"))
MODELS = ("small", "middle", "large")
PROOF = Proof(
    example_count=400,
    quality_floor=0.97,
    best_quality=0.9,
    routed=Routed(quality=0.88, cost_share=0.3, mix_cost_share=0.5),
    advantage_lower=0.1,
    price=0.25,
)
FIT = Fit(
    weights=PRIOR,
    proof=PROOF,
    models=MODELS,
    cost_shares=(0.025, 0.5, 1.0),
    mean_input_tokens=100,
    mean_output_tokens=50,
    outcome_count=400,
    fitted_at=datetime(2026, 11, 1, tzinfo=UTC),
)
GAINS = st.floats(-1, 1)


def gain(total: float) -> Gain:
    """Return a gain that comes from nothing in particular."""
    return Gain(always=total, words=0.0, counts=(), total=total)


def score(first: float, second: float, **fields: object) -> Score:
    """Return a score with these gains."""
    made = score_of("Why?", replace(FIT, **fields), SCALE, models=MODELS)  # type: ignore[arg-type]
    return replace(made, gains=(gain(first), gain(second)))


def test_a_tier_is_worth_its_cost_or_not_chosen() -> None:
    """With a price of 0.25, a step up must gain a quarter of what its cost rises by."""
    everything = (Tier.SIMPLE, Tier.COMPLEX)
    assert score(0.05, 0.05).tier(*everything) is Tier.SIMPLE
    assert score(0.2, 0.05).tier(*everything) is Tier.MEDIUM
    assert score(0.2, 0.2).tier(*everything) is Tier.COMPLEX
    assert score(-0.3, 0.9).tier(*everything) is Tier.COMPLEX


@given(GAINS, GAINS, st.sampled_from(Tier), st.sampled_from(Tier))
def test_bounds_hold_whatever_the_gains(first: float, second: float, one: Tier, other: Tier) -> None:
    """The best of the tiers that may answer is chosen, not the nearest to the best of all."""
    lowest, highest = min(one, other), max(one, other)
    chosen = score(first, second).tier(lowest, highest)
    assert lowest <= chosen <= highest
    net = [w - 0.25 * c for w, c in zip(worth_of((first, second)), FIT.cost_shares, strict=True)]
    assert net[chosen - 1] == max(net[lowest - 1 : highest])


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=5))
def test_what_costs_nothing_is_chosen_for_its_worth(worth: list[float]) -> None:
    """At a price of 0 the first of the most worthy is best."""
    assert best(worth, [1.0] * len(worth), 0.0) == worth.index(max(worth))


@pytest.mark.parametrize(
    ("proof", "words"),
    [
        ({"example_count": 120}, "too few outcomes that know every tier: 120 of 300"),
        ({"advantage_lower": -0.004}, "lower bound of its advantage over the best mix of tiers: -0.4%"),
        ({"advantage_lower": 0.0}, "lower bound of its advantage over the best mix of tiers: 0.0%"),
        ({"quality_floor": 0.999}, "it would keep 97.8% of the best tier's quality, not 99.9%"),
    ],
)
def test_what_is_not_proved_says_why(proof: dict[str, float], words: str) -> None:
    """Too few outcomes, too little quality, or nothing gained over a blind mix: it stays in shadow."""
    made = replace(PROOF, **proof)  # type: ignore[arg-type]
    assert not made.holds
    assert score(0.1, 0.1, proof=made).shadow == words


def test_what_is_proved_serves_for_its_models_only() -> None:
    """Outcomes of other models say nothing of those that the policy has now."""
    assert PROOF.holds
    assert FIT.why_not(MODELS) == ""
    assert FIT.why_not(("small", "new", "large")) == (
        "fitted for small, middle, large; the policy now has small, new, large"
    )
    assert replace(FIT, proof=None).why_not(MODELS) == "too few outcomes that know every tier: 0 of 300"


def test_a_score_explains_itself() -> None:
    """The gains of each step, and the terms that the nearest one comes from, the largest first."""
    words = score_of("Prove that 2 + 2 = 4.", FIT, SCALE, models=MODELS).words(Tier.MEDIUM)
    assert words.startswith("medium: expected medium over simple ")
    assert ", complex over medium " in words
    assert "always +" in words
