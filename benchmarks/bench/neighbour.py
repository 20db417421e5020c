"""What small calls wait while a neighbour's body of 16 MB is read, parsed and decided on.

Small calls leave at a steady pace whether or not earlier ones are back, so that a pause of the server meets
as many of them as it would in production. Only those count that ran at the same time as a big one: so the
figure does not depend on how often big ones come.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.bench.installation import Installation
from benchmarks.bench.messages import ROUTE
from benchmarks.bench.processes import Program, cores, python
from benchmarks.bench.table import Row

DURATION_S = 8.0
PACE_S = 0.003
LIMIT_MS = 100.0
SHAPES = {"string": "one string", "messages": "messages of 500 B"}

Call = Callable[[], Awaitable[Any]]
Span = tuple[float, float]
"""From when to when a call ran, in seconds of the monotonic clock."""


async def measure_neighbour(at: Installation) -> list[Row]:
    """Return the p99 of small calls: alone, and beside big bodies of two shapes, at a bare server as well."""
    spans = await steady(lambda: at.costs.Route(ROUTE), DURATION_S / 2)
    rows = [Row("a neighbour's Route, p99 alone", _shown(spans))]
    for shape, body in SHAPES.items():
        floor, _ = await _beside(at.echo_target, shape, lambda: at.echoes.Route(ROUTE))
        rows.append(Row(f"floor: at the echo, beside 16 MB of {body}", _shown(floor)))
        spans, big_s = await _beside(at.target, shape, lambda: at.costs.Route(ROUTE))
        what = f"a neighbour's Route, p99 beside 16 MB of {body} (answered in {big_s:.2f} s)"
        rows.append(Row.judged(what, _shown(spans), percentile(spans, 0.99), LIMIT_MS, "ms"))
    return [*rows, Row("RSS after those bodies", f"{at.server.rss_mb():.0f} MB")]


async def steady(call: Call, duration_s: float) -> list[Span]:
    """Make calls at a steady pace; return when each ran."""
    spans: list[Span] = []

    async def one() -> None:
        start_s = time.monotonic()
        await call()
        spans.append((start_s, time.monotonic()))

    begin_s = time.monotonic()
    async with asyncio.TaskGroup() as calls:
        for number in range(round(duration_s / PACE_S)):
            await asyncio.sleep(begin_s + number * PACE_S - time.monotonic())
            calls.create_task(one())
    return spans


async def _beside(target: str, shape: str, call: Call) -> tuple[list[Span], float]:
    """Return the small calls that ran beside a big one, and how many seconds a big one took."""
    with tempfile.TemporaryDirectory(prefix="costsvc-bench-") as folder:
        command = python("-m", "benchmarks.bench.big_sender", target, shape)
        async with Program(Path(folder) / "sender.log", cores()[1], *command) as sender:
            await sender.ask("start")
            small = await steady(call, DURATION_S)
            big: list[Span] = [(start_s, end_s) for start_s, end_s in json.loads(await sender.ask("stop"))]
    beside = [span for span in small if any(span[0] < end_s and start_s < span[1] for start_s, end_s in big)]
    return beside, median(end_s - start_s for start_s, end_s in big)


def percentile(spans: list[Span], share: float) -> float:
    """Return the latency in milliseconds that a share of all calls does not exceed."""
    latencies_ms = sorted((end_s - start_s) * 1000 for start_s, end_s in spans)
    return latencies_ms[min(len(latencies_ms) - 1, int(len(latencies_ms) * share))]


def _shown(spans: list[Span]) -> str:
    p50, p99, worst = (percentile(spans, share) for share in (0.5, 0.99, 1))
    return f"{p99:.1f} ms (p50 {p50:.1f}, max {worst:.1f}, n {len(spans)})"
