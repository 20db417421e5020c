"""Runs a trace under a policy: decide, meter, and learn once the call has settled, as time goes by."""

from __future__ import annotations

import heapq

from benchmarks.prompt_cache.calls import ANSWER_S, BYTES_PER_TOKEN, FIRST_BYTE_S, Call, Trace
from benchmarks.prompt_cache.policies import Policy
from benchmarks.prompt_cache.provider import Cache, End, Metered
from costsvc.core.arrangement import Ratios


def replay(trace: Trace, policy: Policy, ratios: Ratios, min_tokens: int) -> float:
    """Return what a trace costs under a policy, in input tokens."""
    cache = Cache(min_tokens, FIRST_BYTE_S)
    open_calls: list[tuple[float, int, Call, Metered]] = []
    cost = 0.0
    for number, call in enumerate(trace.calls):
        while open_calls and open_calls[0][0] <= call.at_s:
            _, _, earlier, metered = heapq.heappop(open_calls)
            policy.learn(earlier, metered)
        metered = cache.call(ends_of(call), policy.decide(call), call.tokens, call.at_s)
        heapq.heappush(open_calls, (call.at_s + ANSWER_S, number, call, metered))
        cost += cost_of(metered, ratios)
    return cost


def ends_of(call: Call) -> list[End]:
    """Return the call's spots as the provider sees them."""
    return [End(spot.digest, spot.size / BYTES_PER_TOKEN, spot.position) for spot in call.prefixes.spots]


def cost_of(metered: Metered, ratios: Ratios) -> float:
    """Return what a call costs, in input tokens."""
    return (
        metered.plain
        + metered.read * ratios.read
        + metered.write_5m * ratios.write_5m
        + metered.write_1h * ratios.write_1h
    )
