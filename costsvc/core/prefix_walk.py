"""Walks a prompt and notes where breakpoints may sit.

One pass, and cheap: tools are hashed as the text that they came as, and the middle of a long conversation,
where no spot is, in one go. So spots are: the end of the tools, of blocks of the system prompt, of large
blocks in the first and the last message, of the first turn and of the last few, and wherever the caller has
placed a breakpoint.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from costsvc.core.json_text import to_json
from costsvc.core.prefixes import (
    DIGEST_BYTES,
    DOCUMENT,
    HISTORY,
    MOST_MARKERS,
    SYSTEM,
    TAIL,
    TOOLS,
    Prefixes,
    Spot,
)
from costsvc.core.request import ModelRequest

_TURN_ENDS = 8  # from the end; a conversation grows by two messages a call
_EDGE_BLOCKS = 3  # of a long system prompt, at each end
_DOCUMENT_CHARS, _DOCUMENTS = 2_000, 8
_SAMPLED_CHARS = 1_000_000
_BINARY_CHARS = 6_000  # an image or a page, whatever its bytes
_ESCAPED = re.compile(r"\\u00(?:5[fF]|6[1358cCeEfF]|7[24])")  # of a letter in `cache_control`
_RUNS = frozenset({"tool_use", "tool_result"})
_MARKABLE = frozenset({"text", "image", "document", "tool_use", "tool_result", "search_result"})
_ROOT = ("speed", "thinking", "output_config", "mcp_servers")


def read_prefixes(request: ModelRequest) -> Prefixes:
    """Return where breakpoints of a request may sit, and where the caller's are.

    Blocks of unknown types count as content and are never marked. The request's shape must have been checked.
    """
    walk = _Walk([_root(request)], has_markers=False)
    _walk_tools(request, walk)
    _walk_system(request.get("system"), walk)
    _walk_messages(request, walk)
    automatic = request.get("cache_control")
    if isinstance(automatic, dict):
        walk.place_automatic(automatic)
    return Prefixes(tuple(walk.spots), walk.chars, walk.marker_count)


def _root(request: ModelRequest) -> str:
    """Return the parameters that every cached prefix depends on; how thinking is shown is not one."""
    given = {name: request.get(name) for name in _ROOT if name in request.members}
    if isinstance(given.get("thinking"), dict):
        given["thinking"] = {name: v for name, v in given["thinking"].items() if name != "display"}
    return to_json(given) if given else ""


@dataclass(slots=True)
class _Walk:
    """What a walk through a prompt has come across; `parts` are not hashed yet."""

    parts: list[str]
    has_markers: bool
    spots: list[Spot] = field(default_factory=list)
    chars: int = 0
    position: int = 0
    last_kind: str = ""
    marker_count: int = 0
    state: Any = field(default_factory=hashlib.sha256)
    last_markable: tuple[str, int, int] | None = None

    def add_string(self, content: str) -> None:
        """Add a content that is one text."""
        size = len(content)
        self.parts.append(to_json(content if size < _SAMPLED_CHARS else _sample(content)))
        self.chars += size
        self.position += 1
        self.last_kind = "text"

    def add_block(self, block: Mapping[str, Any], kind: str, *, alone: bool = False) -> str:
        """Add a block, and return the caller's breakpoint on it, or inside it, if there is one.

        A text that is `alone` in its message is spelt as if it had come as a string.
        """
        marker = self._marker_of(block) if self.has_markers else ""
        if marker:
            block = _bare(block)
        text, chars = _spell(block["text"] if alone and _is_plain(block) else [block] if alone else block)
        self.parts.append(text)
        self.chars += chars
        self.position += kind not in _RUNS or kind != self.last_kind
        self.last_kind = kind
        return marker

    def end(self, member: str, index: int, block: int, kin: str, marker: str = "") -> None:
        """Note a spot here."""
        self.state.update("".join(self.parts).encode("utf-8", "surrogatepass"))
        self.parts.clear()
        digest = self.state.digest()[:DIGEST_BYTES]
        self.spots.append(Spot(member, index, block, kin, digest, self.chars, self.position, marker))

    def place_automatic(self, automatic: Mapping[str, Any]) -> None:
        """Take the automatic breakpoint for one on the last block that can have it (Claude docs)."""
        self.marker_count += 1
        for at in reversed(range(len(self.spots))):
            spot = self.spots[at]
            if (spot.member, spot.at, spot.block) == self.last_markable:
                if spot.marker:
                    self.marker_count -= 1
                self.spots[at] = spot._replace(marker=spot.marker or _ttl(automatic))
                return
        self.marker_count = max(self.marker_count, MOST_MARKERS)  # it lands where no spot is: add none

    def _marker_of(self, block: Mapping[str, Any]) -> str:
        """Return the caller's breakpoint on a block, or on one inside it."""
        found = [block.get("cache_control")]
        inner = block.get("content")
        if isinstance(inner, list):
            found += [item.get("cache_control") for item in inner if isinstance(item, dict)]
        markers = [marker for marker in found if isinstance(marker, dict)]
        self.marker_count += len(markers)
        return min(map(_ttl, markers), default="")


