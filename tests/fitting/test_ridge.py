from __future__ import annotations

import random

import pytest

from costsvc.core.features import features
from costsvc.core.scoring import gains, read_prior
from costsvc.data import read_text
from costsvc.fitting.ridge import Example, fit, fit_prior, scale_of

SCALE, PRIOR = read_prior(read_text("score_prior.json"))
EASY, HARD = ("capital", "colour", "greeting", "opening"), ("lemma", "integral", "deadlock", "tax")


def examples(
    count: int, seed: int = 0, *, tiers: tuple[bool, bool, bool] = (True, True, True)
) -> list[Example]:
    """Return prompts of which the hard words need the highest tier, with the tiers that are known."""
    rng, made = random.Random(seed), []
    for n in range(count):
        hard = n % 2 == 1
        prompt = f"A question about {rng.choice(HARD if hard else EASY)} number {rng.randrange(1000)}"
        qualities = (0.2, 0.5, 1.0) if hard else (1.0, 1.0, 1.0)
        known = tuple(quality if tier else None for quality, tier in zip(qualities, tiers, strict=True))
        made.append(Example(features=features(prompt), qualities=known))
    return made


def total_gain(weights: object, prompt: str) -> float:
    """Return what the highest tier is guessed to gain over the lowest."""
    return sum(gain.total for gain in gains(weights, SCALE, features(prompt)))  # type: ignore[arg-type]


def test_a_fit_learns_which_words_are_hard() -> None:
    """After some hundred outcomes, unseen prompts with hard words gain from a higher tier, others do not."""
    weights = fit(SCALE, PRIOR, examples(300))
    assert total_gain(weights, "A question about lemma number 5001") > 0.6
    assert total_gain(weights, "A question about colour number 5001") < 0.2


def test_a_gain_over_two_boundaries_is_shared() -> None:
    """Where the middle tier was never asked, half of the gain belongs to each step."""
    weights = fit(SCALE, PRIOR, examples(300, tiers=(True, False, True)))
    found = features("A question about lemma number 5001")
    first, second = (gain.total for gain in gains(weights, SCALE, found))
    assert first == pytest.approx(second, abs=0.05)
    assert first + second > 0.6


def test_without_outcomes_the_prior_stays() -> None:
    """Outcomes of one tier alone say nothing about a gain."""
    assert fit(SCALE, PRIOR, examples(50, tiers=(True, False, False))) == PRIOR


def test_a_prior_holds_across_groups() -> None:
    """A prior weighs each group the same, whatever its size, and has no words."""
    groups = [examples(30, 1), examples(300, 2)]
    scale = scale_of(groups)
    prior = fit_prior(scale, groups)
    assert all(gain.gram_unit == 0 for gain in prior.gains)
    assert prior.gains[0].intercept == pytest.approx(0.15)
    assert prior.gains[1].intercept == pytest.approx(0.25)
