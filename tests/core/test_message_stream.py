from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costsvc.core.message_stream import MessageAssembler
from costsvc.core.usage import Usage, read_usage

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
scalars = st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False) | texts
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3)
)
objects = st.dictionaries(texts, values, max_size=4)
counts = st.integers(0, 10**6)

citations = st.lists(
    st.fixed_dictionaries({"type": st.just("char_location"), "cited_text": texts}), min_size=1, max_size=3
)
plain_text = st.fixed_dictionaries({"type": st.just("text"), "text": texts})
cited_text = st.fixed_dictionaries({"type": st.just("text"), "text": texts, "citations": citations})
thinking = st.fixed_dictionaries({"type": st.just("thinking"), "thinking": texts, "signature": texts})
tool_use = st.fixed_dictionaries(
    {"type": st.sampled_from(["tool_use", "server_tool_use"]), "id": texts, "name": texts, "input": objects}
)
whole = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["redacted_thinking", "web_search_tool_result", "block_of_tomorrow"]),
        "content": values,
    }
)
blocks = plain_text | cited_text | thinking | tool_use | whole


def billable(usage: dict[str, Any]) -> dict[str, Any]:
    """Make the total of cache writes cover its split, as every answer's does."""
    split = usage.get("cache_creation", {})
    total = max(usage["cache_creation_input_tokens"], sum(split.values()))
    return {**usage, "cache_creation_input_tokens": total}


START_ONLY_USAGE = ("cache_creation", "service_tier", "inference_geo", "speed")
usages = st.fixed_dictionaries(
    {
        "input_tokens": counts,
        "cache_creation_input_tokens": counts,
        "cache_read_input_tokens": counts,
        "output_tokens": counts,
    },
    optional={
        "cache_creation": st.fixed_dictionaries(
            {"ephemeral_5m_input_tokens": counts, "ephemeral_1h_input_tokens": counts}
        ),
        "service_tier": st.sampled_from(["standard", "priority"]),
        "inference_geo": st.sampled_from(["global", "us", "not_available"]),
        "speed": st.sampled_from(["standard", "fast"]),
        "server_tool_use": st.none() | st.fixed_dictionaries({"web_search_requests": counts}),
        "output_tokens_details": st.fixed_dictionaries({"thinking_tokens": counts}),
        "iterations": st.lists(
            st.fixed_dictionaries({"type": st.just("message"), "output_tokens": counts}), max_size=2
        ),
    },
).map(billable)
messages = st.fixed_dictionaries(
    {
        "id": texts,
        "type": st.just("message"),
        "role": st.just("assistant"),
        "model": texts,
        "content": st.lists(blocks, max_size=5),
        "stop_reason": st.sampled_from(["end_turn", "max_tokens", "tool_use", "stop_sequence", "refusal"]),
        "stop_sequence": st.none() | texts,
        "usage": usages,
    },
    optional={
        "stop_details": st.none() | objects,
        "container": st.none() | objects,
        "diagnostics": st.none() | objects,
        "context_management": objects,
    },
)


def pieces(text: str, cuts: list[int]) -> list[str]:
    """Cut a text at some of the places given."""
    at = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    return [text[start:end] for start, end in itertools.pairwise(at)]


def events_of(message: dict[str, Any], cuts: list[int]) -> Iterator[dict[str, Any]]:
    """Say a message the way the provider streams it: the inverse of the assembler."""
    late = {"stop_reason", "stop_sequence", "stop_details", "container"}
    beside = {"context_management"}
    usage = message["usage"]
    start = {key: None if key in late else value for key, value in message.items() if key not in beside}
    first = {key: value for key, value in usage.items() if key in START_ONLY_USAGE}
    start |= {"content": [], "usage": {"input_tokens": usage["input_tokens"], "output_tokens": 1, **first}}
    yield {"type": "message_start", "message": start}
    for index, block in enumerate(message["content"]):
        opening, deltas = opened(block, cuts)
        yield {"type": "content_block_start", "index": index, "content_block": opening}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    delta = {key: message[key] for key in late & message.keys()}
    total = {key: value for key, value in usage.items() if key not in START_ONLY_USAGE}
    yield {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 1}}
    yield {
        "type": "message_delta",
        "delta": delta,
        "usage": total,
        **{k: message[k] for k in beside & message.keys()},
    }
    yield {"type": "message_stop"}


