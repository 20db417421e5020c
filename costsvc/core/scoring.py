"""How much better each tier would answer than the one below, guessed from a prompt's features.

The guess is linear: so it takes microseconds, can be explained term by term, and a few hundred outcomes are
enough to fit it. Weights start from a prior that all callers share, which knows only counts; what the
outcomes of one tenant's task say is added to it. They decide nothing before they were shown to save money.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import repeat
from math import copysign, sqrt
from operator import mul, sub, truediv
from struct import Struct, error

from costsvc.core.features import BUCKETS, NAMES, VERSION, Features

BOUNDARIES = 2
"""Between three tiers: medium over simple, complex over medium."""

MAX_DEVIATIONS = 3.0
"""A count that is stranger than this counts as this strange."""

_LEAST_UNIT = 1e-30
"""What is smaller is no weight; its inverse may not even be a number."""

_TERMS = ("always", "words", *NAMES)

_MAGIC = b"CSW1"
_HEAD = Struct("<4sHHH")
_GAIN = Struct(f"<d{len(NAMES)}ff")


class WeightsUnreadable(ValueError):
    """The weights are of another version of the features, or damaged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Mean and deviation of each count over many prompts, in the order of `NAMES`."""

    means: tuple[float, ...]
    deviations: tuple[float, ...]

    def standard(self, counts: Sequence[float]) -> list[float]:
        """Return counts in deviations from their means."""
        found = map(truediv, map(sub, counts, self.means), self.deviations)
        return [
            each if -MAX_DEVIATIONS <= each <= MAX_DEVIATIONS else copysign(MAX_DEVIATIONS, each)
            for each in found
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class GainWeights:
    """Of one boundary: what each standard count adds, and each gram `gram_unit` times its whole number."""

    intercept: float
    counts: tuple[float, ...]
    grams: array[int]  # of int8, one a bucket
    gram_unit: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """A fitted score: one `GainWeights` a boundary, lowest first."""

    gains: tuple[GainWeights, ...]

    def to_bytes(self) -> bytes:
        """Return the weights for the store: about 17 KB."""
        head = _HEAD.pack(_MAGIC, VERSION, len(NAMES), BUCKETS)
        return head + b"".join(
            _GAIN.pack(gain.intercept, *gain.counts, gain.gram_unit) + gain.grams.tobytes()
            for gain in self.gains
        )


@dataclass(frozen=True, slots=True)
class Term:
    """What one feature adds to a gain; `name` is one of `NAMES`, `words` or `always`."""

    name: str
    amount: float


def read_weights(packed: bytes) -> Weights:
    """Return the weights that `Weights.to_bytes` packed.

    Raises:
        WeightsUnreadable: other features, or not weights.
    """
    try:
        shape = _HEAD.unpack_from(packed)
        size = _GAIN.size + BUCKETS
        if shape != (_MAGIC, VERSION, len(NAMES), BUCKETS) or len(packed) != _HEAD.size + BOUNDARIES * size:
            raise WeightsUnreadable(f"weights of features {shape[1]}, not {VERSION}")
        return Weights(gains=tuple(_read_gain(packed, _HEAD.size + n * size) for n in range(BOUNDARIES)))
    except error as cause:
        raise WeightsUnreadable("too short for weights") from cause


def read_prior(text: str) -> tuple[Scale, Weights]:
    """Return the scale of counts and the weights to start from.

    Raises:
        WeightsUnreadable: it is for other features.
    """
    data = json.loads(text)
    if data["features"] != VERSION or data["names"] != list(NAMES):
        raise WeightsUnreadable(f"a prior of features {data['features']}, not {VERSION}")
    scale = Scale(means=tuple(data["means"]), deviations=tuple(data["deviations"]))
    gains = tuple(
        GainWeights(
            intercept=gain["intercept"],
            counts=tuple(gain["counts"]),
            grams=array("b", bytes(BUCKETS)),
            gram_unit=0.0,
        )
        for gain in data["gains"]
    )
    return scale, Weights(gains=gains)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """How much better one tier would answer than the one below, in units of quality, 0 to 1, and by what.

    `counts` in the order of `NAMES`.
    """

    always: float
    words: float
    counts: tuple[float, ...]
    total: float

    def main_terms(self, most: int) -> list[Term]:
        """Return what the gain comes from, the largest first; together, all terms add up to it."""
        amounts = (self.always, self.words, *self.counts)
        size_of = tuple(map(abs, amounts)).__getitem__
        largest = sorted(range(len(amounts)), key=size_of, reverse=True)[:most]
        return [Term(_TERMS[at], amounts[at]) for at in largest]


def gains(weights: Weights, scale: Scale, found: Features) -> tuple[Gain, ...]:
    """Return how much better each tier would answer than the one below."""
    standard = scale.standard(found.counts)
    weight = 1 / sqrt(len(found.grams) or 1)
    return tuple(_gain(each, standard, found.grams, weight) for each in weights.gains)


def _gain(weights: GainWeights, standard: Sequence[float], grams: Iterable[int], weight: float) -> Gain:
    unit = weights.gram_unit
    words = unit * weight * sum([weights.grams[gram] for gram in grams]) if unit else 0.0
    counts = tuple(map(mul, weights.counts, standard))
    total = weights.intercept + sum(counts) + words
    return Gain(always=weights.intercept, words=words, counts=counts, total=total)


def quantized(values: Sequence[float]) -> tuple[array[int], float]:
    """Return gram weights as whole numbers from -127 to 127, and the unit that makes them weights again."""
    unit = max(map(abs, values), default=0.0) / 127
    if unit < _LEAST_UNIT:
        return array("b", bytes(len(values))), 0.0
    return array("b", map(round, map(mul, values, repeat(1 / unit)))), unit


def _read_gain(packed: bytes, at: int) -> GainWeights:
    intercept, *counts, unit = _GAIN.unpack_from(packed, at)
    grams = array("b")
    grams.frombytes(packed[at + _GAIN.size : at + _GAIN.size + BUCKETS])
    return GainWeights(intercept=intercept, counts=tuple(counts), grams=grams, gram_unit=unit)
