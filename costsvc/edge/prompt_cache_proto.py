"""What is planned of the prompt cache, as callers see it."""

from __future__ import annotations

from costsvc import v1
from costsvc.core.marked import Marking
from costsvc.core.markers import Marker


def prompt_cache_plan(value: Marking) -> v1.PromptCachePlan:
    """Return how a prompt is going to use the prompt cache."""
    plan = value.plan
    return v1.PromptCachePlan(
        breakpoints=[_breakpoint(marker) for marker in plan.markers],
        expected_read_tokens=round(plan.read.tokens) if plan.read else 0,
        expected_input_nano_usd=value.nano_usd(plan.cost_tokens),
        uncached_input_nano_usd=value.nano_usd(plan.plain_tokens),
        expected_later_savings_nano_usd=value.nano_usd(plan.later_tokens),
    )


def _breakpoint(marker: Marker) -> v1.PlacedBreakpoint:
    view = marker.view
    odds = view.odds.within_1h if marker.ttl == "1h" else view.odds.within_5m
    return v1.PlacedBreakpoint(
        member=view.spot.member,
        prefix_tokens=round(view.tokens),
        ttl=marker.ttl,
        index=view.spot.at,
        block=view.spot.block,
        is_callers=marker.is_callers,
        reuse_permille=round(1_000 * odds),
    )
