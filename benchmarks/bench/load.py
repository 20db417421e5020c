"""Calls in a measured number, and what they cost the process that answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.bench.processes import Program

Call = Callable[[], Awaitable[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a number of calls cost: CPU of the server and time, both in microseconds, and the latencies."""

    cpu_us: float
    elapsed_us: float
    latencies_us: list[float]

    @property
    def calls_per_s(self) -> float:
        """Calls answered in a second."""
        return len(self.latencies_us) / self.elapsed_us * 1e6

    @property
    def cpu_us_a_call(self) -> float:
        """CPU of the server for one call."""
        return self.cpu_us / len(self.latencies_us)


async def load(program: Program, call: Call, count: int, at_once: int = 1) -> Load:
    """Make a number of calls, some of them at once, one after the other in each lane."""
    latencies_us: list[float] = []

    async def lane(share: int) -> None:
        for _ in range(share):
            start = time.perf_counter_ns()
            await call()
            latencies_us.append((time.perf_counter_ns() - start) / 1000)

    cpu_us, start_ns = program.cpu_us(), time.perf_counter_ns()
    await asyncio.gather(*(lane(count // at_once) for _ in range(at_once)))
    elapsed_us = (time.perf_counter_ns() - start_ns) / 1000
    return Load(cpu_us=program.cpu_us() - cpu_us, elapsed_us=elapsed_us, latencies_us=latencies_us)
