"""Processes on a core of their own: started for a measurement, measured from outside, ended by their pid."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 20.0
_POLL_S = 0.005
_CPU_CLOCK = 2  # CPUCLOCK_SCHED: to the nanosecond, all threads, ended ones too


class ProcessFailed(Exception):
    """A process did not do what it was started for; the message has the end of what it said."""


def cores() -> tuple[int, int]:
    """Return the core of what is measured and the core of everything else."""
    available = sorted(os.sched_getaffinity(0))
    return available[0], available[-1]


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """Let processes that are started inside inherit a core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def busy_us(core: int) -> float:
    """Return how long a core has been busy since the machine started, in microseconds."""
    for line in Path("/proc/stat").read_text().splitlines():
        if line.startswith(f"cpu{core} "):
            user, nice, system, _idle, _wait, *interrupts = map(int, line.split()[1:9])
            return (user + nice + system + sum(interrupts)) / os.sysconf("SC_CLK_TCK") * 1e6
    raise ProcessFailed(f"core {core} is not in /proc/stat")


class Program:
    """A running program whose output goes to a file; an async context manager that ends it."""

    def __init__(
        self, log: Path, core: int, *command: str, environment: dict[str, str] | None = None
    ) -> None:
        self._log = log
        self._name = " ".join(command[:6])
        self.started_s = time.monotonic()
        with log.open("wb") as output, on_core(core):
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                env=clean_environment() | (environment or {}),
            )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def cpu_us(self) -> float:
        """Return the CPU time that the process has used so far, in microseconds."""
        return time.clock_gettime_ns((~self.pid << 3) | _CPU_CLOCK) / 1000

    def rss_mb(self) -> float:
        """Return the memory that the process has resident, in MB of 1,000,000 bytes."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024 / 1e6
        raise self.failed("has no memory")

    async def said(self, mark: str) -> str:
        """Return the first line of the log with a mark in it, once it is there."""
        deadline_s = self.started_s + START_TIMEOUT_S
        while time.monotonic() < deadline_s and self._process.poll() is None:
            for line in self._log.read_text(errors="replace").splitlines(keepends=True):
                if mark in line and line.endswith("\n"):
                    return line
            await asyncio.sleep(_POLL_S)
        raise self.failed(f"did not say {mark!r}")

    async def ask(self, line: str) -> str:
        """Send a line to the program and return its answering line."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{line}\n".encode())
        self._process.stdin.flush()
        answer = await asyncio.to_thread(self._process.stdout.readline)
        if not answer:
            raise self.failed("ended")
        return answer.decode().strip()

    def signal(self, number: int) -> None:
        """Send the process a signal."""
        self._process.send_signal(number)

    async def stop(self) -> None:
        """Ask the process to end and wait; kill it only when it does not."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            await asyncio.to_thread(self._process.wait, STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            await asyncio.to_thread(self._process.wait)
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):
                pipe.close()

    def failed(self, what: str) -> ProcessFailed:
        """Return an error with the last of what the program said."""
        said = self._log.read_text(errors="replace")[-2_000:].strip()
        return ProcessFailed(f"{self._name} {what}; it said:\n{said}")


def python(*arguments: str) -> tuple[str, ...]:
    """Return a command that runs this interpreter."""
    return (sys.executable, *arguments)


def clean_environment() -> dict[str, str]:
    """Return the environment without settings and keys of the service: a measurement is always the same."""
    mine = ("COSTSVC_", "ANTHROPIC_")
    return {name: value for name, value in os.environ.items() if not name.startswith(mine)}
