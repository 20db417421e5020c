"""Measure the service against its targets; exit code 1 when one is missed.

    python -m benchmarks.bench                        everything, about two minutes
    python -m benchmarks.bench --only route,complete  a part of it
    python -m benchmarks.bench --write                and put the figures into docs/benchmarks.md
    python -m benchmarks.bench --only complete --profile serve.prof   with the service under cProfile

The service runs alone on one core; the load, the provider and the store run on another. CPU is user and
system time of one process as the kernel counts it. It needs Linux.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Collection, Iterable
from contextlib import AsyncExitStack
from pstats import Stats

from benchmarks.bench.batches import measure_batches
from benchmarks.bench.decisions import measure_decisions
from benchmarks.bench.installation import Installation, install, start_up_s
from benchmarks.bench.marker_plans import measure_marker_plans
from benchmarks.bench.memory import measure_memory
from benchmarks.bench.neighbour import measure_neighbour
from benchmarks.bench.page import write
from benchmarks.bench.processes import ProcessFailed, cores
from benchmarks.bench.reports import measure_reports
from benchmarks.bench.rounds import FLOORS, measure_cpu
from benchmarks.bench.streams import measure_streams
from benchmarks.bench.table import Row, as_markdown, circumstances

PARTS = (
    *("startup", "decision", "memory", "route", "batch_route", "complete", "hit", "stream"),
    *("neighbour", "report", "prompt_cache_plan"),
)
ROUNDS = 15
START_UP_LIMIT_S = 5.0


async def run(parts: Collection[str], rounds: int, profile: str | None) -> list[Row]:
    """Measure; a termination ends what was started, too."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    rows: list[Row] = []
    if "startup" in parts:
        seconds = await start_up_s(cores()[0])
        what = "start of `serve` with its own store and provider to the first answer"
        rows.append(Row.judged(what, f"{seconds:.2f} s", seconds, START_UP_LIMIT_S, "s"))
    if "decision" in parts:
        rows += await measure_decisions()
    if "prompt_cache_plan" in parts:
        rows += measure_marker_plans()
    if "report" in parts:
        rows += await measure_reports()
    if not {*parts} - {"startup", "decision", "prompt_cache_plan", "report"}:
        return rows
    async with AsyncExitStack() as stack:
        at = await install(stack, profile)
        return rows + await _measured(at, parts, rounds, profiled=bool(profile))


async def _measured(at: Installation, parts: Collection[str], rounds: int, *, profiled: bool) -> list[Row]:
    """Measure memory first, on a service that is new, and show it after what matters more."""
    memory = await measure_memory(at) if "memory" in parts else []
    if profiled:
        at.server.signal(signal.SIGUSR1)
    names = [name for name in FLOORS if name.lower() in parts]
    cpu = await measure_cpu(at, names, rounds) if names else []
    cpu += await measure_batches(at, rounds) if "batch_route" in parts else []
    streams = await measure_streams(at, rounds) if "stream" in parts else []
    neighbour = await measure_neighbour(at) if "neighbour" in parts else []
    return [*cpu, *streams, *memory, *neighbour]


def _arguments(given: Iterable[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.bench", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--only", default=",".join(PARTS), help=f"parts to run, of {','.join(PARTS)}")
    parser.add_argument(
        "--rounds", type=int, default=ROUNDS, help=f"rounds of CPU figures (default {ROUNDS})"
    )
    parser.add_argument("--write", action="store_true", help="put the figures into docs/benchmarks.md")
    parser.add_argument(
        "--profile", metavar="FILE", help="run the service under cProfile; figures grow by it"
    )
    arguments = parser.parse_args(None if given is None else list(given))
    arguments.parts = arguments.only.split(",")
    if unknown := set(arguments.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    if arguments.write and (set(arguments.parts) != set(PARTS) or arguments.profile):
        parser.error("--write needs all parts, without --profile")
    return arguments


def main(given: Iterable[str] | None = None) -> int:
    """Measure and print; return the exit code."""
    arguments = _arguments(given)
    try:
        rows = asyncio.run(run(arguments.parts, arguments.rounds, arguments.profile))
    except ProcessFailed as error:
        print(error, file=sys.stderr)
        return 2
    except (asyncio.CancelledError, KeyboardInterrupt):
        return 130
    about = circumstances("make bench")
    print(f"{about}\n\n{as_markdown(rows)}")
    if arguments.profile:
        Stats(arguments.profile).sort_stats("tottime").print_stats(40)
    if arguments.write:
        write(about, as_markdown(rows))
    missed = [row.what for row in rows if row.met is False]
    print(f"\n{len(missed)} targets missed: {'; '.join(missed)}" if missed else "\nEvery target is met.")
    return 1 if missed and not arguments.profile else 0


if __name__ == "__main__":
    sys.exit(main())
