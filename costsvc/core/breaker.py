"""Keeps calls away from what has just failed again and again, for a while.

One breaker a model: after some failures in a row it is open, and calls fail at once instead of waiting for
the next one. When its time is over a single call tries; its outcome closes the breaker, or opens it again. A
spend limit, or refused credentials, parks the whole account: no call of it can succeed until somebody acts.
"""

from __future__ import annotations

from dataclasses import dataclass

from costsvc.core.errors import Failure, ProviderError

FAILURES_IN_A_ROW = 5
OPEN_S = 5.0
PARKED_S = 60.0
_COUNTED = frozenset({Failure.OVERLOADED, Failure.UNAVAILABLE})
_PARKING = frozenset({Failure.SPEND_LIMITED, Failure.UNAUTHORIZED})
_ACCOUNT = ""


@dataclass(slots=True)
class _State:
    failures: int = 0
    open_until_s: float = 0.0
    last: ProviderError | None = None


class Breakers:
    """The breakers of one process: of its account, and of each model. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._states: dict[str, _State] = {}

    def check(self, model: str, now_s: float) -> None:
        """Let a call by, or raise the failure that opened the breaker, with the time that is left.

        Raises:
            ProviderError: nothing was sent, so nothing was spent.
        """
        for name in (_ACCOUNT, model):
            state = self._states.get(name)
            if state is None or state.last is None:
                continue
            if now_s < state.open_until_s:
                raise _at_once(state.last, state.open_until_s - now_s)
            state.open_until_s = now_s + OPEN_S  # this call tries; others wait for its outcome

    def succeeded(self, model: str) -> None:
        """Note an answer: the account and the model work."""
        if self._states:
            self._states.pop(_ACCOUNT, None)
            self._states.pop(model, None)

    def failed(self, model: str, error: ProviderError, now_s: float) -> None:
        """Note a failure, which opens the model's breaker after some in a row, or parks the account."""
        if error.failure in _PARKING:
            self._states[_ACCOUNT] = _State(open_until_s=now_s + PARKED_S, last=error)
        elif error.failure in _COUNTED:
            state = self._states.setdefault(model, _State())
            state.failures += 1
            if state.failures >= FAILURES_IN_A_ROW:
                state.open_until_s, state.last = now_s + OPEN_S, error
        else:
            self.succeeded(model)


def _at_once(error: ProviderError, wait_s: float) -> ProviderError:
    return ProviderError(
        error.failure,
        http_status=error.http_status,
        error_type=error.error_type,
        code=error.code,
        message="not tried: it has just failed several times",
        retry_after_s=wait_s,
    )
