"""Random requests of every shape that matters to the prompt cache, laid out as clients lay out JSON."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from hypothesis import strategies as st

from costsvc.core.request import ModelRequest, read_messages_json

LETTERS = 'ab{}[]":,\\ \n\u00e9\u20ac\U0001f600'
LAYOUTS: list[dict[str, Any]] = [
    {"separators": (",", ":")},
    {"separators": (",", ":"), "ensure_ascii": False},
    {},
    {"indent": 1},
]


def as_request(body: dict[str, Any], layout: dict[str, Any] | None = None) -> ModelRequest:
    """Return a body as a request."""
    return ModelRequest(members=read_messages_json(json.dumps(body, **(layout or {})).encode()))


def _text(chance: Random) -> str:
    words = "".join(chance.choices(LETTERS, k=chance.randint(1, 12)))
    return words * chance.choice([1, 1, 40, 400])


def _block(chance: Random, role: str) -> dict[str, Any]:
    text = _text(chance)
    plain = {"type": "text", "text": text}
    if role == "assistant":
        thinking = {"type": "thinking", "thinking": text, "signature": "sig"}
        use = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"q": text, "n": [1, {}]}}
        return chance.choice([plain, thinking, use])
    result = {"type": "tool_result", "tool_use_id": "toolu_1"}
    source = {"type": "text", "media_type": "text/plain", "data": text}
    return chance.choice(
        [
            plain,
            {"text": text, "type": "text"},
            {**result, "content": text},
            {**result, "content": [plain]},
            {"type": "document", "source": source},
            {"type": "from_the_future", "holds": {"text": text}},
        ]
    )


def make_body(seed: int, *, markers: bool = True) -> dict[str, Any]:
    """Return a body; with `markers` some callers have placed their own."""
    chance = Random(seed)
    body: dict[str, Any] = {"model": "claude-opus-5-5", "max_tokens": 64}
    if tools := chance.randint(0, 3):
        schema = {"type": "object"}
        body["tools"] = [
            {"name": f"tool{i}", "description": _text(chance), "input_schema": schema} for i in range(tools)
        ]
    system = chance.choice(["none", "text", "blocks"])
    if system == "text":
        body["system"] = _text(chance)
    elif system == "blocks":
        body["system"] = [{"type": "text", "text": _text(chance)} for _ in range(chance.randint(1, 5))]
    body["messages"] = [_message(chance, turn) for turn in range(chance.randint(0, 12) * 2 + 1)]
    if markers and chance.random() < 0.5:
        _mark_some(chance, body)
    return body


def _message(chance: Random, turn: int) -> dict[str, Any]:
    role = "assistant" if turn % 2 else "user"
    if chance.random() < 0.5:
        return {"role": role, "content": _text(chance)}
    return {"role": role, "content": [_block(chance, role) for _ in range(chance.choice([1, 2, 3, 12]))]}


def _mark_some(chance: Random, body: dict[str, Any]) -> None:
    """Place up to four breakpoints as a caller may, in an order that the provider takes."""
    blocks = [*body.get("tools", [])]
    blocks += body["system"] if isinstance(body.get("system"), list) else []
    for message in body["messages"]:
        if isinstance(message["content"], list):
            blocks += message["content"]
    able = [block for block in blocks if block.get("type") not in {"thinking", "from_the_future"}]
    chosen = sorted(chance.sample(range(len(able)), min(len(able), chance.randint(0, 4))))
    hours = chance.randint(0, 4)
    for rank, at in enumerate(chosen):
        able[at]["cache_control"] = {"type": "ephemeral"} | ({"ttl": "1h"} if rank < hours else {})
    if len(chosen) < 4 and chance.random() < 0.5:
        body["cache_control"] = {"type": "ephemeral"}


SEEDS = st.integers(0, 1_000_000_000)


def request_of(seed: int, *, markers: bool = True) -> ModelRequest:
    """Return a request as it came, in one of the layouts that clients write."""
    return as_request(make_body(seed, markers=markers), LAYOUTS[seed % len(LAYOUTS)])
