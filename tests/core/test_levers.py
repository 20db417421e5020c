"""Tests of which levers are pulled, what they send, and what they are worth."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costsvc.config import load_catalog_files, load_policy_file
from costsvc.core.accept import Checks
from costsvc.core.candidates import Question, Reason
from costsvc.core.constraints import needs_of, thinking_problem
from costsvc.core.content import measure
from costsvc.core.length import Length
from costsvc.core.lengths import LEAST_CALLS, Lengths
from costsvc.core.levers import Levers, pull
from costsvc.core.request import ModelRequest, read_messages_json
from costsvc.core.usage import Usage

CATALOG = load_catalog_files()
POLICY = load_policy_file(None, CATALOG)
HAIKU, OLD, OPUS = "claude-haiku-5-5", "claude-haiku-4-5", "claude-opus-5-5"
TURN = {"role": "user", "content": "Which colour has the sky?"}
SCHEMA = {"type": "object", "properties": {}, "additionalProperties": False}
TOOL = {"name": "t", "input_schema": {"type": "object"}}
CAP = Length(cap_tokens=16, probe_share=Fraction(0))
BASE = 1_000


def asked(body: dict[str, Any] | None = None, **said: Any) -> ModelRequest:
    """Return a request with these members of the body."""
    source = json.dumps({"messages": [TURN], **(body or {})}).encode()
    return ModelRequest(members=read_messages_json(source), task="label", **said)


def question(request: ModelRequest) -> Question:
    """Return a request with what levers go by."""
    given_max = request.get("max_tokens")
    content = measure(request.body)
    return Question(
        request=request,
        tenant="t",
        needs=needs_of(request, BASE if given_max is None else given_max),
        content=content,
        policy=POLICY,
        catalog=CATALOG,
        expected=lambda _: Usage(),
        upper_nano_usd=lambda _: 0,
        at=datetime(2026, 11, 22, tzinfo=UTC),
    )


def pulled(
    length: Length,
    body: dict[str, Any] | None = None,
    *,
    model: str = OLD,
    lengths: Lengths | None = None,
    **said: Any,
) -> Levers:
    """Pull the levers of a task for a request."""
    return pull(length, lengths or Lengths(), question(asked(body, **said)), CATALOG.resolve(model))


def done(levers: Levers) -> tuple[Reason, ...]:
    """Return the reasons but for the policy's plain default."""
    return tuple(reason for reason in levers.reasons if reason.code != "max_tokens_default")


def codes(levers: Levers) -> list[str]:
    """Return their codes."""
    return [reason.code for reason in done(levers)]


def test_a_default_is_said_where_no_lever_sets_it() -> None:
    """Once, whatever else is done."""
    assert pulled(Length(effort="high"), model=HAIKU).reasons[0] == Reason(
        "max_tokens_default", "1000 by policy"
    )
    assert [reason.code for reason in pulled(CAP).reasons] == ["length_cap"]


def test_a_cap_limits_the_answer() -> None:
    """With or without a limit of the caller's; a smaller one of the caller's stays."""
    for body in ({}, {"max_tokens": 500}):
        levers = pulled(CAP, body)
        assert (levers.max_tokens, codes(levers)) == (16, ["length_cap"])
    for max_tokens in (0, 1, 16):
        levers = pulled(CAP, {"max_tokens": max_tokens})
        assert (levers.max_tokens, done(levers)) == (max_tokens, ())


@pytest.mark.parametrize(
    ("body", "said", "model"),
    [
        ({"tools": [TOOL]}, {}, OLD),
        ({"mcp_servers": [{"url": "x"}]}, {}, OLD),
        ({"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}}, {}, OLD),
        ({}, {"checks": Checks(no_truncation=True)}, OLD),
        ({}, {"checks": Checks(values=frozenset({"blue"}))}, OLD),
        ({}, {"checks": Checks(min_chars=3)}, OLD),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 4_000}, {}, OLD),
        ({"thinking": {"type": "adaptive"}}, {}, HAIKU),
        ({}, {}, HAIKU),
        ({}, {}, OPUS),
    ],
)
def test_no_answer_is_cut_whose_tail_may_matter(
    body: dict[str, Any], said: dict[str, Any], model: str
) -> None:
    """Not with tools, structure, checks of the text, or thinking, which a cut would leave nothing behind."""
    levers = pulled(CAP, body, model=model, **said)
    assert levers.max_tokens == body.get("max_tokens", BASE)
    assert done(levers) == ()


def test_checks_that_stand_a_cut_let_it_be() -> None:
    """A refusal is one however much of it is written."""
    assert pulled(CAP, checks=Checks(no_refusal=True, max_chars=99)).max_tokens == 16


