"""On which tier a checked answer begins, and which follows one that fails: what is cheapest in the end.

A cascade pays for the failures of cheap answers. It is worth that while `cost_cheap + failure_rate *
cost_of_what_follows` is below the cost of beginning higher; the rates are what the same work showed lately.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

PRIOR_FAILURE_RATE = 0.2
PROBE_SHARE = 0.02
"""How many calls begin lower than they should, to see whether a lower tier has become good enough.

Fewer where there is less to gain."""

_PRIOR_WEIGHT = 2.0
_MEMORY = 0.9  # an answer counts for a tenth less with each that follows: about the last ten matter


@dataclass(frozen=True, slots=True, kw_only=True)
class Cascading:
    """Where the policy lets costsvc answer on one tier after the other."""

    enabled: bool = True
    buffer_streams: bool = False
    except_tasks: frozenset[str] = frozenset()

    def may_begin_lower(self, task: str) -> bool:
        """Tell whether checks may let a cheaper tier begin than the one that the task asks for."""
        return self.enabled and task not in self.except_tasks


@dataclass(frozen=True, slots=True)
class Step:
    """A tier that may answer: what that is expected to cost, and how often its answers fail."""

    cost_nano_usd: int
    failure_rate: float


def expected_costs(steps: Sequence[Step]) -> list[float]:
    """Return what beginning on each step costs in the end, lowest tier first; nothing follows the last."""
    costs: list[float] = []
    for step in reversed(steps):
        following = step.failure_rate * min(costs) if costs else 0.0
        costs.append(step.cost_nano_usd + following)
    return costs[::-1]


def best_start(steps: Sequence[Step], *, chance: float = 1.0) -> int:
    """Return the index of the step to begin on; by `chance` (0 to 1), now and then, one below as a probe."""
    costs = expected_costs(steps)
    best = costs.index(min(costs))
    if not best or not costs[best]:
        return best
    gain = 1 - steps[best - 1].cost_nano_usd / costs[best]
    return best - 1 if chance < PROBE_SHARE * gain else best


class FailureRates:
    """How often answers failed their checks lately, a key; the one that nothing was learnt of gives way."""

    def __init__(self, *, capacity: int = 10_000) -> None:
        self._capacity = capacity
        self._seen: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._seen)

    def rate(self, key: Hashable) -> float:
        """Return the share of answers that fail."""
        failed, seen = self._seen.get(key, _UNSEEN)
        return failed / seen

    def learn(self, key: Hashable, *, failed: bool) -> None:
        """Count an answer."""
        failures, seen = self._seen.get(key, _UNSEEN)
        self._seen[key] = _MEMORY * failures + failed, _MEMORY * seen + 1
        self._seen.move_to_end(key)
        if len(self._seen) > self._capacity:
            self._seen.popitem(last=False)


_UNSEEN = PRIOR_FAILURE_RATE * _PRIOR_WEIGHT, _PRIOR_WEIGHT

Chance = Callable[[], float]
"""Gives numbers from 0 to 1."""
