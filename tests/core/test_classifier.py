"""Tests of what the classifier is asked, what counts as its verdict, and when asking pays."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costsvc.config import POLICY, load_catalog_files, read_text
from costsvc.core.candidates import Candidate
from costsvc.core.catalog import CatalogError
from costsvc.core.characters import count_kinds
from costsvc.core.classifier import (
    GAP,
    TEXT_TOKENS,
    VerdictShares,
    cut,
    expected_saving_nano_usd,
    newest_text,
    question_about,
    read_verdict,
)
from costsvc.core.classifying import Classifying
from costsvc.core.policy import read_policy
from costsvc.core.request import ModelRequest, Tier, read_messages_json

CATALOG = load_catalog_files()
HAIKU, OLD = CATALOG.models["claude-haiku-5-5"], CATALOG.models["claude-haiku-4-5-20251001"]
SHIPPED = read_text(POLICY)


def ask(*messages: Any, **members: Any) -> ModelRequest:
    """Return a request with these messages."""
    return ModelRequest(members=read_messages_json(json.dumps({"messages": messages, **members}).encode()))


def user(content: Any) -> dict[str, Any]:
    """Return a message of the user."""
    return {"role": "user", "content": content}


def candidates(*costs: int) -> list[Candidate]:
    """Return candidates that are expected to cost this."""
    return [Candidate(model=HAIKU, tier=None, expected_cost_nano_usd=cost, ruled_out="") for cost in costs]


def tokens(text: str) -> float:
    """Return the tokens that a text is expected to have."""
    per_1000 = HAIKU.tokenizer.tokens_per_1000_chars
    return sum(count * rate for count, rate in zip(count_kinds([text]), per_1000, strict=True)) / 1000


def classifying(rows: str) -> Classifying:
    """Return what the shipped policy says of the classifier with these rows instead of its own."""
    before, rest = SHIPPED.split("[classifier]\n")
    return read_policy(
        f"{before}[classifier]\n{rows}\n{rest[rest.index('# Where answers') :]}", CATALOG
    ).classifying


@given(st.text(max_size=6_000))
def test_a_text_is_cut_to_its_two_ends(text: str) -> None:
    """What is shown is the text, or its beginning and its end as they are."""
    shown = cut(text, HAIKU)
    if shown == text:
        return
    head, tail = shown.split(GAP, 1) if shown.count(GAP) == 1 else (text[:1], text[-1:])
    assert text.startswith(head)
    assert text.endswith(tail)
    assert len(shown) < len(text) + len(GAP)


@pytest.mark.parametrize(
    "piece", ["word and word, ", "def f(x): return {x: [1]}\n", "漢字かな交じり文。", "🚲🚲"]
)
@pytest.mark.parametrize("times", [3, 1_000, 100_000])
def test_a_long_text_has_about_the_tokens_that_it_may_have(piece: str, times: int) -> None:
    """Whatever it is made of."""
    shown = cut(piece * times, HAIKU)
    assert tokens(shown) <= TEXT_TOKENS + 10
    if times > 3:
        assert tokens(shown) >= TEXT_TOKENS * 0.9


def test_the_newest_text_of_the_user_is_asked_about() -> None:
    """Neither what the model said, nor what a tool gave back; blocks are joined."""
    result = {"type": "tool_result", "tool_use_id": "t", "content": "secret"}
    blocks = [
        {"type": "text", "text": "one"},
        {"type": "image", "source": {}},
        {"type": "text", "text": "two"},
    ]
    request = ask(
        user("old"), user(blocks), {"role": "assistant", "content": "said"}, user([result]), user(" ")
    )
    assert newest_text(request) == "one\ntwo"
    assert not question_about(ask(user([result])), HAIKU)


def test_only_the_text_and_the_geography_go_along() -> None:
    """As JSON, so that no text can end it; thinking is off where the model lets it be."""
    request = ask(user('"}'), system="s", tools=[], metadata={"user_id": "u"}, inference_geo="us", top_p=0.5)
    members = question_about(request, HAIKU)
    assert json.loads(members["messages"].value[0]["content"]) == {"request": '"}'}
    assert set(members) == {"model", "max_tokens", "system", "messages", "thinking", "inference_geo"}
    assert members["max_tokens"].value == 8
    always = question_about(request, CATALOG.models["claude-opus-5-5"])
    assert ("thinking" in always, always["max_tokens"].value) == (False, 2048)
    none = replace(HAIKU, capabilities=replace(HAIKU.capabilities, thinking=()))
    assert set(question_about(ask(user("x")), none)) == {"model", "max_tokens", "system", "messages"}


@pytest.mark.parametrize(
    ("text", "stop_reason", "tier"),
    [
        ("simple", "end_turn", Tier.SIMPLE),
        (" Medium\n", "end_turn", Tier.MEDIUM),
        ("COMPLEX", "end_turn", Tier.COMPLEX),
        ("complex.", "end_turn", None),
        ("complex", "max_tokens", None),
        ("simple", "refusal", None),
        ("simple, I think", "end_turn", None),
        ("", "end_turn", None),
    ],
)
def test_a_verdict_is_exactly_one_of_three_words(text: str, stop_reason: str, tier: Tier | None) -> None:
    """Anything else says nothing."""
    assert read_verdict(text, stop_reason) is tier


def test_the_saving_is_what_verdicts_take_off_the_cost() -> None:
    """A verdict that moves a request up counts with what it adds."""
    by_verdict = candidates(1, 20, 40)
    assert expected_saving_nano_usd(by_verdict, 20, (1, 0, 0)) == 19
    assert expected_saving_nano_usd(by_verdict, 20, (0, 0, 1)) == -20
    assert expected_saving_nano_usd(by_verdict, 20, (0.5, 0.3, 0.2)) == pytest.approx(5.5)
    assert expected_saving_nano_usd(candidates(20, 20, 20), 20, (0.5, 0.3, 0.2)) == 0


def test_shares_follow_the_verdicts_of_their_work_alone() -> None:
    """What was seen fifty times outweighs the prior; other work keeps it."""
    seen = VerdictShares()
    before = seen.shares("a")
    for _ in range(50):
        seen.learn("a", Tier.COMPLEX)
    assert sum(seen.shares("a")) == pytest.approx(1)
    assert seen.shares("a")[2] > 0.7
    assert seen.shares("b") == before


def test_what_is_not_asked_any_more_is_asked_again_in_the_end() -> None:
    """Doubt brings the shares back to the prior, so that work that has changed is noticed."""
    seen = VerdictShares()
    before = seen.shares("a")
    for _ in range(50):
        seen.learn("a", Tier.COMPLEX)
    for _ in range(10_000):
        seen.doubt("a")
    assert seen.shares("a") == pytest.approx(before, abs=0.001)
    seen.doubt("never seen")
    assert len(seen) == 1


def test_shares_are_kept_of_so_many_only() -> None:
    """The one that nothing was learnt of for longest gives way."""
    seen = VerdictShares(capacity=2)
    for key in "abc":
        seen.learn(key, Tier.SIMPLE)
    assert len(seen) == 2
    assert seen.shares("a") != seen.shares("b")


def test_the_policy_says_whether_a_model_is_asked() -> None:
    """Not as shipped; then the cheapest of the simple tier, or the one that is named."""
    shipped = read_policy(SHIPPED, CATALOG).classifying
    assert shipped == Classifying()
    assert not shipped.enabled
    assert shipped.models(("a", "b")) == ("a", "b")
    named = classifying('enabled = true\nmodel = "claude-haiku-4-5"')
    assert (named.enabled, named.models(("a",))) == (True, (OLD.id,))


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ('timeout_s = "0"', "timeout_s"),
        ('timeout_s = "31"', "timeout_s"),
        ("ttl_s = 0", "ttl_s"),
        ("ttl_s = 9000000", "ttl_s"),
        ('model = "claude-nobody"', "model"),
        ("enable = true", "enable"),
    ],
)
def test_a_mistake_in_the_policy_is_named(row: str, field: str) -> None:
    """With its table and field."""
    with pytest.raises(CatalogError, match=f"classifier: {field}: "):
        classifying(row)
