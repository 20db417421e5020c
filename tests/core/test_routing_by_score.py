"""Tests of the local score's place in the order of evidence."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from costsvc.core.conversation import Pin
from costsvc.core.local_score import Score, score_of
from costsvc.core.policy import Policy, read_policy
from costsvc.core.request import ModelRequest, Tier
from costsvc.core.routing import Decision, decide
from costsvc.core.scoring import Gain, read_prior
from costsvc.data import read_text
from tests.core.fits import proved
from tests.core.test_routing import CATALOG, FORCED, NOW, POLICY, SOURCE, ask, asked

SCALE, PRIOR = read_prior(read_text("score_prior.json"))
FIT = proved(PRIOR, POLICY.first_models)
HARD, EASY = (0.5, 0.4), (0.0, 0.0)
SERVING = score_of("Why?", FIT, SCALE, models=POLICY.first_models)
SHADOW = replace(SERVING, shadow="too few")


def scored(
    request: ModelRequest,
    gains: tuple[float, float],
    score: Score = SERVING,
    policy: Policy = POLICY,
    pin: Pin | None = None,
) -> Decision:
    """Decide on a request with these gains."""
    made = tuple(Gain(always=gain, words=0.0, counts=(), total=gain) for gain in gains)
    return decide(replace(asked(request, policy), score=replace(score, gains=made)), pin)


def codes(decision: Decision) -> list[str]:
    """Return the codes of a decision's steps."""
    return [reason.code for reason in decision.reasons]


@pytest.mark.parametrize(
    ("task", "gains", "tier"),
    [
        ("faq", HARD, Tier.COMPLEX),
        ("faq", EASY, Tier.SIMPLE),
        ("proof", EASY, Tier.SIMPLE),
        ("poem", (0.4, 0.0), Tier.MEDIUM),
    ],
)
def test_a_score_that_serves_stands_in_for_the_task(
    task: str, gains: tuple[float, float], tier: Tier
) -> None:
    """Its tier answers, up or down, and its words are the reason."""
    decision = scored(ask(task=task), gains)
    assert (decision.tier, codes(decision)) == (tier, ["local_score"])
    assert decision.reasons[0].detail.startswith(f"{tier.label}: expected medium over simple {gains[0]:+.2f}")


def test_a_score_in_shadow_only_speaks() -> None:
    """The task decides as ever; the last step says what the score would choose, and why it is not done."""
    decision = scored(ask(task="faq"), HARD, SHADOW)
    assert (decision.tier, codes(decision)) == (Tier.SIMPLE, ["task_hint", "local_score_shadow"])
    assert decision.reasons[-1].detail.startswith("would be complex: expected ")
    assert decision.reasons[-1].detail.endswith("; not followed: too few")


def test_the_caller_has_the_last_word() -> None:
    """A pinned model, the baseline, and bounds of the tier hold whatever the gains."""
    assert codes(scored(ask(task="faq", model="claude-haiku-5-5"), HARD)) == ["pinned_model"]
    assert codes(scored(ask(task="faq", model="claude-haiku-5-5"), HARD, SHADOW)) == ["pinned_model"]
    assert codes(scored(ask(baseline_only=True), EASY)) == ["baseline_requested"]
    assert scored(ask(task="faq", max_tier=Tier.MEDIUM), HARD).tier is Tier.MEDIUM
    assert scored(ask(task="faq", min_tier=Tier.MEDIUM), EASY).tier is Tier.MEDIUM


def test_a_rule_comes_first() -> None:
    """A rule's tier or models beat the score, and its bounds hold for it."""
    rule = '\n[[rules]]\nname = "r"\ntasks = ["faq"]\n'
    by_tier, by_model, by_bound = (
        read_policy(f"{SOURCE}{rule}{outcome}", CATALOG)
        for outcome in ('tier = "medium"', 'models = ["claude-sonnet-5-5"]', 'max_tier = "medium"')
    )
    for policy in (by_tier, by_model):
        decision = scored(ask(task="faq"), HARD, policy=policy)
        assert (decision.tier, codes(decision)) == (Tier.MEDIUM, ["rule"])
    decision = scored(ask(task="faq"), HARD, policy=by_bound)
    assert (decision.tier, codes(decision)) == (Tier.MEDIUM, ["local_score", "rule"])


def test_a_conversation_stays_where_it_is() -> None:
    """Each turn looks different; moving would pay for the prompt anew each time."""
    pin = Pin(model="claude-sonnet-5-5", turns=3, cached_tokens=0, cached_until=NOW + timedelta(minutes=5))
    for gains in (HARD, EASY):
        decision = scored(ask(task="faq", conversation_id="c"), gains, pin=pin)
        assert decision.model.id == "claude-sonnet-5-5"
        assert codes(decision) == ["local_score", "conversation_pin"]


def test_what_the_chosen_tier_cannot_do_goes_up() -> None:
    """The score says how hard a request is, not what models can do."""
    decision = scored(ask(FORCED, task="faq"), (0.4, 0.0))
    assert decision.tier is Tier.MEDIUM
    assert decision.model.id != "claude-sonnet-5-5"
    assert codes(decision) == ["local_score", "ruled_out"]
