"""JSON objects that keep their text: parsed values to decide on, raw members to send on.

A body is sent to the provider as the caller wrote it, except for the members that costsvc decides. So the
top level is read member by member, each with the text that it came as; replacing one member leaves every
other byte alone, and numbers, key order and escapes inside the rest survive exactly.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from json import JSONDecodeError
from typing import Any, NoReturn, cast

MAX_MEMBERS = 256
"""Far above what the Messages API knows; a bound on the only loop here that is not the C scanner's."""

MAX_DIGITS = 1_000
"""Of a whole number; Python itself refuses some thousands, in words about its own settings."""

MAX_BRACKETS = 500_000
"""`[` in a text. Nothing else runs while the scanner reads a list, which millions of them make long."""

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_WHITESPACE = re.compile(r"[ \t\n\r]*")
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")


@dataclass(frozen=True, slots=True)
class Member:
    """One member of an object: its parsed value, and the text that it came as, or is written as."""

    value: Any
    written: str | None = None

    @property
    def text(self) -> str:
        """The value as JSON."""
        if self.written is None:
            object.__setattr__(self, "written", to_json(self.value))  # the same value, spelt out once
        return cast(str, self.written)


def to_json(value: Any) -> str:
    """Return compact JSON text; characters beyond ASCII stay as they are."""
    return _encode(value)


def parse_answer(text: str) -> Any:
    """Return the value of JSON text that a provider or a model wrote, always one that can be written again.

    Half of a surrogate pair, which has no UTF-8 form, becomes a question mark: an answer that is paid for
    must not be lost over it.

    Raises:
        ValueError, RecursionError: not JSON, or nested too deeply.
    """
    value = json.loads(text)
    if _SURROGATE_ESCAPE.search(text):
        value = json.loads(to_json(value).encode(errors="replace"))
    return value


def parse_object(source: bytes) -> dict[str, Member]:
    """Return the members of a JSON object, in their order.

    Raises:
        ValueError: not UTF-8, not one JSON object, a key given twice anywhere, NaN or an infinity, a number
            of more than `MAX_DIGITS` digits, more than `MAX_BRACKETS`, or text with half of a surrogate
            pair; the message says which.
    """
    if len(source) > MAX_BRACKETS and source.count(b"[") > MAX_BRACKETS:
        raise ValueError(f"more than {MAX_BRACKETS} opening brackets")
    try:
        text = source.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 at byte {error.start}") from None
    try:
        members = _scan_members(text)
        if "\\" in text and _SURROGATE_ESCAPE.search(text):
            _reject_lone_surrogates(members)
    except JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} at line {error.lineno} column {error.colno}") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return members


def join_object(members: Mapping[str, Member]) -> bytes:
    """Return the object's JSON text, each member as it came."""
    texts = [f"{to_json(name)}:{member.text}" for name, member in members.items()]
    return f"{{{','.join(texts)}}}".encode()


def _scan_members(text: str) -> dict[str, Member]:
    """Walk the top level; the values are scanned by the standard library's C scanner."""
    members: dict[str, Member] = {}
    at = _skip(text, _expect(text, _skip(text, 0), "{"))
    closed = text[at : at + 1] == "}"
    while not closed:
        _expect(text, at, '"')
        name, at = DECODER.raw_decode(text, at)
        start = _skip(text, _expect(text, _skip(text, at), ":"))
        value, end = DECODER.raw_decode(text, start)
        if name in members:
            raise ValueError(f"the key {name[:64]!r} is given twice")
        if len(members) == MAX_MEMBERS:
            raise ValueError(f"more than {MAX_MEMBERS} members")
        members[name] = Member(value, text[start:end])
        at = _skip(text, end)
        closed = text[at : at + 1] == "}"
        if not closed:
            at = _skip(text, _expect(text, at, ","))
    if _skip(text, at + 1) != len(text):
        raise JSONDecodeError("text after the object", text, at + 1)
    return members


def _skip(text: str, at: int) -> int:
    match = _WHITESPACE.match(text, at)
    assert match is not None
    return match.end()


def _expect(text: str, at: int, character: str) -> int:
    """Return the place after an expected character."""
    if text[at : at + 1] != character:
        raise JSONDecodeError(f"expected {character!r}", text, at)
    return at + 1


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build an object, refusing a key that is given twice: readers disagree on which one counts."""
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {twice[:64]!r} is given twice")
    return members


def _whole_number(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"a number of more than {MAX_DIGITS} digits")
    return int(digits)


def _fraction(digits: str) -> float:
    """Read a number; a step of the interpreter's own, at which other threads get their turn."""
    return float(digits)


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _reject_lone_surrogates(members: Mapping[str, Member]) -> None:
    """Refuse text that has no UTF-8 form: the provider would reject it after the trip."""
    try:
        to_json([[name, member.value] for name, member in members.items()]).encode()
    except UnicodeEncodeError:
        raise ValueError("text with half of a surrogate pair (\\ud800 to \\udfff alone)") from None


DECODER = json.JSONDecoder(
    object_pairs_hook=_unique, parse_int=_whole_number, parse_float=_fraction, parse_constant=_reject_constant
)
