from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costsvc.core.errors import InvalidRequest, Violation
from costsvc.core.json_text import Member, parse_object
from costsvc.core.request import (
    MAX_BODY_BYTES,
    MAX_MESSAGES,
    ModelRequest,
    Tier,
    read_messages_json,
    requested_model,
    simple_members,
)

HELLO = {"role": "user", "content": "Hello"}


def read(**members: Any) -> dict[str, Member]:
    """Read a body with these members and one message."""
    return read_messages_json(json.dumps({"messages": [HELLO]} | members).encode())


def violations(source: bytes) -> tuple[Violation, ...]:
    """Return what is wrong with a body."""
    with pytest.raises(InvalidRequest) as caught:
        read_messages_json(source)
    return caught.value.violations


EVERYTHING: dict[str, Any] = {
    "model": "claude-opus-5-5",
    "max_tokens": 0,
    "system": [{"type": "text", "text": "\x00"}],
    "tools": [],
    "tool_choice": {"type": "auto"},
    "thinking": {"type": "adaptive"},
    "output_config": {"effort": "low"},
    "metadata": {"user_id": "u"},
    "stop_sequences": [],
    "stream": False,
    "temperature": 1,
    "top_p": 0.5,
    "top_k": 3,
    "speed": "fast",
    "inference_geo": None,
    "messages": [
        HELLO,
        {
            "role": "assistant",
            "content": [{"type": "block_of_tomorrow", "x": 1}, {"type": "text", "text": ""}],
        },
        {"role": "system", "content": []},
    ],
    "member_of_tomorrow": {"deep": [1, 2.50, None]},
}


def test_a_full_body_is_read_as_it_is() -> None:
    """Every known member passes, and unknown members and blocks stay in their place."""
    members = read_messages_json(json.dumps(EVERYTHING).encode())
    assert list(members) == list(EVERYTHING)
    assert ModelRequest(members=members).body == EVERYTHING


MISSHAPEN = {
    "no messages": ({"messages": None}, "messages", "must be an array of at least one message"),
    "empty messages": ({"messages": []}, "messages", "must be an array of at least one message"),
    "messages as text": ({"messages": "hi"}, "messages", "must be an array of at least one message"),
    "message as text": ({"messages": [HELLO, "hi"]}, "messages[1]", "must be an object"),
    "no role": ({"messages": [{"content": "x"}]}, "messages[0].role", "must be user, assistant or system"),
    "odd role": (
        {"messages": [HELLO, HELLO, {"role": "tool", "content": "x"}]},
        "messages[2].role",
        "must be user, assistant or system",
    ),
    "role as list": (
        {"messages": [{"role": ["user"], "content": "x"}]},
        "messages[0].role",
        "must be user, assistant or system",
    ),
    "no content": (
        {"messages": [{"role": "user"}]},
        "messages[0].content",
        "must be a string or an array of blocks",
    ),
    "content as number": (
        {"messages": [{"role": "user", "content": 1}]},
        "messages[0].content",
        "must be a string or an array of blocks",
    ),
    "block as text": (
        {"messages": [{"role": "user", "content": ["x"]}]},
        "messages[0].content[0]",
        "must be an object with a type",
    ),
    "block without type": (
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}, {"text": "x"}]}]},
        "messages[0].content[1]",
        "must be an object with a type",
    ),
    "text block without text": (
        {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
        "messages[0].content[0].text",
        "must be a string",
    ),
    "system block as text": ({"system": ["x"]}, "system[0]", "must be an object with a type"),
    "system block without text": (
        {"system": [{"type": "text", "text": 1}]},
        "system[0].text",
        "must be a string",
    ),
    "model": ({"model": 5}, "model", "must be a string"),
    "max_tokens as text": ({"max_tokens": "5"}, "max_tokens", "must be a whole number"),
    "max_tokens as bool": ({"max_tokens": True}, "max_tokens", "must be a whole number"),
    "max_tokens as float": ({"max_tokens": 5.0}, "max_tokens", "must be a whole number"),
    "negative max_tokens": ({"max_tokens": -1}, "max_tokens", "must not be negative"),
    "system": ({"system": {}}, "system", "must be a string or an array of blocks"),
    "tools": ({"tools": {}}, "tools", "must be an array"),
    "tool_choice": ({"tool_choice": "any"}, "tool_choice", "must be an object"),
    "thinking": ({"thinking": True}, "thinking", "must be an object"),
    "output_config": ({"output_config": []}, "output_config", "must be an object"),
    "metadata": ({"metadata": ""}, "metadata", "must be an object"),
    "stop_sequences": ({"stop_sequences": "."}, "stop_sequences", "must be an array"),
    "stream": ({"stream": 1}, "stream", "must be true or false"),
    "temperature": ({"temperature": "hot"}, "temperature", "must be a number"),
    "temperature as bool": ({"temperature": False}, "temperature", "must be a number"),
    "top_p": ({"top_p": []}, "top_p", "must be a number"),
    "top_k": ({"top_k": 0.5}, "top_k", "must be a whole number"),
    "speed": ({"speed": 2}, "speed", "must be a string"),
    "inference_geo": ({"inference_geo": 1}, "inference_geo", "must be a string"),
}


