from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costsvc.core.agreement import Agreement, agreement

A, D, U = Agreement.AGREED, Agreement.DIFFERED, Agreement.UNCLEAR
PROSE = "The chain stretches because its pins wear, and so does everything that they run in."
VALUES = st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=3), max_size=3)


def said(text: str, *tools: tuple[str, Any], stop: str = "end_turn") -> dict[str, Any]:
    """Return a message."""
    calls = [
        {"type": "tool_use", "id": str(at), "name": name, "input": value}
        for at, (name, value) in enumerate(tools)
    ]
    return {"content": [{"type": "text", "text": text}, *calls], "stop_reason": stop}


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [
        (said(PROSE), said(PROSE), A),
        (said(PROSE), said(f"  {PROSE.upper()}\n".replace(" ", "  ").replace(",", "")), A),
        (said(PROSE), said(PROSE.replace("pins", "rollers")), U),
        (said(PROSE), said(PROSE, stop="max_tokens"), U),
        (said("Yes."), said("yes"), A),
        (said("Yes"), said("No"), D),
        (said("42"), said("43"), D),
        (said("Yes"), said(PROSE), U),
        (said('{"a": 1, "b": [1, 2.0]}'), said('{ "b":[1.0,2],\n"a":1 }'), A),
        (said('{"a": 1}'), said('{"a": true}'), D),
        (said('{"a": [1, 2]}'), said('{"a": [2, 1]}'), D),
        (said('{"a": 1}'), said(f"Here it is: {PROSE}"), D),
        (said("", ("f", {"x": 1, "y": 2})), said("", ("f", {"y": 2, "x": 1})), A),
        (said("", ("f", {"x": 1})), said("", ("g", {"x": 1})), D),
        (said(PROSE, ("f", {"x": 1})), said(PROSE), D),
        ({"content": []}, {"content": None}, A),
        (said("[" * 100_000), said("[" * 100_000), A),
    ],
)
def test_answers_agree_differ_or_nobody_can_tell(one: Any, other: Any, found: Agreement) -> None:
    """Words whatever their dress, JSON whatever its spelling; prose in other words is no verdict."""
    assert agreement(one, other) is found
    assert agreement(other, one) is found


def test_what_is_too_deep_or_no_text_fails_nothing() -> None:
    """Comparing is beside a call that is paid for: whatever it meets, it has a verdict."""
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    assert agreement(said("", ("f", deep)), said("", ("f", {}))) is U
    assert agreement(said('{"a": "\\ud800"}'), said('{"a": "\\ud800"}')) is A


@given(VALUES, VALUES)
def test_structured_answers_always_have_a_verdict(one: Any, other: Any) -> None:
    """They agree exactly where the values are equal."""
    found = agreement(said(json.dumps(one)), said(json.dumps(other, indent=2)))
    assert found is (A if one == other else D)
