"""One POST /v1/messages on the wire: whole or streamed, in good order or with a scripted fault."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from aiohttp import web

from . import sse
from .errors import dumps
from .faults import Fault
from .provider import Provider, Run

_STREAM_HEADERS = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
_CUTS = {"cut_after_headers": 0, "cut_mid_stream": 3, "error_mid_stream": 3, "malformed": 3}


@dataclass(slots=True, kw_only=True)
class Exchange:
    """A generation and the connection that waits for it."""

    provider: Provider
    request: web.BaseRequest
    run: Run
    headers: dict[str, str]
    fault: Fault | None
    streams: bool

    async def answer(self) -> web.StreamResponse:
        """Answer with one JSON body."""
        run, provider, fault = self.run, self.provider, self.fault
        await self._wait_for_first_byte()
        if fault is not None and fault.kind in {"cut_before_headers", "hang"} and fault.billed is False:
            return await self._never_answer()
        provider.begin(run, sse.first_tokens(run))
        try:
            await self._generate_quietly()
        finally:  # a unary call is generated to its end, whether or not its caller waits
            provider.bill.charge(run.line, output=run.answer.output_tokens)
        body = dumps(run.message())
        if fault is not None and fault.kind in {"cut_before_headers", "hang"}:
            return await self._never_answer()
        if fault is not None and fault.kind in {"cut_after_headers", "cut_mid_stream"}:
            return await self._send_half(body)
        provider.bill.charge(run.line, complete=True)
        if fault is not None and fault.kind == "malformed":
            body = body[: len(body) * 2 // 3]
        return web.Response(body=body, headers=self.headers, content_type="application/json")

    async def stream(self) -> web.StreamResponse:
        """Answer with server-sent events."""
        fault = self.fault
        await self._wait_for_first_byte()
        if fault is not None and fault.kind in {"cut_before_headers", "hang"} and fault.after_events is None:
            if fault.billed is not False:
                self.provider.begin(self.run, sse.first_tokens(self.run))
            return await self._never_answer()
        response = web.StreamResponse(headers={**self.headers, **_STREAM_HEADERS})
        self.provider.begin(self.run, sse.first_tokens(self.run))
        await response.prepare(self.request)
        events = list(sse.frames(self.run))
        if fault is None and not self.provider.settings.token_s:
            return await self._send_at_once(response, events)
        return await self._play(response, events)

    async def _send_at_once(
        self, response: web.StreamResponse, events: list[sse.Frame]
    ) -> web.StreamResponse:
        self._charge(self.run.answer.output_tokens, complete=True)
        await response.write(b"".join(frame for frame, _ in events))
        await response.write_eof()
        return response

    async def _play(self, response: web.StreamResponse, events: list[sse.Frame]) -> web.StreamResponse:
        """Send event by event at the pace of generation; the bill follows."""
        fault = self.fault
        stop_at = self._stop_at(len(events))
        if fault is not None and fault.kind == "odd_events":
            events[2:2] = [(sse.UNKNOWN, events[1][1])]
            events[-1:-1] = [events[-2]]
        for i, (frame, tokens) in enumerate(events):
            if i == stop_at and not await self._misbehave(response, frame):
                return await self._end_early(response)
            await self._pace(tokens)
            self._charge(tokens, complete=i == len(events) - 1)
            await response.write(frame)
        if stop_at is not None and stop_at >= len(events):
            await self._misbehave(response, b"")
        await response.write_eof()
        return response

    def _stop_at(self, events: int) -> int | None:
        """Return the number of events after which the fault strikes."""
        fault = self.fault
        if fault is None or (fault.kind not in _CUTS and fault.kind not in {"hang", "slow"}):
            return None
        if fault.kind == "slow" and fault.after_events is None:
            return None
        after = fault.after_events if fault.after_events is not None else _CUTS.get(fault.kind, 0)
        return min(after if fault.kind != "cut_after_headers" else 0, events)

    async def _misbehave(self, response: web.StreamResponse, frame: bytes) -> bool:
        """Do what the script says in the middle of a stream; return whether the stream goes on."""
        fault = self.fault
        assert fault is not None
        if fault.kind == "slow":
            await self._ping_for(response, fault.delay_s, fault.ping_every_s)
            return True
        if fault.kind == "hang":
            await asyncio.Event().wait()
        if fault.kind == "error_mid_stream":
            error = sse.error_frame(fault.type or "overloaded_error", fault.message or "Overloaded")
            await response.write(error)
        if fault.kind == "malformed":
            await response.write(sse.BROKEN)
            return bool(frame)
        return False

    async def _end_early(self, response: web.StreamResponse) -> web.StreamResponse:
        """End a stream after an error event in good order, after a cut without."""
        if self.fault is None or self.fault.kind != "error_mid_stream":
            return self._cut(response)
        await response.write_eof()
        return response

    async def _ping_for(self, response: web.StreamResponse, seconds: float, every_s: float) -> None:
        """Keep a silent stream open with pings."""
        left = seconds
        while left > 0:
            step = min(left, max(every_s, 0.001))
            await asyncio.sleep(step)
            await response.write(sse.PING)
            left -= step

    def _charge(self, tokens: int, *, complete: bool) -> None:
        line = self.run.line
        if complete or tokens != line.used.output:
            self.provider.bill.charge(line, output=tokens, complete=complete)

    async def _wait_for_first_byte(self) -> None:
        fault = self.fault
        delay = self.provider.settings.first_byte_s
        if fault is not None and fault.kind == "slow" and (fault.after_events is None or not self.streams):
            delay += fault.delay_s
        if delay:
            await asyncio.sleep(delay)

    async def _generate_quietly(self) -> None:
        seconds = self.provider.settings.token_s * self.run.answer.output_tokens
        if seconds:
            await asyncio.sleep(seconds)

    async def _pace(self, tokens: int) -> None:
        new = tokens - self.run.line.used.output
        if new > 0 and self.provider.settings.token_s:
            await asyncio.sleep(self.provider.settings.token_s * new)

    async def _never_answer(self) -> web.StreamResponse:
        """Hang until the caller goes away, or close before the headers."""
        assert self.fault is not None
        if self.fault.kind == "hang":
            await asyncio.Event().wait()
        return self._cut()

    async def _send_half(self, body: bytes) -> web.StreamResponse:
        headers = {**self.headers, "content-type": "application/json", "content-length": str(len(body))}
        response = web.StreamResponse(headers=headers)
        await response.prepare(self.request)
        if self.fault is not None and self.fault.kind == "cut_mid_stream":
            await response.write(body[: len(body) // 2])
        return self._cut(response)

    def _cut(self, response: web.StreamResponse | None = None) -> web.StreamResponse:
        """Close the connection; what was written is still delivered."""
        if self.request.transport is not None:
            self.request.transport.close()
        return response or web.Response()
