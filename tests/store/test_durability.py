"""Tests of what is said of stores that can lose money."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from costsvc.store.acceptance import check_store
from costsvc.store.connection import StoreRefused, ask, open_store
from costsvc.store.durability import dangers
from costsvc.store.embedded import EmbeddedValkey


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Redis]:
    """Give a store whose settings the test may change."""
    async with EmbeddedValkey(tmp_path) as server, open_store(server.url) as opened:
        yield opened


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, []),
        ({"maxmemory-policy": "volatile-lru"}, []),
        ({"appendfsync": "always"}, []),
        ({"appendonly": "no"}, ["keeps nothing on a disk"]),
        ({"appendonly": "no", "save": "3600 1"}, ["after its last snapshot"]),
        ({"appendfsync": "no"}, ["a failing machine"]),
        ({"appendonly": "no", "appendfsync": "no"}, ["keeps nothing on a disk"]),
        ({"maxmemory-policy": "allkeys-lru"}, ["allkeys-lru evicts money"]),
        ({"appendonly": "no", "maxmemory-policy": "allkeys-random"}, ["keeps nothing", "evicts money"]),
    ],
)
async def test_each_way_to_lose_money_is_one_sentence(client, settings, said):
    """What a restart, a failing machine or short memory would take; nothing where they take nothing."""
    for name, value in settings.items():
        await ask(client, "CONFIG", "SET", name, value)
    found = await dangers(client)
    assert found is not None
    assert len(found) == len(said)
    assert all(part in sentence for part, sentence in zip(said, found, strict=True))


@pytest.mark.parametrize("rule", ["-config", "-config|get"])
async def test_a_store_that_hides_its_settings_is_not_verified(tmp_path, client, rule):
    """As managed ones do; that is no reason not to start."""
    await ask(client, "ACL", "SETUSER", "guest", "on", ">secret", "~*", "+@all", rule)
    async with open_store(f"unix://guest:secret@{tmp_path}/store/valkey.sock") as guest:
        await check_store(guest)
        assert await dangers(guest) is None


async def test_a_replica_is_refused(client):
    """It answers reads, and takes no money."""
    await ask(client, "REPLICAOF", "127.0.0.1", "1")
    with pytest.raises(StoreRefused, match="name its primary"):
        await check_store(client)
