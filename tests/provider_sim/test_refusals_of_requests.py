from __future__ import annotations

import io
from typing import Any

import aiohttp
import pytest

from costsvc.provider_sim import RunningSim

NEWEST = {"anthropic-version": "2026-10-21"}
TOOL = {"name": "look", "input_schema": {"type": "object"}}
PREFILL = [{"role": "user", "content": "Go"}, {"role": "assistant", "content": "{"}]
PAUSED = [
    {"role": "user", "content": "Go"},
    {
        "role": "assistant",
        "content": [
            {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "x"}},
        ],
    },
]
BUDGET = {"type": "enabled", "budget_tokens": 1024}


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"model": "claude-nobody-1"}, 404),
        ({"model": "claude-3-haiku-20240307"}, 404),
        ({"model": "claude-opus-4-1"}, 404),
        ({"model": 5}, 400),
        ({"max_tokens": None}, 400),
        ({"max_tokens": -1}, 400),
        ({"max_tokens": True}, 400),
        ({"max_tokens": 128_001}, 400),
        ({"max_tokens": 64_001, "model": "claude-haiku-4-5"}, 400),
        ({"messages": []}, 400),
        ({"messages": "hi"}, 400),
        ({"messages": [{"role": "robot", "content": "hi"}]}, 400),
        ({"messages": [{"role": "user", "content": ""}]}, 400),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": ""}]}]}, 400),
        ({"stream": "yes"}, 400),
        ({"stop_sequences": [" "]}, 400),
        ({"tools": [{"name": "no spaces", "input_schema": {}}]}, 400),
        ({"tools": [TOOL, TOOL]}, 400),
        ({"tool_choice": {"type": "any"}}, 400),
        ({"messages": [{"role": "user", "content": "word " * 300_000}], "model": "claude-haiku-4-5"}, 400),
        ({"messages": [{"role": "user", "content": "hi"}] * 100_001}, 413),
    ],
)
async def test_broken_requests(ask: Any, sim: RunningSim, fields: dict[str, Any], status: int) -> None:
    """A request that breaks a rule is refused in the provider's shape and never charged."""
    answer = await ask(**fields)
    assert answer["status"] == status
    assert answer["type"] == "error"
    assert answer["request_id"].startswith("req_")
    assert sim.bill.calls == 0


@pytest.mark.parametrize(
    ("model", "fields", "status"),
    [
        ("claude-opus-5-5", {"tools": [TOOL], "tool_choice": {"type": "any"}}, 400),
        ("claude-sonnet-5-5", {"tools": [TOOL], "tool_choice": {"type": "tool", "name": "look"}}, 400),
        ("claude-fable-5-2", {"tools": [TOOL], "tool_choice": {"type": "any"}}, 400),
        ("claude-haiku-5-5", {"tools": [TOOL], "tool_choice": {"type": "any"}}, 200),
        ("claude-opus-5", {"tools": [TOOL], "tool_choice": {"type": "any"}}, 200),
        ("claude-sonnet-4-6", {"messages": PREFILL}, 400),
        ("claude-sonnet-4-6", {"messages": PAUSED}, 200),
        ("claude-haiku-4-5", {"messages": PREFILL}, 200),
        ("claude-opus-4-7", {"thinking": BUDGET, "max_tokens": 2000}, 400),
        ("claude-opus-4-6", {"thinking": BUDGET, "max_tokens": 2000}, 200),
        ("claude-haiku-4-5", {"thinking": {"type": "adaptive"}}, 400),
        ("claude-opus-5-5", {"thinking": {"type": "disabled"}}, 400),
        ("claude-fable-5-1", {"thinking": {"type": "disabled"}}, 400),
        ("claude-sonnet-5-5", {"thinking": {"type": "disabled"}}, 400),
        ("claude-sonnet-5-5", {"thinking": {"type": "between_tools"}}, 200),
        ("claude-opus-5", {"thinking": {"type": "disabled"}}, 200),
        ("claude-opus-5", {"thinking": {"type": "disabled"}, "output_config": {"effort": "max"}}, 400),
        ("claude-haiku-5-5", {"thinking": {"type": "disabled"}}, 200),
        ("claude-haiku-4-5", {"inference_geo": "us"}, 400),
        ("claude-haiku-5-5", {"inference_geo": "us"}, 200),
        ("claude-haiku-5-5", {"speed": "fast"}, 400),
        ("claude-haiku-4-5", {"temperature": 0.3}, 200),
        ("claude-haiku-5-5", {"temperature": 1}, 200),
        ("claude-haiku-5-5", {"temperature": 0.3}, 400),
        ("claude-haiku-5-5", {"max_tokens": 0, "stream": True}, 400),
    ],
)
async def test_what_models_refuse(ask: Any, model: str, fields: dict[str, Any], status: int) -> None:
    """The differences between models that a router has to know are 400s here."""
    assert (await ask(model=model, **fields))["status"] == status


