"""What an answer says about its breakpoints: which prefixes were used, read and written.

    for seen in sight(views, prefixes, plan, ...): ...     as an argument of `reuse.settle`

The provider reports how many tokens were read, not of which entry: the one that was relied on, or the
nearest.
"""

from __future__ import annotations

from collections.abc import Sequence

from costsvc.core.arrangement import View
from costsvc.core.markers import MarkerPlan
from costsvc.core.prefixes import HISTORY, TAIL, Prefixes, Spot
from costsvc.core.reuse import FIVE_MINUTES_S, ONE_HOUR_S, Sighting
from costsvc.core.usage import Usage

_ENOUGH = 0.9
"""Of the tokens that an entry was estimated to hold: estimates of a part of a prompt are not exact."""


def sight(
    views: Sequence[View], prefixes: Prefixes, plan: MarkerPlan, usage: Usage, *, at_s: int
) -> list[Sighting]:
    """Return what a call saw of its prefixes, in prompt order; `at_s` is when its request was sent.

    Seen are all spots but the ends of earlier turns: of those only the last that is known, which this call
    continues, or where none is, the last one of all, which may be the end of what every call repeats.
    """
    chosen, parent = _chosen(prefixes, {view.spot.digest for view in views if view.is_known})
    marks = {marker.view.spot.digest: marker for marker in plan.markers}
    by_digest = {view.spot.digest: view for view in views}
    scale = usage.prompt_tokens / plan.plain_tokens if plan.plain_tokens else 0.0
    read = usage.cache_read_tokens / scale if scale else 0.0
    relied = plan.read.tokens if plan.read else 0.0
    reached = read + (usage.cache_write_5m_tokens + usage.cache_write_1h_tokens) / scale if scale else 0.0
    found = []
    for spot in chosen:
        view, mark = by_digest.get(spot.digest), marks.get(spot.digest)
        tokens = view.tokens if view else 0.0
        is_kept = mark is not None or (plan.read is not None and plan.read.spot.digest == spot.digest)
        tried = bool(view and view.live_s and is_kept and tokens <= relied)
        came = tried and read >= _ENOUGH * tokens
        until_s, hour = 0, False
        if view and is_kept and reached >= _ENOUGH * tokens and reached:
            hour = view.live_s == ONE_HOUR_S if came else bool(mark and mark.ttl == "1h")
            until_s = at_s + (ONE_HOUR_S if hour else FIVE_MINUTES_S)
        moves = spot is parent
        found.append(
            Sighting(
                digest=spot.digest,
                kin=spot.kin,
                at_s=at_s,
                parent=parent.digest if parent and spot.kin == TAIL else None,
                moves=moves,
                warm_until_s=until_s,
                one_hour=hour,
                tried=tried,
                read=came,
            )
        )
    return found


def _chosen(prefixes: Prefixes, known: set[bytes]) -> tuple[list[Spot], Spot | None]:
    """Return the spots that count, and the earlier turn that this request continues."""
    earlier = [spot for spot in prefixes.spots if spot.kin == HISTORY]
    seen = [spot for spot in earlier if spot.digest in known]
    parent = seen[-1] if seen else None
    kept = parent or (earlier[-1] if earlier else None)
    return [spot for spot in prefixes.spots if spot.kin != HISTORY or spot is kept], parent