def _walk_tools(request: ModelRequest, walk: _Walk) -> None:
    """Add the tools: as one text where the caller marks none, because there may be many."""
    tools = request.get("tools")
    if not tools:
        return
    walk.parts.append("\x00tools")
    walk.last_kind = "tool"
    if not all(isinstance(tool, dict) for tool in tools) or not any("cache_control" in t for t in tools):
        text = request.members["tools"].text
        walk.parts.append(text if len(text) < _SAMPLED_CHARS else _sample(text))
        walk.chars += len(text)
        walk.position += len(tools)
        last = tools[-1]
        if isinstance(last, dict) and not last.get("defer_loading"):
            walk.end("tools", len(tools) - 1, 0, TOOLS)
        return
    walk.has_markers = True
    for index, tool in enumerate(tools):
        marker = walk.add_block(tool, "tool")
        if marker or (index == len(tools) - 1 and _takes_marker(tool) and not tool.get("defer_loading")):
            walk.end("tools", index, 0, TOOLS, marker)


def _walk_system(system: Any, walk: _Walk) -> None:
    if not system:
        return
    walk.parts.append("\x00system")
    if isinstance(system, str):
        walk.add_string(system)
        walk.end("system", 0, -1, SYSTEM[0])
        return
    walk.has_markers = any("cache_control" in block for block in system)
    for index, block in enumerate(system):
        marker = walk.add_block(block, block["type"], alone=True)
        edge = index < _EDGE_BLOCKS or index >= len(system) - _EDGE_BLOCKS
        if marker or (edge and block["type"] == "text" and block["text"] and _takes_marker(block)):
            walk.end("system", index, 0, SYSTEM[min(index, len(SYSTEM) - 1)], marker)


def _walk_messages(request: ModelRequest, walk: _Walk) -> None:
    """Add the messages: one by one where spots may be, and what lies between in one go."""
    messages, text = request.get("messages"), request.members["messages"].text
    walk.has_markers = "cache_control" in text or _ESCAPED.search(text) is not None
    has_images = '"image"' in text and any(_images(messages))
    choice = request.get("tool_choice")
    walk.parts.append(f"\x00messages{has_images:d}{to_json(choice) if choice else ''}")
    count, until = len(messages), 1
    if not walk.has_markers and len(text) < _SAMPLED_CHARS:
        until = max(count - _TURN_ENDS, 1)
    _walk_message(messages[0], walk, 0, count)
    if until > 1:
        _walk_stretch(messages[1:until], walk)
    for index in range(until, count):
        _walk_message(messages[index], walk, index, count)


def _walk_stretch(messages: Sequence[Any], walk: _Walk) -> None:
    """Add messages among which there is no spot, spelt as `_walk_message` spells them."""
    told = [[message["role"], _told(message["content"])] for message in messages]
    text = to_json(told)[1:-1]
    walk.parts.append(f",{text}")
    walk.chars += len(text)
    kind = walk.last_kind
    for message in messages:
        content = message["content"]
        if isinstance(content, str):
            walk.position += 1
            kind = "text"
            continue
        for block in content:
            before, kind = kind, block["type"]
            walk.position += kind != before or kind not in _RUNS
    walk.last_kind = kind


