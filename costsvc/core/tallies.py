"""What the prompt cache did for a tenant, added up a day: by prefix, and by miss. Advice, no ledger.

A tally is a row of integers under a name; names are of a fixed number of words, so that they can be read
again. What is seen for the first time is one row, because most of it never comes again; and beyond a bound
all that is new is another.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from costsvc.core.markers import MarkerPlan
from costsvc.core.misses import Miss
from costsvc.core.prefixes import HISTORY, TAIL
from costsvc.core.savings import Savings
from costsvc.core.usage import Usage

FIRST = "_first"
"""In place of a prefix: it was never seen before."""
CALLERS = "_caller"
"""In place of a prefix: costsvc planned nothing, the breakpoints are the caller's."""
TURNS = "_turns"
"""In place of a prefix: nothing but turns of conversations was marked."""
UNMARKED = "_unmarked"
"""In place of a prefix: no breakpoint was expected to pay."""
OTHER = "_other"
"""In place of every word: what is beyond the bound."""

_ID_CHARS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefixTally:
    """Calls with one prefix of one task on one model; savings are signed."""

    prefix: str
    task: str
    model: str
    call_count: int = 0
    read_tokens: int = 0
    write_5m_tokens: int = 0
    write_1h_tokens: int = 0
    saved_nano_usd: int = 0
    caller_saved_nano_usd: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class MissTally:
    """Misses of one reason; what they cost more than reads."""

    task: str
    model: str
    reason: str
    block: str
    count: int = 0
    tokens: int = 0
    lost_nano_usd: int = 0


class Row(NamedTuple):
    """A tally as it is kept: a letter, its words, its sums."""

    kind: str
    words: tuple[str, ...]
    sums: tuple[int, ...]


PREFIX, MISS = "p", "m"
WIDTHS = {PREFIX: (3, 6), MISS: (4, 3)}
"""How many words and how many sums the rows of a kind have."""


def prefix_row(plan: MarkerPlan | None, task: str, model: str, usage: Usage, savings: Savings) -> Row:
    """Return what an answered call adds to the row of its prefix."""
    sums = (
        1,
        usage.cache_read_tokens,
        usage.cache_write_5m_tokens,
        usage.cache_write_1h_tokens,
        savings.prompt_cache_nano_usd,
        savings.caller_nano_usd,
    )
    return Row(PREFIX, (_prefix_of(plan), task, model), sums)


def _prefix_of(plan: MarkerPlan | None) -> str:
    """Return what stands for the longest marked prefix that others may share."""
    if plan is None:
        return CALLERS
    if not plan.markers:
        return UNMARKED
    views = [marker.view for marker in plan.markers if marker.view.spot.kin not in {HISTORY, TAIL}]
    if not views:
        return TURNS
    return views[-1].spot.digest.hex()[:_ID_CHARS] if views[-1].is_known else FIRST


def miss_row(miss: Miss, task: str, model: str, lost_nano_usd: int) -> Row:
    """Return what a miss adds."""
    return Row(MISS, (task, model, miss.reason, miss.block), (1, miss.tokens, lost_nano_usd))


def read_prefixes_of(rows: Iterable[Row]) -> Sequence[PrefixTally]:
    """Return the prefixes among rows, those that saved or lost most first."""
    found = [
        PrefixTally(
            prefix=words[0],
            task=words[1],
            model=words[2],
            call_count=sums[0],
            read_tokens=sums[1],
            write_5m_tokens=sums[2],
            write_1h_tokens=sums[3],
            saved_nano_usd=sums[4],
            caller_saved_nano_usd=sums[5],
        )
        for kind, words, sums in rows
        if kind == PREFIX
    ]
    return sorted(found, key=lambda t: (-abs(t.saved_nano_usd + t.caller_saved_nano_usd), t.prefix, t.task))


def read_misses_of(rows: Iterable[Row]) -> Sequence[MissTally]:
    """Return the misses among rows, the dearest first."""
    found = [
        MissTally(
            task=words[0],
            model=words[1],
            reason=words[2],
            block=words[3],
            count=sums[0],
            tokens=sums[1],
            lost_nano_usd=sums[2],
        )
        for kind, words, sums in rows
        if kind == MISS
    ]
    return sorted(found, key=lambda t: (-t.lost_nano_usd, t.reason, t.task, t.block))
