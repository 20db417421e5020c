"""What a caller who calls the provider itself needs to know beside the decision."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from costsvc.app.plan import Plan
from costsvc.app.planner import Planner
from costsvc.core.batchable import is_batchable
from costsvc.core.candidates import Candidate
from costsvc.core.why_unmarked import too_short


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """The models that were not chosen, and what the call is expected to cost in a batch.

    `batch_cost_nano_usd` is None where the request does not belong into one. `why_unmarked` says why no
    breakpoints were planned, where none were.
    """

    alternatives: tuple[Candidate, ...]
    batch_cost_nano_usd: int | None
    why_unmarked: tuple[str, ...] = ()


def advise(planner: Planner, plan: Plan, tenant: str, at: datetime, *, with_alternatives: bool) -> Advice:
    """Return what goes with a plan; alternatives cost as much as a decision, so they are asked for."""
    return Advice(
        alternatives=_alternatives(planner, plan, tenant, at) if with_alternatives else (),
        batch_cost_nano_usd=planner.batch_cost_nano_usd(plan) if is_batchable(plan.request) else None,
        why_unmarked=(_why_unmarked(planner, plan, tenant),) if plan.markers is None else (),
    )


def _why_unmarked(planner: Planner, plan: Plan, tenant: str) -> str:
    """Say why no breakpoints were planned: whoever knows that a prompt is not for the cache asks no store."""
    if plan.request.caller_markers_only:
        return "the request leaves breakpoints to its caller"
    if not planner.marks(plan.request):
        return "the policy leaves breakpoints to callers"
    model = plan.decision.model
    tokens = planner.expect_input(tenant, model, plan.levers.content).expected
    if tokens < model.min_cacheable_tokens:
        return too_short(tokens, model.min_cacheable_tokens, model.id)
    return "no part of the prompt can have a breakpoint"


def _alternatives(planner: Planner, plan: Plan, tenant: str, at: datetime) -> tuple[Candidate, ...]:
    """Return every other model of the policy: those that can answer by their cost, then the rest."""
    others = (name for name in planner.policy.models if name != plan.decision.model.id)
    found = (planner.consider(plan, name, tenant, at) for name in others)
    return tuple(sorted(found, key=lambda each: (bool(each.ruled_out), each.expected_cost_nano_usd)))