def _walk_message(message: Mapping[str, Any], walk: _Walk, index: int, count: int) -> None:
    """Add one message; documents in the first and in the last are spots, and so is the end."""
    content, role = message["content"], message["role"]
    walk.parts.append(f'{"," if index else ""}["{role}",')
    ends = (index == 0 or index >= count - _TURN_ENDS) and role != "system"
    kin = TAIL if index == count - 1 else HISTORY
    if isinstance(content, str):
        walk.add_string(content)
        walk.parts.append("]")
        if content:
            walk.last_markable = ("messages", index, -1)
            if ends:
                walk.end("messages", index, -1, kin)
    else:
        _walk_content(content, walk, index, kin if ends else "", has_documents=index in {0, count - 1})


def _walk_content(content: Sequence[Any], walk: _Walk, index: int, kin: str, *, has_documents: bool) -> None:
    """Add a message's blocks; `kin` is that of its end, "" where that is no spot."""
    documents = _DOCUMENTS if kin and has_documents else 0
    final = len(content) - 1
    walk.parts.append("[" if final else "")
    for at, block in enumerate(content):
        before = walk.chars
        walk.parts.append("," if at else "")
        marker = walk.add_block(block, block["type"], alone=not final)
        able = marker or (block["type"] in _MARKABLE and block.get("text") != "" and _takes_marker(block))
        if at == final:
            walk.parts.append("]]" if final else "]")
        if able:
            walk.last_markable = ("messages", index, at)
        if at == final and able and (marker or kin):
            walk.end("messages", index, at, kin or HISTORY, marker)
        elif marker:
            walk.end("messages", index, at, DOCUMENT, marker)
        elif able and documents and at < final and walk.chars - before >= _DOCUMENT_CHARS:
            documents -= 1
            walk.end("messages", index, at, DOCUMENT)
    if not content:
        walk.parts.append("]]")


def _told(content: Any) -> Any:
    """Return a content as it is hashed: one text is the same, whether as a string or as a block."""
    if isinstance(content, str):
        return content
    return content[0]["text"] if len(content) == 1 and _is_plain(content[0]) else content


def _is_plain(block: Mapping[str, Any]) -> bool:
    """Tell whether a block is a text and nothing else."""
    return len(block) == 2 and block["type"] == "text"  # noqa: PLR2004


def _bare(block: Mapping[str, Any]) -> dict[str, Any]:
    """Return a block without the caller's breakpoint on it, or in what it holds."""
    bare = {name: value for name, value in block.items() if name != "cache_control"}
    inner = bare.get("content")
    if isinstance(inner, list):
        bare["content"] = [_bare(item) if isinstance(item, dict) else item for item in inner]
    return bare


def _takes_marker(block: Mapping[str, Any]) -> bool:
    """Tell whether a block has room for a breakpoint; one that says null has not."""
    return "cache_control" not in block


def _ttl(marker: Mapping[str, Any]) -> str:
    return "1h" if marker.get("ttl") == "1h" else "5m"


def _images(messages: Sequence[Mapping[str, Any]]) -> Iterator[bool]:
    for message in messages:
        if not isinstance(message["content"], str):
            yield any(block["type"] == "image" for block in message["content"])


def _spell(block: Any) -> tuple[str, int]:
    """Return what stands for a block, a text, or a list of one block, and what it is worth in characters."""
    text = to_json(block)
    chars = len(text)
    if '"source"' in text:
        inner = block[0] if isinstance(block, list) else block
        source = inner.get("source") if isinstance(inner, dict) else None
        if isinstance(source, dict) and source.get("type") not in {"text", "content"}:
            chars = _BINARY_CHARS
    return (text if len(text) < _SAMPLED_CHARS else _sample(text)), chars


def _sample(text: str) -> str:
    """Return both ends and the length of what is too long to be hashed while others wait."""
    half = _SAMPLED_CHARS // 2
    return f"{len(text)}:{text[:half]}{text[-half:]}"
