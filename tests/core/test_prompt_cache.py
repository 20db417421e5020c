from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costsvc.config import load_catalog_files, load_policy_file
from costsvc.core.policy import MarkSystem
from costsvc.core.prompt_cache import (
    Breakpoint,
    Prefix,
    has_breakpoints,
    marked_prefix,
    place_breakpoint,
    worst_usage,
)
from costsvc.core.request import ModelRequest, read_messages_json, simple_members
from costsvc.core.usage import Usage

CATALOG = load_catalog_files()
POLICY = replace(load_policy_file(None, CATALOG), mark_system=MarkSystem.ALWAYS)
MODEL = CATALOG.resolve("claude-opus-5-5")
MARK = {"type": "ephemeral"}
LONG = "All work and no play makes this prompt long enough to be kept. " * 100
TOOL = {"name": "look", "description": LONG, "input_schema": {"type": "object"}}
ASK = {"role": "user", "content": "Why?"}


def ask(**members: Any) -> ModelRequest:
    """Return a request with these members and one question, laid out with spaces."""
    return ModelRequest(members=read_messages_json(json.dumps({"messages": [ASK]} | members).encode()))


def placed(request: ModelRequest) -> dict[str, Any] | None:
    """Return the body as it is sent with our breakpoint, None where there is none."""
    found = place_breakpoint(request, POLICY, MODEL)
    return found and json.loads(request.body_with({found.member: found.marked}))


def markers(value: Any) -> int:
    """Count the breakpoints of a body."""
    if isinstance(value, list):
        return sum(map(markers, value))
    if isinstance(value, dict):
        return ("cache_control" in value) + sum(map(markers, value.values()))
    return 0


def unmarked(value: Any) -> Any:
    """Return a body without breakpoints, text blocks that stand alone as plain text."""
    if isinstance(value, list):
        return [unmarked(item) for item in value]
    if isinstance(value, dict):
        return {name: unmarked(inner) for name, inner in value.items() if name != "cache_control"}
    return value


def test_a_string_becomes_one_marked_block() -> None:
    """The same text, escapes included, with the breakpoint behind it."""
    source = json.dumps({"system": LONG + "\u00e9\U0001f600\n", "messages": [ASK]}).encode()
    request = ModelRequest(members=read_messages_json(source))
    found = place_breakpoint(request, POLICY, MODEL)
    assert found is not None
    assert found.member == "system"
    text = request.members["system"].text
    assert found.marked.text == f'[{{"type":"text","text":{text},"cache_control":{{"type":"ephemeral"}}}}]'
    assert found.marked.value == json.loads(found.marked.text)


def test_the_last_block_is_marked() -> None:
    """Every byte of the others, and of the block itself, stays."""
    source = (
        b'{"system": [ {"type":"text","text":"%s"} ,\n {"text" : "}", "type":"text" } ], "messages":[%s]}'
    )
    request = ModelRequest(members=read_messages_json(source % (LONG.encode(), json.dumps(ASK).encode())))
    found = place_breakpoint(request, POLICY, MODEL)
    assert found is not None
    before = request.members["system"].text
    assert found.marked.text == before[:-3] + ',"cache_control":{"type":"ephemeral"}' + before[-3:]
    assert found.marked.value == json.loads(found.marked.text)


@pytest.mark.parametrize(
    ("members", "member"),
    [
        ({"system": LONG}, "system"),
        ({"system": "", "tools": [TOOL]}, "tools"),
        ({"tools": [TOOL, {"name": "b", "input_schema": {}}]}, "tools"),
        ({"tools": [TOOL, {"type": "web_search_20250305", "name": "web_search"}]}, "tools"),
        ({"tools": [TOOL, {}]}, "tools"),
        ({"system": "Short.", "tools": [TOOL]}, "system"),
        ({"system": [], "tools": [TOOL]}, "tools"),
        ({"system": [{"type": "text", "text": ""}], "tools": [TOOL]}, "tools"),
        ({"system": [{"type": "text", "text": LONG}, {"type": "of_tomorrow"}]}, None),
        ({"tools": [TOOL, {**TOOL, "defer_loading": True}]}, None),
        ({"tools": [TOOL, "odd"]}, None),
        ({"tools": []}, None),
        ({}, None),
    ],
)
def test_the_breakpoint_goes_behind_what_repeats(members: dict[str, Any], member: str | None) -> None:
    """Behind the system prompt, behind the tools without one, and nowhere that cannot be marked."""
    found = place_breakpoint(ask(**members), POLICY, MODEL)
    assert (found and found.member) == member


