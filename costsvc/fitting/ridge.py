"""Fits the score of one task to outcomes: ridge regression around the prior.

The fit is solved in the space of the examples (some hundreds), not of the features (some thousands).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from costsvc.core.features import BUCKETS, Features
from costsvc.core.scoring import BOUNDARIES, GainWeights, Scale, Weights, quantized

PRIOR_SHARE = 0.7
"""How much of the prior's slopes is believed before an outcome is seen."""

COUNT_VARIANCE = 0.04
GRAM_VARIANCE = 0.15
"""How far weights may move from the prior, relative to an outcome's noise; chosen on public data sets."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One prompt with the quality, 0 to 1, of each tier's answer, lowest tier first; None is not known."""

    features: Features
    qualities: tuple[float | None, ...]


def fit(scale: Scale, prior: Weights, examples: Sequence[Example]) -> Weights:
    """Return weights for prompts like these; a boundary that no example crosses keeps the prior."""
    counts = np.array([scale.standard(each.features.counts) for each in examples])
    grams = _grams(examples)
    kernel = COUNT_VARIANCE * (counts @ counts.T) / max(counts.shape[1], 1)
    kernel += GRAM_VARIANCE * (grams @ grams.T)
    return Weights(
        gains=tuple(
            _fit_boundary(before, counts, grams, kernel, _observed_gains(examples, boundary))
            for boundary, before in enumerate(prior.gains)
        )
    )


def fit_prior(scale: Scale, groups: Sequence[Sequence[Example]], *, shrinkage: float = 1_000.0) -> Weights:
    """Return weights of counts alone that hold across groups of prompts, each weighing the same."""
    return Weights(gains=tuple(_fit_prior(scale, groups, n, shrinkage) for n in range(BOUNDARIES)))


def scale_of(groups: Sequence[Sequence[Example]]) -> Scale:
    """Return mean and deviation of each count over all examples."""
    counts = np.array([each.features.counts for group in groups for each in group])
    deviations = counts.std(axis=0) + 1e-6
    return Scale(means=tuple(counts.mean(axis=0).tolist()), deviations=tuple(deviations.tolist()))


def _fit_boundary(
    before: GainWeights, counts: Floats, grams: Floats, kernel: Floats, gain: Floats
) -> GainWeights:
    known = ~np.isnan(gain)
    if not known.any():
        return before
    slopes = PRIOR_SHARE * np.array(before.counts)
    rest = gain[known] - counts[known] @ slopes
    intercept = float(rest.mean())
    inner = kernel[np.ix_(known, known)] + np.eye(int(known.sum()))
    pull = np.zeros(len(known))
    pull[known] = np.linalg.solve(inner, rest - intercept)
    moved = COUNT_VARIANCE * (counts.T @ pull) / counts.shape[1]
    whole, unit = quantized((GRAM_VARIANCE * (grams.T @ pull)).tolist())
    return GainWeights(
        intercept=intercept, counts=tuple((slopes + moved).tolist()), grams=whole, gram_unit=unit
    )


def _fit_prior(
    scale: Scale, groups: Sequence[Sequence[Example]], boundary: int, shrinkage: float
) -> GainWeights:
    size = len(scale.means)
    squares, products, averages = np.zeros((size, size)), np.zeros(size), []
    for group in groups:
        gain = _observed_gains(group, boundary)
        known = ~np.isnan(gain)
        if not known.any():
            continue
        counts = np.array([scale.standard(each.features.counts) for each in group])[known]
        weight = 1_000 / int(known.sum())
        squares += weight * counts.T @ counts
        products += weight * counts.T @ (gain[known] - gain[known].mean())
        averages.append(float(gain[known].mean()))
    slopes = np.linalg.solve(squares + shrinkage * np.eye(size), products)
    whole, unit = quantized([0.0] * BUCKETS)
    intercept = sum(averages) / len(averages) if averages else 0.0
    return GainWeights(intercept=intercept, counts=tuple(slopes.tolist()), grams=whole, gram_unit=unit)


def _observed_gains(examples: Sequence[Example], boundary: int) -> Floats:
    """Return what crossing a boundary gained; a gain seen over two boundaries counts half for each."""
    return np.array([_observed_gain(each.qualities, boundary) for each in examples])


def _observed_gain(qualities: tuple[float | None, ...], boundary: int) -> float:
    known = [(tier, quality) for tier, quality in enumerate(qualities) if quality is not None]
    below = [pair for pair in known if pair[0] <= boundary]
    above = [pair for pair in known if pair[0] > boundary]
    if not (below and above):
        return float("nan")
    (low, worse), (high, better) = below[-1], above[0]
    return (better - worse) / (high - low)


def _grams(examples: Sequence[Example]) -> Floats:
    """Return one row a prompt, of length 1, with a column a bucket."""
    rows = np.zeros((len(examples), BUCKETS))
    for row, example in zip(rows, examples, strict=True):
        buckets = list(example.features.grams)
        row[buckets] = 1 / np.sqrt(max(len(buckets), 1))
    return rows
