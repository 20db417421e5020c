from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costsvc.config import load_catalog_files
from costsvc.core.constraints import Needs, needs_of, ruled_out
from costsvc.core.request import ModelRequest, read_messages_json

CATALOG = load_catalog_files()
NOW = datetime(2026, 11, 22, tzinfo=UTC)
ASK = {"role": "user", "content": "Why?"}
TOOL = {"name": "look", "input_schema": {"type": "object"}}
SEARCH = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
FABLE = ("claude-fable-5-2", "claude-fable-5-1", "claude-mythos-5-2", "claude-mythos-5-1")
NEWEST = ("claude-opus-5-5", "claude-sonnet-5-5")
SINCE_4_7 = (
    *FABLE,
    *NEWEST,
    "claude-opus-5",
    "claude-sonnet-5",
    "claude-haiku-5-5",
    "claude-opus-4-8",
    "claude-opus-4-7",
)
BOTH = ("claude-opus-4-6", "claude-sonnet-4-6")
UP_TO_4_5 = ("claude-opus-4-5", "claude-sonnet-4-5", "claude-haiku-4-5")


def needs(**members: Any) -> Needs:
    """Read the needs of a body with these members, 100 tokens and one question."""
    source = json.dumps({"messages": [ASK]} | members).encode()
    return needs_of(ModelRequest(members=read_messages_json(source)), members.get("max_tokens", 100))


def problem(
    model: str, at: datetime = NOW, *, input_tokens: int = 10, sends: bool = True, **members: Any
) -> str:
    """Return why a model cannot answer a body, "" when it can."""
    return ruled_out(
        CATALOG.resolve(model), needs(**members), input_tokens=input_tokens, sends_sampling=sends, at=at
    )


def thinking(kind: str, effort: str = "") -> dict[str, Any]:
    """Return the members that ask for thinking of a kind, at an effort."""
    config = {"output_config": {"effort": effort}} if effort else {}
    return {"thinking": {"type": kind}} | config


FORCED: dict[str, Any] = {"tools": [TOOL], "tool_choice": {"type": "any"}}
PREFILL: dict[str, Any] = {"messages": [ASK, {"role": "assistant", "content": "Because"}]}
FORMAT = {"output_config": {"format": {"type": "json_schema", "schema": {}}}}
PLAIN_EFFORT = "does not take thinking 'disabled' above effort high"

RULES: list[tuple[dict[str, Any], tuple[str, ...], str]] = [
    ({}, (*SINCE_4_7, *BOTH, *UP_TO_4_5), ""),
    (FORCED, (*FABLE, *NEWEST), "does not take a forced tool_choice"),
    (FORCED, ("claude-haiku-5-5", "claude-opus-5", "claude-sonnet-5", *BOTH, *UP_TO_4_5), ""),
    (
        {"tools": [TOOL], "tool_choice": {"type": "tool", "name": "look"}},
        NEWEST,
        "does not take a forced tool_choice",
    ),
    ({"tools": [TOOL], "tool_choice": {"type": "auto"}}, (*FABLE, *NEWEST), ""),
    ({"tools": [TOOL], "tool_choice": {"type": "none"}}, (*FABLE, *NEWEST), ""),
    (PREFILL, (*SINCE_4_7, *BOTH), "does not continue a message of the assistant"),
    (PREFILL, UP_TO_4_5, ""),
    ({"messages": [ASK, {"role": "assistant", "content": [SEARCH]}]}, NEWEST, ""),
    (thinking("enabled"), SINCE_4_7, "does not take thinking 'enabled'"),
    (thinking("enabled"), (*BOTH, *UP_TO_4_5), ""),
    (thinking("adaptive"), UP_TO_4_5, "does not take thinking 'adaptive'"),
    (thinking("adaptive"), (*SINCE_4_7, *BOTH), ""),
    (thinking("disabled"), (*FABLE, *NEWEST), "does not take thinking 'disabled'"),
    (thinking("disabled"), ("claude-opus-5", "claude-haiku-5-5", "claude-sonnet-5", *BOTH, *UP_TO_4_5), ""),
    (thinking("disabled", "high"), ("claude-opus-5",), ""),
    (thinking("disabled", "xhigh"), ("claude-opus-5",), PLAIN_EFFORT),
    (thinking("disabled", "max"), ("claude-opus-5",), PLAIN_EFFORT),
    (thinking("disabled", "max"), ("claude-haiku-5-5", "claude-sonnet-5"), ""),
    (thinking("between_tools"), ("claude-sonnet-5-5",), ""),
    (
        thinking("between_tools", "xhigh"),
        ("claude-sonnet-5-5",),
        "does not take thinking 'between_tools' above effort high",
    ),
    (
        thinking("between_tools"),
        ("claude-opus-5-5", "claude-opus-5", "claude-haiku-5-5"),
        "does not take thinking 'between_tools'",
    ),
    ({"thinking": {"block_binding": "strict"}}, (*SINCE_4_7, *UP_TO_4_5), ""),
    ({"inference_geo": "us"}, UP_TO_4_5, "does not take inference_geo"),
    ({"inference_geo": "us"}, (*SINCE_4_7, *BOTH), ""),
    ({"inference_geo": None}, UP_TO_4_5, ""),
    ({"temperature": 0.2}, SINCE_4_7, "does not take temperature"),
    ({"top_p": 0.2, "top_k": 3}, NEWEST, "does not take top_p, top_k"),
    ({"temperature": 0.2}, (*BOTH, *UP_TO_4_5), ""),
    ({"speed": "fast"}, ("claude-opus-5-5", "claude-opus-5", "claude-fable-5-2", "claude-opus-4-8"), ""),
    ({"speed": "fast"}, ("claude-haiku-5-5", "claude-sonnet-5-5", "claude-opus-4-7"), "has no fast mode"),
    ({"speed": "standard"}, ("claude-haiku-5-5",), ""),
    (FORMAT, ("claude-haiku-5-5", "claude-haiku-4-5"), ""),
    ({"max_tokens": 128_000}, (*SINCE_4_7, *BOTH), ""),
    ({"max_tokens": 128_001}, (*SINCE_4_7, *BOTH), "writes at most 128000 tokens, 128001 asked"),
    ({"max_tokens": 64_001}, UP_TO_4_5, "writes at most 64000 tokens, 64001 asked"),
    ({}, ("claude-opus-4-1", "claude-opus-4-0"), "retired; "),
]


