"""Tests of whole answers: what the provider receives, and that each entry is the provider's bill."""

from __future__ import annotations

import asyncio
import json

import pytest

from costsvc import v1

SYSTEM = "You answer for a bicycle shop. " + "Every frame is inspected before it leaves the workshop. " * 700
SAVINGS = ("routing", "token_reduction", "caller", "prompt_cache", "batch", "response_cache")


def parts(savings: v1.Savings) -> list[int]:
    """Return the savings of each technique."""
    return [getattr(savings, f"{name}_nano_usd") for name in SAVINGS]


def without_ids(message_json: bytes) -> dict:
    """Return an answer without what differs from call to call."""
    return {name: value for name, value in json.loads(message_json).items() if name != "id"}


async def test_an_answer_comes_with_all_that_belongs_to_it(service):
    """Text, the provider's bytes, bill, decision and ids agree with each other and with the entry."""
    answer = await service.complete(task="faq", labels={"team": "a"}, request_id="r-1", conversation_id="c-1")
    message = json.loads(answer.message_json)
    assert answer.text == message["content"][-1]["text"]
    assert (answer.stop_reason, answer.model) == (message["stop_reason"], "claude-haiku-5-5")
    assert answer.bill.usage.input_tokens == message["usage"]["input_tokens"]
    assert answer.bill.usage.output_tokens == message["usage"]["output_tokens"]
    assert answer.decision.baseline_model == "claude-opus-5-5"
    assert [reason.code for reason in answer.decision.reasons] == ["task_hint", "max_tokens_default"]
    assert (answer.cache_outcome, answer.attempt_count) == (v1.CACHE_OUTCOME_DISABLED, 1)
    [entry] = await service.booked()
    assert (entry.response_id, entry.provider_request_id) == (answer.response_id, answer.provider_request_id)
    assert (entry.tenant, entry.labels, entry.task) == ("default", {"team": "a"}, "faq")
    assert (entry.request_id, entry.conversation_id) == ("r-1", "c-1")
    assert entry.cost_nano_usd == answer.bill.cost_nano_usd == service.bill()[entry.attempt_id]
    assert json.loads(entry.raw_usage_json) == message["usage"]


ODD_BODY = (
    b'{ "system" : [ {"type":"text", "text":"caf\\u00e9 \xc3\xa9 \\/ \\u0000 end"} ],\t"max_tokens":60,\n'
    b'"x_later":{"b":1, "a":[1.0, 1.10, 1E400, 123456789012345678901234567890, -0.0], "z" : null},'
    b'"messages":[ {"role":"user","content":"a\\u0000b \\ud83d\\ude00?"} ] , "x_last":  false }'
)


async def test_what_costsvc_does_not_know_goes_through_byte_for_byte(service):
    """Unknown fields keep place and text; numbers, escapes, white space and NUL inside values survive."""
    await service.complete(body=ODD_BODY, model="claude-haiku-5-5")
    [sent] = service.sim.requests
    assert sent.body == (
        b'{"system":[ {"type":"text", "text":"caf\\u00e9 \xc3\xa9 \\/ \\u0000 end"} ],"max_tokens":60,'
        b'"x_later":{"b":1, "a":[1.0, 1.10, 1E400, 123456789012345678901234567890, -0.0], "z" : null},'
        b'"messages":[ {"role":"user","content":"a\\u0000b \\ud83d\\ude00?"} ],"x_last":false,'
        b'"model":"claude-haiku-5-5"}'
    )


