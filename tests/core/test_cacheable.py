from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costsvc.core.cacheable import Kind, why_not_asked, why_not_kept

ALL = frozenset(Kind)
NONE: frozenset[Kind] = frozenset()
PNG = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "x"}}
PDF = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "x"}}
CALL = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "x"}]}
ANSWER: dict[str, Any] = {"stop_reason": "end_turn", "content": [{"type": "text", "text": "Rome"}]}


def asked(*blocks: Any, **members: Any) -> dict[str, Any]:
    """Return a request whose last message holds some blocks."""
    return {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}, *blocks]}], **members}


def kept(message: dict[str, Any], allowed: frozenset[Kind] = NONE, *models: str) -> str:
    """Return why an answer that haiku was asked for is not kept."""
    return why_not_kept(message, allowed, asked_model="haiku", model_ids=models or ("haiku",))


def test_plain_questions_have_stored_answers() -> None:
    """Text and sampling, in either way of writing content, with marks and metadata."""
    assert not why_not_asked({"messages": [{"role": "user", "content": "Hi"}]}, NONE)
    assert not why_not_asked(
        asked(
            model="haiku",
            max_tokens=3,
            system=[{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}],
            temperature=0.5,
            metadata={"user_id": "u"},
            stop_sequences=["x"],
            output_config={"effort": "low"},
            thinking={"type": "disabled"},
            tools=[],
        ),
        NONE,
    )


NEVER = {
    "server tool": asked(tools=[{"type": "web_search_20250305", "name": "web_search"}]),
    "tool of tomorrow": asked(tools=[{"type": "oracle_2031", "name": "oracle"}]),
    "mcp servers": asked(mcp_servers=[{"url": "x"}]),
    "container": asked(container="c"),
    "thread": asked(thread={"create": {}}),
    "fallbacks": asked(fallbacks="default"),
    "member of tomorrow": asked(member_of_tomorrow=1),
    "image behind a URL": asked({"type": "image", "source": {"type": "url", "url": "https://x"}}),
    "image in a file": asked({"type": "image", "source": {"type": "file", "file_id": "f"}}),
    "document behind a URL": asked({"type": "document", "source": {"type": "url", "url": "https://x"}}),
    "document with an image in a file": asked(
        {
            "type": "document",
            "source": {"type": "content", "content": [PNG, {**PNG, "source": {"type": "file"}}]},
        }
    ),
    "tool result with an image in a file": asked(
        {**RESULT, "content": [{**PNG, "source": {"type": "file"}}]}
    ),
    "server tool in the history": asked(
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
    ),
    "file for a container": asked({"type": "container_upload", "file_id": "f"}),
    "block of tomorrow": asked({"type": "hologram"}),
    "odd block": asked({"type": "document", "source": {"type": "content", "content": [{"type": ["text"]}]}}),
    "odd source": asked({"type": "image", "source": {"type": ["url"]}}),
    "odd tool": asked(tools=["x"]),
    "odd content": asked({**RESULT, "content": 3}),
    "file in the system prompt": asked(system=[{**PDF, "source": {"type": "file"}}]),
}


@pytest.mark.parametrize("name", NEVER)
def test_what_depends_on_more_than_the_request_has_none(name: str) -> None:
    """Whatever a namespace allows."""
    assert why_not_asked(NEVER[name], ALL)


ALLOWED = {
    Kind.TOOLS: [asked(tools=[{"name": "f", "input_schema": {}}]), asked(CALL), asked(RESULT),
                 asked(tools=[{"type": "bash_20250124", "name": "bash"}, {"type": "custom", "name": "g"}])],
    Kind.IMAGES: [asked(PNG)],
    Kind.DOCUMENTS: [asked(PDF), asked({"type": "document", "source": {"type": "text", "data": "x"}}),
                     asked({"type": "search_result", "source": "https://x", "title": "x", "content": []})],
    Kind.THINKING: [asked(thinking={"type": "adaptive"}), asked(thinking={"budget": 1}),
                    asked({"type": "thinking", "thinking": "x", "signature": "s"}),
                    asked({"type": "redacted_thinking", "data": "x"})],
}  # fmt: skip


