"""Programs under test as processes of their own: servers, and the provider."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import aiohttp
import grpc

PROGRAM = Path(sys.executable).with_name("costsvc")
_PAGE = 10_000


class EndedEarly(Exception):
    """A program ended before it was ready; its log says why."""


async def until(condition: Callable[[], Awaitable[bool]], timeout_s: float = 20) -> None:
    """Return once the condition holds; fail when it does not in time."""
    async with asyncio.timeout(timeout_s):
        while not await condition():  # noqa: ASYNC110 - what others do has no event here
            await asyncio.sleep(0.02)


async def has(found: bool) -> bool:
    """Return what was found, as a condition to wait for."""
    return found


def launch(log: Path, *words: str, **settings: str) -> subprocess.Popen[bytes]:
    """Start the program with settings of its environment; what it says goes to the end of a file."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COSTSVC_")}
    environment |= {"ANTHROPIC_API_KEY": "simulated", **settings}
    with log.open("ab") as out:
        return subprocess.Popen(
            [PROGRAM, *words], stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environment
        )


@dataclass
class Server:
    """A server process that has said where it listens, and a channel to it."""

    process: subprocess.Popen[bytes]
    channel: grpc.aio.Channel
    ops: str
    log: Path

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the lines of its log with an event."""
        return [line for line in log_lines(self.log) if line["event"] == name]

    async def is_ready(self) -> bool:
        """Ask the readiness probe."""
        return (await self._get("readyz"))[0] == 200

    async def metric(self, name: str) -> float:
        """Return the value of a metric without labels."""
        _, text = await self._get("metrics")
        [value] = [line.split()[1] for line in text.splitlines() if line.split()[0] == name]
        return float(value)

    async def end(self, number: signal.Signals) -> int:
        """End the process, and return its exit code."""
        self.process.send_signal(number)
        await self.channel.close()
        return await asyncio.to_thread(self.process.wait, 20)

    async def _get(self, path: str) -> tuple[int, str]:
        async with aiohttp.ClientSession() as http, http.get(f"http://{self.ops}/{path}") as reply:
            return reply.status, await reply.text()


def log_lines(log: Path) -> list[dict[str, Any]]:
    """Return the complete lines of a log; a killed process may leave half a one."""
    found = []
    for line in log.read_bytes().splitlines():
        with suppress(ValueError):
            if line.startswith(b"{"):
                found.append(json.loads(line))
    return found


async def serve(log: Path, data: Path, provider_url: str, *options: str, **settings: str) -> Server:
    """Start a server, and return it once it has said where it listens; the log is its own.

    Raises:
        EndedEarly: it did not start.
    """
    places = ("--listen", "127.0.0.1:0", "--ops", "127.0.0.1:0", "--data-dir", str(data))
    process = launch(log, "serve", *places, "--upstream-url", provider_url, *options, **settings)
    server = Server(process, grpc.aio.insecure_channel("unset"), "", log)
    try:
        await until(lambda: has(bool(server.events("ready")) or process.poll() is not None), 60)
    finally:
        await server.channel.close()
        if not server.events("ready"):
            await close(server)
    if not (ready := server.events("ready")):
        raise EndedEarly
    server.channel, server.ops = grpc.aio.insecure_channel(ready[0]["listen"]), ready[0]["ops"]
    return server


async def close(server: Server) -> None:
    """Kill a server if it still runs, and let go of it."""
    await server.channel.close()
    if server.process.poll() is None:
        server.process.kill()
    await asyncio.to_thread(server.process.wait)


@asynccontextmanager
async def serving(data: Path, provider_url: str, *options: str, **settings: str) -> AsyncIterator[Server]:
    """Run a server; kill it in the end if it still runs."""
    log = data.parent / f"{data.name}-{len(list(data.parent.glob('*.log')))}.log"
    server = await serve(log, data, provider_url, *options, **settings)
    try:
        yield server
    finally:
        await close(server)


class Provider:
    """The simulated provider as a process of its own: an async context manager."""

    def __init__(self, log: Path, *options: str) -> None:
        self._log = log
        self._options = options
        self.url = ""

    async def __aenter__(self) -> Self:
        self._process = launch(self._log, "provider-sim", "--listen", "127.0.0.1:0", *self._options)
        await until(lambda: has(b"http://" in self._log.read_bytes()))
        self.url = self._log.read_text().split()[-1]
        self._http = aiohttp.ClientSession()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.close()
        self._process.terminate()
        await asyncio.to_thread(self._process.wait)

    async def misbehave(self, *faults: dict[str, Any]) -> None:
        """Script faults."""
        async with self._http.post(f"{self.url}/_sim/faults", json=list(faults)) as reply:
            reply.raise_for_status()

    async def bill(self) -> list[dict[str, Any]]:
        """Return every line of its bill."""
        lines: list[dict[str, Any]] = []
        after, more = 0, True
        while more:
            async with self._http.get(f"{self.url}/_sim/bill?after={after}&limit={_PAGE}") as reply:
                reply.raise_for_status()
                page = await reply.json()
            lines += page["lines"]
            after, more = page["next_after"], page["has_more"]
        return lines
