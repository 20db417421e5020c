"""Tests of what a question to the response cache is made of: nothing that changes by itself."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from redis.asyncio import Redis

from costsvc.app.asked import _prints
from costsvc.app.local_scores import LocalScores, _Held
from costsvc.app.observations import Observations
from costsvc.app.plan import Plan
from costsvc.app.planner import Planner
from costsvc.app.policies import PolicyInForce
from costsvc.config import load_catalog_files, load_policy_file
from costsvc.core.accept import Checks
from costsvc.core.conversation import Pin
from costsvc.core.learning import Learning
from costsvc.core.namespace import Namespace
from costsvc.core.request import ModelRequest, Tier, simple_members
from costsvc.core.scoring import read_prior
from costsvc.data import read_text
from costsvc.store.fits import FitBook
from tests.core.fits import proved

AT = datetime(2026, 11, 22, 12, tzinfo=UTC)
CATALOG = load_catalog_files()
POLICY = replace(load_policy_file(None, CATALOG), learned={"faq": Learning()})
SCALE, PRIOR = read_prior(read_text("score_prior.json"))
PLACE = ("acme", "faq")
HERE = ("acme", AT)
CHECKS = Checks(values=frozenset({"yes", "no"}), form={"allowed_values": ["no", "yes"]})


class Asked(LocalScores):
    """Fitted scores that count how often they are asked."""

    count = 0

    def score(self, *args: Any) -> Any:
        """Return what the score says."""
        self.count += 1
        return super().score(*args)


@pytest.fixture
def scores(store: Redis) -> Asked:
    """Give a proved score of a task."""
    fitted = Asked(FitBook(store), SCALE)
    fitted._held[PLACE] = _Held("fit", proved(PRIOR, POLICY.first_models))
    return fitted


def planner(scores: LocalScores | None = None) -> Planner:
    """Return a planner that has learned the task."""
    return Planner(CATALOG, PolicyInForce(POLICY), Observations(), scores, lambda: 0.5)


def request(task: str = "faq", **said: Any) -> ModelRequest:
    """Return a question."""
    members = simple_members("", [("user", "Is the sky blue?")], 100)
    return ModelRequest(members=members, task=task, **said)


def key(plan: Plan) -> str:
    """Return what the answer is found by."""
    prints = _prints(plan, Namespace(name="help", ttl=timedelta(hours=1)), b"secret")
    assert prints is not None
    return prints.exact


def test_a_question_is_found_without_a_score(scores: Asked) -> None:
    """It is asked only for what is not stored; whatever it says, and before it was fitted, the key is one."""
    scored = planner(scores)
    unscored = scored.unscored(request(), *HERE)
    assert (key(unscored), scores.count) == (key(planner().plan(request(), *HERE)), 0)
    assert key(scored.scored(unscored)) == key(unscored)
    assert scores.count == 1


def test_the_bounds_of_a_score_make_another_question(scores: Asked) -> None:
    """They say which models may answer."""
    scored = planner(scores)
    assert key(scored.plan(request(max_tier=Tier.SIMPLE), *HERE)) != key(scored.plan(request(), *HERE))


def test_where_checked_answers_begin_does_not_matter() -> None:
    """How often a model has failed lately, and chance, are no part of the question."""
    asked, plans = request("summary", checks=CHECKS), []
    for failed in (False, True):
        here = planner()
        plan = here.plan(asked, *HERE)
        for _ in range(50):
            here.learn_checks(plan, "acme", failed=failed)
        plans.append(here.plan(asked, *HERE))
    assert len({plan.decision.model.id for plan in plans}) == 2
    assert len({key(plan) for plan in plans}) == 1


def test_the_place_of_a_conversation_does_not_matter() -> None:
    """It is looked up together with the answer."""
    here = planner()
    plan = here.plan(request(conversation_id="c"), *HERE)
    pin = Pin(model="claude-opus-5-5", turns=2, cached_tokens=0, cached_until=AT)
    assert key(here.continued(plan, pin)) == key(plan)
