"""A fit of the local score, as tests of what is done with one need it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from costsvc.core.local_score import Fit, Proof, Routed
from costsvc.core.scoring import Weights


def proved(weights: Weights, models: Sequence[str]) -> Fit:
    """Return a fit that may serve, of weights for the first models of the tiers."""
    routed = Routed(quality=0.88, cost_share=0.3, mix_cost_share=0.5)
    return Fit(
        weights=weights,
        proof=Proof(
            example_count=400,
            quality_floor=0.97,
            best_quality=0.9,
            routed=routed,
            advantage_lower=0.1,
            price=0.25,
        ),
        models=tuple(models),
        cost_shares=(0.025, 0.5, 1.0),
        mean_input_tokens=100,
        mean_output_tokens=50,
        outcome_count=400,
        fitted_at=datetime(2026, 11, 1, tzinfo=UTC),
    )
