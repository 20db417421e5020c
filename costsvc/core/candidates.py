"""A model that may answer a request: whether it can, what it would be expected to cost, and why not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from costsvc.core.catalog import Catalog, Model
from costsvc.core.constraints import Needs, ruled_out
from costsvc.core.content import Content
from costsvc.core.local_score import Score
from costsvc.core.money import format_usd
from costsvc.core.policy import Policy, Sampling
from costsvc.core.pricing import price
from costsvc.core.request import ModelRequest, Tier
from costsvc.core.usage import Usage


@dataclass(frozen=True, slots=True)
class Reason:
    """One step of a decision: a stable code, and the step in words."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A request with all that a decision about it goes by.

    `expected` estimates its tokens on a model; `upper_nano_usd` is what few calls of it on a model exceed,
    nothing cached: what a budget would hold. `score` is what the local score says, if the task is learned.
    """

    request: ModelRequest
    tenant: str
    needs: Needs
    content: Content
    policy: Policy
    catalog: Catalog
    expected: Callable[[Model], Usage]
    upper_nano_usd: Callable[[Model], int]
    at: datetime
    score: Score | None = None

    def cost_nano_usd(self, model: Model, tokens: Usage, *, batch: bool = False) -> int:
        """Return the price of some tokens on a model, as the request wants it answered."""
        geo_us, fast = self.request.get("inference_geo") == "us", self.needs.fast
        cost = price(self.catalog, model.id, tokens, at=self.at, batch=batch, fast=fast, geo_us=geo_us)
        return cost.nano_usd


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A model that was considered; `ruled_out` says why it cannot answer, "" when it can.

    `expected_cost_nano_usd` is 0 for a model that is ruled out. `tier` is None where no tier lists the model.
    """

    model: Model
    tier: Tier | None
    expected_cost_nano_usd: int
    ruled_out: str


def consider(question: Question, model: Model, tier: Tier | None) -> Candidate:
    """Return what a model would be expected to cost, or why it cannot answer."""
    tokens = question.expected(model)
    problem = ruled_out(
        model,
        question.needs,
        input_tokens=tokens.prompt_tokens,
        sends_sampling=question.policy.sampling is not Sampling.DROP,
        zero_retention=question.policy.zero_retention,
        at=question.at,
    ) or _too_dear(question, model)
    cost = 0 if problem else question.cost_nano_usd(model, tokens)
    return Candidate(model=model, tier=tier, expected_cost_nano_usd=cost, ruled_out=problem)


def tier_of(model_id: str, policy: Policy) -> Tier | None:
    """Return the lowest tier that lists a model, None where none does."""
    return next((tier for tier in Tier if model_id in policy.tiers[tier]), None)


def _too_dear(question: Question, model: Model) -> str:
    """Say so where the call may well cost more than the caller wants to pay for it."""
    most_nano_usd = question.request.max_cost_nano_usd
    if not most_nano_usd:
        return ""
    upper_nano_usd = question.upper_nano_usd(model)
    if upper_nano_usd <= most_nano_usd:
        return ""
    return f"may cost {format_usd(upper_nano_usd)}, more than {format_usd(most_nano_usd)}"
