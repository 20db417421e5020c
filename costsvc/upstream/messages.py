"""The Messages API: bytes out, bytes in."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp

from costsvc.core.json_text import parse_answer
from costsvc.ports import ProviderStream, UpstreamAnswer, UpstreamRequest
from costsvc.upstream.attempt import Attempt
from costsvc.upstream.errors import answered, interrupted, malformed, provider_errors
from costsvc.upstream.stream import EventStream
from costsvc.upstream.transport import OK, Transport, read, read_if_possible


class AnthropicUpstream:
    """The Upstream port on the public API, or on whatever speaks it."""

    def __init__(self, *, api_key: str, base_url: str | None = None, max_connections: int = 1000) -> None:
        self._transport = Transport(api_key=api_key, base_url=base_url, max_connections=max_connections)
        self._url = self._transport.url("v1/messages")

    async def send(self, request: UpstreamRequest) -> UpstreamAnswer:
        """Return the complete answer, or raise ProviderError."""
        attempt = Attempt(request.body)
        with provider_errors(attempt):
            async with asyncio.timeout(request.timeout_s):
                response = await self._open(request, attempt)
                body = await read(response)
        return UpstreamAnswer(
            message_json=body,
            message=_message(body, attempt),
            provider_request_id=attempt.provider_request_id,
        )

    async def open_stream(self, request: UpstreamRequest) -> ProviderStream:
        """Return an open stream once the provider has accepted the request, or raise ProviderError."""
        attempt = Attempt(request.body)
        deadline = asyncio.get_running_loop().time() + request.timeout_s
        with provider_errors(attempt):
            async with asyncio.timeout_at(deadline):
                response = await self._open(request, attempt)
        return EventStream(response, attempt, deadline)

    async def close(self) -> None:
        """Release all connections; streams that still run break off."""
        await self._transport.close()

    async def _open(self, request: UpstreamRequest, attempt: Attempt) -> aiohttp.ClientResponse:
        """Return the response once its headers say 200, its body still unread."""
        response = await self._transport.session.post(
            self._url,
            data=attempt.body,
            headers=self._headers_of(request),
            allow_redirects=False,
        )
        attempt.provider_request_id = response.headers.get("request-id", "")
        if response.status != OK:
            raise answered(response.status, response.headers, await read_if_possible(response))
        return response

    def _headers_of(self, request: UpstreamRequest) -> dict[str, str]:
        return {
            **self._transport.headers(request.headers),
            "content-length": str(len(request.body)),
            "x-costsvc-attempt": request.attempt_id,
        }


def _message(body: bytes, attempt: Attempt) -> dict[str, Any]:
    try:
        data = parse_answer(body.decode(errors="replace"))
    except (ValueError, RecursionError) as exc:
        raise malformed(f"an answer that is no JSON: {type(exc).__name__}", attempt) from exc
    match data:
        case {"type": "message", "usage": {}}:
            return dict(data)
        case {"type": "error"}:
            raise interrupted(data, attempt)
        case _:
            raise malformed("an answer that is no message", attempt)
