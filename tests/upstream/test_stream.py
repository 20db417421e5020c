from __future__ import annotations

import asyncio
import itertools
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from costsvc.core.errors import Failure, ProviderError
from costsvc.upstream.messages import AnthropicUpstream

START = {"type": "message_start", "message": {"content": [], "usage": {"input_tokens": 3}}}
DELTA = {
    "type": "content_block_delta",
    "index": 0,
    "delta": {"type": "text_delta", "text": "caf\u00e9 \U0001f600"},
}
STOP = {"type": "message_stop"}


def sse(*events: dict) -> bytes:
    """Return the bytes of some events."""
    frames = (f"event: {e['type']}\ndata: {json.dumps(e, ensure_ascii=False)}\n\n" for e in events)
    return "".join(frames).encode()


async def read(upstream, request):
    """Read a stream to its end; return its events and the error that broke it off, if one did."""
    stream = await upstream.open_stream(request)
    events = []
    try:
        async for event in stream:
            events.append(event)  # noqa: PERF401 - what came before an error counts
    except ProviderError as error:
        return events, error
    finally:
        await stream.close()
    return events, None


async def types(upstream, request):
    """Read a stream to its end; return the types of its events, and the error."""
    events, error = await read(upstream, request)
    return [event.type for event in events], error


async def test_yields_the_events_with_their_bytes(provider, upstream, request_of):
    """Each event has its type, its JSON and the text it was read from."""
    provider.streams(sse(START, DELTA, STOP))
    events, error = await read(upstream, request_of())
    assert error is None
    assert [event.data for event in events] == [START, DELTA, STOP]
    assert [json.loads(event.raw) for event in events] == [START, DELTA, STOP]


async def test_opens_once_the_headers_are_there(provider, upstream, request_of):
    """The stream is open, and its id known, before the first event."""
    provider.streams(then="hang")
    stream = await upstream.open_stream(request_of())
    assert stream.provider_request_id == "req_1"
    await stream.close()


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(1, 300), max_size=8), crlf=st.booleans())
async def test_events_do_not_depend_on_how_the_bytes_arrive(provider, upstream, request_of, cuts, crlf):
    """Chunks that split lines, characters and line ends give the same events."""
    wire = sse(START, {"type": "ping"}, DELTA, STOP)
    wire = wire.replace(b"\n", b"\r\n") if crlf else wire
    at = sorted({0, len(wire), *(cut for cut in cuts if cut < len(wire))})
    provider.streams(*(wire[start:end] for start, end in itertools.pairwise(at)))
    events, error = await read(upstream, request_of())
    assert error is None
    assert [event.data for event in events] == [START, DELTA, STOP]


async def test_drops_pings_and_passes_the_unknown_on(provider, upstream, request_of):
    """Events of tomorrow reach the caller; pings are for the connection only."""
    provider.streams(sse(START, {"type": "ping"}, {"type": "new_event", "x": 1}, STOP))
    assert await types(upstream, request_of()) == (["message_start", "new_event", "message_stop"], None)


async def test_the_json_says_what_an_event_is(provider, upstream, request_of):
    """A frame without a name is read by its JSON type, and one without a type by its name."""
    provider.streams(
        b'data: {"type":"message_start"}\n\n',
        b"event: odd\ndata: {}\n\n",
        b'event: x\ndata: {"type":"message_stop"}\n\n',
    )
    assert await types(upstream, request_of()) == (["message_start", "odd", "message_stop"], None)


async def test_padded_data_lines_are_read(provider, upstream, request_of):
    """Spaces before the last brace hide the length of a token, and change nothing."""
    provider.streams(b'data: {"type":"message_start"        }\n\ndata:{"type": "message_stop"     }   \n\n')
    assert await types(upstream, request_of()) == (["message_start", "message_stop"], None)


async def test_an_error_event_ends_the_stream(provider, upstream, request_of):
    """What came before an error is delivered; the error then says its kind, and that money is gone."""
    provider.streams(
        sse(START, DELTA, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})
    )
    seen, error = await types(upstream, request_of())
    assert seen == ["message_start", "content_block_delta"]
    assert error.failure is Failure.OVERLOADED
    assert error.may_have_spent
    assert error.provider_request_id == "req_1"


@pytest.mark.parametrize(
    "tail",
    [
        b"",
        b'event: content_block_delta\ndata: {"type": "content',
        b"data: nonsense\n\n",
        b"data: []\n\n",
        b"data: \xff\n\n",
    ],
)
async def test_an_end_without_message_stop_is_not_silent(provider, upstream, request_of, tail):
    """A stream that ends early, in a frame or between two, is malformed and may have spent."""
    provider.streams(sse(START), tail) if tail else provider.streams(sse(START))
    seen, error = await types(upstream, request_of())
    assert seen == ["message_start"]
    assert error.failure is Failure.MALFORMED
    assert error.may_have_spent


