"""The prefixes of a prompt that a cache breakpoint could end, and how an earlier one is known again.

    prefixes = read_prefixes(request)                 core/prefix_walk: once a request, for every model
    scope = cache_scope(model.id, workspace)          the provider keeps entries apart by it
    keys = [scope + spot.digest for spot in prefixes.spots]     what statistics are kept under
    kin = [scope + kin_digest(task, name) for name in prefixes.kin]     and those of their kinds

A digest is over all content up to a spot and over the parameters that a cached prefix depends on, mixed in
at the level that they spoil (Claude docs: prompt caching). Thinking and effort count from the beginning,
because which level they spoil is a model's own matter. It is the same whether a text came as a string or as
one block, and whatever breakpoints the caller set. Where tools are spelt otherwise, or where a text passes
a million characters, digests of the same content may differ, or those of unlike content be equal: either
would cost a cache miss, never an answer.

Sizes are bytes of content: what share of the prompt's tokens lies before a spot is all that is asked of them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import NamedTuple

MOST_MARKERS = 4
"""Of a request, the automatic one included (Claude docs: prompt caching)."""

LOOK_BACK_POSITIONS = 20
"""So far back, itself included, a breakpoint finds what earlier requests wrote (Claude docs)."""

DIGEST_BYTES = 16
_SCOPE_BYTES = 4


class Spot(NamedTuple):
    """The end of a block where a breakpoint may sit, or sits; a tuple, because a request has many.

    `member` is tools, system or messages; `at` counts in it, and `block` in a message's content, where -1
    stands for a content, or a system prompt, that is a string. `kin` names the spots of other requests that
    it may be likened to. `position` counts blocks as the provider's look-back does. `marker` is the caller's
    own breakpoint: "5m", "1h", or "" for none.
    """

    member: str
    at: int
    block: int
    kin: str
    digest: bytes
    size: int
    position: int
    marker: str


@dataclass(frozen=True, slots=True)
class Prefixes:
    """The spots of one request in prompt order.

    `size` is that of the whole prompt, and `marker_count` that of all the caller's breakpoints.
    """

    spots: tuple[Spot, ...]
    size: int
    marker_count: int

    @property
    def kin(self) -> tuple[str, ...]:
        """The kinds of spots, whose statistics stand in for those of a prefix that is new."""
        return tuple(dict.fromkeys(spot.kin for spot in self.spots))


TAIL, HISTORY, DOCUMENT, TOOLS = "tail", "history", "document", "tools"
SYSTEM = ("system.0", "system.1", "system.2", "system.3")
KIN = (TOOLS, *SYSTEM, DOCUMENT, HISTORY, TAIL)


def cache_scope(model: str, workspace: str) -> bytes:
    """Return what stands for everything that keeps the provider's caches apart."""
    return hashlib.blake2b(f"{model}\n{workspace}".encode(), digest_size=_SCOPE_BYTES).digest()


def kin_digest(task: str, kin: str) -> bytes:
    """Return what the statistics of a kind of spots are kept under, for one tenant's calls of a task."""
    return hashlib.blake2b(f"{task}\n{kin}".encode(), digest_size=DIGEST_BYTES).digest()
