"""Which cache breakpoints a request gets: those that are expected to pay, at most four, and for how long.

    views = weigh_spots(prefixes, states, kin, input_tokens=..., now_s=...)
    plan = plan_markers(views, ratios, min_tokens=...)
    members = mark(request, plan.ours)                     core/marking: what changes in the body
    seen = sight(views, plan, read_tokens=..., ...)        core/sightings: after the answer, for `settle`

All of it counts in input tokens at the plain price: multiply by the input rate for money. A prefix that
comes again within its time with chance h pays for being written if h > 0.25/(1.25 - r) at 5 minutes and if
h > 1/(2 - r) at an hour, r being the model's read ratio (Claude docs: prompt caching, pricing). Prefixes
are nested: whatever uses a longer one uses the shorter ones, so a breakpoint is worth its segment, the
tokens between it and the one before. What lies in front of the longest live entry is read, not written, so
a new hour-long entry on top of live ones costs its own segment only and keeps everything below it for the
hour.

The caller's breakpoints are counted, kept where they are, and their order is kept too: an hour before 5
minutes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from costsvc.core.arrangement import Case, Option, Ratios, View
from costsvc.core.odds import UNLIKELY, Odds, foresee, inherited, known_of
from costsvc.core.prefixes import HISTORY, LOOK_BACK_POSITIONS, MOST_MARKERS, TAIL, Prefixes
from costsvc.core.rates import Rates
from costsvc.core.reuse import FIVE_MINUTES_S, ONE_HOUR_S, Reuse

_SURELY_S = 2
"""So long before its end an entry no longer counts on: the request reaches the provider a little later."""

_LEAST = 1e-3
_DOUBT = 1.1
"""What a write must bring for what it costs more than plain input: less is within the error of the odds."""


class Marker(NamedTuple):
    """A breakpoint: where, "5m" or "1h", and whether the caller placed it."""

    view: View
    ttl: str
    is_callers: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkerPlan:
    """The breakpoints of a request, the caller's among them, in prompt order.

    `read` is what they are expected to read, None where nothing is live. In input tokens: what the prompt
    costs without any breakpoint, what it costs now, and what later calls are expected to save by what this
    one keeps.
    """

    markers: tuple[Marker, ...] = ()
    read: View | None = None
    plain_tokens: float = 0.0
    cost_tokens: float = 0.0
    later_tokens: float = 0.0

    @property
    def ours(self) -> tuple[Marker, ...]:
        """The breakpoints that costsvc adds."""
        return tuple(marker for marker in self.markers if not marker.is_callers)

    @property
    def one_hour(self) -> bool:
        """Whether some breakpoint asks for an hour."""
        return any(marker.ttl == "1h" for marker in self.markers)


def ratios_of(rates: Rates) -> Ratios:
    """Return a model's ratios; of what is free, nothing is worth a breakpoint."""
    plain = rates.input_pico_usd
    if not plain:
        return Ratios(1.0, 1.0, 1.0)
    return Ratios(
        rates.cache_read_pico_usd / plain,
        rates.cache_write_5m_pico_usd / plain,
        rates.cache_write_1h_pico_usd / plain,
    )


def weigh_spots(
    prefixes: Prefixes,
    states: Mapping[bytes, Reuse],
    kin: Mapping[str, Reuse],
    *,
    input_tokens: int,
    now_s: int,
) -> list[View]:
    """Return what the statistics say of each spot; `input_tokens` is what the prompt is expected to have.

    The end of an earlier turn that nobody has seen is left out: what is between what is known and the end
    of the prompt will be written with the latter.
    """
    each = input_tokens / max(prefixes.size, 1)
    kinds = {name: known_of(kin.get(name), name) for name in prefixes.kin}
    parent: Reuse | None = None
    views = []
    for spot in prefixes.spots:
        own = states.get(spot.digest)
        live_s, name, leaned = 0, spot.kin, own
        if own is not None:
            if own.kin == TAIL:
                parent = own
            if own.kin in kinds:
                name = own.kin
            if own.warm_until_s > now_s + _SURELY_S:
                live_s = ONE_HOUR_S if own.one_hour else FIVE_MINUTES_S
        elif spot.kin == TAIL:
            leaned = inherited(parent)
        elif spot.kin == HISTORY and not spot.marker:
            continue
        if (
            own is not None and own.kin == TAIL and not own.counted
        ):  # continued: what comes uses the later one
            if not live_s and not spot.marker:
                continue
            odds = UNLIKELY
        else:
            odds = foresee(leaned, kinds[name], now_s)
        views.append(View(spot, spot.size * each, live_s, odds, own is not None))
    return views


