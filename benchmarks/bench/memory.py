"""Memory: what the service has resident at first, and how it grows over ten thousand calls."""

from __future__ import annotations

from statistics import linear_regression

from benchmarks.bench.installation import Installation
from benchmarks.bench.load import load
from benchmarks.bench.messages import COMPLETE
from benchmarks.bench.table import Row

CALLS = 10_000
SETTLED_AFTER = 2_000
STEP = 250
AT_ONCE = 8
LIMIT_MB = 170
LIMIT_KB_PER_1000_CALLS = 100


async def measure_memory(at: Installation) -> list[Row]:
    """Return the rows of memory; run it first, on a service that is new."""
    sampled: dict[int, float] = {}
    for calls in range(STEP, CALLS + 1, STEP):
        await load(at.server, lambda: at.costs.Complete(COMPLETE), STEP, AT_ONCE)
        sampled[calls] = at.server.rss_mb()
    settled = {calls: mb for calls, mb in sampled.items() if calls >= SETTLED_AFTER}
    slope_mb, _ = linear_regression(list(settled), list(settled.values()))
    kb_per_1000 = slope_mb * 1000 * 1000
    growth_mb = sampled[CALLS] - sampled[SETTLED_AFTER]
    slope = f"{kb_per_1000:+,.0f} KB ({growth_mb:+.1f} MB in all)"
    last_mb = sampled[CALLS]
    return [
        Row("RSS after the start", f"{at.server_start_rss_mb:.0f} MB"),
        Row(f"RSS after {SETTLED_AFTER:,} calls of Complete", f"{sampled[SETTLED_AFTER]:.1f} MB"),
        Row.judged(f"RSS after {CALLS:,} calls of Complete", f"{last_mb:.1f} MB", last_mb, LIMIT_MB, "MB"),
        Row.judged("growth per 1,000 calls after those", slope, kb_per_1000, LIMIT_KB_PER_1000_CALLS, "KB"),
    ]
