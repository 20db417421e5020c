"""How long batches take, learned from those of late, and when one is worth trying."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

LONGEST = timedelta(hours=24)
"""After this time the provider ends a batch, done or not (Claude docs: batch processing)."""

_MOST = timedelta(hours=1)
_MOST_SHARE = 0.9
"""Most batches end within an hour, says the provider."""

_PRIOR_WEIGHT = 2
_DOUBLE_RISK = 0.1
"""How many of the requests of a canceled batch may be done, and paid, after they were sent by themselves."""

_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Ran:
    """A batch of late: how long it took, or how long it was given before it was canceled."""

    took: timedelta
    has_ended: bool


def chance(ran: Iterable[Ran], within: timedelta) -> float:
    """Return how likely a batch ends in a time, from 0 to 1; it never falls with more time.

    Of the batches of late those count that tell: which have ended, or were given at least that much time.
    What the provider says counts like two of them.
    """
    ended = told = 0
    for each in ran:
        ended += each.has_ended and each.took <= within
        told += each.has_ended or each.took >= within
    return (ended + _PRIOR_WEIGHT * _prior(within)) / (told + _PRIOR_WEIGHT)


def shortest_worth_trying(ran: Iterable[Ran]) -> timedelta:
    """Return the least time for which a batch is worth trying, to the minute.

    One that ends in time saves half the price. One that does not may cost half the price on top, where it is
    canceled too late.
    """
    ran = tuple(ran)

    def worth(minutes: int) -> bool:
        likely = chance(ran, minutes * _MINUTE)
        return likely > _DOUBLE_RISK * (1 - likely)

    return bisect_left(range(LONGEST // _MINUTE), True, key=worth) * _MINUTE


def _prior(within: timedelta) -> float:
    """Return the chance by what the provider says: the square root lets short times be tried, too."""
    if within <= timedelta(0):
        return 0.0
    if within <= _MOST:
        return float(_MOST_SHARE * (within / _MOST) ** 0.5)
    return min(1.0, _MOST_SHARE + (1 - _MOST_SHARE) * ((within - _MOST) / (LONGEST - _MOST)))