def plan_markers(
    views: Sequence[View],
    ratios: Ratios,
    *,
    min_tokens: int,
    input_tokens: int,
    marker_count: int,
    batch: bool = False,
    may_add: bool = True,
) -> MarkerPlan:
    """Return the breakpoints that minimise the expected cost of this prompt and of those to come.

    `min_tokens` is the length below which the model caches nothing, `marker_count` that of all the caller's
    own. In a `batch`, whose items come late and in no order, ours ask for an hour. Without `may_add` there
    are none.
    """
    options = _options(views, ratios, min_tokens)
    callers = [option for option in options if option.ttl]
    lives = [option for option in options if option.live_s]
    case = Case(lives, ratios, float(input_tokens), batch)
    best = case.arrange(callers)
    free = MOST_MARKERS - marker_count
    if may_add and free > 0 and best is not None:
        best = case.improve(best, _worth_marking(options, case), free)
    if best is None:  # the caller's own cannot be accepted: the provider will say so
        return MarkerPlan(plain_tokens=input_tokens, cost_tokens=input_tokens)
    return MarkerPlan(
        markers=tuple(
            Marker(option.view, ttl, bool(option.ttl))
            for option, ttl in zip(best.chain, best.ttls, strict=True)
        ),
        read=best.read.view if best.read else None,
        plain_tokens=float(input_tokens),
        cost_tokens=best.cost,
        later_tokens=best.later,
    )


def _options(views: Sequence[View], ratios: Ratios, min_tokens: int) -> list[Option]:
    """Return the spots that are long enough, in prompt order.

    Whatever uses a longer prefix uses the shorter one: so the shorter one is worth no less.
    """
    soon = between = 0.0
    found = []
    for view in reversed(views):
        if view.tokens < min_tokens and not view.spot.marker:
            continue
        worth = worth_of(view.odds, ratios)
        soon, between = max(soon, worth[0]), max(between, worth[1])
        spot = view.spot
        found.append(Option(view, spot.position, view.tokens, view.live_s, soon, between, spot.marker))
    found.reverse()
    return found


def worth_of(odds: Odds, ratios: Ratios) -> tuple[float, float]:
    """Return what a live entry saves later calls per token: for 5 minutes, and by lasting an hour instead.

    The next use reads what it would have written, or paid, otherwise. An hour-long entry also outlives the
    longer gaps: it counts how many of them come before one of more than an hour, each of which spares
    another write, or how likely there is one, which would have been the time for an hour-long write.
    """
    saved, most_5m = 1 - ratios.read, ratios.write_5m - ratios.read
    soon, hour, soon_s, hour_s, soon_m, hour_m = odds
    read_5m = min(most_5m, saved / max(1 - soon_s, _LEAST))
    ends_s, ends_m = max(1 - soon_s, _LEAST), max(1 - hour_m, _LEAST)
    # After a short gap `gaps_s` longer ones are to come, after a longer one `gaps_m`.
    gaps_s = hour_s / max(ends_s - hour_s * soon_m / ends_m, _LEAST) * (1 + hour_m / ends_m)
    gaps_m = (soon_m * gaps_s + hour_m) / ends_m
    gaps = soon * gaps_s + hour * (1 + gaps_m)
    any_gap = soon * hour_s / ends_s + hour
    read_m = min(most_5m, saved * (1 + (soon_m + hour_m) / max(1 - soon_m - hour_m, _LEAST)))
    return soon * read_5m, min(gaps * read_m, any_gap * (ratios.write_1h - ratios.read))


def _worth_marking(options: Sequence[Option], case: Case) -> list[Option]:
    """Return what could pay beside the caller's own: the ends of segments that are worth something."""
    read = case.lives[-1] if case.lives else None
    below = read.tokens if read else 0.0
    ratios, found = case.ratios, list[Option]()
    deeper: Option | None = None
    for option in reversed(options):
        if option.ttl:
            deeper = option
            continue
        if deeper is not None and option.soon <= deeper.soon and option.between <= deeper.between:
            in_reach = deeper.position - option.position < LOOK_BACK_POSITIONS
            if option is not read or in_reach:
                continue
        above = option.tokens - below
        gain_5m = option.soon - (ratios.write_5m - 1) * _DOUBT
        gain_1h = option.soon + option.between - (ratios.write_1h - 1) * _DOUBT
        if option.live_s or max(gain_5m, gain_1h) > 0 or above * gain_1h + below * option.between > 0:
            found.append(option)
            deeper = option
    found.reverse()
    return found
