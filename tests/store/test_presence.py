"""Tests of what a process knows of its store, and of how long a call waits for it."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis

from costsvc.core.errors import StoreUnavailable
from costsvc.store.connection import ask, open_store, translated
from costsvc.store.embedded import EmbeddedValkey
from costsvc.store.presence import Presence, one_call


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedValkey]:
    """Run a store that the test may freeze."""
    async with EmbeddedValkey(tmp_path / "store") as running:
        yield running


@pytest.fixture
def presence() -> Presence:
    """Give the state of a store that has been found."""
    found = Presence()
    found.find()
    return found


@pytest.fixture
async def client(server: EmbeddedValkey, presence: Presence) -> AsyncIterator[Redis]:
    """Give a client that shares the state."""
    opened = open_store(server.url, presence)
    yield opened
    await opened.aclose()


@contextmanager
def frozen(server: EmbeddedValkey) -> Iterator[None]:
    """Stop the server, and thaw it."""
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


async def ping(client: Redis, budget_s: float = 0.1) -> None:
    """Make one trip."""
    async with translated(budget_s):
        await ask(client, "PING")


async def seconds(client: Redis, trips: int) -> float:
    """Make trips that fail; return how long they took together."""
    began_s = time.monotonic()
    for _ in range(trips):
        with pytest.raises(StoreUnavailable):
            await ping(client)
    return time.monotonic() - began_s


async def test_after_one_wait_in_vain_nobody_waits(server, client, presence):
    """The first trip to a frozen store takes its 100 ms; a thousand more take nothing."""
    await ping(client)
    with frozen(server):
        await asyncio.sleep(0.06)  # the store has just answered: that is no sign of life for long
        assert await seconds(client, 1) > 0.09
        assert presence.is_away
        assert await seconds(client, 1_000) < 1
    with pytest.raises(StoreUnavailable, match="known to be away: TimeoutError"):
        await ping(client)
    with presence.searching():
        await ping(client)
    presence.find()
    await ping(client)


async def test_the_trips_of_a_call_wait_together_no_longer_than_one(server, client, presence):
    """Ten trips in a row, in this task and in one that it starts, take 100 ms, found or not."""
    with frozen(server), one_call():
        began_s = time.monotonic()
        await seconds(client, 1)
        presence.find()  # as if somebody else had been answered
        await asyncio.ensure_future(seconds(client, 9))
        assert 0.09 < time.monotonic() - began_s < 0.2
        assert not presence.is_away, "a call without time to wait has learned nothing"


async def test_trips_at_the_same_time_count_once(client):
    """Two of 30 ms beside each other leave 70 ms, not 40."""

    async def trip() -> None:
        async with translated():
            await ask(client, "PING")
            await asyncio.sleep(0.03)  # what a slow answer would take

    with one_call():
        for _ in range(2):
            await asyncio.gather(trip(), trip())


async def test_who_gave_little_time_learns_nothing(server, client, presence):
    """A wait too short to be sure, or one for much work, fails without taking the store for away."""
    with frozen(server):
        for budget_s in (0.02, 0.3):
            with pytest.raises(StoreUnavailable):
                await ping(client, budget_s)
            assert not presence.is_away


async def test_a_store_that_answers_others_is_not_away(server, client, presence):
    """What keeps one waiting while others are answered is not the store's absence."""
    with frozen(server):
        waiting = asyncio.ensure_future(seconds(client, 1))
        await asyncio.sleep(0.08)
        presence.note_answer()
        await waiting
        assert not presence.is_away


async def test_a_full_store_is_not_away(client, presence):
    """One that refuses to grow takes settlements all the same."""
    await ask(client, "CONFIG", "SET", "maxmemory", "1")
    with pytest.raises(StoreUnavailable, match="OutOfMemory"):
        async with translated():
            await ask(client, "SET", "k", "v")
    assert not presence.is_away


async def test_a_store_that_may_not_be_written_is_away(client, presence):
    """A replica, as after a fail-over, answers reads; for money that is nothing."""
    await ask(client, "REPLICAOF", "127.0.0.1", "1")
    with pytest.raises(StoreUnavailable, match="ReadOnly"):
        async with translated():
            await ask(client, "SET", "k", "v")
    assert presence.is_away
    assert "ReadOnly" in presence.problem


async def test_waiting_for_stored_answers_takes_no_time_from_money(server, client):
    """A call that waited in vain for a server of answers may wait for the store as long as ever."""
    answers = Presence(is_apart=True)
    answers.find()
    async with open_store(server.url, answers) as apart:
        await ping(apart)
        with frozen(server), one_call():
            await asyncio.sleep(0.06)
            assert await seconds(apart, 1) > 0.09
            assert answers.is_away
            assert await seconds(client, 1) > 0.09
