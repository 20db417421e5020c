"""Corrects estimates by what calls really used: a running mean and a running upper quantile a key.

One mechanism for two questions: how many tokens a prompt has as a multiple of its estimate, and how many
tokens an answer has. Both are the pair (expected, upper), each with a stated prior until calls are seen.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass

UPPER_QUANTILE = 0.99
"""What share of calls should stay at or below `upper`."""

_SLOWEST_MEAN_RATE = 0.05  # the mean follows the last twenty calls or so
_PRIOR_CALLS = 2  # how many calls the prior mean counts for
_SLOWEST_STEP, _FIRST_STEP = 0.05, 0.5  # of the mean, for the quantile


@dataclass(frozen=True, slots=True)
class Band:
    """What to expect of the next call, and what it exceeds about once in a hundred."""

    expected: float
    upper: float


@dataclass(slots=True)
class _Track:
    expected: float
    upper: float
    observed_count: int = 0


class Calibration:
    """A mean and an upper quantile for each key, learnt call by call; the least recently used key gives way.

    The quantile is a stochastic approximation: it rises by much when exceeded and falls by little otherwise,
    so that it settles where it is exceeded by 1 % of calls, in constant memory and without sorting.
    """

    def __init__(self, prior: Band, *, capacity: int = 10_000) -> None:
        self._prior = prior
        self._capacity = capacity
        self._tracks: OrderedDict[Hashable, _Track] = OrderedDict()

    def __len__(self) -> int:
        return len(self._tracks)

    def band(self, key: Hashable) -> Band:
        """Return what is known for the key, or the prior."""
        track = self._tracks.get(key)
        return Band(track.expected, max(track.upper, track.expected)) if track else self._prior

    def observe(self, key: Hashable, value: float) -> None:
        """Learn from a call: `value` is what `band` tries to foresee, not negative."""
        track = self._track(key)
        track.observed_count += 1
        rate = max(1 / (track.observed_count + _PRIOR_CALLS), _SLOWEST_MEAN_RATE)
        track.expected += rate * (value - track.expected)
        step = max(_FIRST_STEP / track.observed_count**0.5, _SLOWEST_STEP) * track.expected
        track.upper += step * (UPPER_QUANTILE if value > track.upper else UPPER_QUANTILE - 1)

    def _track(self, key: Hashable) -> _Track:
        track = self._tracks.get(key)
        if track is None:
            track = self._tracks[key] = _Track(self._prior.expected, self._prior.upper)
            if len(self._tracks) > self._capacity:
                self._tracks.popitem(last=False)
        self._tracks.move_to_end(key)
        return track
