"""How long the planning of cache breakpoints takes: reading a prompt's prefixes, weighing them, choosing."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from statistics import median
from time import perf_counter
from typing import Any

from benchmarks.bench.table import Row
from costsvc.core.arrangement import Ratios, View
from costsvc.core.markers import MarkerPlan, plan_markers, weigh_spots
from costsvc.core.prefix_walk import read_prefixes
from costsvc.core.prefixes import Prefixes
from costsvc.core.request import ModelRequest, read_messages_json
from costsvc.core.reuse import Reuse, settle
from costsvc.core.sightings import sight
from costsvc.core.usage import Usage

LIMITS_US = {20: 150.0, 500: 1_000.0}
_RATIOS, _NOW_S, _ROUNDS, _TURNS = Ratios(0.05, 1.25, 2.0), 1_800_000_000, 60, 4


def measure_marker_plans() -> list[Row]:
    """Return a row for each size of a conversation with tools; the best of many rounds counts."""
    return [_row(blocks, limit_us) for blocks, limit_us in LIMITS_US.items()]


def _row(blocks: int, limit_us: float) -> Row:
    best, usual = _timed(_planner(blocks), 2_000 // blocks)
    figure = f"{best:,.0f} us (median {usual:,.0f})"
    return Row.judged(f"plan of the breakpoints of {blocks} blocks", figure, best, limit_us, "us")


def _timed(work: Callable[[], object], times: int) -> tuple[float, float]:
    """Return the least and the median time of a run, in us."""
    rounds = []
    for _ in range(_ROUNDS):
        began = perf_counter()
        for _ in range(times):
            work()
        rounds.append((perf_counter() - began) / times * 1e6)
    return min(rounds), median(rounds)


def _planner(blocks: int) -> Callable[[], object]:
    """Return what a call does for its breakpoints, in a conversation whose last turns were seen."""
    states: dict[bytes, Reuse] = {}
    kin: dict[str, Reuse] = {}

    def plan(request: ModelRequest, now_s: int) -> tuple[Prefixes, Sequence[View], MarkerPlan]:
        prefixes = read_prefixes(request)
        tokens = prefixes.size // 4
        views = weigh_spots(prefixes, states, kin, input_tokens=tokens, now_s=now_s)
        chosen = plan_markers(views, _RATIOS, min_tokens=512, input_tokens=tokens, marker_count=0)
        return prefixes, views, chosen

    for turn in range(_TURNS):
        at_s = _NOW_S - 30 * (_TURNS - turn)
        prefixes, views, chosen = plan(_request(blocks - 3 * (_TURNS - turn)), at_s)
        read = round(chosen.read.tokens) if chosen.read else 0
        written = round(prefixes.size / 4) - read if chosen.markers else 0
        usage = Usage(cache_read_tokens=read, cache_write_5m_tokens=written)
        settle(states, kin, sight(views, prefixes, chosen, usage, at_s=at_s))
    request = _request(blocks)
    return lambda: plan(request, _NOW_S)


def _request(blocks: int) -> ModelRequest:
    return ModelRequest(members=read_messages_json(json.dumps(_body(blocks)).encode()))


def _body(blocks: int) -> dict[str, Any]:
    """Return a conversation of so many blocks, three a turn, after a system prompt of 4,000 tokens."""
    messages: list[Any] = [{"role": "user", "content": "Find out why the numbers differ. " * 10}]
    for turn in range((blocks - 1) // 3):
        use = {
            "type": "tool_use",
            "id": f"toolu_{turn}",
            "name": "search",
            "input": {"query": "differ", "n": turn},
        }
        result = {"type": "tool_result", "tool_use_id": f"toolu_{turn}", "content": "A line of a log. " * 20}
        said = {"type": "text", "text": "Let me look at this. " * 5}
        messages += [{"role": "assistant", "content": [said, use]}, {"role": "user", "content": [result]}]
    schema = {"type": "object", "properties": {"query": {"type": "string"}}}
    tools = [
        {"name": f"tool_{i}", "description": "Searches. " * 20, "input_schema": schema} for i in range(8)
    ]
    return {"system": "Answer with care. " * 900, "tools": tools, "messages": messages}
