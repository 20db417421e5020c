"""Fits the score of one tenant's task to its outcomes, and proves it, or says why it cannot."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from statistics import fmean

from costsvc.core.catalog import Catalog
from costsvc.core.local_score import Fit
from costsvc.core.pricing import price
from costsvc.core.scoring import Scale, Weights
from costsvc.core.usage import Usage
from costsvc.fitting.proof import prove
from costsvc.fitting.ridge import Example, fit


def fit_task(
    scale: Scale,
    prior: Weights,
    examples: Sequence[Example],
    catalog: Catalog,
    *,
    models: tuple[str, ...],
    mean_usage: Usage,
    quality_floor: float,
    at: datetime,
) -> Fit:
    """Return the score of a task with its proof; `models` answer for the tiers, lowest first.

    Costs are those of `mean_usage` at the prices of `at`. There must be an example.
    """
    costs = [price(catalog, model, mean_usage, at=at).nano_usd for model in models]
    return Fit(
        weights=fit(scale, prior, examples),
        proof=prove(scale, prior, examples, dict(enumerate(costs)), quality_floor=quality_floor),
        models=models,
        cost_shares=tuple(cost / max(costs) for cost in costs),
        mean_input_tokens=mean_usage.prompt_tokens,
        mean_output_tokens=mean_usage.output_tokens,
        outcome_count=len(examples),
        fitted_at=at,
    )


def mean_usage(usages: Sequence[Usage]) -> Usage:
    """Return the tokens of a middling call, nothing cached, at least one of each kind."""
    return Usage(
        input_tokens=max(round(fmean(usage.prompt_tokens for usage in usages)), 1),
        output_tokens=max(round(fmean(usage.output_tokens for usage in usages)), 1),
    )
