"""How long a call takes at most, likely: what is left of a tolerance must be enough for it."""

from __future__ import annotations

from datetime import timedelta

_BEGINS = timedelta(seconds=10)
_TOKENS_PER_S = 30  # the slowest model in a slow hour
_TRIES = 2
_SECOND = timedelta(seconds=1)


def call_time(output_tokens: int, longest: timedelta) -> timedelta:
    """Return the time for an answer of so many tokens, an upper estimate, with one try that fails late."""
    return min(_TRIES * (_BEGINS + output_tokens / _TOKENS_PER_S * _SECOND), longest)
