"""What a trace is made of: calls at virtual times, and what the generator knows about each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from costsvc.core.json_text import Member
from costsvc.core.odds import Odds
from costsvc.core.prefix_walk import read_prefixes
from costsvc.core.prefixes import DOCUMENT, Prefixes
from costsvc.core.request import ModelRequest

BYTES_PER_TOKEN = 4
FIRST_BYTE_S, ANSWER_S = 1.2, 6.0
"""When the provider's entry can be read, and when the service has settled: after the start of a call."""

Truth = Callable[[str], Odds]
"""The odds that a spot's prefix comes again, by its kin, as the generator's own rates give them."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call. `chain` holds every prefix of its prompt, digest and characters, for the clairvoyant."""

    at_s: float
    owner: tuple[str, str]
    prefixes: Prefixes
    chain: tuple[tuple[bytes, int], ...]
    truth: Truth

    @property
    def tokens(self) -> float:
        """The prompt's tokens as the provider counts them."""
        return self.prefixes.size / BYTES_PER_TOKEN


@dataclass(frozen=True, slots=True)
class Trace:
    """Calls in the order of their times."""

    name: str
    calls: Sequence[Call]


def words(chance: Random, tokens: int) -> str:
    """Return a text of so many tokens that no other text begins with."""
    word = f"{chance.getrandbits(60):015x} "
    return (word * (tokens * BYTES_PER_TOKEN // len(word) + 1))[: tokens * BYTES_PER_TOKEN]


def make_call(
    at_s: float,
    body: Mapping[str, Any],
    truth: Truth,
    *,
    tenant: str = "tenant",
    task: str = "task",
) -> Call:
    """Return a call with this body, read as the service reads it."""
    request = ModelRequest(members={name: Member(value) for name, value in body.items()})
    prefixes = read_prefixes(request)
    every = read_prefixes(request, turn_ends=len(body["messages"])).spots
    chain = [(spot.digest, spot.size) for spot in every if spot.kin != DOCUMENT or spot.at == 0]
    if not chain or chain[-1][1] < prefixes.size:
        chain.append((b"", prefixes.size))
    return Call(at_s, (tenant, task), prefixes, tuple(chain), truth)


def user(text: str) -> dict[str, Any]:
    """Return a user's message."""
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, Any]:
    """Return an assistant's message."""
    return {"role": "assistant", "content": text}