async def test_a_message_stop_without_its_blank_line_counts(provider, upstream, request_of):
    """The last event is whole although the line that should end it is missing."""
    provider.streams(sse(START), sse(STOP).rstrip())
    assert await types(upstream, request_of()) == (["message_start", "message_stop"], None)


async def test_a_lost_connection_may_have_spent(provider, upstream, request_of):
    """A stream cut by the network is told from one that the provider ended."""
    provider.streams(sse(START, DELTA), then="cut")
    seen, error = await types(upstream, request_of())
    assert seen == ["message_start", "content_block_delta"]
    assert error.failure is Failure.UNAVAILABLE
    assert error.may_have_spent


async def test_the_deadline_covers_the_whole_stream(provider, upstream, request_of):
    """Events do not extend the time that the request has in all."""
    provider.streams(sse(START), then="hang")
    seen, error = await types(upstream, request_of(timeout_s=0.1))
    assert seen == ["message_start"]
    assert error.failure is Failure.TIMED_OUT
    assert error.may_have_spent


async def test_a_refused_stream_costs_nothing(provider, upstream, request_of):
    """An HTTP error before the stream is an answer like any other."""
    provider.answers(b'{"type":"error","error":{"type":"overloaded_error"}}', status="529 Overloaded")
    with pytest.raises(ProviderError) as caught:
        await upstream.open_stream(request_of())
    assert caught.value.failure is Failure.OVERLOADED
    assert not caught.value.may_have_spent


async def test_a_broken_stream_stays_broken(provider, upstream, request_of):
    """Asking on after the error gives the error, not a quiet end."""
    provider.streams(sse(START))
    stream = await upstream.open_stream(request_of())
    assert (await anext(stream)).type == "message_start"
    for _ in range(2):
        with pytest.raises(ProviderError):
            await anext(stream)


async def test_a_finished_stream_gives_its_connection_back(provider, upstream, request_of):
    """Streams in a row share one connection, also when the reader stops at message_stop."""
    provider.streams(sse(START, STOP))
    await read(upstream, request_of())
    stream = await upstream.open_stream(request_of())
    assert [(await anext(stream)).type for _ in range(2)] == ["message_start", "message_stop"]
    await stream.close()
    await read(upstream, request_of())
    assert provider.connection_count == 1


async def test_what_follows_message_stop_is_ignored(provider, upstream, request_of):
    """The provider's last word is message_stop, even if the body goes on or never ends."""
    provider.streams(sse(START, STOP, DELTA), then="hang")
    assert await types(upstream, request_of()) == (["message_start", "message_stop"], None)


async def test_closing_hangs_up(provider, upstream, request_of):
    """Closing a stream in the middle ends the connection, so that the provider stops generating."""
    provider.streams(sse(START), then="hang")
    stream = await upstream.open_stream(request_of())
    assert (await anext(stream)).type == "message_start"
    await stream.close()
    async with asyncio.timeout(5):
        await provider.was_left.wait()


async def test_a_closed_stream_is_not_taken_for_a_whole_one(provider, upstream, request_of):
    """Reading on after a close in the middle says that the end is missing."""
    provider.streams(sse(START), then="hang")
    stream = await upstream.open_stream(request_of())
    await anext(stream)
    await stream.close()
    with pytest.raises(ProviderError) as caught:
        await anext(stream)
    assert caught.value.may_have_spent


async def test_closing_wakes_a_reader(provider, upstream, request_of):
    """A task that waits for the next event learns of a close by another one."""
    provider.streams(sse(START), then="hang")
    stream = await upstream.open_stream(request_of())
    await anext(stream)
    reading = asyncio.create_task(anext(stream))
    await asyncio.sleep(0)
    await stream.close()
    with pytest.raises(ProviderError):
        await asyncio.wait_for(reading, 5)


async def test_a_cancelled_reader_frees_the_connection(provider, request_of):
    """A reader that is cancelled takes no connection with it, once the stream is closed."""
    provider.streams(sse(START), then="hang")
    adapter = AnthropicUpstream(api_key="secret", base_url=provider.url, max_connections=1)
    reading = asyncio.create_task(read(adapter, request_of()))
    await provider.was_called.wait()
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    provider.streams(sse(START, STOP))
    assert await types(adapter, request_of()) == (["message_start", "message_stop"], None)
    await adapter.close()
