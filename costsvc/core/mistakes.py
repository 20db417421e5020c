"""How wrong near-identical answers may be, by how many of them were reported as mistakes."""

from __future__ import annotations

from fractions import Fraction
from math import exp, lgamma, log

CONFIDENCE = 0.95
_STEPS = 60


def mistake_bound(mistake_count: int, served_count: int) -> float:
    """Return the share of mistakes that is not exceeded with 95 % confidence (one-sided Clopper-Pearson).

    It is 1 as long as nothing was served, and about 3 / n after n answers without a mistake.
    """
    if mistake_count >= served_count:
        return 1.0
    low, high = mistake_count / served_count, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if _at_most(mistake_count, served_count, middle) > 1 - CONFIDENCE:
            low = middle
        else:
            high = middle
    return high


def is_too_wrong(mistake_count: int, served_count: int, most: Fraction) -> bool:
    """Tell whether near-identical answers must not be served any more.

    Without a known mistake they are; with one, only as long as the bound stays within the operator's.
    """
    return mistake_count > 0 and mistake_bound(mistake_count, served_count) > most


def _at_most(successes: int, trials: int, share: float) -> float:
    """Return the chance of at most so many successes."""
    if share >= 1:
        return 0.0
    return sum(_exactly(count, trials, share) for count in range(successes + 1))


def _exactly(successes: int, trials: int, share: float) -> float:
    ways = lgamma(trials + 1) - lgamma(successes + 1) - lgamma(trials - successes + 1)
    return exp(ways + successes * log(share) + (trials - successes) * log(1 - share))
