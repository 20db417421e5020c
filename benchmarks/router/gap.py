"""How much of the gap between a cheap and a strong model a score recovers, at every share of strong calls.

APGR is the area under that curve: 0.5 for a blind choice, 1 for a perfect one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

TIE_BREAKS = 3
RESAMPLES = 200


def recovered(cheap: Floats, strong: Floats, score: Floats, rng: np.random.Generator) -> Floats:
    """Return the share of the gap recovered after 0, 1, ... strong calls, highest scores first."""
    order = np.lexsort((rng.random(len(score)), -score))
    gained = np.concatenate(([0.0], np.cumsum((strong - cheap)[order])))
    return gained / gained[-1]


def apgr(cheap: Floats, strong: Floats, score: Floats, seed: int = 0) -> float:
    """Return the average performance gap recovered."""
    rng = np.random.default_rng(seed)
    curves = [recovered(cheap, strong, score, rng) for _ in range(TIE_BREAKS)]
    return float(np.mean([np.trapezoid(curve, dx=1 / len(score)) for curve in curves]))


def apgr_range(cheap: Floats, strong: Floats, score: Floats, seed: int = 0) -> tuple[float, float]:
    """Return the central 95 % of the APGR over resampled prompts."""
    rng, found = np.random.default_rng(seed), []
    for _ in range(RESAMPLES):
        rows = rng.integers(0, len(score), len(score))
        if strong[rows].mean() > cheap[rows].mean():
            curve = recovered(cheap[rows], strong[rows], score[rows], rng)
            found.append(np.trapezoid(curve, dx=1 / len(score)))
    low, high = np.percentile(found, [2.5, 97.5])
    return float(low), float(high)


def strong_share(cheap: Floats, strong: Floats, score: Floats, part: float) -> float:
    """Return the least share of strong calls that recovers a part of the gap (CPT)."""
    curve = recovered(cheap, strong, score, np.random.default_rng(0))
    return float(np.argmax(curve >= part)) / len(score)


def saving(cheap: Floats, strong: Floats, score: Floats, *, ratio: float, kept: float) -> float:
    """Return what the fewest strong calls that keep a part of the quality save against always-strong."""
    order = np.lexsort((np.random.default_rng(0).random(len(score)), -score))
    quality = cheap.mean() + np.concatenate(([0.0], np.cumsum((strong - cheap)[order]))) / len(score)
    enough = np.flatnonzero(quality >= kept * strong.mean() - 1e-9)
    share = enough[0] / len(score) if len(enough) else 1.0
    return float((1 - share) * (1 - 1 / ratio))


def mix_saving(cheap: Floats, strong: Floats, *, ratio: float, kept: float) -> float:
    """Return what a blind share of cheap calls saves at the same quality."""
    gap = strong.mean() - cheap.mean()
    share = 1.0 if gap <= 0 else min(1.0, strong.mean() * (1 - kept) / gap)
    return float(share * (1 - 1 / ratio))
