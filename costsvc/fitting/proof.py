"""Whether a fitted score saves money at equal quality: against the best mix of single tiers.

A mix needs no score: it sends a share of calls, picked blindly, to each of two tiers. It is the honest rival
of a router: where prompts say nothing about difficulty, a router is a mix with extra steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from costsvc.core.local_score import Proof, Routed, best, worth_of
from costsvc.core.scoring import Scale, Weights, gains
from costsvc.fitting.ridge import Example, fit

FOLDS = 5
RESAMPLES = 500
LOWER_PERCENTILE = 5.0
PRICES = np.concatenate(([0.0], np.geomspace(1e-3, 2.0, 150)))
"""What is tried as the quality that a call at the dearest tier's cost must gain."""

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]


def prove(
    scale: Scale,
    prior: Weights,
    examples: Sequence[Example],
    costs: Mapping[int, float],
    *,
    quality_floor: float,
    seed: int = 0,
) -> Proof | None:
    """Return what the score is worth, each example judged by a fit that has not seen it; None without any.

    `costs` are those of one call by tier, in any unit; only examples that know the quality of all these tiers
    count. `quality_floor` is the share of the best tier's quality that must be kept.
    """
    tiers = sorted(costs)
    complete = [each for each in examples if all(each.qualities[tier] is not None for tier in tiers)]
    if len(complete) < FOLDS:
        return None
    rng = np.random.default_rng(seed)
    fold = rng.permutation(len(complete)) % FOLDS
    worth = _unseen_worth(scale, prior, complete, fold)[:, tiers]
    quality = np.array([[each.qualities[tier] for tier in tiers] for each in complete], dtype=float)
    cost = np.array([costs[tier] for tier in tiers]) / max(costs.values())
    chosen, price = _choose_unseen(worth, quality, cost, quality_floor, fold)
    drawn = (rng.integers(0, len(complete), len(complete)) for _ in range(RESAMPLES))
    advantages = [routed(chosen[rows], quality[rows], cost).advantage for rows in drawn]
    return Proof(
        example_count=len(complete),
        quality_floor=quality_floor,
        best_quality=float(quality.mean(axis=0).max()),
        routed=routed(chosen, quality, cost),
        advantage_lower=float(np.percentile(advantages, LOWER_PERCENTILE)),
        price=price,
    )


def routed(chosen: Whole, quality: Floats, cost: Floats) -> Routed:
    """Return what choosing a column for each row comes to."""
    reached = float(quality[np.arange(len(chosen)), chosen].mean())
    return Routed(
        quality=reached,
        cost_share=float(cost[chosen].mean()),
        mix_cost_share=mix_cost(quality.mean(axis=0), cost, reached),
    )


def mix_cost(qualities: Floats, costs: Floats, wanted: float) -> float:
    """Return the least cost at which single tiers, or two of them mixed blindly, reach a quality.

    A quality beyond the best tier's costs what the best tier costs: nothing blind reaches it.
    """
    wanted = min(wanted, float(qualities.max()))
    single = [float(cost) for quality, cost in zip(qualities, costs, strict=True) if quality >= wanted]
    mixed = [
        float(
            costs[low]
            + (costs[high] - costs[low]) * (wanted - qualities[low]) / (qualities[high] - qualities[low])
        )
        for low, high in combinations(range(len(costs)), 2)
        if qualities[low] < wanted < qualities[high]
    ]
    return min(single + mixed)


def choose(worth: Floats, cost: Floats, price: float) -> Whole:
    """Return for each row what a decision at this price would choose."""
    costs = cost.tolist()
    return np.array([best(row, costs, price) for row in worth.tolist()], dtype=np.int64)


def _choose_unseen(
    worth: Floats, quality: Floats, cost: Floats, floor: float, fold: Whole
) -> tuple[Whole, float]:
    """Choose for each fold at the price that would have been right for the others."""
    chosen, prices = np.empty(len(worth), dtype=np.int64), []
    for n in range(FOLDS):
        prices.append(_price(worth[fold != n], quality[fold != n], cost, floor))
        chosen[fold == n] = choose(worth[fold == n], cost, prices[-1])
    return chosen, float(np.median(prices))


def _price(worth: Floats, quality: Floats, cost: Floats, floor: float) -> float:
    """Return the highest price that keeps the wanted share of the best tier's quality."""
    wanted = floor * quality.mean(axis=0).max()
    kept = [price for price in PRICES if routed(choose(worth, cost, price), quality, cost).quality >= wanted]
    return float(max(kept, default=0.0))


def _unseen_worth(scale: Scale, prior: Weights, examples: Sequence[Example], fold: Whole) -> Floats:
    """Return of each tier what it is worth over the lowest, by a fit to the other folds."""
    worth = np.zeros((len(examples), len(examples[0].qualities)))
    for n in range(FOLDS):
        weights = fit(scale, prior, [each for each, k in zip(examples, fold, strict=True) if k != n])
        for row in np.flatnonzero(fold == n).tolist():
            worth[row] = worth_of(gain.total for gain in gains(weights, scale, examples[row].features))
    return worth
