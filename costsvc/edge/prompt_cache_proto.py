"""What is planned of the prompt cache, as callers see it."""

from __future__ import annotations

from dataclasses import asdict

from costsvc import v1
from costsvc.app.prompt_report import PromptReport
from costsvc.core.marked import Marking
from costsvc.core.markers import Marker
from costsvc.core.why_unmarked import why_unmarked


def prompt_cache_plan(value: Marking) -> v1.PromptCachePlan:
    """Return how a prompt is going to use the prompt cache."""
    plan = value.plan
    return v1.PromptCachePlan(
        breakpoints=[_breakpoint(marker) for marker in plan.markers],
        expected_read_tokens=round(plan.read.tokens) if plan.read else 0,
        expected_input_nano_usd=value.nano_usd(plan.cost_tokens),
        uncached_input_nano_usd=value.nano_usd(plan.plain_tokens),
        expected_later_savings_nano_usd=value.nano_usd(plan.later_tokens),
        reasons=why_unmarked(value),
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


def prompt_report_response(report: PromptReport) -> v1.ReportPromptCacheResponse:
    """Return what the prompt cache did."""
    response = v1.ReportPromptCacheResponse(
        prefixes=[v1.PromptPrefix(**asdict(each)) for each in report.prefixes],
        misses=[
            v1.PromptMisses(
                reason=each.reason,
                block=each.block,
                task=each.task,
                model=each.model,
                miss_count=each.count,
                tokens=each.tokens,
                lost_nano_usd=each.lost_nano_usd,
            )
            for each in report.misses
        ],
        advice=[v1.PromptAdvice(**asdict(each)) for each in report.advice],
    )
    response.observed_duration.FromSeconds(report.observed_s)
    return response
