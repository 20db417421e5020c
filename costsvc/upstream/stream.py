"""A running stream of the provider: bytes to events, and every way in which it can break off."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress

import aiohttp

from costsvc.core.errors import ProviderError
from costsvc.core.json_text import parse_answer
from costsvc.ports import ProviderEvent
from costsvc.upstream.attempt import Attempt
from costsvc.upstream.errors import interrupted, malformed, provider_errors, timed_out
from costsvc.upstream.sse import Frame, FrameDecoder

_DRAIN_S = 0.05  # how long the end of the body may follow `message_stop`, for the connection to be used again


class EventStream:
    """The events of one answer up to `message_stop`; `deadline` is a time of the event loop's clock.

    At the deadline the answer is closed, which wakes whoever waits for it: one timer a stream, where a
    timeout around each read would cost as much as the read.
    """

    def __init__(self, response: aiohttp.ClientResponse, attempt: Attempt, deadline: float) -> None:
        self.provider_request_id = attempt.provider_request_id
        self._response = response
        self._attempt = attempt
        self._chunks = response.content.iter_any()
        self._decoder = FrameDecoder()
        self._events: deque[ProviderEvent] = deque()
        self._complete = False
        self._drained = False
        self._failure: ProviderError | None = None
        self._closing: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_at(deadline, self._expire)

    def __aiter__(self) -> AsyncIterator[ProviderEvent]:
        return self

    async def __anext__(self) -> ProviderEvent:
        while not self._events:
            await self._advance()
        return self._events.popleft()

    async def close(self) -> None:
        """Close the answer; a connection that has been read to its end goes back to the pool."""
        self._timer.cancel()
        if not self._complete:
            self._failure = self._failure or malformed("closed before message_stop", self._attempt)
        elif not self._drained:
            self._drained = True
            await self._drain()
        self._release()

    def _release(self) -> None:
        """Give a connection that has been read to its end back to the pool, and close any other."""
        if self._response.content.at_eof():
            self._response.release()
        else:
            self._response.close()

    async def _advance(self) -> None:
        """Read on, unless all has been read: then end, with the error that cut the stream off if one did."""
        if self._complete or self._failure:
            await self.close()
            raise self._failure or StopAsyncIteration
        try:
            await self._read()
        except ProviderError as failure:
            self._failure = self._failure or failure

    async def _read(self) -> None:
        """Take the next piece in, which may complete no event; the end of the body must be the message's."""
        with provider_errors(self._attempt):
            chunk = await anext(self._chunks, None)
        self._accept(self._decoder.finish() if chunk is None else self._decoder.feed(chunk))
        if chunk is None and not self._complete:
            raise malformed("the stream ended before message_stop", self._attempt)

    def _accept(self, frames: list[Frame]) -> None:
        for frame in frames:
            event = self._event(frame)
            if event.type == "error":
                raise interrupted(event.data, self._attempt)
            if event.type != "ping":
                self._events.append(event)
            if event.type == "message_stop":
                self._complete = True
                return

    def _event(self, frame: Frame) -> ProviderEvent:
        """Read a frame; its JSON says what it is, and its name does only where the JSON does not."""
        try:
            raw = frame.data.decode()
            data = parse_answer(raw)
        except (ValueError, RecursionError) as exc:
            raise malformed(f"an event that is no JSON: {type(exc).__name__}", self._attempt) from exc
        if not isinstance(data, dict):
            raise malformed("an event that is no JSON object", self._attempt)
        kind = data.get("type", frame.name)
        return ProviderEvent(kind if isinstance(kind, str) else frame.name, data, raw)

    def _expire(self) -> None:
        if not self._complete:
            self._failure = self._failure or timed_out(self._attempt)
        self._closing = asyncio.ensure_future(self.close())

    async def _drain(self) -> None:
        with suppress(ProviderError), provider_errors(self._attempt):
            async with asyncio.timeout(_DRAIN_S):
                while await anext(self._chunks, None) is not None:
                    pass
