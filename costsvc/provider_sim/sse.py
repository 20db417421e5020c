"""Server-sent events of a message: the provider's order, names and paddings."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from .errors import dumps
from .prose import Dice
from .provider import Run

Frame = tuple[bytes, int]  # the bytes of one event, and the output tokens generated when it is sent
PING = b'event: ping\ndata: {"type": "ping"}\n\n'
STOP = b'event: message_stop\ndata: {"type":"message_stop"     }\n\n'
UNKNOWN = b'event: heartbeat_note\ndata: {"type":"heartbeat_note","note":"new in some later version"}\n\n'
BROKEN = (
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_de\n\n'
)


def frames(run: Run) -> Iterator[Frame]:
    """Yield the events of a whole answer."""
    answer = run.answer
    dice = Dice(run.id)
    sent = first_tokens(run)
    yield _frame("message_start", {"message": _opening(run, sent)}), sent
    visible = sum(_size(block) for block in answer.content if block["type"] != "thinking")
    after = answer.thinking_tokens
    spoken = max(1, visible)
    for index, block in enumerate(answer.content):
        yield _frame("content_block_start", {"index": index, "content_block": _empty(block)}), sent
        if index == 0:
            yield PING, sent
        for kind, piece in _deltas(block, dice):
            if block["type"] == "thinking":
                sent = max(sent, answer.thinking_tokens if kind == "signature_delta" else sent)
            else:
                visible -= len(piece)
                done = (answer.output_tokens - after) * (spoken - max(0, visible)) // spoken
                sent = max(sent, after + done)
            yield _delta(index, kind, piece, dice.below(4)), sent
        yield _frame("content_block_stop", {"index": index}), sent
    yield _frame("message_delta", _closing(run)), answer.output_tokens
    yield STOP, answer.output_tokens


def first_tokens(run: Run) -> int:
    """Return the small number of output tokens that message_start reports."""
    return min(run.answer.output_tokens, 1 + run.prompt.token_count % 8)


def error_frame(type_: str, message: str) -> bytes:
    """Return an error event; the HTTP status is 200 already."""
    return _frame("error", {"error": {"type": type_, "message": message}})


def _frame(name: str, fields: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), dumps({"type": name, **fields}))


def _delta(index: int, kind: str, piece: str, padding: int) -> bytes:
    field = {"input_json_delta": "partial_json", "thinking_delta": "thinking", "signature_delta": "signature"}
    text = json.dumps(piece, ensure_ascii=False)
    data = (
        f'event: content_block_delta\ndata: {{"type":"content_block_delta","index":{index},'
        f'"delta":{{"type":"{kind}","{field.get(kind, "text")}":{text}}}{" " * padding}}}\n\n'
    )
    return data.encode("utf-8", "surrogatepass")


def _opening(run: Run, sent: int) -> dict[str, Any]:
    message = run.message()
    usage = message["usage"]
    usage["output_tokens"] = sent
    usage["input_tokens"] -= run.answer.late_input_tokens
    usage.pop("output_tokens_details", None)
    usage["server_tool_use"] = None
    return {**message, "content": [], "stop_reason": None, "stop_sequence": None, "stop_details": None}


def _closing(run: Run) -> dict[str, Any]:
    """Return the last usage: cumulative, without the split by lifetime, tier, geography or speed."""
    answer, full = run.answer, run.usage()
    kept = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens")
    usage = {name: full[name] for name in kept}
    for name in ("output_tokens_details", "server_tool_use"):
        if full.get(name):
            usage[name] = full[name]
    delta = {
        "stop_reason": answer.stop_reason,
        "stop_sequence": answer.stop_sequence,
        "stop_details": run.stop_details,
        "container": None,
    }
    return {"delta": delta, "usage": usage}


def _size(block: dict[str, Any]) -> int:
    if block["type"] == "text":
        return len(block["text"])
    return len(json.dumps(block["input"], ensure_ascii=False)) if "input" in block else 0


def _empty(block: dict[str, Any]) -> dict[str, Any]:
    """Return a block as it starts; results of server tools arrive whole."""
    kind = block["type"]
    if kind == "text":
        return {"type": "text", "text": ""}
    if kind == "thinking":
        return {"type": "thinking", "thinking": "", "signature": ""}
    return {**block, "input": {}} if kind in {"tool_use", "server_tool_use"} else block


def _deltas(block: dict[str, Any], dice: Dice) -> Iterator[tuple[str, str]]:
    kind = block["type"]
    if kind == "text":
        yield from (("text_delta", piece) for piece in _pieces(block["text"], dice))
    elif kind == "thinking":
        pieces = list(_pieces(block["thinking"], dice)) or [""]
        yield from (("thinking_delta", piece) for piece in pieces)
        yield "signature_delta", block["signature"]
    elif kind in {"tool_use", "server_tool_use"}:
        yield "input_json_delta", ""
        text = json.dumps(block["input"], ensure_ascii=False)
        yield from (("input_json_delta", piece) for piece in _pieces(text, dice))


def _pieces(text: str, dice: Dice) -> Iterator[str]:
    at = 0
    while at < len(text):
        step = dice.between(8, 40)
        yield text[at : at + step]
        at += step
