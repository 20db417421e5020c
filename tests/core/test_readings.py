from __future__ import annotations

import json
from typing import Any

import pytest

from costsvc.core.readings import Readings, Unbounded, count_readings
from costsvc.core.request import ModelRequest, read_messages_json

ASK = {"role": "user", "content": "Why?"}
SEARCH = {"type": "web_search_20250305", "name": "web_search"}
FETCH = {"type": "web_fetch_20250910", "name": "web_fetch"}
LATER = {"type": "web_search_20260209", "name": "web_search", "max_uses": 2}


def ask(**members: Any) -> ModelRequest:
    """Return a request with these members and one question."""
    return ModelRequest(members=read_messages_json(json.dumps({"messages": [ASK]} | members).encode()))


@pytest.mark.parametrize(
    ("members", "readings"),
    [
        ({}, Readings()),
        ({"temperature": 0.5, "thinking": {"type": "adaptive"}, "speed": "fast"}, Readings()),
        ({"tools": [{"name": "look", "input_schema": {}}, {"type": "custom", "name": "b"}]}, Readings()),
        ({"tools": [{"type": "bash_20250124", "name": "bash"}]}, Readings()),
        ({"tools": []}, Readings()),
        ({"tools": [{**SEARCH, "max_uses": 3}]}, Readings(5, 3)),
        ({"tools": [{**FETCH, "max_uses": 3}]}, Readings(5, 0)),
        ({"tools": [{**SEARCH, "max_uses": 3}, {**FETCH, "max_uses": 2}]}, Readings(7, 3)),
        ({"tools": [{**LATER, "allowed_callers": ["direct"]}]}, Readings(4, 2)),
        ({"context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]}}, Readings()),
        ({"container": None}, Readings()),
    ],
)
def test_readings_are_counted(members: dict[str, Any], readings: Readings) -> None:
    """One for a plain call; with the provider's tools one more for each use, and for a use too many."""
    assert count_readings(ask(**members)) == readings


@pytest.mark.parametrize(
    ("members", "word"),
    [
        ({"tools": [SEARCH]}, "max_uses"),
        ({"tools": [FETCH]}, "max_uses"),
        ({"tools": [{**SEARCH, "max_uses": True}]}, "max_uses"),
        ({"tools": [{**SEARCH, "max_uses": 0}]}, "max_uses"),
        ({"tools": [{**SEARCH, "max_uses": 10**30}]}, "max_uses"),
        ({"tools": [{**SEARCH, "max_uses": "3"}]}, "max_uses"),
        ({"tools": [LATER]}, "allowed_callers"),
        ({"tools": [{**LATER, "allowed_callers": ["direct", "code_execution_20260120"]}]}, "allowed_callers"),
        ({"tools": [{"type": "code_execution_20250825", "name": "code"}]}, "code_execution"),
        ({"tools": [{"type": "advisor_20260301", "max_uses": 1}]}, "advisor"),
        ({"tools": [{"type": ["odd"]}]}, "odd"),
        ({"mcp_servers": []}, "mcp_servers"),
        ({"container": "c1"}, "container"),
        ({"compaction": {}}, "compaction"),
        ({"context_management": {"edits": [{"type": "compact_20260112"}]}}, "context_management"),
        ({"context_management": "odd"}, "context_management"),
        ({"fallbacks": "default"}, "fallbacks"),
        ({"thread": {"type": "create"}}, "thread"),
        ({"of_tomorrow": 1}, "of_tomorrow"),
    ],
)
def test_what_is_not_known_to_be_read_once_is_unbounded(members: dict[str, Any], word: str) -> None:
    """The reason names what to change."""
    found = count_readings(ask(**members))
    assert isinstance(found, Unbounded)
    assert word in found.reason
