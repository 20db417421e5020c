"""Tests of what a prompt is remembered by, so that a change can be named."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costsvc.core.request import ModelRequest
from costsvc.core.traits import Change, Traits, find_change, goes_on, traits_of, unpack_traits

from .prompts import as_request, make_body

RULES = "Answer in one sentence, and say where you know it from. " * 100
TOOLS = [{"name": "look", "description": "Looks.", "input_schema": {"type": "object"}}]


def request(**members: Any) -> ModelRequest:
    """Return a request with a question."""
    body = {"max_tokens": 9, "messages": [{"role": "user", "content": "Why?"}], **members}
    return as_request(body)


def traits(model: str = "m", **members: Any) -> Traits:
    """Return the traits of such a request."""
    return traits_of(request(**members), model, 1_800_000_000)


def change(before: Traits, now: Traits) -> Change | None:
    """Compare outside conversations."""
    return find_change(before, now, in_conversation=False, goes_on=False)


@given(seed=st.integers(0, 10**6))
def test_traits_survive_being_stored(seed: int) -> None:
    """And breakpoints are no part of them."""
    made = traits_of(as_request(make_body(seed)), "m", 5)
    assert unpack_traits(made.pack()) == made
    assert change(made, made) is None


@pytest.mark.parametrize(
    "text", [b"", b"x", b"[]", b"null", b"[1,2,3,4,5,6,7,8,9,10]", b"\xff\xfe", b'{"a":1}']
)
def test_what_is_no_traits_is_refused(text: bytes) -> None:
    """Whatever another version has written."""
    with pytest.raises(ValueError, match="not the traits"):
        unpack_traits(text)


@given(old=st.text(max_size=90), new=st.text(max_size=90), rules=st.text(min_size=1, max_size=5_000))
def test_the_end_of_a_block_is_known_again(old: str, new: str, rules: str) -> None:
    """What is at its top may be of any length; no more is taken for the same than is."""
    found = change(traits(system=old + rules), traits(system=new + rules))
    if old == new:
        assert found is None
        return
    assert found is not None
    assert found.reason == "system_changed"
    kept = found.kept_chars
    assert (old + rules)[len(old + rules) - kept :] == (new + rules)[len(new + rules) - kept :]
    step = 1 << max(max(len(old + rules), len(new + rules)).bit_length() - 5, 6)
    assert kept > len(rules) - step


def test_the_first_difference_is_named() -> None:
    """By the level that spoils what comes after it, and with how much that is."""
    base: dict[str, Any] = {"tools": TOOLS, "system": [{"type": "text", "text": t} for t in ("Be.", RULES)]}
    before = traits(**base)
    assert change(before, traits(**base)) is None
    assert change(before, traits("other", **base)).reason == "model_switched"
    assert change(before, traits(**base, speed="fast")).reason == "parameters_changed"
    tools = [{**TOOLS[0], "description": "Looks up."}]
    assert change(before, traits(**{**base, "tools": tools})) == Change(
        "tools_changed", "tools", len(RULES) + len("Be.")
    )
    system = [{"type": "text", "text": "Be it."}, base["system"][1]]
    assert change(before, traits(**{**base, "system": system})) == Change(
        "system_changed", "system.0", len(RULES), len("Be it.")
    )
    assert change(before, traits(**base, tool_choice={"type": "any"})).reason == "parameters_changed"


def test_another_question_is_no_change() -> None:
    """Outside conversations messages are always others."""
    other = [{"role": "user", "content": "When?"}]
    assert change(traits(system=RULES), traits(system=RULES, messages=other)) is None


def test_turns_are_compared_within_a_conversation() -> None:
    """A breakpoint that moved is no change, nor is a text that is a block now; another text is."""
    first = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}]
    block = {"type": "text", "text": "So.", "cache_control": {"type": "ephemeral"}}
    more = [first[0], {"role": "assistant", "content": [block]}, {"role": "user", "content": "Oh."}]
    before = traits(messages=first)
    assert goes_on(before, request(messages=more))
    rewritten = [first[0], {"role": "assistant", "content": "No."}, more[2]]
    assert not goes_on(before, request(messages=rewritten))
    assert not goes_on(before, request(messages=first[:1]))
    found = find_change(before, traits(messages=rewritten), in_conversation=True, goes_on=False)
    assert found is not None
    assert (found.reason, found.kept_chars) == ("messages_changed", before.message_chars)


def test_turns_that_follow_a_change_are_lost_with_it() -> None:
    """A date in the system prompt costs a conversation all its turns."""
    before, now = traits(system="It is 9:00."), traits(system="It is 9:01.")
    found = find_change(before, now, in_conversation=True, goes_on=True)
    assert found is not None
    assert found.kept_chars == before.message_chars