@pytest.mark.parametrize("kind", ALLOWED)
def test_what_a_namespace_may_allow_needs_its_permission(kind: Kind) -> None:
    """Tools, images, documents and thinking: each by its own word, and by no other."""
    for body in ALLOWED[kind]:
        assert kind.value in why_not_asked(body, ALL - {kind})
        assert not why_not_asked(body, {kind})


def test_an_image_in_a_tool_result_needs_both() -> None:
    """Blocks inside blocks are looked at, too."""
    body = asked({**RESULT, "content": [PNG]})
    assert why_not_asked(body, {Kind.TOOLS})
    assert why_not_asked(body, {Kind.IMAGES})
    assert not why_not_asked(body, {Kind.TOOLS, Kind.IMAGES})


@pytest.mark.parametrize("stop_reason", ["end_turn", "stop_sequence"])
def test_complete_answers_are_kept(stop_reason: str) -> None:
    """The model has said all that it wanted, and nothing was allowed specially."""
    assert not kept({**ANSWER, "stop_reason": stop_reason})


@pytest.mark.parametrize(
    "stop_reason",
    [
        "max_tokens",
        "pause_turn",
        "refusal",
        "model_context_window_exceeded",
        "compaction",
        None,
        "new",
        ["end_turn"],
    ],
)
def test_answers_that_ended_otherwise_are_not_kept(stop_reason: Any) -> None:
    """Cut, paused, refused, without an end, or ended in a way that nobody knows yet."""
    assert kept({**ANSWER, "stop_reason": stop_reason}, ALL)


def test_calls_of_tools_are_kept_where_tools_are_allowed() -> None:
    """Elsewhere neither their stop reason nor their blocks are."""
    message = {"stop_reason": "tool_use", "content": [CALL]}
    assert kept(message)
    assert kept({**message, "stop_reason": "end_turn"})
    assert not kept(message, frozenset({Kind.TOOLS}))


def test_thinking_is_kept_where_it_is_allowed() -> None:
    """That a model has thought by itself, without saying what, needs nobody's permission."""

    def message(thinking: str) -> dict[str, Any]:
        block = {"type": "thinking", "thinking": thinking, "signature": "s"}
        return {**ANSWER, "content": [block, *ANSWER["content"]]}

    assert kept(message("Hm."))
    assert not kept(message("Hm."), frozenset({Kind.THINKING}))
    assert not kept(message(""))
    assert kept({**ANSWER, "content": [{"type": "redacted_thinking", "data": "x"}, *ANSWER["content"]]})


def test_only_answers_by_the_model_that_was_asked_are_kept() -> None:
    """A fallback at the provider, or an adviser, must not answer in its name."""
    assert kept(ANSWER, ALL, "sonnet")
    assert kept(ANSWER, ALL, "haiku", "sonnet")


@pytest.mark.parametrize("content", [[], None, [{"type": "server_tool_use"}], [{"type": "fallback"}], ["x"]])
def test_answers_without_plain_content_are_not_kept(content: Any) -> None:
    """Empty ones, and ones with blocks that depend on more than the request."""
    assert kept({**ANSWER, "content": content}, ALL)


def test_answers_that_live_in_a_container_are_not_kept() -> None:
    """Their files are gone when it is."""
    assert kept({**ANSWER, "container": {"id": "c"}}, ALL)
    assert not kept({**ANSWER, "container": None}, ALL)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["text", "image", "url", "base64"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "source", "content", "text"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(JSON, st.sets(st.sampled_from(Kind)))
def test_any_block_has_an_answer(block: Any, allowed: set[Kind]) -> None:
    """Whatever its shape, and allowing more never takes anything away."""
    if not why_not_asked(asked(block), allowed):
        assert not why_not_asked(asked(block), ALL)
    kept({**ANSWER, "content": block}, frozenset(allowed))
