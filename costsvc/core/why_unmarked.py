"""Why a prompt gets no breakpoint of ours, in words: for people who ask before a call is made."""

from __future__ import annotations

from collections.abc import Sequence

from costsvc.core.arrangement import View
from costsvc.core.marked import Marking, place_of
from costsvc.core.prefixes import MOST_MARKERS


def why_unmarked(marking: Marking) -> tuple[str, ...]:
    """Return why nothing is marked; nothing where something is."""
    if marking.plan.ours:
        return ()
    model, count = marking.model, marking.prefixes.marker_count
    if count >= MOST_MARKERS:
        return (f"the caller's own breakpoints leave no room: there may be {MOST_MARKERS}",)
    longest = max((view.tokens for view in marking.views), default=0.0)
    if longest < model.min_cacheable_tokens:
        return (too_short(longest, model.min_cacheable_tokens, model.id),)
    if marking.plan.markers:
        return ("the caller's own breakpoints do, no further one is expected to pay",)
    return _odds(marking, [view for view in marking.views if view.tokens >= model.min_cacheable_tokens])


def too_short(tokens: float, min_tokens: int, model: str) -> str:
    """Say by how much a prompt is too short."""
    return f"too short by about {min_tokens - tokens:,.0f} tokens: {model} caches {min_tokens:,} and more"


def _odds(marking: Marking, views: Sequence[View]) -> tuple[str, ...]:
    best = max(views, key=lambda view: (view.odds.within_5m, view.odds.within_1h, view.tokens))
    odds, (write_1h, read) = best.odds, (marking.ratios.write_1h, marking.ratios.read)
    break_even_1h = (write_1h - 1) / (write_1h - read)
    seen = "" if best.is_known else ", judged by prompts like this one, which was not seen yet"
    words = (
        f"not likely enough to come again: the best place is {place_of(best.spot)}, "
        f"with {odds.within_5m:.0%} within 5 minutes (pays from {marking.break_even_5m:.0%} on) "
        f"and {odds.within_1h:.0%} within an hour (pays from about {break_even_1h:.0%} on){seen}"
    )
    return (words,)
