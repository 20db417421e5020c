"""Tests of callers who go away, or run out of time: what was begun is finished and booked."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import grpc
import pytest

from costsvc import v1

Code = grpc.StatusCode


async def provider_works(service) -> None:
    """Wait until a call is on the provider's bill."""
    while not service.sim.bill.lines():  # noqa: ASYNC110 - the bill has no event
        await asyncio.sleep(0.002)


async def full_bill(service) -> None:
    """Check that the one call was answered to its end, and that its entry is its bill."""
    [entry] = await service.booked()
    [charged] = service.sim.bill.lines()
    assert charged.complete
    assert entry.usage.output_tokens == charged.used.output
    assert {entry.attempt_id: entry.cost_nano_usd} == service.bill()
    assert not service.lines("attempt_unsettled")


async def test_a_unary_call_that_is_cancelled_is_booked_in_full(service):
    """The provider works on, so the call is paid; the log says that the caller had gone."""
    service.sim.settings.token_s = 0.001
    call = service.stub.Complete(v1.CompleteRequest(request=service.request(task="faq", request_id="r-1")))
    await provider_works(service)
    call.cancel()
    line = await service.line()
    assert (line["code"], line["outcome"], line["request_id"]) == ("CANCELLED", "cancelled", "r-1")
    assert not await service.entries()
    await full_bill(service)


async def test_a_stream_that_is_cancelled_is_read_to_its_end(service):
    """The end of a stream has the bill, so it is read although nobody listens."""
    service.sim.settings.token_s = 0.001
    call = service.stub.StreamComplete(v1.StreamCompleteRequest(request=service.request(task="faq")))
    while (await call.read()).WhichOneof("event") != "text_delta":
        pass
    call.cancel()
    line = await service.line()
    assert (line["code"], line["outcome"], line["model"]) == ("CANCELLED", "cancelled", "claude-haiku-5-5")
    await full_bill(service)


async def test_a_connection_that_breaks_is_a_cancellation(service):
    """A caller whose connection is lost left without a word; its call is booked all the same."""
    service.sim.settings.token_s = 0.001
    host, _, port = service.running.address.rpartition(":")
    ends: list[asyncio.StreamWriter] = []

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)

    async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to, back = await asyncio.open_connection(host, int(port))
        ends.extend((writer, back))
        with suppress(OSError):
            await asyncio.gather(pipe(reader, back), pipe(to, writer))

    async with await asyncio.start_server(join, "127.0.0.1", 0) as between:
        address = f"127.0.0.1:{between.sockets[0].getsockname()[1]}"
        async with grpc.aio.insecure_channel(address) as channel:
            request = v1.StreamCompleteRequest(request=service.request(task="faq"))
            call = v1.CostServiceStub(channel).StreamComplete(request)
            await call.read()
            between.close()
            for end in ends:
                end.transport.abort()
            assert (await service.line())["outcome"] == "cancelled"
    await full_bill(service)


@pytest.mark.parametrize("rpc", ["complete", "stream"])
async def test_a_deadline_that_passes_is_logged_as_expired(service, rpc):
    """The provider hears of the deadline; a call that it ends is not one that the caller gave up."""
    service.sim.faults.add("hang")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await getattr(service, rpc)(options={"timeout": 0.3})
    assert caught.value.code() is Code.DEADLINE_EXCEEDED
    line = await service.line()
    assert line["code"] == "DEADLINE_EXCEEDED"
    assert line["outcome"] in {"expired", "error"}  # the provider's time ends with the caller's
    assert line["ms"] < 1000
    while len(service.running.parts.in_flight):  # noqa: ASYNC110 - the set has no event
        await asyncio.sleep(0.002)
    assert (await service.line("attempt_unsettled"))["failure"] == "timed_out"


async def test_the_longest_call_bounds_a_call_without_a_deadline(serve, refused):
    """A caller without a deadline gets the service's own, and the reason."""
    async with serve(max_call_s=0.3) as service:
        service.sim.faults.add("hang")
        found = await refused(service.complete())
    assert (found.code, found.reason) == (Code.DEADLINE_EXCEEDED, "PROVIDER_TIMED_OUT")
    assert (found.pushback, found.metadata["may_have_spent"]) == ("-1", "true")


async def test_leaving_the_service_waits_for_what_runs(serve):
    """A stop lets a call answer its caller, and books it."""
    async with serve() as service:
        service.sim.settings.token_s = 0.001
        call = asyncio.ensure_future(service.complete(task="faq"))
        await provider_works(service)
        assert len(service.running.parts.in_flight) == 1
    answer = await call
    [entry] = await service.entries()
    assert entry.cost_nano_usd == answer.bill.cost_nano_usd
    assert [line["unfinished_calls"] for line in service.lines("stopped")] == [0]
