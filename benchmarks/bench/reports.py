"""Reports over a month of ten million entries.

Settling that many would take hours, so the store gets only what reports read: every cell of every hour, and
of every day as the sum of its hours, under the same keys and packed as a settlement leaves them. No entry is
there. What a report takes depends on the cells of the tenant that asks, not on how many entries are in each.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from redis.asyncio import Redis

from benchmarks.bench.installation import CHANNEL_OPTIONS, listening, serve
from benchmarks.bench.processes import ProcessFailed, cores, on_core
from benchmarks.bench.table import Row, spread
from costsvc import v1
from costsvc.core.entry import MEASURES
from costsvc.store import keys
from costsvc.store.connection import open_store
from costsvc.store.embedded import EmbeddedValkey
from costsvc.store.rollups import pack

ENTRIES = 10_000_000
DAYS = 31
TENANTS = ("acme", "globex", "initech")
MODELS = tuple(f"claude-model-{number}" for number in range(8))
TIERS = ("simple", "medium", "complex")
TASKS = tuple(f"task-{number}" for number in range(10))
LABEL = "team"
VALUES, VALUES_AN_HOUR = 1_000, 50
"""Of one label: as many as are kept in a day."""

CALLS, WARM_UP_CALLS = 40, 5
LIMIT_MS = 20.0

Cells = dict[str, list[int]]


async def measure_reports() -> list[Row]:
    """Return the rows of Report, on a service and a store of their own."""
    measured, others = cores()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="costsvc-bench-")))
        with on_core(others):
            store = await stack.enter_async_context(EmbeddedValkey(folder / "store"))
        client = open_store(store.url)
        stack.push_async_callback(client.aclose)
        end = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        start = end - timedelta(days=DAYS)
        await _fill(client, start)
        server = await stack.enter_async_context(
            serve(folder, measured, "--redis-url", store.url, "--upstream", "simulated")
        )
        channel = await stack.enter_async_context(
            grpc.aio.insecure_channel(await listening(server), options=CHANNEL_OPTIONS)
        )
        costs = v1.CostServiceStub(channel)
        by_model = await _latencies_ms(costs, _query(start, end, group_by="GROUP_BY_MODEL"))
        by_label = await _latencies_ms(costs, _query(start, end, group_by="GROUP_BY_LABEL", label_key=LABEL))
    what = f"Report of one of {len(TENANTS)} tenants over a month of {ENTRIES:,} entries"
    middle = sorted(by_model)[len(by_model) // 2]
    return [
        Row.judged(f"{what} by day and model, p50", spread(by_model, "ms"), middle, LIMIT_MS, "ms"),
        Row(f"{what} by day and label of {VALUES:,} values, first page, p50", spread(by_label, "ms")),
    ]


async def _latencies_ms(costs: v1.CostServiceStub, query: v1.ReportRequest) -> list[float]:
    """Return how long one caller waits for a report of one of the tenants."""
    taken_ms = []
    for call in range(WARM_UP_CALLS + CALLS):
        began = time.perf_counter()
        report = await costs.Report(query, metadata=(("costsvc-tenant", TENANTS[call % len(TENANTS)]),))
        taken_ms.append((time.perf_counter() - began) * 1_000)
        if abs(report.totals.call_count - ENTRIES / len(TENANTS)) > DAYS * 24 * VALUES_AN_HOUR:
            raise ProcessFailed(f"a report has {report.totals.call_count} entries")
    return taken_ms[WARM_UP_CALLS:]


def _query(start: datetime, end: datetime, **fields: str) -> v1.ReportRequest:
    return v1.ReportRequest(
        start_time=Timestamp(seconds=int(start.timestamp())),
        end_time=Timestamp(seconds=int(end.timestamp())),
        granularity=v1.GRANULARITY_DAY,
        page_size=1_000,
        **fields,
    )


async def _fill(client: Redis, start: datetime) -> None:
    """Write the cells of all tenants, a day at a time."""
    for tenant in TENANTS:
        await client.sadd(keys.TENANTS, tenant)
        for day in range(DAYS):
            await _fill_day(client, tenant, start + timedelta(days=day))


async def _fill_day(client: Redis, tenant: str, start: datetime) -> None:
    """Write the cells of a day's hours, and their sums as those of the day."""
    whole: tuple[Cells, Cells] = ({}, {})
    async with client.pipeline(transaction=False) as pipeline:
        for number in range(24):
            hour = keys.hour_of(start + timedelta(hours=number))
            for name, cells, day in zip(_names(tenant, hour), _cells(number), whole, strict=True):
                pipeline.hset(name, mapping=_packed(cells))
                for field, measures in cells.items():
                    kept = day.setdefault(field, [0] * len(MEASURES))
                    day[field] = [a + b for a, b in zip(kept, measures, strict=True)]
        for name, cells in zip(_names(tenant, keys.day_of(start)), whole, strict=True):
            pipeline.hset(name, mapping=_packed(cells))
        await pipeline.execute()


def _names(tenant: str, period: str) -> tuple[str, str]:
    return keys.rollup(tenant, period), keys.rollup_values(tenant, period)


def _cells(hour: int) -> Iterator[Cells]:
    """Yield the cells of an hour: of models and tiers, and of tasks and labels."""
    count = ENTRIES // (len(TENANTS) * DAYS * 24)
    teams = [f"customer-{(hour * 42 + number) % VALUES}" for number in range(VALUES_AN_HOUR)]
    yield _split(count, "model", MODELS) | _split(count, "tier", TIERS)
    yield _split(count, "task", TASKS) | _split(count, f"label:{LABEL}", teams)


def _split(count: int, dimension: str, values: tuple[str, ...] | list[str]) -> Cells:
    """Return the cells of one dimension, into which so many entries fall evenly."""
    shares = [count // len(values) + (at < count % len(values)) for at in range(len(values))]
    return {
        f"{dimension}={value}": [share, *(share * (1_234_567 + at) for at in range(1, len(MEASURES)))]
        for value, share in zip(values, shares, strict=True)
    }


def _packed(cells: Cells) -> dict[str | bytes, bytes | float | int | str]:
    return {field: pack(measures) for field, measures in cells.items()}
