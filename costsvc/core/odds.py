"""What the statistics of a prefix, and of its kind, say about when it comes again.

Estimates lean on broader ones while they rest on few uses: a row of a prefix on all its rows, these on the
same row of its kind, that on the kind's rows together, and those on a prior. The ends of turns lean on their
kind most: a conversation is short, and has little to say for itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from costsvc.core.reuse import LONG, MEDIUM, NEW, SHORT, WIDTH, Reuse, gap_row

_PRIOR_WEIGHT, _POOL_WEIGHT, _KIN_WEIGHT, _ROW_WEIGHT = 2.0, 2.0, 1.5, 2.0
_SLOT_WEIGHT, _TURN_WEIGHT, _READ_WEIGHT = 8.0, 12.0, 10.0
"""How many uses a broader estimate counts for. Found on the traces of `make bench-prompt-cache`."""

_PRIORS = {
    "tools": (0.4, 0.1),
    "system": (0.4, 0.1),
    "document": (0.18, 0.12),
    "history": (0.1, 0.05),
    "tail": (0.1, 0.05),
}
"""Before anything is known of a kind: a system prompt is marked at its first use, a turn is not."""


class Odds(NamedTuple):
    """The chances of when a prefix comes again: within 5 minutes, or else within the hour.

    The first pair is for the next use, the second for one after a short gap, the third after a longer one.
    """

    soon: float
    hour: float
    soon_after_short: float
    hour_after_short: float
    soon_after_medium: float
    hour_after_medium: float

    @property
    def within_5m(self) -> float:
        """The chance of a use in the next 5 minutes."""
        return self.soon

    @property
    def within_1h(self) -> float:
        """The chance of a use in the next hour."""
        return self.soon + self.hour


UNLIKELY = Odds(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)

Chances = tuple[float, float]
"""A next use within 5 minutes, or else within the hour."""


class Kind(NamedTuple):
    """What is known of one kind of spots: the odds after a use in each row, and how many reads came true."""

    new: Chances
    short: Chances
    medium: Chances
    long: Chances
    counts: tuple[int, ...]
    tried: int
    read: int
    is_turn: bool


def known_of(kin: Reuse | None, name: str) -> Kind:
    """Return what a kind's own counters say, leaning on a prior while they are few."""
    prior = _PRIORS[name.split(".", 1)[0]]
    if kin is None:
        return Kind(prior, prior, prior, prior, (), 0, 0, name == "tail")
    pool = _lean(_sums(kin.counts), prior, _PRIOR_WEIGHT)
    new, short, medium = (_lean(_row(kin.counts, row), pool, _POOL_WEIGHT) for row in (NEW, SHORT, MEDIUM))
    long = _lean(_sums(kin.counts[WIDTH * LONG :]), pool, _POOL_WEIGHT)
    return Kind(new, short, medium, long, kin.counts, kin.tried, kin.read, name == "tail")


def foresee(own: Reuse | None, kind: Kind, at_s: int) -> Odds:
    """Return the odds of a prefix that is being used at an instant, None for one that was never seen.

    They are those of a read that comes true: of what was relied on, some did not.
    """
    if own is None:
        true = (kind.read + _READ_WEIGHT) / (kind.tried + _READ_WEIGHT)
        return Odds(kind.new[0] * true, kind.new[1] * true, *kind.short, *kind.medium)
    true = (kind.read + own.read + _READ_WEIGHT) / (kind.tried + own.tried + _READ_WEIGHT)
    row = gap_row(own, at_s)
    counts = _followed(own, row)
    if kind.is_turn:
        short = _lean(_row(counts, SHORT), kind.short, _TURN_WEIGHT)
        medium = _lean(_row(counts, MEDIUM), kind.medium, _TURN_WEIGHT)
    else:
        every = _sums(counts)
        short = _lean(_row(counts, SHORT), _lean(every, kind.short, _KIN_WEIGHT), _ROW_WEIGHT)
        medium = _lean(_row(counts, MEDIUM), _lean(every, kind.medium, _KIN_WEIGHT), _ROW_WEIGHT)
    now = short if row == SHORT else medium if row == MEDIUM else _after_a_pause(counts, kind, row)
    return Odds(now[0] * true, now[1] * true, *short, *medium)


def inherited(parent: Reuse | None) -> Reuse | None:
    """Return what a turn that continues another goes by, until it has a history of its own."""
    return parent if parent is not None and parent.counted else None


def _after_a_pause(counts: tuple[int, ...], kind: Kind, row: int) -> Chances:
    """Return the odds after a long gap: they depend on the time of the day and of the week."""
    likely = kind.long
    if kind.counts:
        likely = _lean(_row(kind.counts, row), likely, _SLOT_WEIGHT)
    likely = _lean(_sums(counts[WIDTH * LONG :]), likely, _KIN_WEIGHT)
    return _lean(_row(counts, row), likely, _SLOT_WEIGHT)


def _followed(own: Reuse, by: int) -> tuple[int, ...]:
    """Return the counters of a prefix whose last use is followed by one now."""
    if by >= LONG:
        return own.counts
    counts = list(own.counts)
    counts[WIDTH * own.row + by] += 1  # a short gap is counted behind the uses, a longer one behind that
    return tuple(counts)


def _row(counts: tuple[int, ...], row: int) -> tuple[int, ...]:
    return counts[WIDTH * row : WIDTH * row + WIDTH]


def _sums(counts: tuple[int, ...]) -> tuple[int, int, int]:
    return sum(counts[::WIDTH]), sum(counts[1::WIDTH]), sum(counts[2::WIDTH])


def _lean(counted: Sequence[int], prior: Chances, weight: float) -> Chances:
    """Return the odds by counts of uses and of what followed, leaning on a prior by its weight."""
    uses = counted[0] + weight
    soon, hour = (counted[1] + weight * prior[0]) / uses, (counted[2] + weight * prior[1]) / uses
    both = soon + hour
    if both > 1.0:  # more was followed than was used, as it settled
        return soon / both, hour / both
    return soon, hour
