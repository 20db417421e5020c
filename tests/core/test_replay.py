from __future__ import annotations

import json
from itertools import groupby
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costsvc.core.message_stream import MessageAssembler
from costsvc.core.replay import replay
from tests.core.test_message_stream import blocks, messages, texts, values

odd_blocks = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "thinking", "tool_use", "mcp_tool_use", "compaction"])},
    optional={
        "text": values,
        "thinking": values,
        "signature": values,
        "input": values,
        "citations": values,
        "content": values,
        "cache_control": values,
    },
)


def assembled(events: list[dict[str, Any]]) -> MessageAssembler:
    """Return an assembler that was fed the events."""
    assembler = MessageAssembler()
    for event in events:
        assembler.feed(event["type"], event)
    return assembler


@given(messages)
def test_the_events_add_up_to_the_message(message):
    """Whatever the answer, its replay is complete, and gives it back with usage and visible text."""
    assembler = assembled(list(replay(message)))
    assert assembler.complete
    assert assembler.message() == message
    assert assembler.text() == "".join(b["text"] for b in message["content"] if b["type"] == "text")


@given(messages, st.lists(odd_blocks | blocks, max_size=4))
def test_blocks_of_any_shape_survive(message, content):
    """A known kind of block with unknown contents, and an unknown kind, come back as they were."""
    message = {**message, "content": content}
    assert assembled(list(replay(message))).message() == message


@given(messages)
def test_the_order_is_the_providers(message):
    """One start, then block by block start, deltas and stop, then one delta of the message, and the stop."""
    events = list(replay(message))
    first, *inner, last, stop = events
    assert [e["type"] for e in (first, last, stop)] == ["message_start", "message_delta", "message_stop"]
    assert (first["message"]["content"], first["message"]["stop_reason"]) == ([], None)
    for index, (at, group) in enumerate(groupby(inner, key=lambda event: event["index"])):
        kinds = [event["type"].removeprefix("content_block_") for event in group]
        assert (at, kinds[0], kinds[-1]) == (index, "start", "stop")
        assert set(kinds[1:-1]) <= {"delta"}


@given(messages)
def test_the_events_are_json_and_leave_the_message_alone(message):
    """Each event can be written and read again, and the message is as it was."""
    before = json.dumps(message)
    events = list(replay(message))
    assert json.loads(json.dumps(events)) == events
    assert json.dumps(message) == before


@given(texts, texts)
def test_what_the_provider_streams_by_deltas_comes_by_deltas(text, signature):
    """Text, thinking with its signature, tool input and citations are not in the start of their block."""
    content = [
        {"type": "thinking", "thinking": text, "signature": signature},
        {"type": "text", "text": text, "citations": [{"cited_text": text}]},
        {"type": "tool_use", "id": "t", "name": "n", "input": {"q": text}},
        {"type": "redacted_thinking", "data": text},
    ]
    events = list(replay({"type": "message", "content": content, "usage": {}}))
    started = [event["content_block"] for event in events if event["type"] == "content_block_start"]
    assert started == [
        {"type": "thinking", "thinking": "", "signature": ""},
        {"type": "text", "text": "", "citations": []},
        {"type": "tool_use", "id": "t", "name": "n", "input": {}},
        content[3],
    ]
    deltas = [event["delta"]["type"] for event in events if event["type"] == "content_block_delta"]
    thought = ["thinking_delta"] if text else []
    assert deltas == [*thought, "signature_delta", "text_delta", "citations_delta", "input_json_delta"]


@pytest.mark.parametrize("message", [{}, {"content": "text"}, {"usage": None, "content": [None, 3]}])
def test_no_message_is_too_odd(message):
    """What makes no sense as a message still has a beginning and an end."""
    events = list(replay(message))
    assert (events[0]["type"], events[-1]["type"]) == ("message_start", "message_stop")
