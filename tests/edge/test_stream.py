"""Tests of streamed answers: order, promptness, formats, and a caller who reads slowly."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator

import grpc
import pytest
from aiohttp import web

from costsvc import v1
from costsvc.app import complete as complete_module
from costsvc.app.complete import Started
from costsvc.app.relay import MAX_BUFFERED_CHARS, Relay

EVENTS = v1.STREAM_FORMAT_PROVIDER_EVENTS


def kinds(events: list[v1.StreamCompleteResponse]) -> list[str]:
    """Return which event each message is, without repetitions."""
    names = [event.WhichOneof("event") for event in events]
    return [name for at, name in enumerate(names) if at == 0 or names[at - 1] != name]


async def test_a_stream_begins_with_started_and_ends_with_completed(service):
    """The pieces between them add up to the answer's text."""
    events = await service.stream(task="faq", request_id="r-1")
    assert kinds(events) == ["started", "text_delta", "completed"]
    started, completed = events[0].started, events[-1].completed
    message = json.loads(completed.message_json)
    assert "".join(event.text_delta for event in events[1:-1]) == message["content"][-1]["text"]
    [entry] = await service.booked()
    assert (entry.response_id, entry.provider_request_id) == (
        started.response_id,
        started.provider_request_id,
    )
    assert completed.bill.cost_nano_usd == entry.cost_nano_usd == service.bill()[entry.attempt_id]


async def test_provider_events_come_in_the_providers_order(service):
    """Every event but pings is passed on as it was sent, and they add up to the message."""
    events = await service.stream(task="reasoning", form=EVENTS)
    assert kinds(events) == ["started", "provider_events", "completed"]
    passed = [json.loads(raw) for event in events for raw in event.provider_events.event_json]
    types = [event["type"] for event in passed]
    assert (types[0], types[-2:]) == ("message_start", ["message_delta", "message_stop"])
    assert types.count("content_block_start") == types.count("content_block_stop") == 2
    text = "".join(e["delta"]["text"] for e in passed if e.get("delta", {}).get("type") == "text_delta")
    assert text == json.loads(events[-1].completed.message_json)["content"][-1]["text"]
    assert json.loads(events[-1].completed.message_json)["id"] == passed[0]["message"]["id"]


async def test_odd_events_change_neither_text_nor_bill(service):
    """An event of an unknown kind is passed on to who wants events, and harmless to everybody."""
    plain = await service.stream(task="faq")
    service.sim.faults.add("odd_events")
    odd = await service.stream(task="faq", form=EVENTS)
    assert odd[-1].completed.bill == plain[-1].completed.bill
    assert any("heartbeat_note" in raw for event in odd for raw in event.provider_events.event_json)


async def test_the_first_delta_comes_at_once_and_later_ones_together(service):
    """While the provider still writes, the first piece is here already; the rest is joined by 20 ms."""
    service.sim.settings.token_s = 0.0005
    call = service.stub.StreamComplete(v1.StreamCompleteRequest(request=service.request(task="faq")))
    arrived: list[tuple[float, str]] = []
    async for event in call:
        if event.text_delta:
            if not arrived:
                assert not service.sim.bill.lines()[0].complete
            arrived.append((time.monotonic(), event.text_delta))
    assert len(arrived[0][1]) <= 40  # one delta of the provider
    assert len(arrived) > 2
    seconds = arrived[-1][0] - arrived[0][0]
    assert len(arrived) <= seconds / 0.02 + 2


