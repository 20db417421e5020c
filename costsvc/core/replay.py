"""A message that is known already, as the events of a stream: the inverse of `message_stream`.

Who asked for a stream gets one, whether the answer is being written or was written before. Order and shape
are the provider's (https://platform.claude.com/docs/en/build-with-claude/streaming): a start without content
and with the counts of the prompt, each block as it opens, grows and stops, then why the answer stopped with
the final counts, then the stop. What grows by deltas does so here, each in one piece; a block of a kind that
is not known here comes whole when it opens.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from costsvc.core.json_text import to_json

Event = dict[str, Any]

_SAID_AT_THE_END = ("stop_reason", "stop_sequence", "stop_details", "container")
_BESIDE_THE_DELTA = ("context_management",)
_COUNTED_AT_THE_START = frozenset(
    {"input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens"}
)
_ONLY_AT_THE_START = frozenset({"cache_creation", "service_tier", "inference_geo", "speed"})
_TOOL_USES = frozenset({"tool_use", "server_tool_use", "mcp_tool_use"})
_FIRST_OUTPUT_TOKENS = 1  # what a start says before anything is written


def replay(message: Mapping[str, Any]) -> Iterator[Event]:
    """Yield the events that a complete message would have been streamed as; `type` in each names its kind.

    A `MessageAssembler` makes the same message of them.
    """
    yield {"type": "message_start", "message": _start(message)}
    content = message.get("content")
    for index, block in enumerate(content if isinstance(content, list) else ()):
        opening, deltas = _grown(block)
        yield {"type": "content_block_start", "index": index, "content_block": opening}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    yield _end(message)
    yield {"type": "message_stop"}


def _start(message: Mapping[str, Any]) -> Event:
    """Return the message as it is before its first block."""
    start = {name: value for name, value in message.items() if name not in _BESIDE_THE_DELTA}
    start |= dict.fromkeys(name for name in _SAID_AT_THE_END if name in message)
    return {**start, "content": [], "usage": _first_usage(_usage(message))}


def _first_usage(usage: Mapping[str, Any]) -> Event:
    """Return the counts of the prompt, what only a start says, and what is null throughout."""
    first = {
        name: value
        for name, value in usage.items()
        if name in _COUNTED_AT_THE_START or name in _ONLY_AT_THE_START or value is None
    }
    if first.get("output_tokens") is not None:
        first["output_tokens"] = _FIRST_OUTPUT_TOKENS
    return first


def _end(message: Mapping[str, Any]) -> Event:
    return {
        "type": "message_delta",
        "delta": {name: message[name] for name in _SAID_AT_THE_END if name in message},
        "usage": {name: n for name, n in _usage(message).items() if name not in _ONLY_AT_THE_START},
        **{name: message[name] for name in _BESIDE_THE_DELTA if name in message},
    }


def _grown(block: Any) -> tuple[Any, list[Event]]:
    """Return a block as it opens, and the deltas by which it grows."""
    match block:
        case {"type": "text", "text": str(text)}:
            return _grown_text(block, text)
        case {"type": "thinking", "thinking": str(thinking)}:
            return _grown_thinking(block, thinking)
        case {"type": kind, "input": tool_input} if kind in _TOOL_USES:
            written = "" if tool_input == {} else to_json(tool_input)
            return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": written}]
        case _:
            return block, []


def _grown_text(block: Mapping[str, Any], text: str) -> tuple[Event, list[Event]]:
    opening, deltas = {**block, "text": ""}, [{"type": "text_delta", "text": text}]
    citations = block.get("citations")
    if isinstance(citations, list):
        opening["citations"] = []
        deltas += [{"type": "citations_delta", "citation": citation} for citation in citations]
    return opening, deltas


def _grown_thinking(block: Mapping[str, Any], thinking: str) -> tuple[Event, list[Event]]:
    """Thinking may be kept from callers: then it is empty, and only its signature grows."""
    opening, deltas = {**block, "thinking": ""}, [{"type": "thinking_delta", "thinking": thinking}]
    if not thinking:
        deltas = []
    signature = block.get("signature")
    if isinstance(signature, str):
        opening["signature"] = ""
        deltas.append({"type": "signature_delta", "signature": signature})
    return opening, deltas


def _usage(message: Mapping[str, Any]) -> Mapping[str, Any]:
    usage = message.get("usage")
    return usage if isinstance(usage, Mapping) else {}
