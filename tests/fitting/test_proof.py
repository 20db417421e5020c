from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from costsvc.core.features import features
from costsvc.core.scoring import read_prior
from costsvc.data import read_text
from costsvc.fitting.proof import choose, mix_cost, prove, routed
from costsvc.fitting.ridge import Example

SCALE, PRIOR = read_prior(read_text("score_prior.json"))
COSTS = {0: 1.0, 1: 20.0, 2: 40.0}
SHARES = st.lists(st.floats(0, 1), min_size=3, max_size=3)


def outcomes(count: int, *, tells: bool, seed: int = 0) -> list[Example]:
    """Return prompts whose difficulty their words tell, or do not tell."""
    rng, made = random.Random(seed), []
    for _ in range(count):
        hard = rng.random() < 0.3
        word = ("theorem" if hard else "weather") if tells else rng.choice(("theorem", "weather"))
        qualities = (0.1, 0.4, 0.9) if hard else (0.9, 0.9, 0.9)
        prompt = f"Tell me of {word} {rng.randrange(10_000)} and {rng.choice('abcdefgh')}"
        made.append(Example(features=features(prompt), qualities=qualities))
    return made


def test_a_score_that_knows_is_proved() -> None:
    """Where words tell difficulty, the router beats every mix at the same quality, and its bound says so."""
    proof = prove(SCALE, PRIOR, outcomes(400, tells=True), COSTS, quality_floor=0.97)
    assert proof is not None
    assert proof.holds
    assert proof.routed.advantage > 0.1
    assert proof.routed.quality >= 0.95 * proof.best_quality


def test_a_score_that_guesses_is_not_proved() -> None:
    """Where words tell nothing, a router is a mix with extra steps, and may not serve."""
    proof = prove(SCALE, PRIOR, outcomes(400, tells=False), COSTS, quality_floor=0.97)
    assert proof is not None
    assert not proof.holds


def test_too_few_outcomes_prove_nothing() -> None:
    """However good they look, some dozens of outcomes are not enough."""
    proof = prove(SCALE, PRIOR, outcomes(120, tells=True), COSTS, quality_floor=0.97)
    assert proof is not None
    assert not proof.holds
    assert prove(SCALE, PRIOR, [], COSTS, quality_floor=0.97) is None


@given(SHARES, st.floats(0, 1))
def test_a_mix_is_never_dearer_than_the_best_tier(qualities: list[float], wanted: float) -> None:
    """The cheapest mix lies between the cheapest and the dearest tier, and rises with the quality wanted."""
    quality, cost = np.array(qualities), np.array([0.1, 0.5, 1.0])
    found = mix_cost(quality, cost, wanted)
    assert 0.1 <= found <= 1.0
    assert found <= mix_cost(quality, cost, min(1.0, wanted + 0.1)) + 1e-12


def test_a_mix_interpolates() -> None:
    """Half way between two qualities costs half way between two costs."""
    assert mix_cost(np.array([0.5, 0.9]), np.array([0.0, 1.0]), 0.7) == pytest.approx(0.5)


def test_the_price_decides() -> None:
    """Free calls go where they are best; dear ones go to the cheapest tier."""
    worth, cost = np.array([[0.0, 0.3, 0.4]]), np.array([0.1, 0.5, 1.0])
    assert choose(worth, cost, 0.0).tolist() == [2]
    assert choose(worth, cost, 0.5).tolist() == [1]
    assert choose(worth, cost, 5.0).tolist() == [0]
    assert routed(np.array([2]), np.array([[0.1, 0.2, 0.3]]), cost).quality == pytest.approx(0.3)
