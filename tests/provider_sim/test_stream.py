from __future__ import annotations

import json
from typing import Any

import aiohttp
import pytest

from costsvc.provider_sim import RunningSim

BODY = {
    "model": "claude-sonnet-4-6",
    "max_tokens": 500,
    "stream": True,
    "messages": [{"role": "user", "content": "How does a bicycle stay upright?"}],
}


async def events(http: aiohttp.ClientSession, **fields: Any) -> list[dict[str, Any]]:
    """Return the events of a stream that ends well."""
    async with http.post("/v1/messages", json=BODY | fields) as response:
        assert response.status == 200, await response.text()
        assert response.headers["content-type"].startswith("text/event-stream")
        frames = (await response.text()).split("\n\n")[:-1]
    parsed = []
    for frame in frames:
        name, data = frame.split("\n", 1)
        parsed.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {parsed[-1]['type']}"
    return parsed


async def test_a_stream_says_what_the_whole_answer_says(http: aiohttp.ClientSession) -> None:
    """The pieces add up to the unary answer; the last usage is cumulative, without the split by lifetime."""
    seen = await events(http)
    async with http.post("/v1/messages", json=BODY | {"stream": False}) as response:
        whole = await response.json()
    text = "".join(e["delta"].get("text", "") for e in seen if e["type"] == "content_block_delta")
    kinds = list(dict.fromkeys(e["type"] for e in seen))
    assert text == whole["content"][0]["text"]
    assert kinds == [
        "message_start",
        "content_block_start",
        "ping",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert seen[-2]["usage"]["output_tokens"] == whole["usage"]["output_tokens"]
    assert "cache_creation" not in seen[-2]["usage"]
    assert seen[0]["message"]["usage"]["cache_creation"]["ephemeral_1h_input_tokens"] == 0
    assert seen[0]["message"]["content"] == []


async def test_tool_input_arrives_in_pieces(http: aiohttp.ClientSession) -> None:
    """The first piece is empty and all of them are the JSON of the input."""
    schema = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}}
    seen = await events(
        http,
        tools=[{"name": "forecast", "input_schema": schema}],
        tool_choice={"type": "tool", "name": "forecast"},
    )
    pieces = [e["delta"]["partial_json"] for e in seen if e["type"] == "content_block_delta"]
    assert pieces[0] == ""
    assert set(json.loads("".join(pieces))) == {"city", "days"}
    assert seen[-2]["delta"]["stop_reason"] == "tool_use"


@pytest.mark.parametrize(("display", "shown"), [("summarized", True), ("omitted", False)])
async def test_thinking_is_streamed_with_one_signature(
    http: aiohttp.ClientSession, display: str, shown: bool
) -> None:
    """A thinking block ends with its signature; hidden thinking is one empty delta."""
    seen = await events(
        http, model="claude-opus-5-5", max_tokens=3000, thinking={"type": "adaptive", "display": display}
    )
    deltas = [e["delta"] for e in seen if e["type"] == "content_block_delta" and e["index"] == 0]
    assert [d["type"] for d in deltas].count("signature_delta") == 1
    assert deltas[-1]["type"] == "signature_delta"
    assert bool("".join(d.get("thinking", "") for d in deltas)) is shown


async def test_a_reader_that_leaves_pays_for_what_was_generated(
    http: aiohttp.ClientSession, sim: RunningSim, until: Any
) -> None:
    """The prompt and the output so far are on the bill, marked as incomplete."""
    sim.settings.token_s = 0.001
    async with http.post("/v1/messages", json=BODY, headers={"x-costsvc-attempt": "gone"}) as response:
        seen = b""
        while seen.count(b"text_delta") < 3:
            seen += await response.content.readany()
        response.close()
    server = sim._runner.server
    assert server is not None
    await until(lambda: not server.connections)
    (line,) = sim.bill.of("gone")
    sim.settings.token_s = 0
    whole = (await events(http))[-2]["usage"]["output_tokens"]
    assert 1 <= line.used.output < whole
    assert not line.complete
    assert line.pico_usd == line.used.input * 3_000_000 + line.used.output * 15_000_000


async def test_a_web_search_is_charged_apart(http: aiohttp.ClientSession, sim: RunningSim) -> None:
    """Input is the sum over internal samplings, known at the end; the search has its own fee."""
    seen = await events(
        http,
        messages=[{"role": "user", "content": "What is the latest news about bicycles?"}],
        tools=[{"type": "web_search_20260209", "name": "web_search"}],
    )
    blocks = [e["content_block"]["type"] for e in seen if e["type"] == "content_block_start"]
    first, last = seen[0]["message"]["usage"], seen[-2]["usage"]
    (line,) = sim.bill.lines()
    assert blocks == ["server_tool_use", "web_search_tool_result", "text"]
    assert last["input_tokens"] > 2 * first["input_tokens"]
    assert last["server_tool_use"]["web_search_requests"] == 1
    tokens_pico = last["input_tokens"] * 3_000_000 + last["output_tokens"] * 15_000_000
    assert line.pico_usd == tokens_pico + 10**10