async def test_the_rpc_decides_whether_to_stream(service):
    """`stream` in the body is ignored, whatever it says."""
    body = {"max_tokens": 30, "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    await service.complete(body=body)
    await service.stream(body={**body, "stream": False})
    sent = [json.loads(request.body) for request in service.sim.requests]
    assert "stream" not in sent[0]
    assert sent[1]["stream"] is True


async def test_route_shows_the_body_that_complete_sends(service):
    """What is announced is what is done, to the byte."""
    body = {"messages": [{"role": "user", "content": "hi"}], "x_later": [1]}
    routed = await service.route(body=body, task="faq", include_body=True)
    assert await service.untouched()
    await service.complete(body=body, task="faq")
    assert service.sim.requests[0].body == routed.messages_json


async def test_beta_features_and_the_attempt_go_as_headers(service):
    """The provider sees the betas, the service's key, and an attempt id that joins bill and ledger."""
    await service.complete(betas=["context-1m-2025-08-07", "x-1"], request_id="r-7")
    [entry] = await service.booked()
    headers = {name.lower(): value for name, value in service.sim.requests[0].headers.items()}
    assert headers["anthropic-beta"] == "context-1m-2025-08-07,x-1"
    assert headers["authorization"] == "Bearer sk-ant-canary-key"
    assert headers["x-costsvc-attempt"] == entry.attempt_id


async def test_a_long_answer_is_streamed_from_the_provider(service):
    """Above the provider's unary limit the call is streamed upstream, and looks the same to the caller."""
    short = await service.complete(max_tokens=21_333, model="claude-sonnet-5-5")
    long = await service.complete(max_tokens=21_334, model="claude-sonnet-5-5")
    assert [json.loads(sent.body).get("stream", False) for sent in service.sim.requests] == [False, True]
    assert without_ids(long.message_json) == without_ids(short.message_json)
    assert long.bill == short.bill
    assert (long.text, long.stop_reason) == (short.text, short.stop_reason)


CALLS = {
    "plain": {"task": "faq"},
    "pinned": {"model": "claude-opus-5-5", "max_tokens": 200},
    "cut": {"max_tokens": 5},
    "thinking": {"task": "reasoning"},
    "geography": {
        "body": {
            "inference_geo": "us",
            "max_tokens": 90,
            "messages": [{"role": "user", "content": "Why is the sky blue?"}],
        }
    },
    "tool": {
        "body": {
            "max_tokens": 400,
            "tools": [{"name": "weather", "input_schema": {"type": "object", "properties": {}}}],
            "messages": [{"role": "user", "content": "Ask weather for Rome."}],
        }
    },
}


@pytest.mark.parametrize("fields", CALLS.values(), ids=CALLS)
async def test_a_stream_costs_what_the_unary_call_costs(service, fields):
    """The same answer has the same bill, message and reasons, however it is read."""
    unary = await service.complete(**fields)
    started, *_, completed = await service.stream(**fields)
    completed = completed.completed
    assert completed.bill == unary.bill
    assert without_ids(completed.message_json) == without_ids(unary.message_json)
    assert (completed.stop_reason, completed.model) == (unary.stop_reason, unary.model)
    assert [r.code for r in started.started.decision.reasons] == [r.code for r in unary.decision.reasons]
    entries = await service.booked(2)
    assert {entry.attempt_id: entry.cost_nano_usd for entry in entries} == service.bill()
    assert entries[0].measures() == entries[1].measures()


async def test_a_conversation_writes_its_prefix_once_and_reads_it_after(service):
    """The service marks the system prompt of a conversation: the first turn loses, the second saves."""
    first, second = [
        (await service.complete(text, system=SYSTEM, conversation_id="c-1", task="faq")).bill
        for text in ("What is a hub?", "And a rim?")
    ]
    assert first.usage.cache_write_5m_tokens == second.usage.cache_read_tokens > 4096
    assert first.savings.prompt_cache_nano_usd < 0 < second.savings.prompt_cache_nano_usd
    for bill in (first, second):
        assert sum(parts(bill.savings)) == bill.savings.total_nano_usd
        assert bill.savings.total_nano_usd == bill.baseline_nano_usd - bill.cost_nano_usd
        assert bill.savings.caller_nano_usd == 0
    entries = await service.booked(2)
    assert {entry.attempt_id: entry.cost_nano_usd for entry in entries} == service.bill()


async def test_what_the_callers_markers_save_is_the_callers(service):
    """Where the caller has placed breakpoints costsvc places none, and claims nothing."""
    block = {"type": "text", "text": SYSTEM, "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    turn = {"role": "user", "content": "What is a hub?"}
    body = {"system": [block], "max_tokens": 50, "messages": [turn]}
    write, read = [(await service.complete(body=body, conversation_id="c-1")).bill for _ in range(2)]
    assert write.usage.cache_write_1h_tokens == read.usage.cache_read_tokens > 0
    assert write.savings.caller_nano_usd < 0 < read.savings.caller_nano_usd
    assert write.savings.prompt_cache_nano_usd == read.savings.prompt_cache_nano_usd == 0
    assert {entry.attempt_id: entry.cost_nano_usd for entry in await service.booked(2)} == service.bill()


async def test_markers_can_be_left_to_the_caller(service):
    """With MARKER_MODE_CALLER_ONLY nothing is added."""
    only = v1.MARKER_MODE_CALLER_ONLY
    answer = await service.complete(system=SYSTEM, conversation_id="c-1", marker_mode=only)
    assert answer.bill.usage.cache_write_5m_tokens == 0
    assert b"cache_control" not in service.sim.requests[0].body


@pytest.mark.parametrize(
    ("category", "after_events", "is_billed"),
    [("cyber", None, False), ("bio", None, True), (None, None, False), ("cyber", 2, True)],
)
async def test_a_refusal_by_the_model_is_an_answer(service, category, after_events, is_billed):
    """It is OK with its stop reason; some categories cost nothing unless something was written before."""
    for ask in (service.complete, service.stream):
        service.sim.faults.add("refusal", category=category, after_events=after_events)
        answer = await ask()
        answer = answer[-1].completed if isinstance(answer, list) else answer
        assert answer.stop_reason == "refusal"
        assert (answer.bill.cost_nano_usd > 0) is is_billed
        assert sum(parts(answer.bill.savings)) == answer.bill.baseline_nano_usd - answer.bill.cost_nano_usd
    entries = await service.booked(2)
    assert {entry.attempt_id: entry.cost_nano_usd for entry in entries} == service.bill()


async def test_no_call_costs_more_than_the_worst_estimate(service):
    """Whatever a call turns out to cost, Estimate had it within its bound."""
    for fields in ({"task": "faq"}, {"task": "support", "system": SYSTEM}, {"max_tokens": 3}, CALLS["tool"]):
        estimate = await service.stub.Estimate(v1.EstimateRequest(request=service.request(**fields)))
        answer = await service.complete(**fields)
        cold = estimate.estimates[0].standard_cold
        assert 0 < answer.bill.cost_nano_usd <= cold.worst_nano_usd
        assert cold.expected_nano_usd <= cold.upper_nano_usd <= cold.worst_nano_usd


async def test_200_calls_at_once_are_200_entries(service):
    """Each gets its own answer, its own attempt and its own entry, and the report adds all of them up."""
    texts = [f"What is part number {n}?" for n in range(100)]
    asked = [service.complete(text, task="faq") for text in texts]
    streamed = [service.stream(text, task="faq") for text in texts]
    answers = await asyncio.gather(*asked, *streamed)
    assert [answer.text for answer in answers[:100]] == [
        "".join(event.text_delta for event in events) for events in answers[100:]
    ]
    assert len({answer.text for answer in answers[:100]}) > 90
    entries = await service.booked(200)
    assert {entry.attempt_id: entry.cost_nano_usd for entry in entries} == service.bill()
    totals = (await service.report()).totals
    assert totals.call_count == 200
    assert totals.bill.cost_nano_usd == sum(service.bill().values())
    assert len(service.running.parts.in_flight) == 0