@pytest.mark.parametrize(
    ("model", "minimum"),
    [
        ("claude-fable-5-2", 512),
        ("claude-opus-5-5", 512),
        ("claude-opus-5", 512),
        ("claude-sonnet-5-5", 512),
        ("claude-haiku-5-5", 512),
        ("claude-opus-4-8", 1024),
        ("claude-sonnet-5", 1024),
        ("claude-sonnet-4-5", 1024),
        ("claude-opus-4-7", 2048),
        ("claude-3-5-haiku-latest", 2048),
        ("claude-opus-4-6", 4096),
        ("claude-opus-4-5", 4096),
        ("claude-haiku-4-5", 4096),
    ],
)
def test_a_short_prefix_is_left_alone(model: str, minimum: int) -> None:
    """Below the model's minimum nothing would be kept; from there on it is."""
    seen = set()
    for words in range(minimum // 3, minimum * 2, minimum // 16):
        request = ask(system="bicycle " * words)
        found = place_breakpoint(request, POLICY, CATALOG.resolve(model))
        tokens = marked_prefix(
            ask(system=[{"type": "text", "text": "bicycle " * words, "cache_control": MARK}]),
            None,
            CATALOG.resolve(model),
        ).tokens
        assert bool(found) == bool(tokens)
        assert not found or found.prefix_tokens >= minimum
        seen.add(bool(found))
    assert seen == {True, False}


@pytest.mark.parametrize(
    ("mark_system", "conversation", "task", "caller_only", "marked"),
    [
        (MarkSystem.NEVER, "c", "support", False, False),
        (MarkSystem.CONVERSATIONS, "", "", False, False),
        (MarkSystem.CONVERSATIONS, "", "faq", False, False),
        (MarkSystem.CONVERSATIONS, "c", "", False, True),
        (MarkSystem.CONVERSATIONS, "", "support", False, True),
        (MarkSystem.CONVERSATIONS, "c", "support", True, False),
        (MarkSystem.ALWAYS, "", "", False, True),
        (MarkSystem.ALWAYS, "", "", True, False),
    ],
)
def test_policy_and_caller_decide_whether(
    mark_system: MarkSystem, conversation: str, task: str, caller_only: bool, marked: bool
) -> None:
    """Only what will be read again is marked, and never against the caller's word."""
    request = replace(
        ask(system=LONG), conversation_id=conversation, task=task, caller_markers_only=caller_only
    )
    found = place_breakpoint(request, replace(POLICY, mark_system=mark_system), MODEL)
    assert bool(found) is marked


OWN = {
    "automatic": {"cache_control": MARK},
    "in the system": {"system": [{"type": "text", "text": LONG, "cache_control": MARK}]},
    "in the tools": {"tools": [TOOL | {"cache_control": MARK}]},
    "in a message": {
        "messages": [{"role": "user", "content": [{"type": "text", "text": LONG, "cache_control": MARK}]}]
    },
    "in a result": {
        "messages": [
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": "t",
                        "content": [{"type": "text", "text": "x", "cache_control": MARK}],
                    }
                ],
            }
        ]
    },
    "laid out wide": {
        "system": [{"type": "text", "text": LONG, "cache_control": {"type": "ephemeral", "ttl": "1h"}}]
    },
}


@pytest.mark.parametrize("case", OWN)
def test_the_callers_breakpoints_are_left_alone(case: str) -> None:
    """Who marks knows better: nothing is added."""
    request = ask(**{"system": LONG} | OWN[case])
    assert has_breakpoints(request)
    assert placed(request) is None