def test_without_thinking_a_newer_model_is_cut_too() -> None:
    """The caller has switched it off, or the task's policy does."""
    assert pulled(CAP, {"thinking": {"type": "disabled"}}, model=HAIKU).max_tokens == 16
    off = Length(cap_tokens=16, thinking_off=True, probe_share=Fraction(0))
    levers = pulled(off, model=HAIKU)
    assert codes(levers) == ["thinking_off", "length_cap"]
    assert levers.request.get("thinking") == {"type": "disabled"}
    assert pulled(off, model="claude-sonnet-5-5").request.get("thinking") == {"type": "between_tools"}
    assert codes(pulled(off, model=OPUS)) == []
    assert codes(pulled(off, {"thinking": {"type": "adaptive"}}, model=HAIKU)) == []


def test_a_missing_limit_is_made_of_what_was_observed() -> None:
    """The quantile between floor and ceiling; the policy's own default until enough is known."""
    length = Length(default_quantile=Fraction(9, 10), floor_tokens=50, ceiling_tokens=300)
    for observed, limit in ((10, 50), (120, 120), (5_000, 300)):
        lengths = Lengths()
        for _ in range(LEAST_CALLS):
            levers = pulled(length, lengths=lengths)
            assert (levers.max_tokens, done(levers)) == (BASE, ())
            levers.learn(lengths, observed, "end_turn")
        levers = pulled(length, lengths=lengths)
        assert levers.max_tokens == limit
        [reason] = done(levers)
        assert reason.code == "max_tokens_observed"
        assert reason.detail == f"{limit}: quantile 0.9 of the last 20 answers is {observed}"
        assert pulled(length, {"max_tokens": 700}, lengths=lengths).max_tokens == 700


def test_answers_that_are_cut_raise_the_limit_to_the_ceiling() -> None:
    """They would have been longer; refusals say nothing of length."""
    length = Length(default_quantile=Fraction(9, 10), ceiling_tokens=2_000)
    lengths = Lengths()
    for _ in range(LEAST_CALLS):
        pulled(length, lengths=lengths).learn(lengths, 5, "refusal")
    assert done(pulled(length, lengths=lengths)) == ()
    for _ in range(LEAST_CALLS):
        pulled(length, lengths=lengths).learn(lengths, 100, "max_tokens")
    levers = pulled(length, lengths=lengths)
    assert (levers.max_tokens, done(levers)[0].detail) == (
        2_000,
        "2000: quantile 0.9 of the last 20 answers was cut",
    )
    assert pulled(length, lengths=lengths, max_cost_nano_usd=10**9).max_tokens == BASE


def test_a_budget_of_thinking_is_never_undercut() -> None:
    """The provider refuses a limit below it."""
    length = Length(default_quantile=Fraction(9, 10))
    thinking = {"thinking": {"type": "enabled", "budget_tokens": 1024}}
    lengths = Lengths()
    for _ in range(LEAST_CALLS):
        pulled(length, lengths=lengths).learn(lengths, 10, "end_turn")
    assert pulled(length, lengths=lengths).max_tokens == 10
    assert pulled(length, thinking, lengths=lengths).max_tokens == BASE


def test_effort_is_set_where_a_model_has_it_and_nobody_else_did() -> None:
    """The model's own default is left unsaid; what the caller wrote stays, byte for byte."""
    low = Length(effort="low", probe_share=Fraction(0))
    assert pulled(low, model=HAIKU).request.get("output_config") == {"effort": "low"}
    assert done(pulled(low, model=OLD)) == ()
    assert done(pulled(Length(effort="medium"), model=HAIKU)) == ()
    assert done(pulled(low, {"output_config": {"effort": "max"}}, model=HAIKU)) == ()
    body = b'{"messages":[{"role":"user","content":"x"}],"output_config": {"x": 1.50e0 } }'
    request = ModelRequest(members=read_messages_json(body), task="label")
    levers = pull(low, Lengths(), question(request), CATALOG.resolve(HAIKU))
    assert levers.request.members["output_config"].text == '{"x": 1.50e0 ,"effort":"low"}'
    empty = pulled(low, {"output_config": {"effort": None}}, model=HAIKU)
    assert json.loads(empty.request.members["output_config"].text) == {"effort": "low"}


def test_effort_never_asks_for_what_a_model_refuses() -> None:
    """Above high, Opus 5 cannot have its thinking off."""
    eager = Length(effort="max", probe_share=Fraction(0))
    assert done(pulled(eager, {"thinking": {"type": "disabled"}}, model="claude-opus-5")) == ()
    assert codes(pulled(eager, model="claude-opus-5")) == ["effort_set"]
    both = Length(effort="max", thinking_off=True, probe_share=Fraction(0))
    assert codes(pulled(both, model="claude-opus-5")) == ["thinking_off"]


