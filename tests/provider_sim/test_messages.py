from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import struct
from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from costsvc.provider_sim import RunningSim
from costsvc.provider_sim.errors import ApiError
from costsvc.provider_sim.provider import Call


async def test_a_message_and_its_line_on_the_bill_agree(ask: Any, sim: RunningSim) -> None:
    """Usage, price and attempt are the same in the answer and on the bill."""
    answer = await ask(headers={"x-costsvc-attempt": "at-1"})
    (line,) = sim.bill.of("at-1")
    usage = answer["usage"]
    assert (line.used.input, line.used.output) == (usage["input_tokens"], usage["output_tokens"])
    assert line.pico_usd == usage["input_tokens"] * 100_000 + usage["output_tokens"] * 500_000
    assert line.complete
    assert line.message_id == answer["id"]
    assert line.model == answer["model"] == "claude-haiku-5-5"


async def test_answers_depend_on_the_question_alone(ask: Any) -> None:
    """The same body gets the same text; markers do not change it, another question does."""
    first = await ask()
    again = await ask(cache_control={"type": "ephemeral"})
    other = await ask(messages=[{"role": "user", "content": "What is a tide, and why is it late?"}])
    assert first["content"] == again["content"] != other["content"]


async def test_max_tokens_cuts_the_answer(ask: Any) -> None:
    """An answer that does not fit says so and uses its budget to the last token."""
    answer = await ask(max_tokens=7, model="claude-haiku-4-5")
    assert answer["stop_reason"] == "max_tokens"
    assert answer["usage"]["output_tokens"] == 7


async def test_a_stop_sequence_ends_the_answer(ask: Any) -> None:
    """The text stops before the sequence, which is named."""
    answer = await ask(stop_sequences=["zzz", "."], model="claude-haiku-4-5")
    assert (answer["stop_reason"], answer["stop_sequence"]) == ("stop_sequence", ".")
    assert "." not in answer["content"][0]["text"]


async def test_aliases_answer_with_the_dated_id(ask: Any) -> None:
    """The model of an answer is what is charged, not what was asked for."""
    assert (await ask(model="claude-haiku-4-5"))["model"] == "claude-haiku-4-5-20251001"


async def test_a_schema_is_obeyed(ask: Any) -> None:
    """Structured output is JSON of the schema's shape."""
    schema = {
        "type": "object",
        "properties": {
            "kind": {"enum": ["bug", "idea"]},
            "score": {"type": "integer", "minimum": 3, "maximum": 4},
            "tags": {"type": "array", "items": {"type": "string"}, "minItems": 2},
            "when": {"$ref": "#/$defs/when"},
        },
        "$defs": {"when": {"type": "string", "format": "date"}},
    }
    answer = await ask(output_config={"format": {"type": "json_schema", "schema": schema}}, max_tokens=3000)
    value = json.loads(answer["content"][-1]["text"])
    assert value["kind"] in {"bug", "idea"}
    assert value["score"] in {3, 4}
    assert len(value["tags"]) >= 2
    assert value["when"].startswith("2026-0")


async def test_classification_picks_one_of_the_labels(ask: Any) -> None:
    """A prompt that asks for a label gets a label, not an essay."""
    answer = await ask(
        system="Classify the ticket into one of: billing, outage, praise. Answer with the label.",
        messages=[{"role": "user", "content": "My invoice is wrong."}],
    )
    assert answer["content"][-1]["text"] in {"billing", "outage", "praise"}


TOOL = {"name": "get_weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}


async def test_a_forced_tool_is_called(ask: Any) -> None:
    """A forced tool_choice gives a tool_use block with an input of the schema's shape."""
    answer = await ask(tools=[TOOL], tool_choice={"type": "tool", "name": "get_weather"})
    (call,) = answer["content"]
    assert (answer["stop_reason"], call["name"], set(call["input"])) == ("tool_use", "get_weather", {"city"})


async def test_a_mentioned_tool_is_called_and_its_result_is_read(ask: Any) -> None:
    """With tool_choice auto a tool is called when the user names it; after its result comes text."""
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": "Please get weather for Oslo, will it rain?"}
    ]
    answer = await ask(tools=[TOOL], messages=messages, model="claude-haiku-4-5")
    call = answer["content"][0]
    assert call["type"] == "tool_use"
    result = {"type": "tool_result", "tool_use_id": call["id"], "content": "rain"}
    messages += [{"role": "assistant", "content": answer["content"]}, {"role": "user", "content": [result]}]
    after = await ask(tools=[TOOL], messages=messages, model="claude-haiku-4-5")
    assert [block["type"] for block in after["content"]] == ["text"]


async def test_tools_add_the_hidden_prompt(ask: Any) -> None:
    """A forced choice costs more hidden tokens than none."""
    auto = await ask(tools=[TOOL])
    forced = await ask(tools=[TOOL], tool_choice={"type": "any"})
    assert forced["usage"]["input_tokens"] - auto["usage"]["input_tokens"] == 406 - 286


async def test_the_newer_tokenizer_counts_about_a_third_more(http: aiohttp.ClientSession) -> None:
    """The same prose is longer on a model of the newer generation."""
    counts = []
    for model in ("claude-haiku-4-5", "claude-haiku-5-5"):
        text = "The committee agreed to meet again in spring and to bring the missing figures. " * 50
        body = {"model": model, "messages": [{"role": "user", "content": text}]}
        async with http.post("/v1/messages/count_tokens", json=body) as response:
            counts.append((await response.json())["input_tokens"])
    assert 1.2 < counts[1] / counts[0] < 1.4
    assert 3.8 < len(text) / counts[0] < 4.8


