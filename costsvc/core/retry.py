"""Whether and when a failed attempt is made again.

Only failures that pass by themselves are retried, and only inside the caller's deadline. An attempt whose
outcome is unknown may have been billed: the policy says whether to pay a second time for an answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from costsvc.core.errors import Failure, ProviderError

_PASSING = frozenset({Failure.RATE_LIMITED, Failure.OVERLOADED, Failure.UNAVAILABLE, Failure.MALFORMED})
_ELSEWHERE = _PASSING | {Failure.NOT_FOUND}


class OnUnknown(Enum):
    """What to do when an attempt may have been billed and its answer is lost."""

    RETRY = "retry"
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """How often a model is tried for one call, and how long to wait in between, in seconds."""

    max_attempts: int = 3
    first_wait_s: float = 0.5
    longest_wait_s: float = 8.0
    on_unknown: OnUnknown = OnUnknown.RETRY


def wait_before_retry(
    retries: Retries, error: ProviderError, *, attempts_made: int, remaining_s: float, chance: float
) -> float | None:
    """Return the seconds to wait before the next attempt on the same model, None for no further one.

    Waits double from attempt to attempt and are shortened by up to half by `chance` (0 to 1), so that
    callers who failed together do not come back together. `retry-after` is a lower bound.
    """
    if attempts_made >= retries.max_attempts or not _may_repeat(retries, error, _PASSING):
        return None
    doubled_s = min(retries.first_wait_s * 2 ** (attempts_made - 1), retries.longest_wait_s)
    wait_s = max(doubled_s * (1 - chance / 2), error.retry_after_s or 0.0)
    return wait_s if wait_s < remaining_s else None


def may_fall_back(retries: Retries, error: ProviderError) -> bool:
    """Tell whether another model may be tried for the same call."""
    return _may_repeat(retries, error, _ELSEWHERE)


def _may_repeat(retries: Retries, error: ProviderError, failures: frozenset[Failure]) -> bool:
    if error.failure not in failures:
        return False
    return not error.may_have_spent or retries.on_unknown is OnUnknown.RETRY
