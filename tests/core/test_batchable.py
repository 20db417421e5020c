"""Tests of which requests may go into a message batch."""

from __future__ import annotations

import json
from typing import Any

import pytest

from costsvc.core.batchable import is_batchable, why_not_batchable
from costsvc.core.request import ModelRequest, read_messages_json

ASK = {"role": "user", "content": "x"}
TOOLS = {"tools": [{"name": "look", "input_schema": {}}]}


def batchable(body: dict[str, Any], **said: Any) -> bool:
    """Tell it of a body with one question."""
    source = json.dumps({"messages": [ASK]} | body).encode()
    return is_batchable(ModelRequest(members=read_messages_json(source), **said))


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"system": "s", "max_tokens": 5, "speed": "standard", "tools": []},
        {**TOOLS, "tool_choice": {"type": "any"}},
        {**TOOLS, "tool_choice": {"type": "tool", "name": "look"}},
        {"messages": [ASK, {"role": "system", "content": "Be brief."}]},
    ],
)
def test_what_stands_alone_can_wait(body: dict[str, Any]) -> None:
    """Single questions, also those that ask for structure by a tool."""
    assert batchable(body)


@pytest.mark.parametrize(
    "body",
    [
        TOOLS,
        {**TOOLS, "tool_choice": {"type": "auto"}},
        {"messages": [ASK, {"role": "assistant", "content": "y"}, ASK]},
        {"speed": "fast"},
        {"max_tokens": 0},
        {"thread": {"type": "create"}},
        {"fallbacks": ["claude-opus-5"]},
        {"mcp_servers": [{}]},
    ],
)
def test_what_has_company_cannot(body: dict[str, Any]) -> None:
    """Loops, conversations, haste, and what batches refuse."""
    assert not batchable(body)


def test_why_it_cannot_is_said_by_its_member() -> None:
    """So that its caller knows what to change."""
    request = ModelRequest(
        members=read_messages_json(json.dumps({"messages": [ASK], "speed": "fast"}).encode())
    )
    assert why_not_batchable(request) == "speed: batches are not fast"


def test_a_turn_of_a_conversation_cannot() -> None:
    """The next one waits for it."""
    assert not batchable({}, conversation_id="c")
