"""The message that a stream's events add up to: the same JSON that the unary call would have answered.

Rules of the provider (https://platform.claude.com/docs/en/build-with-claude/streaming): the counts in a
`message_delta` are cumulative and replace what `message_start` said, which alone has the split of cache
writes by lifetime, the service tier, the geography and the speed. Tool input comes as pieces of JSON text.
Some answers come whole in `message_start`, with no block events at all. New kinds of events, blocks and
deltas may appear at any time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from costsvc.core.json_text import parse_answer
from costsvc.core.usage import overlay_usage

_INPUT_PIECES = "partial_json"


class MessageAssembler:
    """Feed it the events in their order; ask for `message()` and `usage()` at any time.

    It is as lenient as an accountant has to be: an event that makes no sense changes nothing, so that the
    usage known so far can still be read.
    """

    def __init__(self) -> None:
        self.complete = False
        self._message: dict[str, Any] = {}
        self._usage: dict[str, Any] = {}
        self._blocks: dict[int, _Block] = {}
        self._handlers: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
            "message_start": self._start,
            "content_block_start": self._start_block,
            "content_block_delta": self._extend_block,
            "message_delta": self._amend,
            "message_stop": self._stop,
        }

    def feed(self, event_type: str, data: Mapping[str, Any]) -> str:
        """Take one event in, and return the visible text that it adds, which is empty for most kinds."""
        handler = self._handlers.get(event_type)
        return handler(data) if handler else ""

    def message(self) -> dict[str, Any]:
        """Return the message as far as it has come; before `message_start` an empty one."""
        if not self._message:
            return {}
        content = [self._blocks[index].value() for index in sorted(self._blocks)]
        return {**self._message, "content": content, "usage": self.usage()}

    def usage(self) -> dict[str, Any]:
        """Return the provider's usage object as far as known; final once `complete`."""
        return dict(self._usage)

    def text(self) -> str:
        """Return the visible text so far: what all calls of `feed` returned, joined."""
        return "".join(block.text() for _, block in sorted(self._blocks.items()))

    def tool_input_json(self, index: int) -> str:
        """Return the input of the block at `index` as the provider wrote it, which may be cut or invalid."""
        block = self._blocks.get(index)
        return block.joined(_INPUT_PIECES) if block else ""

    def _start(self, data: Mapping[str, Any]) -> str:
        message = _mapping(data.get("message"))
        self._message = {**message, "content": [], "usage": {}}
        self._usage = dict(_mapping(message.get("usage")))
        content = message.get("content")
        blocks = content if isinstance(content, list) else []
        self._blocks = {index: _Block(_mapping(block)) for index, block in enumerate(blocks)}
        return self.text()

    def _start_block(self, data: Mapping[str, Any]) -> str:
        block = _Block(_mapping(data.get("content_block")))
        self._blocks[_index(data, len(self._blocks))] = block
        return block.text()

    def _extend_block(self, data: Mapping[str, Any]) -> str:
        block = self._blocks.get(_index(data, -1))
        return block.extend(_mapping(data.get("delta"))) if block else ""

    def _amend(self, data: Mapping[str, Any]) -> str:
        """Lay the final words over the first ones: stop reason and the like, and the cumulative usage."""
        self._usage = overlay_usage(self._usage, _mapping(data.get("usage")))
        if self._message:
            rest = {key: value for key, value in data.items() if key not in {"type", "delta", "usage"}}
            _overlay(self._message, {**_mapping(data.get("delta")), **rest})
        return ""

    def _stop(self, _data: Mapping[str, Any]) -> str:
        self.complete = bool(self._message)
        return ""


class _Block:
    """One content block: as it started, and the pieces that came since, joined only when asked for."""

    __slots__ = ("_pieces", "_start")

    def __init__(self, start: Mapping[str, Any]) -> None:
        self._start = dict(start)
        self._pieces: dict[str, list[str]] = {}

    def extend(self, delta: Mapping[str, Any]) -> str:
        """Add a delta, and return its visible text."""
        match delta:
            case {"type": "text_delta", "text": str(text)}:
                self._add("text", text)
                return text if self._start.get("type") == "text" else ""
            case {"type": "thinking_delta", "thinking": str(thinking)}:
                self._add("thinking", thinking)
            case {"type": "input_json_delta", "partial_json": str(piece)}:
                self._add(_INPUT_PIECES, piece)
            case {"type": "signature_delta", "signature": str(signature)}:
                self._start["signature"] = signature
            case {"type": "citations_delta", "citation": citation}:
                self._start["citations"] = [*(self._start.get("citations") or []), citation]
            case _:
                self._merge(delta)
        return ""

    def value(self) -> dict[str, Any]:
        """Return the block as a unary answer would have it.

        Tool input that is cut off or invalid stays as the block started: nobody should run half an input.
        """
        grown = {key: self.joined(key) for key in self._pieces if key != _INPUT_PIECES}
        block = {**self._start, **grown}
        if written := self.joined(_INPUT_PIECES):
            block["input"] = _parsed(written, block.get("input", {}))
        return block

    def text(self) -> str:
        """Return the visible text of the block."""
        return self.joined("text") if self._start.get("type") == "text" else ""

    def joined(self, key: str) -> str:
        """Return a field that grows by pieces, with what the block started with."""
        start = self._start.get(key)
        return "".join([start if isinstance(start, str) else "", *self._pieces.get(key, [])])

    def _add(self, key: str, piece: str) -> None:
        self._pieces.setdefault(key, []).append(piece)

    def _merge(self, delta: Mapping[str, Any]) -> None:
        """Keep a delta of an unknown kind the way the known kinds work: text grows, the rest is set."""
        for key, value in delta.items():
            if key == "type":
                continue
            if isinstance(value, str):
                self._add(key, value)
            elif value is not None or key not in self._start:
                self._start[key] = value


def _overlay(known: dict[str, Any], news: Mapping[str, Any]) -> None:
    """Put `news` over what is known; a null says nothing, and so erases nothing."""
    for key, value in news.items():
        if value is not None or key not in known:
            known[key] = value


def _parsed(written: str, otherwise: Any) -> Any:
    try:
        return parse_answer(written)
    except (ValueError, RecursionError):
        return otherwise


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _index(data: Mapping[str, Any], otherwise: int) -> int:
    index = data.get("index")
    return index if isinstance(index, int) else otherwise
