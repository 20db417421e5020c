from __future__ import annotations

import json

import pytest

from costsvc.core.errors import Failure, ProviderError
from costsvc.core.message_stream import MessageAssembler
from costsvc.ports import UpstreamRequest
from costsvc.provider_sim import start
from costsvc.upstream.messages import AnthropicUpstream

TOOL = {"name": "weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}


@pytest.fixture
async def sim():
    """Give a simulated provider."""
    async with await start() as running:
        yield running


@pytest.fixture
async def adapter(sim):
    """Give an adapter that calls the simulated provider."""
    upstream = AnthropicUpstream(api_key="secret", base_url=sim.url)
    yield upstream
    await upstream.close()


def call(*, attempt_id: str = "attempt-1", timeout_s: float = 10.0, **fields) -> UpstreamRequest:
    """Return a request; fields are laid over a small body."""
    messages = [{"role": "user", "content": "Name three rivers."}]
    body = {"model": "claude-haiku-4-5", "max_tokens": 300, "messages": messages, **fields}
    return UpstreamRequest(
        attempt_id=attempt_id, body=json.dumps(body).encode(), timeout_s=timeout_s, headers={}
    )


async def assembled(upstream, request, assembler=None) -> MessageAssembler:
    """Read a stream to its end, into `assembler` for a reader who expects it to break off."""
    assembler = assembler or MessageAssembler()
    async for event in await upstream.open_stream(request):
        assembler.feed(event.type, event.data)
    return assembler


def without_ids(value):
    """Return a message without what differs from call to call."""
    if isinstance(value, dict):
        return {key: without_ids(inner) for key, inner in value.items() if key != "id"}
    return [without_ids(inner) for inner in value] if isinstance(value, list) else value


async def test_a_call_is_on_the_bill_under_its_attempt(sim, adapter):
    """The attempt's id reaches the provider, who bills it under that name and no other."""
    answer = await adapter.send(call(attempt_id="attempt-7"))
    [line] = sim.bill.of("attempt-7")
    assert answer.message["usage"]["output_tokens"] > 0
    assert answer.provider_request_id.startswith("req_")
    assert line.pico_usd > 0
    assert len(sim.bill.lines()) == 1


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"tools": [TOOL], "tool_choice": {"type": "any"}},
        {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 3000},
        {"system": [{"type": "text", "text": "Rules. " * 3000, "cache_control": {"type": "ephemeral"}}]},
    ],
    ids=["text", "tool", "thinking", "cached"],
)
async def test_a_stream_adds_up_to_the_unary_answer(adapter, fields):
    """Text, tools, thinking and cached prompts: the stream's message is the unary one, usage included."""
    await adapter.send(call(**fields))  # so that both of the compared calls find the cache warm
    unary = await adapter.send(call(**fields))
    assembler = await assembled(adapter, call(stream=True, **fields))
    assert assembler.complete
    assert without_ids(assembler.message()) == without_ids(unary.message)


@pytest.mark.parametrize(
    ("kind", "failure"),
    [
        ("rate_limit", Failure.RATE_LIMITED),
        ("spend_limit", Failure.SPEND_LIMITED),
        ("overloaded", Failure.OVERLOADED),
        ("server_error", Failure.UNAVAILABLE),
    ],
)
async def test_an_error_answer_is_told_and_not_billed(sim, adapter, kind, failure):
    """Each scripted error has its kind, and neither side thinks that it cost anything."""
    sim.faults.add(kind, retry_after=3)
    with pytest.raises(ProviderError) as caught:
        await adapter.send(call())
    assert caught.value.failure is failure
    assert caught.value.retry_after_s == 3.0
    assert not caught.value.may_have_spent
    assert not any(line.pico_usd for line in sim.bill.of("attempt-1"))


@pytest.mark.parametrize(
    ("kind", "failure"),
    [
        ("cut_before_headers", Failure.UNAVAILABLE),
        ("malformed", Failure.MALFORMED),
        ("hang", Failure.TIMED_OUT),
    ],
)
async def test_an_unknown_outcome_may_have_spent(sim, adapter, kind, failure):
    """Where the answer is lost the bill is unknown."""
    sim.faults.add(kind)
    with pytest.raises(ProviderError) as caught:
        await adapter.send(call(timeout_s=0.5))
    assert caught.value.failure is failure
    assert caught.value.may_have_spent


@pytest.mark.parametrize(
    ("kind", "failure"), [("cut_mid_stream", Failure.UNAVAILABLE), ("error_mid_stream", Failure.OVERLOADED)]
)
async def test_a_stream_that_breaks_off_keeps_its_part(sim, adapter, kind, failure):
    """What came before the break is read, with the usage known so far."""
    sim.faults.add(kind, after_events=4)
    assembler = MessageAssembler()
    with pytest.raises(ProviderError) as caught:
        await assembled(adapter, call(stream=True), assembler)
    assert caught.value.failure is failure
    assert caught.value.may_have_spent
    assert assembler.usage()["input_tokens"] > 0
    assert not assembler.complete


async def test_odd_events_do_no_harm(sim, adapter):
    """An event of an unknown type and a second message_delta leave the message whole."""
    unary = await adapter.send(call())
    sim.faults.add("odd_events")
    streamed = await assembled(adapter, call(stream=True))
    assert without_ids(streamed.message()) == without_ids(unary.message)


async def test_the_providers_400_is_the_requests_fault(adapter):
    """A body that the provider refuses is invalid, with the provider's own words."""
    with pytest.raises(ProviderError) as caught:
        await adapter.send(call(max_tokens=-1))
    assert caught.value.failure is Failure.INVALID
    assert caught.value.http_status == 400
    assert caught.value.message
