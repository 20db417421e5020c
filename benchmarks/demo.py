"""The demo: a day's work of a shop through the service, what it cost and saved, and whether the books agree.

    python -m benchmarks.demo                      the whole workload on a simulated provider of its own
    python -m benchmarks.demo --calls 40 --json    a part of it, for programs
    python -m benchmarks.demo --target HOST:PORT   on a service that runs (a real provider costs money)

Without --target the provider's own bill is read as well and held against the ledger, attempt by attempt. Exit
code 1 when any of the books disagree.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from secrets import token_hex
from time import monotonic

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from benchmarks import figures, workload
from benchmarks.audit import Comparison, compare_answers, compare_bill, compare_report
from benchmarks.stack import ProcessFailed, Stack
from benchmarks.traffic import Answer, said, send
from costsvc import v1
from costsvc.client import Client

_ROWS_A_PAGE = 4  # so small that every report is read in pages
_UNLABELLED = "_none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A run: its answers, the comparison with the bill where there is one, and everything that disagrees.

    `hold_ratios` are how many calls held at most twice their bill, and how many were billed.
    """

    answers: list[Answer]
    duration_s: float
    comparison: Comparison | None
    hold_ratios: tuple[int, int] | None
    problems: list[str]


async def run(calls: int | None, at_once: int, target: str | None, serve_options: Sequence[str]) -> Outcome:
    """Send the workload and compare the books; a termination stops what was started, too."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    started = datetime.now(UTC)
    name = f"demo-{started:%Y%m%d%H%M%S}-{token_hex(3)}"  # a tenant of its own: reports have this run only
    async with AsyncExitStack() as resources:
        stack = None if target else await resources.enter_async_context(Stack(*serve_options))
        provider_url = stack.provider_url if stack else None
        async with Client(stack.target if stack else str(target), tenant=name) as client:
            started_s = monotonic()
            answers, problems = await send(
                client, workload.load(calls), run=name, at_once=at_once, provider_url=provider_url
            )
            duration_s = monotonic() - started_s
            problems += await _report_problems(client, answers, started)
        comparison = hold_ratios = None
        if stack is not None:
            hold_ratios = await stack.hold_ratios()
            lines = await stack.bill()
            entries = await stack.entries(started, datetime.now(UTC))
            comparison = compare_bill(entries, lines)
            problems += [*comparison.mismatches, *compare_answers(answers, entries)]
    return Outcome(
        answers=answers,
        duration_s=duration_s,
        comparison=comparison,
        hold_ratios=hold_ratios,
        problems=problems,
    )


async def _report_problems(client: Client, answers: Sequence[Answer], started: datetime) -> list[str]:
    """Hold every report of this run against the sums of the answers."""
    views: list[tuple[str, v1.GroupBy, str, Callable[[Answer], str]]] = [
        ("total", v1.GROUP_BY_UNSPECIFIED, "", lambda _: ""),
        ("model", v1.GROUP_BY_MODEL, "", lambda answer: answer.model),
        (
            "team",
            v1.GROUP_BY_LABEL,
            "team",
            lambda answer: answer.job.request["labels"].get("team", _UNLABELLED),
        ),
        ("feature", v1.GROUP_BY_LABEL, "feature", lambda answer: answer.job.request["labels"]["feature"]),
    ]
    problems: list[str] = []
    for what, group_by, label_key, group_of in views:
        expected: dict[str, list[v1.Bill]] = defaultdict(list)
        for answer in answers:
            expected[group_of(answer)].append(answer.bill)
        rows, totals = await _report(client, started, group_by, label_key)
        problems += compare_report(what, expected, rows)
        problems += compare_report(f"{what}, totals", {"": [a.bill for a in answers]}, {"": totals})
    return problems


async def _report(
    client: Client, started: datetime, group_by: v1.GroupBy, label_key: str
) -> tuple[dict[str, v1.ReportTotals], v1.ReportTotals]:
    """Return a report's rows by group, over all its pages, and its totals."""
    start, end = Timestamp(), Timestamp()
    start.FromDatetime(started)
    end.FromDatetime(datetime.now(UTC))
    request = v1.ReportRequest(
        start_time=start, end_time=end, group_by=group_by, label_key=label_key, page_size=_ROWS_A_PAGE
    )
    rows: dict[str, v1.ReportTotals] = {}
    while True:
        page = await client.Report(request)
        rows |= {row.group: row.totals for row in page.rows}
        if not page.next_page_token:
            return rows, page.totals
        request.page_token = page.next_page_token


def show(outcome: Outcome) -> None:
    """Print the run for people."""
    answers, comparison = outcome.answers, outcome.comparison
    print(figures.headline(answers, outcome.duration_s))
    for title, table in figures.tables(answers):
        print(f"\n{title}\n{table}")
    print("\nThe books")
    print(figures.books(comparison) if comparison else "  The provider's bill and the ledger were not read.")
    if outcome.hold_ratios:
        fitting, billed = outcome.hold_ratios
        print(f"\n{fitting} of {billed} calls held at most twice what they cost.")
    if outcome.problems:
        print(f"\n{len(outcome.problems)} disagreements", *outcome.problems, sep="\n  ")
    else:
        print("\nReport by model, team and feature is the sum of the answers, to the nano-USD and the token.")


def _as_json(outcome: Outcome) -> str:
    comparison = outcome.comparison
    books = comparison and {
        "entry_count": comparison.entry_count,
        "hit_count": comparison.hit_count,
        "line_count": comparison.line_count,
        "equal_count": comparison.equal_count,
        "ledger_nano_usd": comparison.ledger_nano_usd,
        "provider_pico_usd": comparison.provider_pico_usd,
    }
    summary = figures.summary(outcome.answers) | {"books": books, "problems": outcome.problems}
    return json.dumps(summary, indent=2)


def _arguments(given: Iterable[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.demo", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--calls", type=int, help="send about so many calls instead of all")
    parser.add_argument("--at-once", type=int, default=16, help="jobs side by side (default 16)")
    parser.add_argument("--target", help="a running service, HOST:PORT, instead of one of its own")
    parser.add_argument("--catalog", action="append", default=[], help="prices on top of the bundled ones")
    parser.add_argument("--json", action="store_true", help="print figures for programs")
    return parser.parse_args(None if given is None else list(given))


def main(given: Iterable[str] | None = None) -> int:
    """Run the demo; return the exit code."""
    arguments = _arguments(given)
    options = [word for path in arguments.catalog for word in ("--catalog", path)]
    try:
        outcome = asyncio.run(run(arguments.calls, arguments.at_once, arguments.target, options))
    except (ProcessFailed, grpc.aio.AioRpcError) as error:
        print(said(error), file=sys.stderr)
        return 1
    except (asyncio.CancelledError, KeyboardInterrupt):
        return 130
    if arguments.json:
        print(_as_json(outcome))
    else:
        show(outcome)
    return 1 if outcome.problems else 0


if __name__ == "__main__":
    sys.exit(main())
