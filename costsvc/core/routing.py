"""Which model answers: bounds and hints first, then the first model of the tier that can.

A decision names its reasons, what each candidate would be expected to cost, and the baseline against which
its saving counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from costsvc.core.catalog import Catalog, Model
from costsvc.core.constraints import Needs, ruled_out
from costsvc.core.errors import InvalidRequest, NoModelFits, Violation
from costsvc.core.policy import Policy, Sampling
from costsvc.core.pricing import price
from costsvc.core.request import ModelRequest, Tier
from costsvc.core.usage import Usage

RETIREMENT_NOTICE = timedelta(days=60)


@dataclass(frozen=True, slots=True)
class Reason:
    """One step of a decision: a stable code, and the step in words."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A model that was considered; `ruled_out` says why it cannot answer, "" when it can.

    `expected_cost_nano_usd` is 0 for a model that is ruled out. `tier` is None where no tier lists the model.
    """

    model: Model
    tier: Tier | None
    expected_cost_nano_usd: int
    ruled_out: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The model that answers, its baseline, and how it came to that. Costs are for an unmarked prompt."""

    model: Model
    tier: Tier | None
    baseline: Model
    candidates: tuple[Candidate, ...]
    reasons: tuple[Reason, ...]
    expected_cost_nano_usd: int
    expected_baseline_nano_usd: int

    def with_reasons(self, more: Iterable[Reason]) -> Decision:
        """Return the decision with further steps."""
        steps = tuple(more)
        if not steps:
            return self
        return Decision(
            model=self.model,
            tier=self.tier,
            baseline=self.baseline,
            candidates=self.candidates,
            reasons=(*self.reasons, *steps),
            expected_cost_nano_usd=self.expected_cost_nano_usd,
            expected_baseline_nano_usd=self.expected_baseline_nano_usd,
        )


def decide(
    request: ModelRequest,
    needs: Needs,
    policy: Policy,
    catalog: Catalog,
    *,
    expected: Callable[[Model], Usage],
    at: datetime,
) -> Decision:
    """Choose a model; `expected` estimates the tokens of this request on a model.

    Raises:
        UnknownModel: the pinned model is not in the catalogue.
        InvalidRequest: the tier bounds exclude each other.
        NoModelFits: with every model's reason.
    """

    def consider_listed(model: Model, tier: Tier | None) -> Candidate:
        return consider(
            request, needs, policy, catalog, model=model, tier=tier, tokens=expected(model), at=at
        )

    listed, reasons = _listed(request, policy, catalog)
    candidates = _considered(consider_listed(model, tier) for model, tier in listed)
    chosen = candidates[-1]
    baseline = chosen.model if request.model else catalog.models[policy.baseline_model]
    baseline_nano_usd = chosen.expected_cost_nano_usd
    if baseline is not chosen.model:
        baseline_nano_usd = _cost_nano_usd(request, needs, catalog, baseline, expected(baseline), at)
    return Decision(
        model=chosen.model,
        tier=chosen.tier,
        baseline=baseline,
        candidates=candidates,
        reasons=(*reasons, *_passed_over(candidates, chosen), *_retirement(chosen.model, at)),
        expected_cost_nano_usd=chosen.expected_cost_nano_usd,
        expected_baseline_nano_usd=baseline_nano_usd,
    )


def consider(
    request: ModelRequest,
    needs: Needs,
    policy: Policy,
    catalog: Catalog,
    *,
    model: Model,
    tier: Tier | None,
    tokens: Usage,
    at: datetime,
) -> Candidate:
    """Return what a model would be expected to cost, or why it cannot answer."""
    problem = ruled_out(
        model,
        needs,
        input_tokens=tokens.prompt_tokens,
        sends_sampling=policy.sampling is not Sampling.DROP,
        at=at,
    )
    cost = 0 if problem else _cost_nano_usd(request, needs, catalog, model, tokens, at)
    return Candidate(model=model, tier=tier, expected_cost_nano_usd=cost, ruled_out=problem)


def fall_back(decision: Decision, candidate: Candidate, why: str) -> Decision:
    """Return the decision after the chosen model has failed, for another that can answer."""
    return replace(
        decision,
        model=candidate.model,
        tier=candidate.tier,
        candidates=(*decision.candidates, candidate),
        reasons=(*decision.reasons, Reason("fallback", f"{decision.model.id} {why}: {candidate.model.id}")),
        expected_cost_nano_usd=candidate.expected_cost_nano_usd,
    )


def tier_of(model_id: str, policy: Policy) -> Tier | None:
    """Return the lowest tier that lists a model, None where none does."""
    return next((tier for tier in Tier if model_id in policy.tiers[tier]), None)


def _listed(
    request: ModelRequest, policy: Policy, catalog: Catalog
) -> tuple[Iterable[tuple[Model, Tier | None]], list[Reason]]:
    """Return the models that may answer, in order of preference, and what led to them."""
    if request.model:
        model = catalog.resolve(request.model)
        return [(model, tier_of(model.id, policy))], [
            Reason("pinned_model", f"the caller asks for {model.id}")
        ]
    if request.baseline_only:
        model = catalog.models[policy.baseline_model]
        return [(model, tier_of(model.id, policy))], [
            Reason("baseline_requested", f"the caller asks for the baseline, {model.id}")
        ]
    tier, reasons = _tier(request, policy)
    tiers = (step for step in Tier if tier <= step <= request.max_tier)
    return ((catalog.models[name], step) for step in tiers for name in policy.tiers[step]), reasons


def _tier(request: ModelRequest, policy: Policy) -> tuple[Tier, list[Reason]]:
    """Return the lowest tier that should answer: the task's, within the caller's bounds."""
    if request.min_tier > request.max_tier:
        raise InvalidRequest(Violation("min_tier", "is above max_tier"))
    task = policy.tasks.get(request.task)
    if task is not None:
        wanted, reason = task.tier, Reason("task_hint", f"task {request.task} is {task.tier.label}")
    else:
        wanted = policy.default_tier
        cause = f"task {request.task} is not in the policy" if request.task else "no task is given"
        reason = Reason("default_tier", f"{cause}: {wanted.label}")
    tier = min(max(wanted, request.min_tier), request.max_tier)
    if tier is wanted:
        return tier, [reason]
    return tier, [reason, Reason("tier_bound", f"the caller's bounds make it {tier.label}")]


def _considered(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """Return the candidates up to the first that can answer: nobody needs the price of the rest."""
    considered: list[Candidate] = []
    for candidate in candidates:
        considered.append(candidate)
        if not candidate.ruled_out:
            return tuple(considered)
    raise NoModelFits({candidate.model.id: candidate.ruled_out for candidate in considered})


def _passed_over(candidates: tuple[Candidate, ...], chosen: Candidate) -> Iterable[Reason]:
    for candidate in candidates:
        if candidate is chosen:
            return
        yield Reason("ruled_out", f"{candidate.model.id} {candidate.ruled_out}")


def _retirement(model: Model, at: datetime) -> Iterable[Reason]:
    if model.retires_on and model.retires_on - at.date() <= RETIREMENT_NOTICE:
        replacement = model.replacement or "no model"
        yield Reason("model_retires", f"{model.id} retires on {model.retires_on}; {replacement} replaces it")


def _cost_nano_usd(  # noqa: PLR0917 - the circumstances of one price
    request: ModelRequest, needs: Needs, catalog: Catalog, model: Model, tokens: Usage, at: datetime
) -> int:
    geo_us = request.get("inference_geo") == "us"
    return price(catalog, model.id, tokens, at=at, fast=needs.fast, geo_us=geo_us).nano_usd
