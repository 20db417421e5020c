from __future__ import annotations

import base64
import json
import random
import uuid
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costsvc.core.catalog import load_catalog
from costsvc.core.tokens import (
    TokenEstimate,
    estimate_input,
    is_shorter,
    measure,
)
from costsvc.data import read_text

CATALOG = load_catalog(read_text("catalog.toml"))
OLD, NEW = CATALOG.resolve("claude-opus-4-6"), CATALOG.resolve("claude-opus-5-5")
MODELS = st.sampled_from([OLD, NEW, CATALOG.resolve("claude-haiku-5-5")])
TEXTS = st.text(max_size=300)

PROSE = (
    "The committee met on Tuesday to look at the plans for the new library. Most of those who spoke were in "
    "favour, although several neighbours asked how the building would change the view from the park. "
)
CODE = Path(__file__).read_text(encoding="utf-8")
RECORDS = json.dumps(
    [{"id": at, "name": f"user {at}", "active": True, "tags": ["a", "b"]} for at in range(50)]
)
IDS = "\n".join(str(uuid.UUID(int=random.Random(at).getrandbits(128))) for at in range(50))
CHINESE = "今天天气很好,我们去公园散步,然后回家吃饭。"


def asking(content: Any, **fields: Any) -> dict[str, Any]:
    """Return a request of one user message."""
    return {"messages": [{"role": "user", "content": content}], **fields}


def estimated(body: dict[str, Any], model: Any = NEW) -> TokenEstimate:
    """Return the estimate for a request."""
    return estimate_input(measure(body), model)


@pytest.mark.parametrize(
    ("text", "fewest", "most", "fewest_ratio", "most_ratio"),
    [
        (PROSE * 20, 4.0, 4.8, 1.15, 1.46),
        (CODE, 2.5, 4.0, 1.13, 1.36),
        (RECORDS * 4, 2.0, 3.3, 1.15, 1.36),
        (IDS * 4, 1.6, 2.6, 1.0, 1.2),
        (CHINESE * 50, 0.6, 1.2, 1.0, 1.05),
    ],
)
def test_ordinary_content_lies_in_the_measured_ranges(
    text: str, fewest: float, most: float, fewest_ratio: float, most_ratio: float
) -> None:
    """Characters a token, and the ratio of the two tokenizers, are as measured for such content."""
    old, new = estimated(asking(text), OLD).expected, estimated(asking(text), NEW).expected
    assert fewest <= len(text) / old <= most
    assert fewest_ratio <= new / old <= most_ratio


@given(TEXTS, TEXTS, MODELS)
def test_more_text_never_costs_less(text: str, more: str, model: Any) -> None:
    """Appending to a message lowers neither the estimate nor the bound."""
    small, large = estimated(asking(text), model), estimated(asking(text + more), model)
    assert large.expected >= small.expected
    assert large.bound >= small.bound


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
BLOCKS = st.one_of(
    st.fixed_dictionaries({"type": st.just("text"), "text": TEXTS}),
    st.fixed_dictionaries({"type": st.just("tool_use"), "name": TEXTS, "input": JSON_VALUES}),
    st.fixed_dictionaries({"type": st.just("tool_result"), "content": TEXTS}),
    st.fixed_dictionaries({"type": st.just("thinking"), "thinking": TEXTS, "signature": TEXTS}),
    st.fixed_dictionaries({"type": st.just("image"), "source": JSON_VALUES}),
    st.fixed_dictionaries({"type": st.just("document"), "source": JSON_VALUES}),
    JSON_VALUES,
)
BODIES = st.fixed_dictionaries(
    {
        "messages": st.lists(
            st.fixed_dictionaries({"content": TEXTS | st.lists(BLOCKS, max_size=3)}), max_size=4
        )
    },
    optional={
        "system": TEXTS | st.lists(BLOCKS, max_size=2),
        "tools": st.lists(st.fixed_dictionaries({"name": TEXTS, "input_schema": JSON_VALUES}), max_size=2),
        "tool_choice": JSON_VALUES,
        "output_config": JSON_VALUES,
    },
)


@given(BODIES, MODELS)
def test_the_bound_covers_the_estimate_and_every_byte(body: dict[str, Any], model: Any) -> None:
    """Whatever a request holds, the bound is at least the estimate and no text is left out of it."""
    estimate = estimated(body, model)
    assert 0 < estimate.expected <= estimate.bound <= model.context_tokens
    text_bytes = sum(
        len(message["content"].encode("utf-8", "surrogatepass"))
        for message in body["messages"]
        if isinstance(message["content"], str)
    )
    assert estimate.bound >= min(text_bytes, model.context_tokens)


