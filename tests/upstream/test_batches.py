from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from costsvc.core.errors import Failure, ProviderError
from costsvc.ports import BatchBody, ProviderBatch
from costsvc.provider_sim import RunningSim, start
from costsvc.upstream.batches import AnthropicBatches

ITEM = {"model": "claude-haiku-5-5", "max_tokens": 20, "messages": [{"role": "user", "content": "Hi"}]}


def body_of(*custom_ids: str, pieces: int = 3, **changes: object) -> BatchBody:
    """Return a batch's body that comes in several pieces."""
    rows = [{"custom_id": custom_id, "params": ITEM} for custom_id in custom_ids]
    raw = json.dumps({"requests": rows}).encode()

    async def yielded() -> AsyncIterator[bytes]:
        step = -(-len(raw) // pieces)
        for at in range(0, len(raw), step):
            yield raw[at : at + step]

    settings = {"attempt_id": "part", "byte_count": len(raw), "headers": {}, "timeout_s": 10.0, **changes}
    return BatchBody(pieces=yielded, **settings)  # type: ignore[arg-type]


@pytest.fixture
async def sim() -> AsyncIterator[RunningSim]:
    """Run a provider that keeps what it was sent."""
    async with await start(keep_requests=50, batch_delay_s=0) as running:
        yield running


@pytest.fixture
async def batches(sim: RunningSim) -> AsyncIterator[AnthropicBatches]:
    """Give an adapter on the simulated provider."""
    adapter = AnthropicBatches(api_key="secret", base_url=sim.url)
    yield adapter
    await adapter.close()


async def test_a_batch_is_created_found_and_read(sim: RunningSim, batches: AnthropicBatches) -> None:
    """Its body arrives as it was, with the attempt in a header, and its results come line by line."""
    created = await batches.create(body_of("a", "b", headers={"Anthropic-Beta": "x-1"}))
    assert created.item_count == 2
    sent = sim.requests[-1]
    assert json.loads(sent.body)["requests"][1]["custom_id"] == "b"
    assert sent.headers["x-costsvc-attempt"] == "part"
    assert sent.headers["anthropic-beta"] == "x-1"
    ended = await batches.retrieve(created.id)
    assert ended.has_ended
    lines = [line async for line in batches.results(ended)]
    assert {json.loads(line.data)["custom_id"] for line in lines} == {"a", "b"}
    rest = [line async for line in batches.results(ended, start=lines[0].end)]
    assert rest == lines[1:]


async def test_batches_are_listed_newest_first_page_by_page(batches: AnthropicBatches) -> None:
    """Going on from a page's end finds the older ones."""
    ids = [(await batches.create(body_of(name))).id for name in "abc"]
    first = await batches.page(count=2)
    second = await batches.page(after=first.after, count=2)
    assert [batch.id for batch in (*first.batches, *second.batches)] == ids[::-1]
    assert second.after == ""


async def test_a_batch_is_canceled(sim: RunningSim, batches: AnthropicBatches) -> None:
    """The provider says that it is going to end."""
    sim.settings.batch_delay_s = 3600
    created = await batches.create(body_of("a"))
    assert not (await batches.cancel(created.id)).has_ended


async def test_a_refused_batch_was_not_created(batches: AnthropicBatches) -> None:
    """Two items of one custom_id are an error that spends nothing."""
    with pytest.raises(ProviderError) as caught:
        await batches.create(body_of("a", "a"))
    assert caught.value.failure is Failure.INVALID
    assert not caught.value.may_have_spent


@pytest.mark.parametrize("then", ["cut", "hang"])
async def test_a_create_without_an_answer_may_have_happened(then: str, provider) -> None:
    """Once the last piece is out, nobody knows."""
    provider.script, provider.then = [], then
    adapter = AnthropicBatches(api_key="secret", base_url=provider.url)
    with pytest.raises(ProviderError) as caught:
        await adapter.create(body_of("a", timeout_s=0.3))
    assert caught.value.may_have_spent
    await adapter.close()


async def test_results_of_another_address_are_read_from_ours(batches: AnthropicBatches) -> None:
    """The key goes to no address but the configured one."""
    created = await batches.create(body_of("a"))
    ended = await batches.retrieve(created.id)
    elsewhere = ProviderBatch(
        id=ended.id,
        has_ended=True,
        counts=ended.counts,
        created_at=ended.created_at,
        results_url="http://elsewhere.invalid/results",
    )
    assert len([line async for line in batches.results(elsewhere)]) == 1


async def test_results_that_break_off_raise(provider) -> None:
    """A body shorter than its length is no end of the results; what came whole has been given."""
    provider.script = [b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{}\n{"]
    provider.then = "cut"
    adapter = AnthropicBatches(api_key="secret", base_url=provider.url)
    lines = adapter.results(_ended())
    assert (await anext(lines)).data == b"{}"
    with pytest.raises(ProviderError):
        await anext(lines)
    await adapter.close()


@pytest.mark.parametrize("answer", [b"[]", b"{", b'{"id": 3}', b'{"data": 1}'])
async def test_what_is_no_batch_is_malformed(answer: bytes, provider) -> None:
    """An odd answer is an error of the provider, whatever was asked."""
    provider.answers(answer)
    adapter = AnthropicBatches(api_key="secret", base_url=provider.url)
    with pytest.raises(ProviderError) as caught:
        await adapter.retrieve("msgbatch_1")
    assert caught.value.failure is Failure.MALFORMED
    with pytest.raises(ProviderError):
        await adapter.page()
    await adapter.close()


def _ended() -> ProviderBatch:

    return ProviderBatch(
        id="msgbatch_1", has_ended=True, counts={}, created_at=datetime.now(UTC), results_url=""
    )
