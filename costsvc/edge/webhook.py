"""Posts alerts to where operators want them. Nothing that the receiver answers is read but its status."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar

TIMEOUT_S = 5.0
_SUCCESS = range(200, 300)


class WebhookClient:
    """Connections to receivers; an async context manager that closes them."""

    def __init__(self, *, timeout_s: float = TIMEOUT_S) -> None:
        timeout = ClientTimeout(total=timeout_s)
        self._session = ClientSession(timeout=timeout, cookie_jar=DummyCookieJar())

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> str:
        """Post once; return what was wrong, without the URL, and "" where the receiver took it.

        A redirect is an answer like another: it could lead to where the operator did not point.
        """
        try:
            async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as answer:
                return "" if answer.status in _SUCCESS else f"status {answer.status}"
        except (ClientError, TimeoutError, OSError, ValueError) as error:
            return type(error).__name__

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()
