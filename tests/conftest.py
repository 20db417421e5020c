"""What tests of several parts share: a real store."""

from __future__ import annotations

import asyncio
import os
import subprocess
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


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a disk of 256 KB of the test's own, where we may mount one; elsewhere skip."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("mounting a small disk takes privileges")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)
