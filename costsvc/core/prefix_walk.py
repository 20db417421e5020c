"""Walks a prompt and notes where breakpoints may sit.

One pass, and cheap: tools are hashed as the text that they came as, and what of a long conversation holds
no spot in one go. Spots are: the end of the tools, of blocks of the system prompt, of large blocks in the
first and the last message, of the first turn and of the last few, and wherever the caller has a breakpoint.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from costsvc.core.prefixes import DOCUMENT, HISTORY, SYSTEM, TAIL, TOOLS, Prefixes
from costsvc.core.prompt_hash import RUNS, SAMPLED_BYTES, Walk, is_plain
from costsvc.core.request import ModelRequest

TURN_ENDS = 8  # from the end; a conversation grows by two messages a call
_EDGE_BLOCKS = 3  # of a long system prompt, at each end
_DOCUMENT_BYTES, _DOCUMENTS = 2_000, 8
_ESCAPED = re.compile(r"\\u00(?:5[fF]|6[1358cCeEfF]|7[24])")  # of a letter in `cache_control`
_MARKABLE = frozenset({"text", "image", "document", "tool_use", "tool_result", "search_result"})
_ROOT = ("speed", "thinking", "output_config", "mcp_servers")


def read_prefixes(request: ModelRequest, *, turn_ends: int = TURN_ENDS) -> Prefixes:
    """Return where breakpoints of a request may sit, and where the caller's are.

    Of the ends of turns the last `turn_ends` count. Blocks of unknown types count as content and are never
    marked. The request's shape must have been checked.
    """
    walk = Walk(turn_ends)
    walk.add(_root(request))
    _walk_tools(request, walk)
    _walk_system(request.get("system"), walk)
    _walk_messages(request, walk)
    automatic = request.get("cache_control")
    if isinstance(automatic, dict):
        walk.place_automatic(automatic)
    return Prefixes(tuple(walk.spots), walk.size, walk.marker_count)


def _root(request: ModelRequest) -> dict[str, Any]:
    """Return the parameters that every cached prefix depends on; how thinking is shown is not one."""
    given = {name: request.get(name) for name in _ROOT if name in request.members}
    if isinstance(given.get("thinking"), dict):
        given["thinking"] = {name: v for name, v in given["thinking"].items() if name != "display"}
    return given


def _walk_tools(request: ModelRequest, walk: Walk) -> None:
    """Add the tools: as one text where the caller marks none, because there may be many."""
    tools = request.get("tools")
    if not tools:
        return
    walk.add("tools")
    if not all(isinstance(tool, dict) for tool in tools) or not any("cache_control" in t for t in tools):
        walk.add_text(request.members["tools"].text)
        walk.position += len(tools) - 1
        last = tools[-1]
        if isinstance(last, dict) and not last.get("defer_loading"):
            walk.end("tools", len(tools) - 1, 0, TOOLS)
        return
    walk.has_markers = True
    for index, tool in enumerate(tools):
        marker = walk.add_block(tool, "tool")
        if marker or (index == len(tools) - 1 and _takes_marker(tool) and not tool.get("defer_loading")):
            walk.end("tools", index, 0, TOOLS, marker)


def _walk_system(system: Any, walk: Walk) -> None:
    if not system:
        return
    walk.add("system")
    if isinstance(system, str):
        walk.add_text(system)
        walk.end("system", 0, -1, SYSTEM[0])
        return
    walk.has_markers = any("cache_control" in block for block in system)
    for index, block in enumerate(system):
        marker = walk.add_block(block, block["type"], alone=True)
        edge = index < _EDGE_BLOCKS or index >= len(system) - _EDGE_BLOCKS
        if marker or (edge and block["type"] == "text" and block["text"] and _takes_marker(block)):
            walk.end("system", index, 0, SYSTEM[min(index, len(SYSTEM) - 1)], marker)


def _walk_messages(request: ModelRequest, walk: Walk) -> None:
    """Add the messages: one by one where spots may be, and what lies between in one go."""
    messages, text = request.get("messages"), request.members["messages"].text
    walk.has_markers = "cache_control" in text or _ESCAPED.search(text) is not None
    walk.add(["messages", '"image"' in text and any(_images(messages)), request.get("tool_choice")])
    count, until = len(messages), 1
    if not walk.has_markers and len(text) < SAMPLED_BYTES and '"source"' not in text:
        until = max(count - walk.turn_ends, 1)
    _walk_message(messages[0], walk, 0, count)
    if until > 1:
        _walk_stretch(messages[1:until], walk)
    for index in range(until, count):
        _walk_message(messages[index], walk, index, count)


def _walk_stretch(messages: Sequence[Any], walk: Walk) -> None:
    """Add messages among which there is no spot, spelt as `_walk_message` spells them."""
    told: list[Any] = []
    kind, position = walk.last_kind, walk.position
    for message in messages:
        content = message["content"]
        told.append(message["role"])
        if isinstance(content, str):
            told.append(content)
            position += 1
            kind = "text"
        else:
            if len(content) == 1 and is_plain(content[0]):
                told.append(content[0]["text"])
            else:
                told += content
            for block in content:
                before, kind = kind, block["type"]
                position += kind != before or kind not in RUNS
        told.append(None)
    walk.add_all(told)
    walk.last_kind, walk.position = kind, position


def _walk_message(message: Mapping[str, Any], walk: Walk, index: int, count: int) -> None:
    """Add one message; documents in the first and in the last are spots, and so is the end."""
    content, role = message["content"], message["role"]
    walk.add(role)
    ends = (index == 0 or index >= count - walk.turn_ends) and role != "system"
    kin = TAIL if index == count - 1 else HISTORY
    if isinstance(content, str):
        walk.add_text(content)
        walk.end_message()
        if content:
            walk.last_markable = ("messages", index, -1)
            if ends:
                walk.end("messages", index, -1, kin)
    else:
        _walk_content(content, walk, index, kin if ends else "", has_documents=index in {0, count - 1})


def _walk_content(content: Sequence[Any], walk: Walk, index: int, kin: str, *, has_documents: bool) -> None:
    """Add a message's blocks; `kin` is that of its end, "" where that is no spot."""
    documents = _DOCUMENTS if kin and has_documents else 0
    final = len(content) - 1
    for at, block in enumerate(content):
        marker = walk.add_block(block, block["type"], alone=not final)
        size = walk.last_size
        able = marker or (block["type"] in _MARKABLE and block.get("text") != "" and _takes_marker(block))
        if able:
            walk.last_markable = ("messages", index, at)
        if at == final:
            walk.end_message()
            if able and (marker or kin):
                walk.end("messages", index, at, kin or HISTORY, marker)
        elif marker:
            walk.end("messages", index, at, DOCUMENT, marker)
        elif able and documents and size >= _DOCUMENT_BYTES:
            documents -= 1
            walk.end("messages", index, at, DOCUMENT)
    if not content:
        walk.end_message()


def _takes_marker(block: Mapping[str, Any]) -> bool:
    """Tell whether a block has room for a breakpoint; one that says null has not."""
    return "cache_control" not in block


def _images(messages: Sequence[Mapping[str, Any]]) -> Iterator[bool]:
    for message in messages:
        if not isinstance(message["content"], str):
            yield any(block["type"] == "image" for block in message["content"])
