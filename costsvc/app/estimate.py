"""What a request would cost, on one model or on all of the policy's: expected, upper and worst."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from costsvc.app.plan import Plan
from costsvc.app.planner import Planner
from costsvc.core.candidates import tier_of
from costsvc.core.catalog import Model
from costsvc.core.prospect import Range, cost_range
from costsvc.core.request import Tier
from costsvc.core.routing import Decision

__all__ = ["Estimate", "Estimator", "ModelEstimate", "Range"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEstimate:
    """Tokens, and nano-USD for standard and batch calls; warm = the marked prefix is read from the cache."""

    model: Model
    tier: Tier | None
    input_tokens: Range
    output_tokens: Range
    standard_cold: Range
    standard_warm: Range
    batch_cold: Range
    batch_warm: Range


@dataclass(frozen=True, slots=True)
class Estimate:
    """Estimates, the chosen model's first, and the decision that chose it."""

    models: tuple[ModelEstimate, ...]
    decision: Decision


class Estimator:
    """The use case behind Estimate."""

    def __init__(self, planner: Planner) -> None:
        self._planner = planner

    def estimate(self, plan: Plan, tenant: str, *, all_candidates: bool, at: datetime) -> Estimate:
        """Estimate what has been planned."""
        chosen = self._on(plan.decision.model, plan, tenant, at)
        others = sorted(self._others(plan, tenant, at), key=_expected_cost) if all_candidates else ()
        return Estimate((chosen, *others), plan.decision)

    def _others(self, plan: Plan, tenant: str, at: datetime) -> Iterable[ModelEstimate]:
        for name in self._planner.policy.models:
            if name != plan.decision.model.id:
                yield self._on(self._planner.catalog.models[name], plan, tenant, at)

    def _on(self, model: Model, plan: Plan, tenant: str, at: datetime) -> ModelEstimate:
        prospect = self._planner.foresee(plan, tenant, model)

        def cost(*, batch: bool, warm: bool) -> Range:
            return cost_range(self._planner.catalog, prospect, at=at, batch=batch, warm=warm)

        return ModelEstimate(
            model=model,
            tier=tier_of(model.id, self._planner.policy),
            input_tokens=prospect.input_tokens,
            output_tokens=prospect.output_tokens,
            standard_cold=cost(batch=False, warm=False),
            standard_warm=cost(batch=False, warm=True),
            batch_cold=cost(batch=True, warm=False),
            batch_warm=cost(batch=True, warm=True),
        )


def _expected_cost(estimate: ModelEstimate) -> int:
    return estimate.standard_cold.expected
