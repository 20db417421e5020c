"""A bound that no policy can go below, not even one that sees the future.

Each stretch of a prompt, from the end of one message to the next, is taken by itself: at each use it is
read, written or paid plainly, whichever is cheapest over all uses to come. That leaves out every rule that
ties stretches to each other (four breakpoints, their order, the look-back, minimum lengths, entries that
are not readable yet) and lets an entry that is read become one of an hour for nothing, as it does below a
new entry of an hour. So the bound is below the clairvoyant optimum, never above it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from benchmarks.prompt_cache.calls import BYTES_PER_TOKEN, Call
from costsvc.core.arrangement import Ratios

_COLD, _FIVE, _HOUR = range(3)
_NEVER = float("inf")


def clairvoyant_bound(calls: Iterable[Call], ratios: Ratios) -> float:
    """Return what the calls cost at the least, in input tokens."""
    uses: dict[tuple[str, bytes], list[float]] = defaultdict(list)
    sizes: dict[tuple[str, bytes], int] = {}
    alone = 0
    for call in calls:
        before = 0
        for digest, until in call.chain:
            if digest:
                key = call.owner[0], digest
                uses[key].append(call.at_s)
                sizes[key] = until - before
            else:
                alone += until - before
            before = until
    least = sum(sizes[key] * _cheapest(times, ratios) for key, times in uses.items())
    return (least + alone) / BYTES_PER_TOKEN


def _cheapest(times: list[float], ratios: Ratios) -> float:
    """Return the least cost per token of one stretch over all its uses."""
    cost = [0.0, _NEVER, _NEVER]
    last_s = times[0]
    for at_s in times:
        gap_s = at_s - last_s
        last_s = at_s
        cold = min(cost[_COLD], cost[_FIVE], cost[_HOUR])
        live = min(cost[_FIVE] if gap_s < 300 else _NEVER, cost[_HOUR] if gap_s < 3600 else _NEVER)
        cost = [
            cold + 1,
            min(cold + ratios.write_5m, live + ratios.read),
            min(cold + ratios.write_1h, live + ratios.read),
        ]
    return min(cost)
