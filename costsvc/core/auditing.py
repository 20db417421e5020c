"""Checking one entry against itself: whether its cost is what its usage costs, and what rounding added.

An audit reports and never repairs: what it finds is a `Finding` each, with what is kept and what should be.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum

from costsvc.core.catalog import Catalog
from costsvc.core.entry import Entry
from costsvc.core.errors import UnknownModel
from costsvc.core.money import ceil_nano
from costsvc.core.pricing import bill
from costsvc.core.usage import read_usage

_PRICED = frozenset({"settled", "resolved"})
"""States of entries that hold a whole bill, not a difference."""


class Kind(Enum):
    """What is wrong."""

    ROLLUP = "rollup"  # a sum that reports read is not that of its entries
    BALANCE = "balance"  # a budget does not count what was charged to it
    AT_RISK = "at_risk"  # the sums of what is at risk are not those of the risks
    PRICE = "price"  # an entry costs something else than its usage
    FREE = "free"  # an entry has tokens and no cost
    TWICE = "twice"  # an entry stands twice
    UNLISTED = "unlisted"  # there are entries that an index does not have


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that is not as it should be: `where` it is, `what` of it, as kept and as recomputed."""

    kind: Kind
    where: str
    what: str
    kept: int
    expected: int


def exact_pico_usd(entry: Entry, catalog: Catalog) -> int | None:
    """Return what an entry's usage costs before rounding, None where that cannot be told.

    It cannot where another catalogue priced it, where nothing was reported, and of a mere difference.
    """
    if entry.catalog_hash != catalog.hash or entry.state not in _PRICED or not entry.raw_usage_json:
        return None
    # An entry does not keep why a refusal was billed, only whether.
    is_free_refusal = entry.stop_reason == "refusal" and not entry.cost_nano_usd
    try:
        reported = read_usage(
            json.loads(entry.raw_usage_json),
            model=entry.answering_model,
            stop_reason=entry.stop_reason if is_free_refusal else "",
        )
        return bill(catalog, reported, at=entry.started_at).pico_usd
    except (ValueError, UnknownModel):
        return None


def check_entry(entry: Entry, exact_pico_usd: int | None) -> Finding | None:
    """Return what is wrong with an entry's cost, given its exact one where that is known."""
    if exact_pico_usd is not None:
        expected_nano_usd = ceil_nano(exact_pico_usd)
        if entry.cost_nano_usd == expected_nano_usd:
            return None
        return _finding(Kind.PRICE, entry, expected_nano_usd)
    usage = entry.usage
    has_tokens = usage.prompt_tokens or usage.output_tokens or usage.web_search_count
    is_free_refusal = entry.stop_reason == "refusal" and not usage.output_tokens
    if has_tokens and not entry.cost_nano_usd and entry.state in _PRICED and not is_free_refusal:
        return _finding(Kind.FREE, entry, 1)
    return None


def _finding(kind: Kind, entry: Entry, expected_nano_usd: int) -> Finding:
    if not entry.cost_nano_usd:
        kind = Kind.FREE
    return Finding(
        kind=kind,
        where=f"{entry.tenant} {entry.entry_id}",
        what="cost_nano_usd",
        kept=entry.cost_nano_usd,
        expected=expected_nano_usd,
    )
