"""What tests of several parts share: a real store."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from costsvc.store.connection import open_store
from costsvc.store.embedded import EmbeddedValkey


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the URL of a real server: COSTSVC_TEST_REDIS_URL (its data is flushed), or one of our own."""
    if url := os.environ.get("COSTSVC_TEST_REDIS_URL"):
        yield url
        return
    server = EmbeddedValkey(Path(tmp_path_factory.mktemp("valkey")))
    asyncio.run(server.start())
    yield server.url
    asyncio.run(server.stop())


@pytest.fixture
async def store(valkey: str) -> AsyncIterator[Redis]:
    """Give a client of an empty store, made in the test's own event loop."""
    client = open_store(valkey)
    await client.flushdb()
    yield client
    await client.aclose()
