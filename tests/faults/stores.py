"""A store that fails: a primary with a replica, behind one address that stays when they change places."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

from redis.asyncio import Redis

from costsvc.store.connection import ask, open_store
from costsvc.store.embedded import EmbeddedValkey
from tests.faults.processes import until


class Address:
    """Where clients reach whichever server is the primary: an async context manager; see forwarder.py."""

    def __init__(self, server: EmbeddedValkey) -> None:
        self._server = server
        self.url = ""

    async def __aenter__(self) -> Self:
        pipe = asyncio.subprocess.PIPE
        program = Path(__file__).with_name("forwarder.py")
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, program, _socket(self._server), stdin=pipe, stdout=pipe
        )
        assert self._process.stdout is not None
        self.url = f"redis://127.0.0.1:{int(await self._process.stdout.readline())}/0"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._process.terminate()
        await self._process.wait()

    def point(self, server: EmbeddedValkey) -> None:
        """Let clients reach another server."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{_socket(server)}\n".encode())


def _socket(server: EmbeddedValkey) -> str:
    return server.url.removeprefix("unix://")


class Store:
    """A primary and its replica: an async context manager. `url` stays, whoever answers there."""

    def __init__(self, path: Path) -> None:
        self._primary = EmbeddedValkey(path / "primary")
        self._replica = EmbeddedValkey(path / "replica")
        self._open = AsyncExitStack()
        self._port = free_port()
        self.url = ""

    async def __aenter__(self) -> Self:
        await self._open.enter_async_context(self._primary)
        await self._open.enter_async_context(self._replica)
        self._address = await self._open.enter_async_context(Address(self._primary))
        self.url = self._address.url
        await listen(self._primary, self._port)
        await follow(self._replica, self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    async def freeze(self, duration_s: float) -> None:
        """Stop it in whatever it does, for a while."""
        os.kill(self._primary.pid, signal.SIGSTOP)
        await asyncio.sleep(duration_s)
        os.kill(self._primary.pid, signal.SIGCONT)

    async def restart(self) -> None:
        """Kill it, and start it again on its append-only file."""
        os.kill(self._primary.pid, signal.SIGKILL)
        await self._primary.stop()
        await self._primary.start()
        await listen(self._primary, self._port)
        await linked(self._replica)

    async def fail_over(self, behind_s: float) -> None:
        """Kill it, and let the replica take its place, which has not heard of its last moments."""
        async with using(self._replica) as replica:
            await ask(replica, "REPLICAOF", "NO", "ONE")
        await asyncio.sleep(behind_s)
        os.kill(self._primary.pid, signal.SIGKILL)
        self._address.point(self._replica)
        await self._primary.stop()
        self._primary, self._replica = self._replica, self._primary
        await listen(self._primary, self._port)
        await self._replica.start()
        await follow(self._replica, self._port)


def using(server: EmbeddedValkey) -> Redis:
    """Return a client, which is closed behind `async with`."""
    return open_store(server.url, connect_timeout_s=5)


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


async def listen(server: EmbeddedValkey, port: int) -> None:
    """Let a server listen on a port, so that another replicates it at once."""
    async with using(server) as client:
        await ask(client, "CONFIG", "SET", "repl-diskless-sync-delay", "0")
        await ask(client, "CONFIG", "SET", "port", port)


async def follow(server: EmbeddedValkey, port: int) -> None:
    """Make a server a replica of another, and wait until it has the other's data."""
    async with using(server) as client:
        await ask(client, "REPLICAOF", "127.0.0.1", port)
    await linked(server)


async def linked(server: EmbeddedValkey) -> None:
    """Wait until a replica hears its primary."""

    async def is_linked() -> bool:
        async with using(server) as client:
            info: dict[str, Any] = await ask(client, "INFO", "replication")
        return info["master_link_status"] == "up"

    await until(is_linked)