class LongWriter:
    """A provider that writes as long an answer as it is asked for, as fast as it is read."""

    def __init__(self, piece_count: int) -> None:
        self.pieces = [f"{n:07d}".ljust(4096, ".") for n in range(piece_count)]
        self.written_chars = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Stream all pieces."""
        await request.read()
        response = web.StreamResponse(headers={"content-type": "text/event-stream", "request-id": "req_1"})
        await response.prepare(request)
        usage = {"input_tokens": 5, "output_tokens": 1}
        message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-haiku-5-5"}
        message |= {"content": [], "stop_reason": None, "usage": usage}
        block = {"type": "text", "text": ""}
        await self._write(response, "message_start", message=message)
        await self._write(response, "content_block_start", index=0, content_block=block)
        for piece in self.pieces:
            delta = {"type": "text_delta", "text": piece}
            await self._write(response, "content_block_delta", index=0, delta=delta)
            self.written_chars += len(piece)
        await self._write(response, "content_block_stop", index=0)
        last = {"stop_reason": "end_turn"}
        await self._write(response, "message_delta", delta=last, usage={"output_tokens": 99})
        await self._write(response, "message_stop")
        return response

    @staticmethod
    async def _write(response: web.StreamResponse, kind: str, **fields: object) -> None:
        data = json.dumps({"type": kind, **fields})
        await response.write(f"event: {kind}\ndata: {data}\n\n".encode())


@pytest.fixture
async def writer() -> AsyncIterator[tuple[LongWriter, str]]:
    """Run a provider that writes 8 MB."""
    provider = LongWriter(2048)
    app = web.Application()
    app.router.add_post("/v1/messages", provider.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield provider, f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def test_a_caller_who_does_not_read_costs_bounded_memory(serve, writer, monkeypatch):
    """The provider has to wait for the caller: what lies between them is bounded, and nothing is lost."""
    provider, url = writer
    relays: list[Relay] = []

    class Watched(Relay):
        def __init__(self, **options) -> None:
            super().__init__(**options)
            relays.append(self)

    monkeypatch.setattr(complete_module, "Relay", {Started: Watched})
    async with serve(upstream_url=url) as service:
        options = (("grpc.http2.bdp_probe", 0), ("grpc.max_receive_message_length", -1))
        async with grpc.aio.insecure_channel(service.running.address, options) as channel:
            request = v1.StreamCompleteRequest(request=service.request())
            call = v1.CostServiceStub(channel).StreamComplete(request)
            assert (await call.read()).WhichOneof("event") == "started"
            async with asyncio.timeout(20):
                while not relays or relays[0]._room.is_set():  # noqa: ASYNC110 - fullness has no event
                    await asyncio.sleep(0.005)
            assert relays[0]._chars <= MAX_BUFFERED_CHARS + 4096
            assert provider.written_chars < 6_000_000
            text = []
            while event := await call.read():
                text.append(event.text_delta)
            assert "".join(text) == "".join(provider.pieces)
        assert (await service.booked())[0].usage.output_tokens == 99


async def test_a_caller_who_leaves_with_much_unread_is_no_defect(serve, writer):
    """What cannot be sent any more is a departure, logged as one, and the call is booked."""
    async with serve(upstream_url=writer[1]) as service:
        call = service.stub.StreamComplete(v1.StreamCompleteRequest(request=service.request()))
        assert (await call.read()).WhichOneof("event") == "started"
        before, written = -1, 0
        while written > before:  # until the provider has to wait
            await asyncio.sleep(0.3)
            before, written = written, writer[0].written_chars
        call.cancel()
        line = await service.line()
        assert (line["code"], line["outcome"]) == ("CANCELLED", "cancelled")
        assert not service.lines("defect")
        assert (await service.booked())[0].usage.output_tokens == 99


async def test_a_stream_that_nobody_reads_is_booked_within_its_time(serve, writer):
    """Half of its time a caller may leave it unread; then the rest is read to the bill without it."""
    _, url = writer
    async with serve(upstream_url=url) as service:
        options = (("grpc.http2.bdp_probe", 0), ("grpc.max_receive_message_length", -1))
        async with grpc.aio.insecure_channel(service.running.address, options) as channel:
            request = v1.StreamCompleteRequest(request=service.request())
            call = v1.CostServiceStub(channel).StreamComplete(request, timeout=4)
            assert (await call.read()).WhichOneof("event") == "started"
            [entry] = await service.booked()
            assert entry.usage.output_tokens == 99
