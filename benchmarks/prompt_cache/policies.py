"""Ways to place breakpoints: by rules, by the planner with what it has seen, and with what is true."""

from __future__ import annotations

from collections import defaultdict
from typing import Protocol

from benchmarks.prompt_cache.calls import BYTES_PER_TOKEN, Call
from benchmarks.prompt_cache.provider import TTL_S, Metered
from costsvc.core.arrangement import Ratios, View
from costsvc.core.markers import MarkerPlan, plan_markers, weigh_spots
from costsvc.core.prefixes import TAIL, Spot
from costsvc.core.reuse import Reuse, settle
from costsvc.core.sightings import sight
from costsvc.core.usage import Usage

Marks = list[tuple[int, str]]
"""Indexes of a call's spots, each with its time, in prompt order."""


class Policy(Protocol):
    """Decides for each call, and hears later what it came to."""

    def decide(self, call: Call) -> Marks:
        """Return the breakpoints of a call."""

    def learn(self, call: Call, metered: Metered) -> None:
        """Take the provider's report of an earlier call into account."""


class Fixed:
    """Marks what a rule names, always: the last structural spot, the last turn, or both."""

    def __init__(self, *, prefix: str = "", tail: str = "") -> None:
        self._prefix, self._tail = prefix, tail

    def decide(self, call: Call) -> Marks:
        """Return what the rule says."""
        spots = call.prefixes.spots
        marks: Marks = []
        stable = [at for at, spot in enumerate(spots) if spot.member in {"tools", "system"}]
        if self._prefix and stable:
            marks.append((stable[-1], self._prefix))
        if self._tail and spots and spots[-1].kin == TAIL:
            marks.append((len(spots) - 1, self._tail))
        return marks

    def learn(self, call: Call, metered: Metered) -> None:
        """Learn nothing."""


NONE, AUTOMATIC, STATIC = "no caching", "automatic", "system+last turn"
FIXED = {
    NONE: {},
    AUTOMATIC: {"tail": "5m"},
    STATIC: {"prefix": "5m", "tail": "5m"},
    "automatic, 1h": {"tail": "1h"},
    "system": {"prefix": "5m"},
    "system, 1h": {"prefix": "1h"},
    "system 1h+last turn": {"prefix": "1h", "tail": "5m"},
    "system 1h+last turn 1h": {"prefix": "1h", "tail": "1h"},
}
"""Every rule that a careful operator may have fixed."""


class Planned:
    """The planner of the service, with statistics that grow as calls settle."""

    def __init__(self, ratios: Ratios, min_tokens: int, estimate_error: float = 1.0) -> None:
        self._ratios, self._min_tokens, self._error = ratios, min_tokens, estimate_error
        self._states: dict[str, dict[bytes, Reuse]] = defaultdict(dict)
        self._kin: dict[tuple[str, str], dict[str, Reuse]] = defaultdict(dict)
        self._plans: dict[int, tuple[list[View], MarkerPlan]] = {}

    def decide(self, call: Call) -> Marks:
        """Plan as the service does."""
        tokens = max(round(call.tokens * self._error), 1)
        views = weigh_spots(
            call.prefixes,
            self._states[call.owner[0]],
            self._kin[call.owner],
            input_tokens=tokens,
            now_s=int(call.at_s),
        )
        plan = plan_markers(
            views,
            self._ratios,
            min_tokens=self._min_tokens,
            input_tokens=tokens,
            marker_count=0,
        )
        self._plans[id(call)] = views, plan
        return marks_of(call, plan)

    def learn(self, call: Call, metered: Metered) -> None:
        """Settle as the service does."""
        views, plan = self._plans.pop(id(call))
        usage = Usage(
            input_tokens=round(metered.plain),
            cache_read_tokens=round(metered.read),
            cache_write_5m_tokens=round(metered.write_5m),
            cache_write_1h_tokens=round(metered.write_1h),
        )
        seen = sight(views, call.prefixes, plan, usage, at_s=int(call.at_s))
        settle(self._states[call.owner[0]], self._kin[call.owner], seen)


class Informed:
    """The same arithmetic with the true odds, and with what is live known exactly."""

    def __init__(self, ratios: Ratios, min_tokens: int) -> None:
        self._ratios, self._min_tokens = ratios, min_tokens
        self._until: dict[tuple[str, bytes], tuple[float, int]] = {}
        self._plans: dict[int, MarkerPlan] = {}

    def decide(self, call: Call) -> Marks:
        """Plan with the true odds."""
        views = [self._view(call, spot) for spot in call.prefixes.spots]
        plan = plan_markers(
            views,
            self._ratios,
            min_tokens=self._min_tokens,
            input_tokens=round(call.tokens),
            marker_count=0,
        )
        self._plans[id(call)] = plan
        return marks_of(call, plan)

    def _view(self, call: Call, spot: Spot) -> View:
        until_s, ttl_s = self._until.get((call.owner[0], spot.digest), (0.0, 0))
        live_s = ttl_s if until_s > call.at_s else 0
        return View(spot, spot.size / BYTES_PER_TOKEN, live_s, call.truth(spot.kin), is_known=True)

    def learn(self, call: Call, metered: Metered) -> None:  # noqa: ARG002 - it knows already
        """Note what is live now."""
        plan = self._plans.pop(id(call))
        marked = {marker.view.spot.digest: marker for marker in plan.markers}
        if plan.read is not None:
            key = call.owner[0], plan.read.spot.digest
            self._until[key] = (call.at_s + self._until[key][1], self._until[key][1])
        for digest, marker in marked.items():
            key = call.owner[0], digest
            ttl_s = marker.view.live_s or TTL_S[marker.ttl]
            self._until[key] = (call.at_s + ttl_s, ttl_s)


def marks_of(call: Call, plan: MarkerPlan) -> Marks:
    """Return a plan's breakpoints as indexes of the call's spots."""
    index = {spot.digest: at for at, spot in enumerate(call.prefixes.spots)}
    return [(index[marker.view.spot.digest], marker.ttl) for marker in plan.markers]


def every_policy(ratios: Ratios, min_tokens: int) -> dict[str, Policy]:
    """Return all policies, the fixed ones first."""
    fixed: dict[str, Policy] = {name: Fixed(**given) for name, given in FIXED.items()}
    return {
        **fixed,
        PLANNER: Planned(ratios, min_tokens),
        INFORMED: Informed(ratios, min_tokens),
    }


PLANNER, INFORMED = "planner", "knows the rates"