def test_talk_about_breakpoints_is_none() -> None:
    """The word in a prompt does not keep costsvc from marking it."""
    request = ask(system=LONG + '{"cache_control": {"type": "ephemeral"}}')
    assert not has_breakpoints(request)
    assert placed(request) is not None


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
MARKERS = st.sampled_from([{}, {}, {"cache_control": MARK}])
BLOCKS = st.builds(lambda text, mark: {"type": "text", "text": text} | mark, TEXT, MARKERS)
BODIES = st.fixed_dictionaries(
    {
        "messages": st.lists(
            st.builds(lambda b: {"role": "user", "content": b}, st.lists(BLOCKS) | TEXT), min_size=1
        )
    },
    optional={
        "system": TEXT.map(lambda text: LONG + text) | st.lists(BLOCKS, max_size=3),
        "tools": st.lists(st.builds(lambda mark: TOOL | mark, MARKERS), max_size=3),
        "cache_control": st.just(MARK),
        "metadata": st.dictionaries(TEXT, TEXT),
    },
)


@given(BODIES)
def test_a_breakpoint_changes_no_content(body: dict[str, Any]) -> None:
    """One breakpoint at most, none beside the caller's; without it the body is what it was."""
    request = ask(**body)
    sent = placed(request)
    own = markers(body)
    if own:
        assert sent is None
    if sent is None:
        return
    assert markers(sent) == 1
    original = copy.deepcopy(body)
    if isinstance(original.get("system"), str) and isinstance(sent["system"], list):
        original["system"] = [{"type": "text", "text": original["system"]}]
    assert unmarked(sent) == original


@given(BODIES)
def test_what_is_announced_is_what_is_estimated(body: dict[str, Any]) -> None:
    """The prefix of a breakpoint is long enough, and no longer than the prompt's estimate may say."""
    request = ask(**body)
    found = place_breakpoint(request, POLICY, MODEL)
    prefix = marked_prefix(request, found, MODEL)
    assert prefix.tokens == 0 or prefix.tokens >= MODEL.min_cacheable_tokens
    if found is not None:
        assert prefix == Prefix(tokens=found.prefix_tokens)


def test_the_callers_last_breakpoint_ends_the_prefix() -> None:
    """What stands behind it is not kept; its lifetime is the caller's."""
    marked = {"type": "text", "text": LONG, "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    system = ask(system=[marked])
    first = ask(messages=[{"role": "user", "content": [marked, {"type": "text", "text": LONG}]}])
    both = ask(system=[marked], messages=[{"role": "user", "content": [marked]}])
    tools = ask(tools=[TOOL | {"cache_control": MARK}, TOOL], system=LONG)
    automatic = ask(system=LONG, cache_control=MARK)
    unmarked_one = marked_prefix(system, None, MODEL)
    assert unmarked_one.one_hour
    assert unmarked_one.tokens >= MODEL.min_cacheable_tokens
    assert abs(marked_prefix(first, None, MODEL).tokens - unmarked_one.tokens) < 10
    assert marked_prefix(both, None, MODEL).tokens > 1.9 * unmarked_one.tokens
    assert not marked_prefix(tools, None, MODEL).one_hour
    assert marked_prefix(automatic, None, MODEL).tokens >= unmarked_one.tokens


def test_an_unmarked_prompt_has_no_prefix() -> None:
    """Neither has one that is too short to be kept, or one whose marker is out of reach."""
    assert marked_prefix(ask(system=LONG), None, MODEL) == Prefix()
    short = ask(system=[{"type": "text", "text": "Short.", "cache_control": MARK}])
    assert marked_prefix(short, None, MODEL) == Prefix()
    assert marked_prefix(ask(system=LONG, metadata={"cache_control": "odd"}), None, MODEL) == Prefix()


def test_the_prefix_is_counted_on_each_model() -> None:
    """The same breakpoint is worth keeping on one model and too short on another."""
    request = ask(system=LONG)
    found = place_breakpoint(request, POLICY, MODEL)
    assert isinstance(found, Breakpoint)
    assert marked_prefix(request, found, MODEL).tokens == found.prefix_tokens
    assert marked_prefix(request, found, CATALOG.resolve("claude-haiku-4-5")) == Prefix()


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6), st.booleans(), st.booleans())
def test_a_prefix_splits_the_prompt(
    tokens: int, input_tokens: int, output_tokens: int, one_hour: bool, warm: bool
) -> None:
    """Read or written, the prompt stays as long as it is, and the prefix is paid in one class."""
    prefix = Prefix(tokens=tokens, one_hour=one_hour)
    usage = prefix.usage(input_tokens, output_tokens, warm=warm)
    kept = min(tokens, input_tokens)
    assert usage.prompt_tokens == input_tokens
    assert usage.output_tokens == output_tokens
    assert usage.cache_read_tokens == (kept if warm else 0)
    assert usage.cache_write_1h_tokens == (kept if one_hour and not warm else 0)
    assert usage.cache_write_5m_tokens == (0 if one_hour or warm else kept)


