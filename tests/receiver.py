"""A receiver of webhooks over real HTTP, for tests of alerts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web


@dataclass(frozen=True)
class Received:
    """One request: its path, its headers, and its body."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def table(self) -> dict[str, Any]:
        """The body as JSON."""
        table: dict[str, Any] = json.loads(self.body)
        return table


@dataclass
class Receiver:
    """Keeps what it is sent, and answers `status`; while `hangs` it answers nothing."""

    status: int = 200
    hangs: bool = False
    url: str = ""
    received: list[Received] = field(default_factory=list)
    taken: list[Received] = field(default_factory=list)
    _arrived: asyncio.Condition = field(default_factory=asyncio.Condition)
    _runner: web.AppRunner | None = None

    async def until(self, count: int, *, taken: bool = True) -> list[Received]:
        """Wait for so many requests that it answered well, or at all, and return them."""
        kept = self.taken if taken else self.received
        async with self._arrived:
            await self._arrived.wait_for(lambda: len(kept) >= count)
        return kept

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/hook"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        received = Received(request.path, dict(request.headers), await request.read())
        self.received.append(received)
        if not self.hangs and self.status < 300:
            self.taken.append(received)
        async with self._arrived:
            self._arrived.notify_all()
        if self.hangs:
            await asyncio.Event().wait()
        headers = {"Location": f"{self.url}/elsewhere"} if 300 <= self.status < 400 else {}
        return web.Response(status=self.status, headers=headers)