@pytest.mark.parametrize("case", MISSHAPEN)
def test_a_wrong_shape_names_its_field(case: str) -> None:
    """The path leads from the request's own field to the value that breaks the rule."""
    members, field, problem = MISSHAPEN[case]
    source = json.dumps({"messages": [HELLO]} | members).encode()
    assert violations(source) == (Violation(f"messages_json.{field}", problem),)


def test_missing_messages_are_named() -> None:
    """A body without messages asks nothing."""
    assert violations(b"{}") == (Violation("messages_json.messages", "is missing"),)


def test_every_wrong_member_is_named_at_once() -> None:
    """A caller need not find them one by one."""
    found = violations(b'{"model": 1, "max_tokens": -1, "stream": "yes"}')
    names = ("messages", "model", "stream", "max_tokens")
    assert [v.field for v in found] == [f"messages_json.{name}" for name in names]


def test_bad_json_is_named_as_a_whole() -> None:
    """What cannot be read has no inner path."""
    assert violations(b"{") == (Violation("messages_json", "not JSON: expected '\"' at line 1 column 2"),)


def test_another_field_can_be_the_root_of_paths() -> None:
    """A request inside a list names its own place."""
    with pytest.raises(InvalidRequest) as caught:
        read_messages_json(b"{}", where="requests[3].messages_json")
    assert caught.value.violations[0].field == "requests[3].messages_json.messages"


def test_the_size_of_a_body_is_bounded() -> None:
    """32 MB pass, one byte more does not; nothing is read of what is too large."""
    head, tail = b'{"messages": [{"role": "user", "content": "', b'"}]}'
    room = MAX_BODY_BYTES - len(head) - len(tail)
    assert read_messages_json(head + b"x" * room + tail)
    problem = f"{MAX_BODY_BYTES + 1} bytes, more than {MAX_BODY_BYTES}"
    assert violations(head + b"x" * (room + 1) + tail) == (Violation("messages_json", problem),)


def test_the_number_of_messages_is_bounded() -> None:
    """100,000 messages pass, one more does not."""
    message = json.dumps(HELLO)
    most = ",".join([message] * MAX_MESSAGES)
    assert len(read_messages_json(f'{{"messages":[{most}]}}'.encode())["messages"].value) == MAX_MESSAGES
    found = violations(f'{{"messages":[{most},{message}]}}'.encode())
    assert found == (Violation("messages_json.messages", "100001 messages, more than 100000"),)


@pytest.mark.parametrize(("depth", "read"), [(300, True), (5_000, False)])
def test_results_inside_results_are_read_or_refused(depth: int, read: bool) -> None:
    """A body that the reader cannot follow is a violation, not a defect."""
    content = '[{"type":"tool_result","content":' * depth + '"x"' + "}]" * depth
    source = f'{{"messages":[{{"role":"user","content":{content}}}]}}'.encode()
    if read:
        assert read_messages_json(source)
    else:
        assert violations(source) == (Violation("messages_json", "nested too deeply"),)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)