async def test_a_picture_costs_its_patches(ask: Any) -> None:
    """A 280 by 56 picture is 10 x 2 patches of 28 pixels."""
    png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 280, 56)
    image = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(png).decode()}
    text = {"type": "text", "text": "What is it?"}
    plain = await ask(messages=[{"role": "user", "content": [text]}])
    seen = await ask(messages=[{"role": "user", "content": [{"type": "image", "source": image}, text]}])
    assert seen["usage"]["input_tokens"] - plain["usage"]["input_tokens"] == 20


async def test_thinking_is_part_of_the_output(ask: Any, sim: RunningSim) -> None:
    """A thinking budget gives a thinking block, counted within output_tokens."""
    answer = await ask(
        model="claude-haiku-4-5", max_tokens=4000, thinking={"type": "enabled", "budget_tokens": 1024}
    )
    details = answer["usage"]["output_tokens_details"]
    assert [block["type"] for block in answer["content"]] == ["thinking", "text"]
    assert answer["content"][0]["thinking"]
    assert 0 < details["thinking_tokens"] < answer["usage"]["output_tokens"]
    assert sim.bill.lines()[-1].used.thinking == details["thinking_tokens"]


@pytest.mark.parametrize(
    ("fields", "terms", "reported"),
    [
        ({"model": "claude-opus-5-5", "speed": "fast"}, {"fast"}, ("fast", "global")),
        ({"model": "claude-opus-5-5", "inference_geo": "us"}, {"us"}, ("standard", "us")),
        ({"model": "claude-opus-4-6", "speed": "fast"}, set(), (None, "global")),
        ({"model": "claude-haiku-4-5"}, set(), (None, "not_available")),
    ],
)
async def test_usage_tells_what_was_sold(
    ask: Any, sim: RunningSim, fields: dict[str, str], terms: set[str], reported: tuple[str | None, str]
) -> None:
    """Speed and geography are reported as run, which is what they are charged as."""
    usage = (await ask(**fields))["usage"]
    assert sim.bill.lines()[-1].terms == terms
    assert (usage.get("speed"), usage["inference_geo"]) == reported


async def test_every_answer_is_labelled(http: aiohttp.ClientSession) -> None:
    """Request id, organisation, workspace and rate limits are in the headers."""
    body = {"model": "claude-haiku-5-5", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
    async with http.post("/v1/messages?beta=true", json=body) as response:
        assert response.headers["request-id"].startswith("req_")
        assert int(response.headers["anthropic-ratelimit-requests-remaining"]) < 10_000
        assert response.headers["anthropic-workspace-id"].startswith("wrkspc_")


async def test_a_long_prompt_reprices_the_call(ask: Any, sim: RunningSim) -> None:
    """Haiku 5.5 above 100,000 tokens is charged five times the price on the bill."""
    answer = await ask(messages=[{"role": "user", "content": "word " * 80_000}], max_tokens=1)
    usage = answer["usage"]
    assert usage["input_tokens"] > 100_000
    assert sim.bill.total_pico_usd == 500_000 * usage["input_tokens"] + 2_500_000 * usage["output_tokens"]


async def test_a_unary_call_is_charged_even_when_nobody_waits(
    http: aiohttp.ClientSession, sim: RunningSim, until: Any
) -> None:
    """The generation runs to its end; the line says that it was not delivered."""
    sim.settings.token_s = 10.0
    body = {"model": "claude-haiku-4-5", "max_tokens": 50, "messages": [{"role": "user", "content": "Why?"}]}
    call = asyncio.create_task(http.post("/v1/messages", json=body))
    await until(lambda: sim.bill.calls == 1)
    call.cancel()
    (line,) = sim.bill.lines()
    await until(lambda: line.used.output == 50)
    assert not line.complete


words = ["text", "tool_use", "tool_result", "document", "thinking", "user", "", "5m", "json_schema"]
keys = [
    "type",
    "text",
    "content",
    "role",
    "source",
    "cache_control",
    "name",
    "id",
    "input",
    "format",
    "schema",
]
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(words),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(keys), inner, max_size=4),
    max_leaves=12,
)
blocks = st.builds(
    lambda kind, inner: {
        "type": kind,
        "content": inner,
        "tool_use_id": "t",
        "id": "t",
        "input": {},
        "text": "x",
    },
    st.sampled_from(["text", "tool_result", "search_result", "thinking", "tool_use"]),
    json_values,
)
optional = st.sampled_from(
    [
        "system",
        "tools",
        "tool_choice",
        "thinking",
        "output_config",
        "cache_control",
        "stop_sequences",
        "speed",
    ]
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=json_values | st.lists(blocks | json_values, max_size=2), field=optional, value=json_values)
async def test_any_json_is_answered_or_refused(sim: RunningSim, content: Any, field: str, value: Any) -> None:
    """Whatever the body holds, the provider has an answer or its own error, never a crash."""
    for said in (content, "Why?"):
        messages = [{"role": "user", "content": said}]
        body = {"model": "claude-haiku-5-5", "max_tokens": 20, "messages": messages, field: value}
        call = Call(body=body, request_id="r", workspace="w", version="2026-10-21")
        with contextlib.suppress(ApiError):
            sim._provider.begin(sim._provider.prepare(call))