@given(BODIES, MODELS, st.integers(1, 2_000))
def test_what_is_shorter_at_first_sight_is_shorter(body: dict[str, Any], model: Any, tokens: int) -> None:
    """It never says so of a prompt whose bound is not below."""
    content = measure(body)
    assert not is_shorter(content, tokens) or estimate_input(content, model).bound < tokens


def test_a_short_text_is_seen_to_be_short() -> None:
    """One with a tool is not plain enough for that."""
    assert is_shorter(measure(asking("Why?")), 100)
    assert not is_shorter(measure(asking("Why?", tools=[{"name": "x", "input_schema": {}}])), 10_000)


def test_a_text_past_every_window_has_a_bound() -> None:
    """Sixteen million characters are a full context window."""
    estimate = estimated(asking(CHINESE * 800_000))
    assert estimate.expected == estimate.bound == NEW.context_tokens


def test_tools_bring_their_hidden_prompt() -> None:
    """The first tool costs the published prompt, and a forced choice costs more where it is allowed."""
    tool = {"name": "find", "description": "Finds a word.", "input_schema": {"type": "object"}}
    plain = estimated(asking("hi"), OLD).expected
    automatic = estimated(asking("hi", tools=[tool]), OLD).expected
    forced = estimated(asking("hi", tools=[tool], tool_choice={"type": "any"}), OLD).expected
    assert automatic - plain > OLD.tool_prompt_tokens
    assert forced - automatic == OLD.forced_tool_prompt_tokens - OLD.tool_prompt_tokens
    assert estimated(asking("hi", tools=[]), OLD).expected == plain


@pytest.mark.parametrize(
    "body",
    [
        asking("hi", tools=[{"type": "web_search_20260209", "name": "web_search"}]),
        asking("hi", mcp_servers=[{"url": "https://example.com"}]),
        asking([{"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}}]),
        asking([{"type": "document", "source": {"type": "base64", "data": "JVBERi0x" * 50_000}}]),
    ],
)
def test_what_lies_outside_the_request_has_no_bound_of_its_own(body: dict[str, Any]) -> None:
    """Server tools and documents behind a reference are bounded by the context window only, and say so."""
    estimate = estimated(body)
    assert not estimate.bounded
    assert estimate.bound == NEW.context_tokens


def test_sealed_thinking_counts() -> None:
    """Thinking that is only there as a signature is still read, and so is what is redacted."""
    shown = estimated(asking([{"type": "thinking", "thinking": PROSE, "signature": ""}]))
    sealed = base64.b64encode(PROSE.encode()).decode()
    hidden = estimated(asking([{"type": "thinking", "thinking": "", "signature": sealed}]))
    redacted = estimated(asking([{"type": "redacted_thinking", "data": sealed}]))
    assert hidden.expected == redacted.expected == pytest.approx(shown.expected, rel=0.25)


def test_nested_content_counts_like_its_text() -> None:
    """Text in a tool result, a search result or a document is counted wherever it stands."""
    plain = estimated(asking([{"type": "text", "text": PROSE * 10}])).expected
    text = [{"type": "text", "text": PROSE * 10}]
    for block in (
        {"type": "tool_result", "content": text},
        {"type": "search_result", "title": "", "source": "", "content": text},
        {"type": "document", "source": {"type": "content", "content": text}},
        {"type": "document", "source": {"type": "text", "data": PROSE * 10}},
    ):
        assert estimated(asking([block])).expected == plain


@pytest.mark.parametrize("odd", [["text"], {"text": 1}, 5, None])
def test_odd_types_are_counted_as_their_json(odd: object) -> None:
    """What the provider will refuse is measured all the same, wherever its type should be a word."""
    block = {"type": odd, "text": "hi"}
    found = estimated(
        asking(
            [{"type": "tool_result", "content": [block]}], tools=[{"type": odd}], tool_choice={"type": odd}
        )
    )
    assert found.bound >= len(json.dumps(block))


def test_structured_output_adds_its_schema() -> None:
    """A schema is read, and the prompt that comes with it."""
    output_format = {"type": "json_schema", "schema": {"type": "object", "properties": {}}}
    assert estimated(asking("hi", output_config={"format": output_format})).expected > 150
