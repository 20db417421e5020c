"""When calls come, and how likely the next one is: the odds are known because they are made here."""

from __future__ import annotations

from collections.abc import Iterator
from math import exp
from random import Random

from costsvc.core.odds import Odds
from costsvc.core.reuse import FIVE_MINUTES_S, ONE_HOUR_S

HOUR_S, DAY_S = 3600.0, 86_400.0


def poisson(chance: Random, per_s: float, until_s: float, most: int) -> Iterator[float]:
    """Yield times without memory."""
    at_s = 0.0
    for _ in range(most):
        at_s += chance.expovariate(per_s)
        if at_s > until_s:
            return
        yield at_s


def alike(within_5m: float, within_1h: float) -> Odds:
    """Return odds that are the same after every use."""
    return Odds(*(within_5m, within_1h - within_5m) * 3)


def memoryless(per_s: float) -> Odds:
    """Return the odds of a next use at this rate, the same after every use."""
    soon, hour = 1 - exp(-per_s * FIVE_MINUTES_S), 1 - exp(-per_s * ONE_HOUR_S)
    return alike(soon, hour)


def never() -> Odds:
    """Return the odds of what nobody uses again."""
    return alike(0.0, 0.0)


class OfficeHours:
    """Poisson by day, nine to five from Monday to Friday, and at another rate else."""

    def __init__(self, day_per_s: float, night_per_s: float) -> None:
        self.day_per_s, self.night_per_s = day_per_s, night_per_s

    def rate(self, at_s: float) -> float:
        """Return the rate at a time; the epoch began on a Thursday."""
        hour, weekday = at_s % DAY_S / HOUR_S, (int(at_s // DAY_S) + 3) % 7
        return self.day_per_s if weekday < 5 and 9 <= hour < 17 else self.night_per_s

    def times(self, chance: Random, until_s: float) -> Iterator[float]:
        """Yield times, by thinning."""
        most, at_s = max(self.day_per_s, self.night_per_s), 0.0
        while (at_s := at_s + chance.expovariate(most)) < until_s:
            if chance.random() * most < self.rate(at_s):
                yield at_s

    def odds(self, at_s: float) -> Odds:
        """Return the odds after a use at a time."""
        soon = 1 - exp(-self._expected(at_s, FIVE_MINUTES_S))
        hour = 1 - exp(-self._expected(at_s, ONE_HOUR_S))
        return alike(soon, hour)

    def _expected(self, at_s: float, span_s: float) -> float:
        steps = 12
        return sum(self.rate(at_s + (i + 0.5) * span_s / steps) for i in range(steps)) * span_s / steps


class Bursts:
    """Bursts at random times: uses that follow each other quickly, then a pause."""

    def __init__(self, per_s: float, stays: float, gap_s: float) -> None:
        self.per_s, self.stays, self.gap_s = per_s, stays, gap_s

    def times(self, chance: Random, until_s: float) -> list[float]:
        """Return all times in order."""
        found: list[float] = []
        for start_s in poisson(chance, self.per_s, until_s, 100_000):
            at_s = start_s
            found.append(at_s)
            while chance.random() < self.stays:
                at_s += chance.expovariate(1 / self.gap_s)
                found.append(at_s)
        return sorted(found)

    def odds(self) -> Odds:
        """Return the odds after a use."""
        other = memoryless(self.per_s)
        soon = self.stays * (1 - exp(-FIVE_MINUTES_S / self.gap_s))
        hour = self.stays * (1 - exp(-ONE_HOUR_S / self.gap_s))
        within_5m = 1 - (1 - soon) * (1 - other.within_5m)
        within_1h = 1 - (1 - hour) * (1 - other.within_1h)
        return alike(within_5m, within_1h)
