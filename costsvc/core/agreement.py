"""Whether two answers to the same question say the same: the comparison behind near-identity's shadow.

Two honest answers in prose hardly ever have the same words, not even to the same request asked twice. So what
cannot be decided by comparing is said to be unclear, and never counted as an agreement or as its contrary.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from costsvc.core.json_text import parse_answer
from costsvc.core.response_key import canonical

_FEW_WORDS = 5
"""An answer of so many words is a label, a name or a figure: another one says something else."""

_MARKS = ".,;:!?"


class Agreement(Enum):
    """What comparing two answers shows."""

    AGREED = "agreed"  # the same words, or the same JSON
    DIFFERED = "differed"  # JSON, tool calls or a few words, and others
    UNCLEAR = "unclear"  # prose in other words: somebody has to read it


def agreement(one: Mapping[str, Any], other: Mapping[str, Any]) -> Agreement:
    """Compare two answers, as parsed messages of the provider.

    Case, white space and marks around words do not matter, nor, in JSON, how it is written. What is nested
    too deeply to be compared is unclear.
    """
    try:
        return _agreement(one, other)
    except RecursionError:
        return Agreement.UNCLEAR


def _agreement(one: Mapping[str, Any], other: Mapping[str, Any]) -> Agreement:
    texts = _text(one), _text(other)
    values = tuple(map(_container, texts))
    calls = _tool_calls(one), _tool_calls(other)
    words = tuple(map(_words, texts))
    is_same = values[0] == values[1] if all(values) else words[0] == words[1]
    if is_same and calls[0] == calls[1] and one.get("stop_reason") == other.get("stop_reason"):
        return Agreement.AGREED
    is_structured = any(values) or any(calls)
    if is_structured or (not is_same and max(map(len, words)) <= _FEW_WORDS):
        return Agreement.DIFFERED
    return Agreement.UNCLEAR


def _text(message: Mapping[str, Any]) -> str:
    blocks = message.get("content") or ()
    return "".join(str(block.get("text", "")) for block in blocks if block.get("type") == "text")


def _tool_calls(message: Mapping[str, Any]) -> list[tuple[str, bytes]]:
    """Return what tools are called with; ids are new each time."""
    blocks = message.get("content") or ()
    return [
        (str(block.get("name")), canonical(block.get("input")))
        for block in blocks
        if block.get("type") == "tool_use"
    ]


def _words(text: str) -> list[str]:
    words = (word.strip(_MARKS) for word in text.casefold().split())
    return [word for word in words if word]


def _container(text: str) -> bytes:
    """Return the one spelling of a JSON object or array, b"" where the text is none."""
    try:
        value = parse_answer(text)
    except (ValueError, RecursionError):
        return b""
    return canonical(value) if isinstance(value, dict | list) else b""
