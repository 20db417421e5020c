from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costsvc.config import load_catalog_files
from costsvc.core.prompt_cache import Prefix, callers_prefix, has_breakpoints, worst_usage
from costsvc.core.request import ModelRequest, read_messages_json, simple_members
from costsvc.core.usage import Usage

CATALOG = load_catalog_files()
MODEL = CATALOG.resolve("claude-opus-5-5")
MARK = {"type": "ephemeral"}
LONG = "All work and no play makes this prompt long enough to be kept. " * 100
TOOL = {"name": "look", "description": LONG, "input_schema": {"type": "object"}}
ASK = {"role": "user", "content": "Why?"}


def ask(**members: Any) -> ModelRequest:
    """Return a request with these members and one question, laid out with spaces."""
    return ModelRequest(members=read_messages_json(json.dumps({"messages": [ASK]} | members).encode()))


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
        block = {"type": "text", "text": "bicycle " * words, "cache_control": MARK}
        tokens = callers_prefix(ask(system=[block]), CATALOG.resolve(model)).tokens
        assert not tokens or tokens >= minimum
        seen.add(bool(tokens))
    assert seen == {True, False}


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
def test_the_callers_breakpoints_are_seen(case: str) -> None:
    """Wherever they are."""
    assert has_breakpoints(ask(**{"system": LONG} | OWN[case]))


def test_talk_about_breakpoints_is_none() -> None:
    """The word in a prompt is no breakpoint."""
    request = ask(system=LONG + '{"cache_control": {"type": "ephemeral"}}')
    assert not has_breakpoints(request)


def test_the_callers_last_breakpoint_ends_the_prefix() -> None:
    """What stands behind it is not kept; its lifetime is the caller's."""
    marked = {"type": "text", "text": LONG, "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    system = ask(system=[marked])
    first = ask(messages=[{"role": "user", "content": [marked, {"type": "text", "text": LONG}]}])
    both = ask(system=[marked], messages=[{"role": "user", "content": [marked]}])
    tools = ask(tools=[TOOL | {"cache_control": MARK}, TOOL], system=LONG)
    automatic = ask(system=LONG, cache_control=MARK)
    unmarked_one = callers_prefix(system, MODEL)
    assert unmarked_one.one_hour
    assert unmarked_one.tokens >= MODEL.min_cacheable_tokens
    assert abs(callers_prefix(first, MODEL).tokens - unmarked_one.tokens) < 10
    assert callers_prefix(both, MODEL).tokens > 1.9 * unmarked_one.tokens
    assert not callers_prefix(tools, MODEL).one_hour
    assert callers_prefix(automatic, MODEL).tokens >= unmarked_one.tokens


def test_an_unmarked_prompt_has_no_prefix() -> None:
    """Neither has one that is too short to be kept, or one whose marker is out of reach."""
    assert callers_prefix(ask(system=LONG), MODEL) == Prefix()
    short = ask(system=[{"type": "text", "text": "Short.", "cache_control": MARK}])
    assert callers_prefix(short, MODEL) == Prefix()
    assert callers_prefix(ask(system=LONG, metadata={"cache_control": "odd"}), MODEL) == Prefix()


def test_the_prefix_is_counted_on_each_model() -> None:
    """The same breakpoint is worth keeping on one model and too short on another."""
    request = ask(system=[{"type": "text", "text": LONG, "cache_control": MARK}])
    assert callers_prefix(request, MODEL).tokens > MODEL.min_cacheable_tokens
    assert callers_prefix(request, CATALOG.resolve("claude-haiku-4-5")) == Prefix()


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
    assert worst_usage(ask(**members), Prefix(), MODEL, 5_000, 5) == expected


@pytest.mark.parametrize("one_hour", [False, True])
def test_the_worst_case_knows_our_breakpoints_and_the_minimum(one_hour: bool) -> None:
    """A prompt too short to be cached is not written."""
    request, ours = ask(system=LONG), Prefix(tokens=512, one_hour=one_hour)
    dear = Usage(cache_write_1h_tokens=512) if one_hour else Usage(cache_write_5m_tokens=512)
    assert worst_usage(request, ours, MODEL, 512, 5) == replace(dear, output_tokens=5)
    assert worst_usage(request, ours, MODEL, 511, 5) == Usage(input_tokens=511, output_tokens=5)


@pytest.mark.parametrize("name", ["cache\\u005fcontrol", "\\u0063ache_control", "cache_contro\\u006C"])
def test_a_breakpoint_behind_an_escape_counts(name: str) -> None:
    """The provider reads the same word."""
    block = f'{{"type":"text","text":"x","{name}":{{"type":"ephemeral"}}}}'
    request = ModelRequest(
        members=read_messages_json(f'{{"system":[{block}],"messages":[{json.dumps(ASK)}]}}'.encode())
    )
    assert request.get("system")[0]["cache_control"] == MARK
    assert worst_usage(request, Prefix(), MODEL, 5_000, 5).cache_write_1h_tokens == 5_000


def test_escapes_of_other_characters_hide_nothing() -> None:
    """Encoders that write beyond ASCII, or angle brackets, as escapes do not make a call dearer."""
    source = r'{"system":"\u00e9\u4e2d \u003cb\u003e","messages":[{"role":"user","content":"x"}]}'
    request = ModelRequest(members=read_messages_json(source.encode()))
    assert worst_usage(request, Prefix(), MODEL, 5_000, 5).input_tokens == 5_000


@given(st.text(max_size=50), st.lists(st.text(max_size=50), min_size=1, max_size=3))
def test_typed_fields_have_no_breakpoints(system: str, turns: list[str]) -> None:
    """Whatever they say; that is known without their text, which is long to write."""
    request = ModelRequest(members=simple_members(system, [("user", turn) for turn in turns], 9))
    assert not has_breakpoints(request)
    assert all(member.written is None for member in request.members.values())