def test_stop_sequences_are_added_where_a_cut_does_no_harm() -> None:
    """And where the caller has none."""
    stop = Length(stop_sequences=("##", "END"), probe_share=Fraction(0))
    assert pulled(stop).request.get("stop_sequences") == ["##", "END"]
    assert pulled(stop, {"stop_sequences": []}).request.get("stop_sequences") == ["##", "END"]
    for body in ({"stop_sequences": ["x"]}, {"tools": [TOOL]}):
        assert done(pulled(stop, body)) == ()


def test_a_schema_is_added_where_nothing_else_is_expected() -> None:
    """And counted as what it adds to the prompt."""
    schema = Length(json_schema=SCHEMA, probe_share=Fraction(0))
    levers = pulled(schema, model=HAIKU)
    assert levers.request.get("output_config") == {"format": {"type": "json_schema", "schema": SCHEMA}}
    assert levers.content.structured_output
    assert levers.pulled[0].added_tokens > 100
    [reduction] = levers.reductions(20, "end_turn")
    assert (reduction.input_tokens, reduction.output_tokens) == (-levers.pulled[0].added_tokens, 0)
    for body in (
        {"tools": [TOOL]},
        {"messages": [TURN, {"role": "assistant", "content": "The"}]},
        {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
        {"messages": [{"role": "user", "content": [{"type": "document", "citations": {"enabled": True}}]}]},
    ):
        assert done(pulled(schema, body, model=HAIKU)) == ()
    assert done(pulled(schema, model=HAIKU, checks=Checks(values=frozenset({"blue"})))) == ()
    assert codes(pulled(schema, model=HAIKU, checks=Checks(no_truncation=True))) == ["schema_added"]


@given(
    st.booleans(),
    st.sampled_from(["", "low", "xhigh", "max"]),
    st.sampled_from(sorted(CATALOG.models)),
    st.sampled_from([None, "adaptive", "disabled", "between_tools"]),
    st.sampled_from([None, "low", "max"]),
)
def test_no_lever_makes_a_model_refuse(
    off: bool, effort: str, model: str, thinking: str | None, own: str | None
) -> None:
    """What a model takes as the caller says it, it takes with the levers."""
    body: dict[str, Any] = {"thinking": {"type": thinking}} if thinking else {}
    body |= {"output_config": {"effort": own}} if own else {}
    found = CATALOG.models[model]
    levers = pulled(Length(thinking_off=off, effort=effort, probe_share=Fraction(0)), body, model=model)
    before, after = (needs_of(request, BASE) for request in (asked(body), levers.request))
    assert thinking_problem(found, before) or not thinking_problem(found, after)


def test_a_prompt_is_tidied_where_no_form_of_it_is_kept() -> None:
    """Not with breakpoints, thinking, or a conversation that may think."""
    tidy = Length(tidy_prompts=True)
    system = "You are kind.  \n\n\n\nAnswer briefly."
    question = {"role": "user", "content": "Why?   \n\n\n\nPlease."}
    body = {"system": system, "messages": [question]}
    levers = pulled(tidy, body)
    assert levers.request.get("system") == "You are kind.\n\nAnswer briefly."
    assert levers.request.get("messages") == [{"role": "user", "content": "Why?\n\nPlease."}]
    assert codes(levers) == ["prompt_tidied"]
    assert codes(pulled(tidy, body, model=HAIKU)) == ["prompt_tidied"]
    turn = pulled(tidy, body, conversation_id="c")
    assert turn.request.get("system") == "You are kind.\n\nAnswer briefly."
    assert turn.request.members["messages"] is asked(body).members["messages"] or turn.request.get(
        "messages"
    ) == [question]
    thought = {"role": "assistant", "content": [{"type": "thinking", "thinking": "", "signature": "s"}]}
    for changes, said, model in (
        ({"cache_control": {"type": "ephemeral"}}, {}, OLD),
        ({"messages": [question, thought, question]}, {}, OLD),
        ({}, {"conversation_id": "c"}, HAIKU),
        ({"messages": [question, {"role": "assistant", "content": "So."}, question]}, {}, HAIKU),
        ({}, {}, OPUS),
    ):
        assert done(pulled(tidy, body | changes, model=model, **said)) == ()


def test_a_tidied_prompt_saves_a_token_a_place_at_most() -> None:
    """Mostly white space is a part of its neighbour; a repeated block is counted as the text that it is."""
    text = "You are a helpful assistant of the Acme company. "
    system = [{"type": "text", "text": text}, {"type": "text", "text": text}]
    [reduction] = pulled(Length(tidy_prompts=True), {"system": system}).reductions(5, "refusal")
    assert reduction.lever == "prompt_tidied"
    assert 8 <= reduction.input_tokens <= 14
    assert reduction.output_tokens == 0


def measured(length: Length, at: dict[int, list[int]], **said: Any) -> tuple[Lengths, Levers]:
    """Return levers after answers of some lengths to calls that pulled so many of them."""
    lengths = Lengths()
    [kind] = {key[0] for key in pulled(length, lengths=lengths, **said).learned_as if len(key) == 2}
    for level, observed in at.items():
        for tokens in observed:
            lengths.observe((kind, level), tokens, is_cut=False)
    return lengths, pulled(length, lengths=lengths, **said)


def test_a_cut_saves_what_longer_answers_have_beyond_it() -> None:
    """The mean of uncut answers beyond the cap; nothing where the answer was short anyway."""
    _, levers = measured(CAP, {0: [10] * 10 + [36] * 5 + [56] * 5})
    assert [each.output_tokens for each in levers.reductions(16, "max_tokens")] == [30]
    assert [each.output_tokens for each in levers.reductions(9, "end_turn")] == [0]
    assert [each.output_tokens for each in pulled(CAP).reductions(16, "max_tokens")] == [0]
    _, levers = measured(CAP, {0: [5_000] * 20})
    assert [each.output_tokens for each in levers.reductions(16, "max_tokens")] == [BASE - 16]


def test_a_chain_of_levers_counts_each_token_once() -> None:
    """The parts add up to the mean without any lever; after a gap nothing is claimed."""
    length = Length(
        cap_tokens=16, thinking_off=True, effort="low", stop_sequences=("END",), probe_share=Fraction(0)
    )
    known = {0: [400] * 20, 1: [200] * 20, 2: [100] * 20, 3: [36] * 20}
    _, levers = measured(length, known, model=HAIKU)
    assert codes(levers) == ["thinking_off", "effort_set", "stop_sequences_added", "length_cap"]
    parts = [each.output_tokens for each in levers.reductions(16, "max_tokens")]
    assert parts == [200, 100, 64, 20]
    assert sum(parts) == 400 - 16
    _, levers = measured(length, {at: known[at] for at in (0, 2, 3)}, model=HAIKU)
    assert [each.output_tokens for each in levers.reductions(16, "max_tokens")] == [0, 0, 64, 20]
    assert [each.output_tokens for each in levers.reductions(0, "refusal")] == [0, 0, 0, 0]


def test_a_share_of_calls_goes_without_and_says_so() -> None:
    """About as many as asked, spread over the chain, each time the same; a conversation as one."""
    length = Length(cap_tokens=16, stop_sequences=("END",), probe_share=Fraction(1, 5))
    found = [pulled(length, {"messages": [{"role": "user", "content": f"q{n}"}]}) for n in range(1_000)]
    by_count = [sum(len(levers.pulled) == count for levers in found) for count in range(3)]
    assert sum(by_count) == 1_000
    assert all(60 < count < 140 for count in by_count[:2])
    without = next(levers for levers in found if not levers.pulled)
    assert without.max_tokens == BASE
    assert done(without)[0].code == "length_probe"
    assert done(without)[0].detail == "without stop_sequences_added, length_cap, to measure what that saves"
    turns = [
        pulled(length, {"messages": [{"role": "user", "content": f"q{n}"}]}, conversation_id="c")
        for n in range(50)
    ]
    assert len({len(levers.pulled) for levers in turns}) == 1
    again = [pulled(length, {"messages": [{"role": "user", "content": f"q{n}"}]}) for n in range(50)]
    assert [len(levers.pulled) for levers in again] == [len(levers.pulled) for levers in found[:50]]


@given(
    st.lists(st.integers(1, 1_000), min_size=LEAST_CALLS, max_size=60),
    st.integers(1, 16),
    st.booleans(),
)
def test_what_is_saved_never_makes_a_negative_length(seen: list[int], tokens: int, is_cut: bool) -> None:
    """Without its levers an answer would have had some length, up to the limit without them."""
    length = Length(cap_tokens=16, stop_sequences=("END",), probe_share=Fraction(0))
    _, levers = measured(length, {0: seen, 1: seen})
    parts = levers.reductions(16 if is_cut else tokens, "max_tokens" if is_cut else "end_turn")
    whole = (16 if is_cut else tokens) + sum(part.output_tokens for part in parts)
    assert 0 <= whole <= BASE
