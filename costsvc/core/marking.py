"""Puts cache breakpoints into the text of a request, so that every other byte stays as the caller wrote it.

    members = mark(request, plan.ours)
    body = request.body_with(members)

A breakpoint is spliced in at the end of a block. A string becomes a block of the same text around it, which
is the same content to the provider. Nothing else is written anew: taking out what was put in gives back the
bytes that came.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from costsvc.core.json_text import DECODER, Member, to_json
from costsvc.core.markers import Marker
from costsvc.core.prefixes import Spot
from costsvc.core.request import ModelRequest

_BETWEEN = re.compile(r"[ \t\n\r,]*")
_SPACE = " \t\n\r"
_MOST_TRIES = 64
_NEAR_THE_END = 16

Insertion = tuple[int, str]
"""Where in a text something is put in, and what."""


def mark(request: ModelRequest, markers: Iterable[Marker]) -> dict[str, Member]:
    """Return the members that change, with these breakpoints in them."""
    by_member: dict[str, list[Marker]] = {}
    for marker in markers:
        by_member.setdefault(marker.view.spot.member, []).append(marker)
    return {name: _marked(request.members[name], found) for name, found in by_member.items()}


def _marked(member: Member, markers: Sequence[Marker]) -> Member:
    value = member.value
    for marker in markers:
        value = _with_breakpoint(value, marker.view.spot, _control(marker.ttl))
    return Member(value, put_in(member.text, insertions(member, markers)))


def insertions(member: Member, markers: Iterable[Marker]) -> list[Insertion]:
    """Return what is put where into a member's text, from its end to its beginning."""
    found = [insertion for marker in markers for insertion in _insert(member, marker.view.spot, marker.ttl)]
    return sorted(found, reverse=True)


def put_in(text: str, insertions: Iterable[Insertion]) -> str:
    """Return a text with insertions; they come from its end to its beginning."""
    for at, what in insertions:
        text = f"{text[:at]}{what}{text[at:]}"
    return text


def take_out(text: str, insertions: Sequence[Insertion]) -> str:
    """Return what a text was before these insertions."""
    for at, what in reversed(insertions):
        text = f"{text[:at]}{text[at + len(what) :]}"
    return text


def _control(ttl: str) -> dict[str, str]:
    return {"type": "ephemeral"} if ttl == "5m" else {"type": "ephemeral", "ttl": ttl}


def _insert(member: Member, spot: Spot, ttl: str) -> Iterator[Insertion]:
    text = member.text
    control = f'"cache_control":{to_json(_control(ttl))}'
    if spot.member != "messages":
        if spot.block < 0:
            yield from _around(0, len(text.rstrip(_SPACE)), control)
        else:
            yield _into(text, _locate(text, 0, len(text), member.value, spot.at)[1], control)
        return
    start, end = _locate(text, 0, len(text), member.value, spot.at)
    start, end = _content(text, start)
    if spot.block < 0:
        yield from _around(start, end, control)
    else:
        blocks = member.value[spot.at]["content"]
        yield _into(text, _locate(text, start, end, blocks, spot.block)[1], control)


def _around(start: int, end: int, control: str) -> Iterator[Insertion]:
    """Make a string the text of a block."""
    yield start, '[{"type":"text","text":'
    yield end, f",{control}}}]"


def _into(text: str, end: int, control: str) -> Insertion:
    """Add to an object that ends here."""
    is_empty = text[: end - 1].rstrip(_SPACE).endswith("{")
    return end - 1, control if is_empty else f",{control}"


def _locate(text: str, start: int, end: int, values: Sequence[Any], index: int) -> tuple[int, int]:
    """Return where an object of an array begins and ends; `start` and `end` are the array's."""
    if len(values) - index < min(index, _NEAR_THE_END):
        found = _locate_from_end(text, end, values, index)
        if found:
            return found
    at = _skip(text, text.index("[", start) + 1)
    for _ in range(index):
        at = _skip(text, DECODER.raw_decode(text, at)[1])
    return at, DECODER.raw_decode(text, at)[1]


def _locate_from_end(text: str, end: int, values: Sequence[Any], index: int) -> tuple[int, int] | None:
    """Return the same, looking from the end: what begins at a brace, ends here and is this value.

    None where that takes too many tries.
    """
    end = text.rindex("]", 0, end)
    start, tries = end, 0
    here = (start, end)
    for value in reversed(values[index:]):
        end = text.rindex("}", 0, end) + 1
        start = end
        while True:
            start = text.rfind("{", 0, start)
            tries += 1
            if start < 0 or tries > _MOST_TRIES:
                return None
            if _is_here(text, start, end, value):
                break
        here, end = (start, end), start
    return here


def _is_here(text: str, start: int, end: int, value: Any) -> bool:
    try:
        found, until = DECODER.raw_decode(text, start)
    except ValueError:
        return False
    return until == end and found == value


def _content(text: str, start: int) -> tuple[int, int]:
    """Return where the content of the message that begins here begins and ends."""
    at = _skip(text, start + 1)
    while True:
        name, at = DECODER.raw_decode(text, at)
        at = _skip(text, text.index(":", at) + 1)
        end = DECODER.raw_decode(text, at)[1]
        if name == "content":
            return at, end
        at = _skip(text, end)


def _skip(text: str, at: int) -> int:
    match = _BETWEEN.match(text, at)
    assert match is not None
    return match.end()


def _with_breakpoint(value: Any, spot: Spot, control: dict[str, str]) -> Any:
    """Return a member's value with one more breakpoint; what does not change is shared."""
    if spot.member != "messages":
        return _with_marked_block(value, spot.at if spot.block >= 0 else -1, control)
    messages = list(value)
    message = messages[spot.at]
    messages[spot.at] = {**message, "content": _with_marked_block(message["content"], spot.block, control)}
    return messages


def _with_marked_block(content: Any, at: int, control: dict[str, str]) -> list[Any]:
    if isinstance(content, str):
        return [{"type": "text", "text": content, "cache_control": control}]
    blocks = list(content)
    blocks[at] = {**blocks[at], "cache_control": control}
    return blocks
