"""Tests of a store of our own that is killed: it comes back with what it had."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from costsvc.core.errors import StoreUnavailable
from costsvc.store import embedded, supervise
from costsvc.store.connection import StoreRefused, ask, open_store, translated
from costsvc.store.embedded import EmbeddedValkey
from costsvc.store.supervise import keep_running


@pytest.fixture
def said() -> Iterator[list[dict[str, object]]]:
    """Collect what is logged."""
    with capture_logs() as events:
        yield events


async def until(condition: Callable[[], bool]) -> None:
    """Return once the condition holds; fail when it does not in time."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - a process has no event
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("folder", ["data", "a-long-name" * 9])
async def test_a_killed_server_comes_back_with_its_data(tmp_path, said, folder):
    """Twice, at the same address, also where that is not in the data directory."""
    async with EmbeddedValkey(tmp_path / folder) as server, open_store(server.url) as client:
        url, keeping = server.url, asyncio.ensure_future(keep_running(server))
        for number in range(2):
            async with translated():
                await ask(client, "RPUSH", "k", str(number))
            pid = server.pid
            os.kill(pid, signal.SIGKILL)
            await until(lambda pid=pid: server.pid != pid)
            while True:
                with suppress(StoreUnavailable):
                    async with translated():
                        assert await ask(client, "LLEN", "k") == number + 1
                    break
                await asyncio.sleep(0.01)
        assert server.url == url
        keeping.cancel()
        with suppress(asyncio.CancelledError):
            await keeping
    events = [event["event"] for event in said]
    assert events == ["store_ended", "store_restarted"] * 2
    assert not is_there(url)


def is_there(url: str) -> bool:
    """Say whether there is a socket."""
    return Path(url.removeprefix("unix://")).exists()


async def test_a_server_that_cannot_start_is_tried_ever_more_seldom(tmp_path, said, monkeypatch):
    """It is said each time, and the waits double."""
    waits: list[float] = []
    sleep = asyncio.sleep

    async def note(seconds: float) -> None:
        waits.append(seconds)
        await sleep(0)

    def no_program() -> str:
        raise StoreRefused("no program")

    async with EmbeddedValkey(tmp_path) as server:
        monkeypatch.setattr(embedded, "find_server", no_program)
        monkeypatch.setattr(supervise.asyncio, "sleep", note)
        os.kill(server.pid, signal.SIGKILL)
        keeping = asyncio.ensure_future(keep_running(server))
        async with asyncio.timeout(20):
            while len([event for event in said if event["event"] == "store_not_restarted"]) < 12:
                await sleep(0.001)
        keeping.cancel()
        monkeypatch.undo()
    assert sorted(set(waits)) == [0.1 * 2**n for n in range(9)] + [supervise.LONGEST_WAIT_S]