def marked(ttl: dict[str, str], text: str = LONG) -> dict[str, Any]:
    """Return a text block with a breakpoint."""
    return {"type": "text", "text": text, "cache_control": MARK | ttl}


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"system": LONG}, Usage(input_tokens=5_000, output_tokens=5)),
        ({"system": [marked({})]}, Usage(cache_write_5m_tokens=5_000, output_tokens=5)),
        ({"system": [marked({"ttl": "1h"})]}, Usage(cache_write_1h_tokens=5_000, output_tokens=5)),
        (
            {"system": [marked({"ttl": "1h"})], "messages": [{**ASK, "content": [marked({"ttl": "5m"})]}]},
            Usage(cache_write_1h_tokens=5_000, output_tokens=5),
        ),
        ({"system": [marked({}, "Short.")]}, Usage(cache_write_5m_tokens=5_000, output_tokens=5)),
        ({"cache_control": MARK}, Usage(cache_write_5m_tokens=5_000, output_tokens=5)),
        ({"cache_control": MARK | {"ttl": "1h"}}, Usage(cache_write_1h_tokens=5_000, output_tokens=5)),
    ],
)
def test_the_worst_case_writes_every_token(members: dict[str, Any], expected: Usage) -> None:
    """With a breakpoint anywhere, all of the prompt may be written, at the dearest rate that one asks for."""
    assert worst_usage(ask(**members), None, MODEL, 5_000, 5) == expected


def test_the_worst_case_knows_our_breakpoint_and_the_minimum() -> None:
    """A prompt too short to be cached is not written."""
    request = ask(system=LONG)
    found = place_breakpoint(request, POLICY, MODEL)
    assert worst_usage(request, found, MODEL, 512, 5) == Usage(cache_write_5m_tokens=512, output_tokens=5)
    assert worst_usage(request, found, MODEL, 511, 5) == Usage(input_tokens=511, output_tokens=5)


@pytest.mark.parametrize("name", ["cache\\u005fcontrol", "\\u0063ache_control", "cache_contro\\u006C"])
def test_a_breakpoint_behind_an_escape_counts(name: str) -> None:
    """The provider reads the same word."""
    block = f'{{"type":"text","text":"x","{name}":{{"type":"ephemeral"}}}}'
    request = ModelRequest(
        members=read_messages_json(f'{{"system":[{block}],"messages":[{json.dumps(ASK)}]}}'.encode())
    )
    assert request.get("system")[0]["cache_control"] == MARK
    assert worst_usage(request, None, MODEL, 5_000, 5).cache_write_1h_tokens == 5_000


def test_escapes_of_other_characters_hide_nothing() -> None:
    """Encoders that write beyond ASCII, or angle brackets, as escapes do not make a call dearer."""
    source = r'{"system":"\u00e9\u4e2d \u003cb\u003e","messages":[{"role":"user","content":"x"}]}'
    request = ModelRequest(members=read_messages_json(source.encode()))
    assert worst_usage(request, None, MODEL, 5_000, 5).input_tokens == 5_000


@given(st.text(max_size=50), st.lists(st.text(max_size=50), min_size=1, max_size=3))
def test_typed_fields_have_no_breakpoints(system: str, turns: list[str]) -> None:
    """Whatever they say; that is known without their text, which is long to write."""
    request = ModelRequest(members=simple_members(system, [("user", turn) for turn in turns], 9))
    assert not has_breakpoints(request)
    assert all(member.written is None for member in request.members.values())
    found = place_breakpoint(ModelRequest(members=simple_members(LONG, [("user", system)], 9)), POLICY, MODEL)
    assert found is not None
    assert markers(found.marked.value) == 1
