from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest

from costsvc.provider_sim import RunningSim, start

KEY = {"x-api-key": "test-key", "anthropic-version": "2023-06-01"}


class FixedClock:
    """A clock that stands still, so that prices and life cycles do not depend on the day of the test."""

    def now(self) -> datetime:
        """Return noon of a day on which no price changes."""
        return datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


@pytest.fixture
async def sim() -> AsyncIterator[RunningSim]:
    """Run a simulator on a free port."""
    async with await start(clock=FixedClock(), keep_requests=20) as running:
        yield running


@pytest.fixture
async def http(sim: RunningSim) -> AsyncIterator[aiohttp.ClientSession]:
    """Open a session that sends a key and a version."""
    async with aiohttp.ClientSession(sim.url, headers=KEY) as session:
        yield session


Ask = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture
def ask(http: aiohttp.ClientSession) -> Ask:
    """Post a message; the answer has the HTTP status under `status`."""

    async def post(headers: dict[str, str] | None = None, **fields: Any) -> dict[str, Any]:
        body = {
            "model": "claude-haiku-5-5",
            "max_tokens": 300,
            "messages": [{"role": "user", "content": "How does a bicycle stay upright?"}],
        } | fields
        raw = io.BytesIO(json.dumps(body).encode())
        async with http.post("/v1/messages", data=raw, headers=headers) as response:
            return {"status": response.status, **await response.json()}

    return post


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], Awaitable[None]]:
    """Wait for a condition that another task brings about; the test's timeout bounds it."""

    async def wait(condition: Callable[[], bool]) -> None:
        while not condition():  # noqa: ASYNC110 - the bill has no event to wait for
            await asyncio.sleep(0.002)

    return wait
