"""The provider's own SDK takes the simulator for the provider."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anthropic
import pytest

from costsvc.provider_sim import RunningSim

ASK: dict[str, object] = {
    "max_tokens": 400,
    "messages": [{"role": "user", "content": "Why is the sky blue?"}],
}


@pytest.fixture
async def client(sim: RunningSim) -> AsyncIterator[anthropic.AsyncAnthropic]:
    """Open a client that retries nothing."""
    async with anthropic.AsyncAnthropic(api_key="test-key", base_url=sim.url, max_retries=0) as opened:
        yield opened


async def test_unary_and_stream_agree(client: anthropic.AsyncAnthropic) -> None:
    """Both ways give the same message but for its id."""
    whole = await client.messages.create(model="claude-opus-5-5", **ASK)
    async with client.messages.stream(model="claude-opus-5-5", **ASK) as stream:
        streamed = await stream.get_final_message()
    assert [block.type for block in whole.content] == [block.type for block in streamed.content]
    assert whole.content[-1].text == streamed.content[-1].text
    assert (whole.usage.output_tokens, whole.stop_reason) == (
        streamed.usage.output_tokens,
        streamed.stop_reason,
    )
    assert whole._request_id is not None


async def test_count_tokens(client: anthropic.AsyncAnthropic) -> None:
    """The count is the input of the call."""
    counted = await client.messages.count_tokens(model="claude-haiku-5-5", messages=ASK["messages"])
    message = await client.messages.create(model="claude-haiku-5-5", **ASK)
    assert counted.input_tokens == message.usage.input_tokens


async def test_models(client: anthropic.AsyncAnthropic) -> None:
    """The list pages through the served models; a retired one is still described."""
    listed = [model async for model in client.models.list(limit=5)]
    ids = [model.id for model in listed]
    assert len(ids) == len(set(ids)) == 18
    assert ids[0] in {"claude-fable-5-2", "claude-mythos-5-2"}
    model = await client.models.retrieve("claude-sonnet-4-5")
    assert (model.id, model.lifecycle) == ("claude-sonnet-4-5-20250929", "deprecated")
    assert (await client.models.retrieve("claude-3-haiku-20240307")).lifecycle == "retired"
    opus = await client.models.retrieve("claude-opus-5-5")
    assert (opus.display_name, opus.line, opus.max_input_tokens) == ("Claude Opus 5.5", "opus", 1_000_000)
    assert opus.capabilities is not None
    assert not opus.capabilities.thinking.types.disabled.supported


@pytest.mark.parametrize(
    ("kind", "raised"),
    [
        ("overloaded", anthropic.OverloadedError),
        ("server_error", anthropic.InternalServerError),
        ("rate_limit", anthropic.RateLimitError),
        ("cut_before_headers", anthropic.APIConnectionError),
    ],
)
async def test_errors_have_the_sdks_classes(
    client: anthropic.AsyncAnthropic, sim: RunningSim, kind: str, raised: type[Exception]
) -> None:
    """The SDK maps scripted errors to the exceptions of the real ones."""
    sim.faults.add(kind)
    with pytest.raises(raised):
        await client.messages.create(model="claude-haiku-5-5", **ASK)


async def test_batches(client: anthropic.AsyncAnthropic, sim: RunningSim) -> None:
    """A batch is created, ends with the clock, gives every result once, and can be deleted."""
    params = {"model": "claude-haiku-5-5", **ASK}
    requests = [{"custom_id": f"item-{i}", "params": params} for i in range(20)]
    batch = await client.messages.batches.create(requests=requests)
    assert (batch.processing_status, batch.request_counts.processing) == ("in_progress", 20)
    assert sim.bill.calls == 0
    sim.clock.advance(2)
    ended = await client.messages.batches.retrieve(batch.id)
    assert (ended.processing_status, ended.request_counts.succeeded) == ("ended", 20)
    results = [result async for result in await client.messages.batches.results(batch.id)]
    ids = [result.custom_id for result in results]
    assert sorted(ids) == sorted(request["custom_id"] for request in requests)
    assert ids != [request["custom_id"] for request in requests]
    assert {result.result.message.usage.service_tier for result in results} == {"batch"}
    await client.messages.batches.delete(batch.id)
    with pytest.raises(anthropic.NotFoundError):
        await client.messages.batches.retrieve(batch.id)