@pytest.mark.parametrize(("members", "models", "expected"), RULES)
def test_each_model_keeps_its_own_rules(
    members: dict[str, Any], models: tuple[str, ...], expected: str
) -> None:
    """What a model would answer with a 400 rules it out, in words; nothing else does."""
    for model in models:
        found = problem(model, **members)
        assert found.startswith(expected) if expected else not found, model


def test_the_rules_are_read_from_the_catalogue() -> None:
    """A model without structured output, or retired without a successor, says so."""
    retired = [model for model in CATALOG.models.values() if not model.callable_on(NOW.date())]
    assert retired
    for model in retired:
        assert problem(model.id) == f"retired; {model.replacement or 'no model'} replaces it"
    then = datetime(2026, 1, 1, tzinfo=UTC)
    without = [model for model in CATALOG.models.values() if not model.capabilities.structured_output]
    assert {problem(model.id, then, **FORMAT) for model in without if model.callable_on(then.date())} <= {
        "has no structured output"
    }


def test_fast_mode_ends_on_its_day() -> None:
    """Opus 4.8 sells it until the end of November 2026."""
    fast = {"speed": "fast"}
    assert problem("claude-opus-4-8", datetime(2026, 11, 29, tzinfo=UTC), **fast) == ""
    assert problem("claude-opus-4-8", datetime(2026, 12, 1, tzinfo=UTC), **fast) == "has no fast mode"


def test_a_prompt_must_fit_with_its_answer() -> None:
    """200,000 tokens hold both; one more does not."""
    assert problem("claude-haiku-4-5", input_tokens=190_000, max_tokens=10_000) == ""
    assert problem("claude-haiku-4-5", input_tokens=190_001, max_tokens=10_000) == (
        "holds 200000 tokens, about 200001 needed"
    )
    assert problem("claude-haiku-5-5", input_tokens=190_001, max_tokens=10_000) == ""


def test_images_are_counted() -> None:
    """Models with a small context window take fewer."""

    def found(model: str, count: int) -> str:
        wanted = Needs(max_tokens=1, prefill=False, image_count=count)
        return ruled_out(CATALOG.resolve(model), wanted, input_tokens=1, sends_sampling=True, at=NOW)

    assert (found("claude-haiku-4-5", 100), found("claude-haiku-5-5", 600)) == ("", "")
    assert found("claude-haiku-4-5", 101) == "takes at most 100 images, 101 sent"
    assert found("claude-haiku-5-5", 601) == "takes at most 600 images, 601 sent"


def test_only_some_models_keep_data() -> None:
    """Fable and Mythos do, whatever was agreed; that rules them out where nothing may be kept."""
    wanted = Needs(max_tokens=1, prefill=False)
    for model in CATALOG.models.values():
        if model.callable_on(NOW.date()):
            found = ruled_out(model, wanted, input_tokens=1, sends_sampling=True, at=NOW, zero_retention=True)
            assert found == ("keeps data for 30 days" if model.line in {"fable", "mythos"} else "")


def test_dropped_sampling_rules_nothing_out() -> None:
    """What is not sent cannot be refused."""
    assert problem("claude-opus-5-5", sends=False, temperature=0.2, top_k=4) == ""


def test_only_text_is_continued() -> None:
    """A turn that paused in the middle of a tool's work goes on with the same model."""
    last = [
        ("user", "x", False),
        ("assistant", "x", True),
        ("assistant", [], True),
        ("assistant", [{"type": "text", "text": "x"}], True),
        ("assistant", [{"type": "text", "text": "x"}, SEARCH], False),
        ("system", "x", False),
    ]
    for role, content, prefill in last:
        assert needs(messages=[ASK, {"role": role, "content": content}]).prefill is prefill


ODD = st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=1)
OBJECTS = st.dictionaries(st.sampled_from(["type", "effort", "format", "name"]), ODD)


@given(
    st.fixed_dictionaries(
        {},
        optional={"tool_choice": OBJECTS, "thinking": OBJECTS, "output_config": OBJECTS, "speed": st.text()},
    ),
    st.sampled_from(sorted(CATALOG.models)),
)
def test_odd_values_rule_out_or_pass(members: dict[str, Any], model: str) -> None:
    """What only the provider can judge never fails here."""
    assert isinstance(problem(model, **members), str)


@given(
    st.sampled_from(sorted(CATALOG.models)),
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.integers(0, 10**6),
)
def test_less_is_never_harder(model: str, input_tokens: int, max_tokens: int, less: int) -> None:
    """A model that can answer can also answer shorter, and less."""
    if problem(model, input_tokens=input_tokens, max_tokens=max_tokens):
        return
    assert (
        problem(model, input_tokens=max(input_tokens - less, 0), max_tokens=max(max_tokens - less, 0)) == ""
    )
