"""The way to the provider: the SDK's credentials, headers and address, and a session of aiohttp.

The SDK's request machinery is left out: it would parse and write each body again, retry what may have been
billed, and take several times the CPU.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from ipaddress import ip_address

import aiohttp
import anthropic
from yarl import URL

PUBLIC_BASE_URL = "https://api.anthropic.com"
OK = 200
_CONNECT_TIMEOUT_S = 5.0
_IDLE_CONNECTION_S = 30.0  # well below the minute after which gateways forget a silent connection


class Transport:
    """Connections to the public API, or to whatever speaks it at `base_url`.

    Proxy settings and certificate paths of the environment are honoured, as operators behind a gateway
    expect, except when `base_url` is a loopback address, which no proxy can reach.
    """

    def __init__(self, *, api_key: str, base_url: str | None = None, max_connections: int = 1000) -> None:
        self._sdk = anthropic.AsyncAnthropic(
            api_key=api_key, base_url=base_url or PUBLIC_BASE_URL, max_retries=0, open_telemetry=False
        )
        self._headers = _sdk_headers(self._sdk)
        self._max_connections = max_connections
        self._session: aiohttp.ClientSession | None = None

    def url(self, path: str) -> URL:
        """Return the address of an endpoint."""
        return URL(str(self._sdk.base_url.join(path)))

    def headers(self, given: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return what goes with each request, and what is given."""
        return {**self._headers, **{name.lower(): value for name, value in (given or {}).items()}}

    @property
    def session(self) -> aiohttp.ClientSession:
        """The session, which belongs to the event loop that first asks for it."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=self._max_connections, keepalive_timeout=_IDLE_CONNECTION_S
                ),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_TIMEOUT_S),
                trust_env=not _is_loopback(self.url("").host or ""),
                auto_decompress=False,
            )
        return self._session

    async def close(self) -> None:
        """Release all connections; what still runs breaks off."""
        await self._sdk.close()
        if self._session is not None:
            await self._session.close()


async def read(response: aiohttp.ClientResponse) -> bytes:
    """Return the whole body, and give the connection back or close it whatever happens."""
    async with response:
        return await response.read()


async def read_if_possible(response: aiohttp.ClientResponse) -> bytes:
    """Return an error's body, empty if it breaks off: the status has already said what matters."""
    with suppress(aiohttp.ClientError, OSError):
        return await read(response)
    return b""


def _sdk_headers(sdk: anthropic.AsyncAnthropic) -> dict[str, str]:
    """Return what the SDK sends with each request; the answer is to come as bytes that need no unpacking."""
    given = {name.lower(): value for name, value in sdk.default_headers.items() if isinstance(value, str)}
    return {**given, "accept-encoding": "identity", "x-stainless-retry-count": "0"}


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
