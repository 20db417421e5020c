"""A whole installation for a demo: the simulated provider and the service, each a process of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import AsyncExitStack, ExitStack, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import aiohttp
import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from costsvc.core.entry import Entry
from costsvc.store.connection import open_store
from costsvc.store.embedded import EmbeddedValkey
from costsvc.store.ledger import Ledger

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
_POLL_S = 0.05
_PAGE = 10_000
_SERVICE = "costsvc.v1.CostService"
_PROGRAM = Path(sys.executable).with_name("costsvc")


class ProcessFailed(Exception):
    """A process did not come up or did not stop well; the message has the end of what it said."""


class Stack:
    """The two processes, as an async context manager; the data directory goes when it ends.

    `serve_options` are given to `costsvc serve` as they are.
    """

    def __init__(self, *serve_options: str) -> None:
        self._serve_options = serve_options
        self._open = AsyncExitStack()
        self._path = Path(self._open.enter_context(tempfile.TemporaryDirectory(prefix="costsvc-demo-")))
        sim_port, port, ops_port = _free_ports(3)
        self.provider_url = f"http://127.0.0.1:{sim_port}"
        self.target = f"127.0.0.1:{port}"
        self._ops = f"127.0.0.1:{ops_port}"
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    async def __aenter__(self) -> Self:
        try:
            self._start("provider-sim", "--listen", self.provider_url.removeprefix("http://"))
            data, url = str(self._path / "data"), self.provider_url
            places = ("--listen", self.target, "--ops", self._ops, "--data-dir", data, "--upstream-url", url)
            self._start("serve", *places, *self._serve_options)
            await self._until("provider-sim", self._bills)
            await self._until("serve", self._serves)
        except BaseException:
            await self._open.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    async def bill(self) -> list[dict[str, Any]]:
        """Return every line of the provider's bill."""
        lines: list[dict[str, Any]] = []
        async with aiohttp.ClientSession() as http:
            after, more = 0, True
            while more:
                url = f"{self.provider_url}/_sim/bill?after={after}&limit={_PAGE}"
                async with http.get(url) as reply:
                    reply.raise_for_status()
                    page = await reply.json()
                lines += page["lines"]
                after, more = page["next_after"], page["has_more"]
        return lines

    async def hold_ratios(self) -> tuple[int, int]:
        """Return how many calls held at most twice their bill, and how many were billed."""
        async with aiohttp.ClientSession() as http, http.get(f"http://{self._ops}/metrics") as reply:
            rows = dict(line.rsplit(" ", 1) for line in (await reply.text()).splitlines() if line[0] != "#")
        names = ('costsvc_hold_ratio_bucket{le="2.0"}', "costsvc_hold_ratio_count")
        fitting, billed = (int(float(rows[name])) for name in names)
        return fitting, billed

    async def entries(self, start: datetime, end: datetime) -> list[Entry]:
        """Stop the service and return what its ledger has on disk, by a store that reads it anew."""
        await self._stop("serve")
        async with EmbeddedValkey(self._path / "data") as store:
            client = open_store(store.url)
            try:
                return await _read(Ledger(client), start, end)
            finally:
                await client.aclose()

    def _start(self, command: str, *options: str) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("COSTSVC_")}
        environment |= {"ANTHROPIC_API_KEY": "simulated", "PYTHONUNBUFFERED": "1"}
        with self._log(command).open("wb") as log:
            self._processes[command] = subprocess.Popen(
                [_PROGRAM, command, *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
            )
        self._open.push_async_callback(self._stop, command)

    def _log(self, command: str) -> Path:
        return self._path / f"{command}.log"

    async def _until(self, command: str, ready: Any) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(START_TIMEOUT_S):
                while self._processes[command].poll() is None:
                    if await ready():
                        return
                    await asyncio.sleep(_POLL_S)
        raise self._failed(command, "did not come up")

    def _failed(self, command: str, what: str) -> ProcessFailed:
        said = self._log(command).read_text(errors="replace")[-2_000:].strip()
        return ProcessFailed(f"costsvc {command} {what}; it said:\n{said}")

    async def _bills(self) -> bool:
        try:
            await self.bill()
        except aiohttp.ClientError:
            return False
        return True

    async def _serves(self) -> bool:
        async with grpc.aio.insecure_channel(self.target) as channel:
            check = health_pb2_grpc.HealthStub(channel).Check  # type: ignore[attr-defined]
            try:
                answer = await check(health_pb2.HealthCheckRequest(service=_SERVICE), timeout=2)
            except grpc.aio.AioRpcError:
                return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    async def _stop(self, command: str) -> None:
        """Ask a process to stop, wait for it, and kill it only when it does not; no one else is touched."""
        process = self._processes.pop(command, None)
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            await asyncio.to_thread(process.wait, STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            await asyncio.to_thread(process.wait)
            raise self._failed(command, f"did not stop within {STOP_TIMEOUT_S:g} s") from None
        if process.returncode != 0:
            raise self._failed(command, f"ended with code {process.returncode}")


async def _read(ledger: Ledger, start: datetime, end: datetime) -> list[Entry]:
    entries: list[Entry] = []
    hour = start.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    while hour <= end:
        page = await ledger.entries(hour)
        while page.entries:
            entries += page.entries
            page = await ledger.entries(hour, after=page.after)
        hour += timedelta(hours=1)
    return entries


def _free_ports(count: int) -> list[int]:
    """Return ports that are free now; another program could take one before we do, and would be reported."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