@pytest.mark.parametrize(
    "fields",
    [
        {"model": "claude-haiku-4-5", "temperature": 1},
        {"top_k": 5},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "x", "citations": [{"a": 1}]}]}]},
    ],
)
async def test_the_newest_version_refuses_more(ask: Any, fields: dict[str, Any]) -> None:
    """Sampling parameters and cited user text are gone under 2026-10-21."""
    assert (await ask(headers=NEWEST, **fields))["status"] == 400


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"anthropic-version": "2023-06-01"}, 401),
        ({"x-api-key": "invalid", "anthropic-version": "2023-06-01"}, 401),
        ({"x-api-key": "k"}, 400),
        ({"x-api-key": "k", "anthropic-version": "2024-01-01"}, 400),
        ({"authorization": "Bearer k", "anthropic-version": "2026-10-21"}, 200),
    ],
)
async def test_the_door(sim: RunningSim, headers: dict[str, str], status: int) -> None:
    """A key in either header and a known version are needed."""
    body = {"model": "claude-haiku-5-5", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
    async with (
        aiohttp.ClientSession(sim.url) as session,
        session.post("/v1/messages", json=body, headers=headers) as response,
    ):
        assert response.status == status


@pytest.mark.parametrize(
    "raw", [b"{", b"\xff", b'{"a": NaN}', b"[" * 200_000, b'{"a": "\\ud800"}', b"[]", b""]
)
async def test_bytes_that_are_no_request(http: aiohttp.ClientSession, raw: bytes) -> None:
    """Broken JSON is a 400 in the provider's shape."""
    async with http.post("/v1/messages", data=raw) as response:
        assert response.status == 400
        assert (await response.json())["error"]["type"] == "invalid_request_error"


async def test_nul_in_text_is_taken(ask: Any) -> None:
    """The provider accepts NUL as any other character of JSON text."""
    assert (await ask(messages=[{"role": "user", "content": "a\0b?"}]))["status"] == 200


async def test_a_body_above_32_megabytes_is_too_large(http: aiohttp.ClientSession) -> None:
    """The size is refused before the body is parsed."""
    async with http.post("/v1/messages", data=io.BytesIO(b" " * (32 * 2**20 + 1))) as response:
        assert response.status == 413
        assert (await response.json())["error"]["type"] == "request_too_large"


async def test_unknown_paths_are_not_found(http: aiohttp.ClientSession) -> None:
    """A wrong path is a 404 with the provider's body."""
    async with http.get("/v1/nothing") as response:
        assert (response.status, (await response.json())["type"]) == (404, "error")


async def test_unanswered_tool_calls_are_refused(ask: Any) -> None:
    """A tool_use needs its tool_result in the next message."""
    call = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}}
    messages = [
        {"role": "user", "content": "Look"},
        {"role": "assistant", "content": [call]},
        {"role": "user", "content": "And?"},
    ]
    answer = await ask(messages=messages, tools=[TOOL])
    assert answer["status"] == 400
    assert "toolu_1" in answer["error"]["message"]
