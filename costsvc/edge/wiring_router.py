"""Puts the parts of the local score together."""

from __future__ import annotations

from dataclasses import dataclass

from costsvc.app.learner import Learner
from costsvc.app.local_scores import LocalScores
from costsvc.app.outcomes import Outcomes
from costsvc.app.policies import PolicyInForce
from costsvc.core.scoring import read_prior
from costsvc.data import read_text
from costsvc.metrics import Metrics
from costsvc.ports import SystemClock
from costsvc.store.fits import FitBook
from costsvc.store.outcomes import OutcomeBook
from costsvc.store.pairs import PairBook


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterParts:
    """What scores, what keeps answered prompts, what takes outcomes, and pairs of answers."""

    scores: LocalScores
    learner: Learner
    outcomes: Outcomes
    pairs: PairBook


def wire_router(
    book: OutcomeBook, fits: FitBook, pairs: PairBook, policy_in_force: PolicyInForce, metrics: Metrics
) -> RouterParts:
    """Return the parts."""
    learner = Learner(book, metrics)
    scale, _ = read_prior(read_text("score_prior.json"))
    outcomes = Outcomes(
        book=book,
        fits=fits,
        pairs=pairs,
        learner=learner,
        policy=lambda: policy_in_force.policy,
        clock=SystemClock(),
    )
    return RouterParts(scores=LocalScores(fits, scale), learner=learner, outcomes=outcomes, pairs=pairs)
