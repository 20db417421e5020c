"""The simulated provider's time: the machine's, or a given clock's, moved forward on demand."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol


class Now(Protocol):
    """Anything that tells the time in UTC."""

    def now(self) -> datetime:
        """Return the current time with its zone."""


class VirtualClock:
    """A clock that runs with its source and can be advanced; cache lifetimes and batches follow it."""

    def __init__(self, source: Now | None = None) -> None:
        self._read: Callable[[], float] = time.time if source is None else lambda: source.now().timestamp()
        self._offset_s = 0.0

    def now_s(self) -> float:
        """Return seconds since the epoch."""
        return self._read() + self._offset_s

    def advance(self, seconds: float) -> float:
        """Move the time forward and return the new one; going back is refused with ValueError."""
        if not 0 <= seconds < 1e10:  # noqa: PLR2004 - three centuries: more overflows a date
            raise ValueError("advance_s is a number of seconds, 0 or more")
        self._offset_s += seconds
        return self.now_s()


def rfc3339(at_s: float) -> str:
    """Return a time as the provider writes it in batch objects: microseconds and a numeric zone."""
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="microseconds")


def rfc3339_z(at_s: float) -> str:
    """Return a time as the provider writes it in headers and model objects: seconds and a Z."""
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
