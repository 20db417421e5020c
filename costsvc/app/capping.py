"""Holding for an attempt; where a soft budget is full, for one on the tier that it caps at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from costsvc.app.attempt import Attempt
from costsvc.app.holding import Holding
from costsvc.app.planner import Planner
from costsvc.app.reserved import Reserved


async def hold_capped(
    holding: Holding,
    planner: Planner,
    new_id: Callable[[], str],
    attempt: Attempt,
    until: datetime | None = None,
) -> tuple[Attempt, Reserved]:
    """Return the attempt that is held for, and what it holds; raise what `Holding.hold` raises."""
    reserved = await holding.hold(attempt, until)
    request, decision, cap = attempt.plan.request, attempt.plan.decision, reserved.cap_tier
    if cap is None or decision.tier is None or decision.tier <= cap or request.model:
        return attempt, reserved
    await holding.release(reserved)
    capped = replace(request, min_tier=min(request.min_tier, cap), max_tier=min(request.max_tier, cap))
    plan = planner.plan(capped, attempt.tenant, attempt.started_at, attempt.plan.pin)
    attempt = replace(attempt, response_id=new_id(), plan=plan)
    return attempt, await holding.hold(attempt, until)
