"""The Messages API with the `anthropic` SDK's credentials, headers and address: bytes out, bytes in.

The bytes go through a session of aiohttp, which is also the SDK's own transport. The SDK's request machinery
is left out: it would parse and write each body again, retry what may have been billed, and take several times
the CPU.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from ipaddress import ip_address
from typing import Any

import aiohttp
import anthropic
from yarl import URL

from costsvc.core.json_text import parse_answer
from costsvc.ports import ProviderStream, UpstreamAnswer, UpstreamRequest
from costsvc.upstream.attempt import Attempt
from costsvc.upstream.errors import answered, interrupted, malformed, provider_errors
from costsvc.upstream.stream import EventStream

PUBLIC_BASE_URL = "https://api.anthropic.com"
_CONNECT_TIMEOUT_S = 5.0
_IDLE_CONNECTION_S = 30.0  # well below the minute after which gateways forget a silent connection
_OK = 200


class AnthropicUpstream:
    """The Upstream port on the public API, or on whatever speaks it at `base_url`.

    Proxy settings and certificate paths of the environment are honoured, as operators behind a gateway
    expect, except when `base_url` is a loopback address, which no proxy can reach.
    """

    def __init__(self, *, api_key: str, base_url: str | None = None, max_connections: int = 1000) -> None:
        self._sdk = anthropic.AsyncAnthropic(
            api_key=api_key, base_url=base_url or PUBLIC_BASE_URL, max_retries=0, open_telemetry=False
        )
        self._url = URL(str(self._sdk.base_url.join("v1/messages")))
        self._headers = _sdk_headers(self._sdk)
        self._max_connections = max_connections
        self._session: aiohttp.ClientSession | None = None

    async def send(self, request: UpstreamRequest) -> UpstreamAnswer:
        """Return the complete answer, or raise ProviderError."""
        attempt = Attempt(request.body)
        with provider_errors(attempt):
            async with asyncio.timeout(request.timeout_s):
                response = await self._open(request, attempt)
                body = await _read(response)
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
        await self._sdk.close()
        if self._session is not None:
            await self._session.close()

    async def _open(self, request: UpstreamRequest, attempt: Attempt) -> aiohttp.ClientResponse:
        """Return the response once its headers say 200, its body still unread."""
        response = await self._running().post(
            self._url,
            data=attempt.body,
            headers=self._headers_of(request),
            allow_redirects=False,
        )
        attempt.provider_request_id = response.headers.get("request-id", "")
        if response.status != _OK:
            raise answered(response.status, response.headers, await _read_if_possible(response))
        return response

    def _running(self) -> aiohttp.ClientSession:
        """Return the session, which belongs to the event loop that first asks for it."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=self._max_connections, keepalive_timeout=_IDLE_CONNECTION_S
                ),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_TIMEOUT_S),
                trust_env=not _is_loopback(self._url.host or ""),
                auto_decompress=False,
            )
        return self._session

    def _headers_of(self, request: UpstreamRequest) -> dict[str, str]:
        return {
            **self._headers,
            **{name.lower(): value for name, value in request.headers.items()},
            "content-length": str(len(request.body)),
            "x-costsvc-attempt": request.attempt_id,
        }


def _sdk_headers(sdk: anthropic.AsyncAnthropic) -> dict[str, str]:
    """Return what the SDK sends with each request; the answer is to come as bytes that need no unpacking."""
    given = {name.lower(): value for name, value in sdk.default_headers.items() if isinstance(value, str)}
    return {**given, "accept-encoding": "identity", "x-stainless-retry-count": "0"}


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """Return the whole body, and give the connection back or close it whatever happens."""
    async with response:
        return await response.read()


async def _read_if_possible(response: aiohttp.ClientResponse) -> bytes:
    """Return an error's body, empty if it breaks off: the status has already said what matters."""
    with suppress(aiohttp.ClientError, OSError):
        return await _read(response)
    return b""


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
