"""Tests of which model a conversation stays with."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costsvc.config import load_catalog_files, load_policy_file
from costsvc.core.candidates import Question
from costsvc.core.constraints import needs_of
from costsvc.core.content import measure
from costsvc.core.conversation import Pin
from costsvc.core.policy import Policy
from costsvc.core.request import ModelRequest, Tier, read_messages_json
from costsvc.core.routing import Decision, decide
from costsvc.core.usage import Usage

CATALOG = load_catalog_files()
POLICY = load_policy_file(None, CATALOG)
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
HAIKU, SONNET, OPUS = "claude-haiku-5-5", "claude-sonnet-5-5", "claude-opus-5-5"
THOUGHT = [
    {"role": "user", "content": "x"},
    {"role": "assistant", "content": [{"type": "thinking", "thinking": "", "signature": "s"}]},
    {"role": "user", "content": "y"},
]
FORCED = {"tools": [{"name": "look", "input_schema": {}}], "tool_choice": {"type": "any"}}


def pin(model: str, *, turns: int = 3, cached: int = 20_000, left_s: int = 100) -> Pin:
    """Return where a conversation is."""
    until = NOW + timedelta(seconds=left_s)
    return Pin(model=model, turns=turns, cached_tokens=cached, cached_until=until)


def route(
    where: Pin | None,
    body: dict[str, Any] | None = None,
    *,
    prompt: int = 20_100,
    answer: int = 200,
    policy: Policy = POLICY,
    **said: Any,
) -> Decision:
    """Decide on a turn of a conversation."""
    source = {"messages": [{"role": "user", "content": "x"}]} | (body or {})
    request = ModelRequest(members=read_messages_json(json.dumps(source).encode()), **said)
    question = Question(
        request=request,
        tenant="acme",
        needs=needs_of(request, 100),
        content=measure(request.body),
        policy=policy,
        catalog=CATALOG,
        expected=lambda _model: Usage(input_tokens=prompt, output_tokens=answer),
        upper_nano_usd=lambda _model: 0,
        at=NOW,
    )
    return decide(question, where)


def told(decision: Decision) -> tuple[str, str]:
    """Return the model and what is said about the conversation."""
    [reason] = [each for each in decision.reasons if each.code.startswith("conversation")]
    return decision.model.id, f"{reason.code}: {reason.detail}"


def test_without_a_pin_nothing_is_said() -> None:
    """The first turn is decided like any other request."""
    assert not [each for each in route(None).reasons if each.code.startswith("conversation")]


def test_work_of_which_nothing_is_known_stays() -> None:
    """Neither up to the middle tier nor down to it; the model that stays is the last candidate."""
    for home in (HAIKU, SONNET, OPUS):
        decision = route(pin(home))
        assert told(decision) == (home, f"conversation_pin: the conversation is on {home}")
        assert decision.candidates[-1].model is decision.model
        assert decision.candidates[-1].expected_cost_nano_usd == decision.expected_cost_nano_usd > 0


def test_work_that_needs_more_moves_up() -> None:
    """What the policy calls complex is not answered by a simple model because a cache is warm."""
    assert told(route(pin(HAIKU), task="analysis")) == (
        OPUS,
        f"conversation_moved: {HAIKU} is only simple",
    )


def test_a_move_down_must_pay_for_the_cache() -> None:
    """Long prompts and short answers stay where they are cached; long answers are worth the rewrite."""
    model, reason = told(route(pin(OPUS), task="summary"))
    assert model == OPUS
    assert reason == (
        "conversation_pin: about 3 more turns: $0.03256 on claude-opus-5-5, $0.06428 on claude-sonnet-5-5"
    )
    assert told(route(pin(OPUS), answer=4_000, task="summary"))[0] == SONNET
    assert told(route(pin(OPUS), task="faq"))[0] == HAIKU  # to write there costs less than to read here


def test_what_is_no_longer_cached_is_not_paid_twice() -> None:
    """After the cache has expired both models would write, and the cheaper one gets the conversation."""
    assert told(route(pin(OPUS, left_s=1), task="summary"))[0] == OPUS
    assert told(route(pin(OPUS, left_s=0), task="summary"))[0] == SONNET
    assert told(route(pin(OPUS, cached=0), task="summary"))[0] == SONNET


def test_long_prompts_make_the_small_model_dear() -> None:
    """Above 100,000 tokens a small model writes for more than a large one reads."""
    kept = pin(OPUS, turns=1, cached=200_000)
    assert told(route(kept, prompt=200_000, answer=10, task="faq"))[0] == OPUS


def test_thinking_is_not_thrown_away() -> None:
    """A conversation whose thinking the other model cannot read stays, also where more is asked for."""
    body = {"messages": THOUGHT}
    expected = f"conversation_pin: {OPUS} could not read the thinking of {SONNET}"
    assert told(route(pin(SONNET), body, task="analysis")) == (SONNET, expected)
    assert told(route(pin(SONNET, cached=0), body, task="faq"))[0] == HAIKU  # newer: reads it


def test_a_model_that_cannot_answer_is_left() -> None:
    """Ruled out, out of bounds, or gone: the conversation moves and says why."""
    assert told(route(pin(SONNET), FORCED)) == (
        "claude-sonnet-5",
        f"conversation_moved: {SONNET} does not take a forced tool_choice",
    )
    gone = f"conversation_moved: {SONNET} may not answer this"
    assert told(route(pin(SONNET), max_tier=Tier.SIMPLE)) == (HAIKU, gone)
    assert told(route(pin("claude-9")))[1] == "conversation_moved: claude-9 may not answer this"
    unlisted = replace(POLICY, tiers={**POLICY.tiers, Tier.MEDIUM: ("claude-sonnet-5",)})
    assert told(route(pin(SONNET), policy=unlisted)) == ("claude-sonnet-5", gone)


def test_what_the_caller_names_is_no_matter_of_conversations() -> None:
    """A named model answers, wherever the conversation is."""
    decision = route(pin(OPUS), model=HAIKU)
    assert (decision.model.id, [each.code for each in decision.reasons]) == (HAIKU, ["pinned_model"])


@given(
    home=st.sampled_from(POLICY.models),
    task=st.sampled_from(["", "faq", "summary", "analysis"]),
    turns=st.integers(0, 50),
    cached=st.integers(0, 300_000),
    left_s=st.integers(-10, 10),
    prompt=st.integers(1, 300_000),
    answer=st.integers(1, 5_000),
)
def test_a_conversation_is_where_it_was_or_where_it_would_begin(
    home: str, task: str, turns: int, cached: int, left_s: int, prompt: int, answer: int
) -> None:
    """No third model, never a lower tier than the work asks for, and never dearer for the same work."""
    first = route(None, task=task, prompt=prompt, answer=answer)
    where = pin(home, turns=turns, cached=cached, left_s=left_s)
    decision = route(where, task=task, prompt=prompt, answer=answer)
    assert decision.model in {first.model, CATALOG.models[home]}
    if task and decision.tier and first.tier:
        assert decision.tier >= first.tier
    if not task:
        assert decision.model.id == home


@pytest.mark.parametrize("task", ["faq", "summary"])
def test_more_cache_never_loosens_a_conversation(task: str) -> None:
    """Where a conversation stays with little cached, it stays with more."""
    stays = [
        route(pin(OPUS, cached=cached), task=task, prompt=50_000).model.id == OPUS
        for cached in range(1, 50_000, 5_000)
    ]
    assert stays == sorted(stays)