@given(
    st.dictionaries(
        TEXT.map(lambda name: f"x_{name}"), st.integers() | st.lists(TEXT, max_size=3), max_size=5
    ),
    TEXT,
)
def test_choosing_a_model_leaves_all_other_bytes_alone(extra: dict[str, Any], content: str) -> None:
    """The provider gets the caller's own text, with another model in its place."""
    body = {"model": "auto", **extra, "messages": [{"role": "user", "content": content}], "max_tokens": 5}
    source = json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
    sent = ModelRequest(members=read_messages_json(source)).body_with({"model": Member("claude-opus-5-5")})
    assert sent == source.replace(b'"model":"auto"', b'"model":"claude-opus-5-5"', 1)


def test_a_body_is_sent_with_changes() -> None:
    """Members are replaced in place, added at the end, or left out."""
    request = ModelRequest(members=parse_object(b'{"a":1.0,"temperature":0.5,"model":"x","z":[ ]}'))
    changes = {"model": Member("y"), "temperature": None, "max_tokens": Member(9), "absent": None}
    assert request.body_with(changes) == b'{"a":1.0,"model":"y","z":[ ],"max_tokens":9}'
    assert request.body_with({}) == b'{"a":1.0,"temperature":0.5,"model":"x","z":[ ]}'


def test_absent_and_null_read_alike() -> None:
    """A null member is no value, though it is sent on."""
    request = ModelRequest(members=read(inference_geo=None))
    assert request.get("inference_geo") is None
    assert request.get("speed") is None
    assert b'"inference_geo":null' in request.body_with({})


@given(TEXT, st.lists(st.tuples(st.sampled_from(["user", "assistant"]), TEXT), min_size=1, max_size=4))
def test_typed_fields_make_a_body(system: str, messages: list[tuple[str, str]]) -> None:
    """What is said in typed fields reads back as the same body in JSON."""
    members = simple_members(system, messages, 7)
    body = json.loads(ModelRequest(members=members).body_with({}))
    assert body.get("system", "") == system
    assert [(m["role"], m["content"]) for m in body["messages"]] == messages
    assert body["max_tokens"] == 7
    assert read_messages_json(ModelRequest(members=members).body_with({})) == members


def test_typed_fields_leave_out_what_is_not_said() -> None:
    """No system prompt and no limit: neither member is there; a limit of 0 is one."""
    assert list(simple_members("", [("user", "x")], None)) == ["messages"]
    assert simple_members("", [("user", "x")], 0)["max_tokens"].value == 0


@pytest.mark.parametrize(
    ("outside", "inside", "model"),
    [
        ("", None, ""),
        ("auto", None, ""),
        ("", "auto", ""),
        ("auto", "", ""),
        ("m", None, "m"),
        ("m", "auto", "m"),
        ("auto", "m", "m"),
        ("m", "m", "m"),
    ],
)
def test_a_model_can_be_pinned_in_two_places(outside: str, inside: str | None, model: str) -> None:
    """The request's field and the body's member say the same, or one of them says nothing."""
    members = {} if inside is None else {"model": Member(inside)}
    assert requested_model(outside, members) == model


def test_two_different_pins_are_refused() -> None:
    """Nobody can tell which one is meant."""
    with pytest.raises(InvalidRequest) as caught:
        requested_model("a", {"model": Member("b")}, where="request.messages_json")
    assert caught.value.violations == (Violation("model", "'a' here, but 'b' in request.messages_json"),)


def test_tiers_are_ordered_and_have_words() -> None:
    """Bounds compare them; policies and reports name them."""
    assert sorted(Tier) == [Tier.SIMPLE, Tier.MEDIUM, Tier.COMPLEX]
    assert [tier.label for tier in Tier] == ["simple", "medium", "complex"]
