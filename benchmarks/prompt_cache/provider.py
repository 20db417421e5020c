"""The provider's prompt cache, reduced to spots: the rules of `provider_sim`, without its blocks and hashes.

A test runs both over the same calls. Entries lie only where somebody put a breakpoint, and breakpoints are
put on spots; so spots are all that has to be looked at.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from costsvc.core.prefixes import LOOK_BACK_POSITIONS

TTL_S = {"5m": 300, "1h": 3600}


class End(NamedTuple):
    """A prefix: which, how many tokens, and its position for the look-back."""

    digest: bytes
    tokens: float
    position: int


class Metered(NamedTuple):
    """Tokens of one call by what they cost."""

    read: float
    write_5m: float
    write_1h: float
    plain: float


@dataclass(slots=True)
class Cache:
    """Entries: digest to the end of its time, and its lifetime. Written ones can be read a little later."""

    min_tokens: int
    visible_after_s: float
    entries: dict[bytes, tuple[float, int]] = field(default_factory=dict)
    pending: list[tuple[float, bytes, float, int]] = field(default_factory=list)

    def call(
        self, ends: Sequence[End], marks: Sequence[tuple[int, str]], total: float, now_s: float
    ) -> Metered:
        """Meter a call: `marks` are indexes into `ends` with their time, in prompt order."""
        while self.pending and self.pending[0][0] <= now_s:
            _, digest, expires_s, ttl_s = heapq.heappop(self.pending)
            self.entries[digest] = (expires_s, ttl_s)
        marks = [(at, ttl) for at, ttl in marks if ends[at].tokens >= self.min_tokens]
        hit = self._longest(ends, marks, now_s)
        if hit is not None:
            for at in (hit, *(at for at, _ in marks if at < hit)):
                expires_s, ttl_s = self.entries.get(ends[at].digest, (0.0, 0))
                if expires_s > now_s:
                    self.entries[ends[at].digest] = (now_s + ttl_s, ttl_s)
        read = done = ends[hit].tokens if hit is not None else 0.0
        written = {"5m": 0.0, "1h": 0.0}
        for at, ttl in marks:
            if hit is None or at > hit:
                written[ttl] += ends[at].tokens - done
                done = ends[at].tokens
                entry = (now_s + self.visible_after_s, ends[at].digest, now_s + TTL_S[ttl], TTL_S[ttl])
                heapq.heappush(self.pending, entry)
        return Metered(read, written["5m"], written["1h"], total - done)

    def _longest(self, ends: Sequence[End], marks: Sequence[tuple[int, str]], now_s: float) -> int | None:
        for mark, _ in reversed(marks):
            for at in range(mark, -1, -1):
                if ends[mark].position - ends[at].position >= LOOK_BACK_POSITIONS:
                    break
                if self.entries.get(ends[at].digest, (0.0, 0))[0] > now_s:
                    return at
        return None
