"""Corrects estimates by what calls really used: a running mean, and the largest of the recent ones, a key.

One mechanism for two questions: how many tokens a prompt has as a multiple of its estimate, and how many
tokens an answer has. Both are the pair (expected, upper), each with a stated prior until calls are seen.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from math import log

WINDOW_CALLS = 100
"""`upper` is the largest of this many calls, so about one call in a hundred exceeds it."""

_SLOWEST_MEAN_RATE = 0.05  # the mean follows the last twenty calls or so
_PRIOR_CALLS = 2  # how many calls the prior mean counts for


@dataclass(frozen=True, slots=True)
class Band:
    """What to expect of the next call, and what about one call in a hundred exceeds."""

    expected: float
    upper: float


@dataclass(slots=True)
class _Track:
    band: Band
    observed_count: int = 0
    largest: float = 0.0  # of the recent ones
    recent: array[float] = field(default_factory=lambda: array("d"))


class Calibration:
    """A mean and an upper quantile for each key, learnt call by call; the key unused for longest gives way.

    The largest of a hundred calls is the plainest estimate of a 99 % quantile: it rises with the first call
    that exceeds it, and forgets an outlier after a hundred more. Of n calls, the next one exceeds the largest
    with a chance of 1 in n + 1, by an amount that larger values of are ever less likely, up to the prior's
    upper value: so much of the way to that is added until the window is full.
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
        return track.band if track else self._prior

    def upper(self, key: Hashable, most: float) -> float:
        """Return the upper value of `band` where no value is above `most`, which is less still to learn."""
        prior = min(self._prior.upper, most)
        track = self._tracks.get(key)
        return min(max(_upper(track, prior), track.band.expected), most) if track else prior

    def observe(self, key: Hashable, value: float) -> None:
        """Learn from a call: `value` is what `band` tries to foresee, not negative."""
        track = self._track(key)
        _remember(track, value)
        rate = max(1 / (track.observed_count + _PRIOR_CALLS), _SLOWEST_MEAN_RATE)
        expected = track.band.expected + rate * (value - track.band.expected)
        track.band = Band(expected, max(_upper(track, self._prior.upper), expected))

    def _track(self, key: Hashable) -> _Track:
        track = self._tracks.get(key)
        if track is None:
            track = self._tracks[key] = _Track(self._prior)
            if len(self._tracks) > self._capacity:
                self._tracks.popitem(last=False)
        self._tracks.move_to_end(key)
        return track


def _upper(track: _Track, prior: float) -> float:
    """Return the value that 1 % of calls exceed, where exceeding the largest falls off exponentially.

    1 / (n + 1) * 100 ** -x = 1 / 100, x being the share of the way from the largest to the prior's upper.
    """
    share = max(log(WINDOW_CALLS / (track.observed_count + 1)) / log(WINDOW_CALLS), 0.0)
    return track.largest + share * max(prior - track.largest, 0.0)


def _remember(track: _Track, value: float) -> None:
    if len(track.recent) < WINDOW_CALLS:
        track.recent.append(value)
        forgotten = 0.0
    else:
        at = track.observed_count % WINDOW_CALLS
        forgotten, track.recent[at] = track.recent[at], value
    is_largest_gone = forgotten == track.largest > value
    track.largest = max(track.recent) if is_largest_gone else max(track.largest, value)
    track.observed_count += 1
