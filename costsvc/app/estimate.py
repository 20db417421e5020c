"""What a request would cost, on one model or on all of the policy's: expected, upper and worst."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from costsvc.app.plan import Plan, Planner
from costsvc.core.catalog import Model
from costsvc.core.pricing import price
from costsvc.core.prompt_cache import Prefix, marked_prefix
from costsvc.core.request import ModelRequest, Tier
from costsvc.core.routing import Decision, tier_of
from costsvc.core.tokens import estimate_input
from costsvc.core.usage import Usage


@dataclass(frozen=True, slots=True)
class Range:
    """Three values of one quantity: the best guess, one that few calls exceed, one that none can.

    `worst` is 0 where there is no such bound.
    """

    expected: int
    upper: int
    worst: int


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

    def estimate(self, request: ModelRequest, tenant: str, *, all_candidates: bool, at: datetime) -> Estimate:
        """Estimate a request as Route would plan it; raises what planning raises."""
        plan = self._planner.plan(request, tenant, at)
        chosen = self._on(plan.decision.model, plan, tenant, at)
        others = sorted(self._others(plan, tenant, at), key=_expected_cost) if all_candidates else ()
        return Estimate((chosen, *others), plan.decision)

    def _others(self, plan: Plan, tenant: str, at: datetime) -> Iterable[ModelEstimate]:
        for name in self._planner.policy.models:
            if name != plan.decision.model.id:
                yield self._on(self._planner.catalog.models[name], plan, tenant, at)

    def _on(self, model: Model, plan: Plan, tenant: str, at: datetime) -> ModelEstimate:
        bound = estimate_input(plan.content, model)
        read = self._planner.expect_input(tenant, model, plan.content)
        max_tokens = plan.needs.max_tokens
        written = self._planner.expect_output(tenant, model, plan.request.task, max_tokens)
        tokens = _Tokens(
            input=Range(read.expected, read.upper, bound.bound if bound.bounded else 0),
            output=Range(written.expected, written.upper, max_tokens),
            prefix=marked_prefix(plan.request, plan.breakpoint, model),
        )
        pricing = _Pricing(self._planner, model, plan, at)
        return ModelEstimate(
            model=model,
            tier=tier_of(model.id, self._planner.policy),
            input_tokens=tokens.input,
            output_tokens=tokens.output,
            standard_cold=pricing.range(tokens, batch=False, warm=False),
            standard_warm=pricing.range(tokens, batch=False, warm=True),
            batch_cold=pricing.range(tokens, batch=True, warm=False),
            batch_warm=pricing.range(tokens, batch=True, warm=True),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tokens:
    input: Range
    output: Range
    prefix: Prefix


class _Pricing:
    """Prices one request's tokens on one model."""

    def __init__(self, planner: Planner, model: Model, plan: Plan, at: datetime) -> None:
        self._catalog = planner.catalog
        self._model = model
        self._fast = plan.needs.fast
        self._geo = plan.request.get("inference_geo")
        self._at = at

    def range(self, tokens: _Tokens, *, batch: bool, warm: bool) -> Range:
        """Return expected, upper and worst cost in nano-USD."""
        pairs = (
            (tokens.input.expected, tokens.output.expected),
            (tokens.input.upper, tokens.output.upper),
        )
        geo_us = self._geo == "us"
        expected, upper = (
            self._cost(tokens.prefix.usage(read, written, warm=warm), batch=batch, geo_us=geo_us)
            for read, written in pairs
        )
        return Range(expected, upper, self._worst(tokens, batch=batch))

    def _worst(self, tokens: _Tokens, *, batch: bool) -> int:
        """Return what no call can exceed: nothing cached, everything marked written at the dearest rate.

        Without `inference_geo` the workspace's default applies, which may be the dearer one.
        """
        if not tokens.input.worst:
            return 0
        usage = tokens.prefix.worst(tokens.input.worst, tokens.output.worst)
        return self._cost(usage, batch=batch, geo_us=self._geo in {None, "us"})

    def _cost(self, usage: Usage, *, batch: bool, geo_us: bool) -> int:
        return price(
            self._catalog, self._model.id, usage, at=self._at, batch=batch, fast=self._fast, geo_us=geo_us
        ).nano_usd


def _expected_cost(estimate: ModelEstimate) -> int:
    return estimate.standard_cold.expected