def opened(block: dict[str, Any], cuts: list[int]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return a block as it starts, and the deltas that complete it."""
    match block["type"]:
        case "text":
            opening = {**block, "text": "", **({"citations": []} if "citations" in block else {})}
            cited = [{"type": "citations_delta", "citation": c} for c in block.get("citations", [])]
            return opening, [
                *({"type": "text_delta", "text": p} for p in pieces(block["text"], cuts)),
                *cited,
            ]
        case "thinking":
            thoughts = [{"type": "thinking_delta", "thinking": p} for p in pieces(block["thinking"], cuts)]
            signature = {"type": "signature_delta", "signature": block["signature"]}
            return {**block, "thinking": "", "signature": ""}, [*thoughts, signature]
        case "tool_use" | "server_tool_use":
            written = ["", *pieces(json.dumps(block["input"]), cuts)] if block["input"] else [""]
            return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": p} for p in written]
        case _:
            return block, []


def assembled(*events: dict[str, Any]) -> MessageAssembler:
    """Return an assembler that was fed the events."""
    assembler = MessageAssembler()
    for event in events:
        assembler.feed(event["type"], event)
    return assembler


def start(**message: Any) -> dict[str, Any]:
    """Return a message_start."""
    return {"type": "message_start", "message": {"type": "message", "content": [], "usage": {}, **message}}


def block_start(block: dict[str, Any], index: int = 0) -> dict[str, Any]:
    """Return a content_block_start."""
    return {"type": "content_block_start", "index": index, "content_block": block}


def delta(index: int = 0, **fields: Any) -> dict[str, Any]:
    """Return a content_block_delta."""
    return {"type": "content_block_delta", "index": index, "delta": fields}


@given(message=messages, cuts=st.lists(st.integers(1, 60), max_size=6))
def test_a_streamed_message_is_the_unary_one(message, cuts):
    """Whatever the message and wherever its pieces are cut, the events add up to it."""
    assembler = assembled(*events_of(message, cuts))
    assert assembler.complete
    assert assembler.message() == message
    assert assembler.usage() == message["usage"]


@given(message=messages, cuts=st.lists(st.integers(1, 60), max_size=6))
def test_the_visible_text_is_given_out_once(message, cuts):
    """What feed returns, joined, is the text of the text blocks."""
    assembler = MessageAssembler()
    shown = "".join(assembler.feed(event["type"], event) for event in events_of(message, cuts))
    assert shown == "".join(block["text"] for block in message["content"] if block["type"] == "text")
    assert shown == assembler.text()


@given(message=messages, cuts=st.lists(st.integers(1, 60), max_size=6), stop=st.integers(0, 40))
def test_a_partial_stream_keeps_what_it_said(message, cuts, stop):
    """Cut after any event, the message is readable, not complete, and has the usage known so far."""
    events = list(events_of(message, cuts))[:-1]
    assembler = assembled(*events[: stop + 1])
    assert not assembler.complete
    assert assembler.usage()["input_tokens"] == message["usage"]["input_tokens"]
    assert assembler.message()["id"] == message["id"]


@given(
    message=messages,
    junk=st.lists(st.tuples(st.sampled_from(["ping", "new_event", "content_block_delta"]), objects)),
)
def test_events_that_make_no_sense_change_nothing(message, junk):
    """Unknown events, and known ones without their fields, leave the message alone."""
    assembler = MessageAssembler()
    for event in events_of(message, []):
        assembler.feed(event["type"], event)
        for kind, data in junk:
            assert assembler.feed(kind, {key: value for key, value in data.items() if key != "index"}) == ""
    assert assembler.message() == message


@given(
    order=st.permutations(["message_start", "content_block_start", "message_delta", "message_stop"]),
    data=objects,
)
def test_no_event_raises(order, data):
    """Events in any order and of any content are taken in."""
    assembler = MessageAssembler()
    for kind in order:
        assembler.feed(kind, data)
    assembler.message()


def test_nothing_is_known_before_the_start():
    """Without message_start there is no message, and no end completes it."""
    assembler = assembled(
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}}, {"type": "message_stop"}
    )
    assert assembler.message() == {}
    assert not assembler.complete


def test_a_message_may_come_whole_in_its_start():
    """After a tool call from code the answer is in message_start, and message_stop follows at once."""
    content = [{"type": "text", "text": "done"}]
    assembler = MessageAssembler()
    event = start(content=content, stop_reason="end_turn", usage={"input_tokens": 0, "output_tokens": 0})
    assert assembler.feed("message_start", event) == "done"
    assembler.feed("message_stop", {"type": "message_stop"})
    assert assembler.complete
    assert assembler.message() == event["message"]


def test_a_refusal_has_no_blocks():
    """A refusal streams no block; its details and its usage are kept."""
    details = {"type": "refusal", "category": "bio", "explanation": "no"}
    assembler = assembled(
        start(usage={"input_tokens": 9, "output_tokens": 1}),
        {
            "type": "message_delta",
            "delta": {"stop_reason": "refusal", "stop_details": details},
            "usage": {"output_tokens": 0},
        },
        {"type": "message_stop"},
    )
    assert assembler.message()["stop_details"] == details
    assert assembler.usage() == {"input_tokens": 9, "output_tokens": 0}


def test_the_last_counts_hold_and_nulls_erase_nothing():
    """Counts of message_delta replace earlier ones; the split, tier, geography and speed stay."""
    split = {"ephemeral_5m_input_tokens": 5, "ephemeral_1h_input_tokens": 2}
    first = {
        "input_tokens": 2479,
        "cache_creation_input_tokens": 7,
        "cache_creation": split,
        "output_tokens": 88,
    }
    last = {
        "input_tokens": 404500,
        "cache_creation_input_tokens": None,
        "cache_creation": None,
        "output_tokens": 900,
    }
    assembler = assembled(
        start(usage={**first, "service_tier": "standard", "inference_geo": "us", "speed": "fast"}),
        {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 10}},
        {"type": "message_delta", "delta": {}, "usage": last},
    )
    assert assembler.usage() == {
        **first,
        "input_tokens": 404500,
        "output_tokens": 900,
        "service_tier": "standard",
        "inference_geo": "us",
        "speed": "fast",
    }


def test_a_read_that_shrinks_is_believed():
    """A compaction starts with a cached prompt and ends with a small message: the last count holds."""
    assembler = assembled(
        start(usage={"cache_read_input_tokens": 55096}),
        {
            "type": "message_delta",
            "delta": {},
            "usage": {"cache_read_input_tokens": 0, "iterations": [{"type": "compaction"}]},
        },
    )
    assert assembler.usage() == {"cache_read_input_tokens": 0, "iterations": [{"type": "compaction"}]}


@pytest.mark.parametrize("written", ['{"city": "Par', "not json", '{"a":1}}'])
def test_tool_input_that_cannot_be_read_is_not_guessed(written):
    """Half an input is not run: the parsed input stays empty, and the text as written is kept."""
    assembler = assembled(
        start(),
        block_start({"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}),
        delta(type="input_json_delta", partial_json=""),
        delta(type="input_json_delta", partial_json=written),
    )
    assert assembler.message()["content"][0]["input"] == {}
    assert assembler.tool_input_json(0) == written


def test_tool_input_is_kept_as_written():
    """The exact text of an input survives, for callers that must send it back unchanged."""
    written = '{ "b": 1.0, "a": 1e2 }'
    assembler = assembled(
        start(),
        block_start({"type": "tool_use", "input": {}}),
        delta(type="input_json_delta", partial_json=written),
    )
    assert assembler.tool_input_json(0) == written
    assert assembler.tool_input_json(7) == ""


def test_hidden_thinking_is_its_signature():
    """Thinking that is not shown comes as one empty delta and a signature."""
    assembler = assembled(
        start(),
        block_start({"type": "thinking", "thinking": "", "signature": ""}),
        delta(type="thinking_delta", thinking=""),
        delta(type="signature_delta", signature="c2ln"),
    )
    assert assembler.message()["content"] == [{"type": "thinking", "thinking": "", "signature": "c2ln"}]


def test_unknown_deltas_are_kept_the_way_known_ones_work():
    """Text of an unknown delta grows, the rest is set, and none of it is visible text."""
    assembler = MessageAssembler()
    events = [
        start(),
        block_start({"type": "compaction", "content": None}),
        delta(type="compaction_delta", content="The story ", encrypted_content=None),
        delta(type="compaction_delta", content="so far", level=2),
    ]
    assert "".join(assembler.feed(event["type"], event) for event in events) == ""
    assert assembler.message()["content"] == [
        {"type": "compaction", "content": "The story so far", "encrypted_content": None, "level": 2}
    ]


def test_blocks_are_ordered_by_their_index():
    """Blocks that are said out of turn end up where they belong, and none is lost."""
    assembler = assembled(
        start(), block_start({"type": "text", "text": "b"}, 2), block_start({"type": "text", "text": "a"}, 0)
    )
    assert [block["text"] for block in assembler.message()["content"]] == ["a", "b"]


def test_the_events_are_not_changed():
    """What was fed in belongs to the caller: it is the same after the message has been read."""
    events = list(
        events_of(
            {
                **start(usage={"input_tokens": 1, "output_tokens": 2})["message"],
                "stop_reason": "end_turn",
                "content": [{"type": "text", "text": "a", "citations": [{"n": 1}]}],
            },
            [],
        )
    )
    before = json.dumps(events)
    assembled(*events).message()
    assert json.dumps(events) == before


def test_half_a_character_in_tool_input_does_not_make_the_message_unwritable() -> None:
    """Models write escapes themselves, and do not always write both halves of a pair."""
    assembler = MessageAssembler()
    assembler.feed("message_start", {"message": {"usage": {}}})
    block = {"type": "tool_use", "id": "t", "name": "n", "input": {}}
    assembler.feed("content_block_start", {"index": 0, "content_block": block})
    delta = {"type": "input_json_delta", "partial_json": r'{"icon": "\ud83d"}'}
    assembler.feed("content_block_delta", {"index": 0, "delta": delta})
    message = assembler.message()
    assert message["content"][0]["input"] == {"icon": "?"}
    assert json.dumps(message, ensure_ascii=False).encode()


def test_a_smaller_count_at_the_end_still_makes_a_bill():
    """After a compaction fewer tokens may count as written than the stream's start had split."""
    split = {"ephemeral_5m_input_tokens": 500, "ephemeral_1h_input_tokens": 0}
    first = {"input_tokens": 9, "output_tokens": 1, "cache_creation_input_tokens": 500}
    assembler = assembled(
        start(usage={**first, "cache_creation": split}),
        {
            "type": "message_delta",
            "delta": {},
            "usage": {"output_tokens": 5, "cache_creation_input_tokens": 0},
        },
    )
    assert read_usage(assembler.usage(), model="m").totals == Usage(input_tokens=9, output_tokens=5)
