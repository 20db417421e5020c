from __future__ import annotations

from dataclasses import FrozenInstanceError, fields, replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costsvc.core.entry import MEASURES, Entry
from costsvc.core.savings import Savings
from costsvc.core.usage import Usage

NOW = datetime(2026, 11, 22, tzinfo=UTC)
AMOUNTS = st.integers(min_value=-(10**12), max_value=10**12)
USAGES = st.builds(Usage, **{field.name: st.integers(0, 10**9) for field in fields(Usage)})
SAVINGS = st.builds(Savings, **{field.name: AMOUNTS for field in fields(Savings)})


def entry(usage: Usage, savings: Savings, cost_nano_usd: int) -> Entry:
    """Return an entry with these amounts."""
    return Entry(
        entry_id="e",
        attempt_id="a",
        response_id="r",
        request_id="q",
        provider_request_id="p",
        tenant="t",
        requested_model="",
        answering_model="claude-haiku-5-5",
        baseline_model="claude-opus-5-5",
        tier="simple",
        usage=usage,
        cost_nano_usd=cost_nano_usd,
        baseline_nano_usd=cost_nano_usd + savings.total_nano_usd,
        savings=savings,
        catalog_hash="h",
        started_at=NOW,
        settled_at=NOW,
    )


@given(USAGES, SAVINGS, AMOUNTS)
def test_measures_go_by_name(usage: Usage, savings: Savings, cost_nano_usd: int) -> None:
    """Each number stands in the place of its name, and none is left out."""
    one = entry(usage, savings, cost_nano_usd)
    named = dict(zip(MEASURES, one.measures(), strict=True))
    assert named.pop("call_count") == 1
    assert named.pop("cost_nano_usd") == cost_nano_usd
    assert named.pop("baseline_nano_usd") == one.baseline_nano_usd
    assert [named.pop(name) for name in ("hit_count", "avoided_input_tokens", "avoided_output_tokens")] == [
        0
    ] * 3
    expected = {f.name: getattr(part, f.name) for part in (usage, savings) for f in fields(part)}
    assert named == expected


@given(USAGES)
def test_what_a_hit_avoided_stands_apart_from_what_was_paid(avoided: Usage) -> None:
    """It counts as a hit, with the prompt's and the answer's tokens of the call that was not made."""
    one = replace(entry(Usage(), Savings(), 0), avoided=avoided, cache_outcome="hit")
    named = dict(zip(MEASURES, one.measures(), strict=True))
    assert (named["call_count"], named["hit_count"], named["input_tokens"], named["output_tokens"]) == (
        1,
        1,
        0,
        0,
    )
    assert named["avoided_input_tokens"] == avoided.prompt_tokens
    assert named["avoided_output_tokens"] == avoided.output_tokens


@given(st.lists(st.tuples(USAGES, SAVINGS, AMOUNTS), min_size=1, max_size=4))
def test_sums_of_measures_stay_consistent(parts: list[tuple[Usage, Savings, int]]) -> None:
    """However many entries a cell adds up, its savings are its baseline minus its cost."""
    sums = [sum(column) for column in zip(*(entry(*part).measures() for part in parts), strict=True)]
    named = dict(zip(MEASURES, sums, strict=True))
    saved = sum(named[field.name] for field in fields(Savings))
    assert saved == named["baseline_nano_usd"] - named["cost_nano_usd"]


def test_the_order_of_measures_is_kept() -> None:
    """Cells are packed in this order: a change would misread what is stored; new ones go at the end."""
    assert MEASURES[:15] == (
        "call_count",
        "cost_nano_usd",
        "baseline_nano_usd",
        "routing_nano_usd",
        "token_reduction_nano_usd",
        "caller_nano_usd",
        "prompt_cache_nano_usd",
        "batch_nano_usd",
        "response_cache_nano_usd",
        "input_tokens",
        "cache_write_5m_tokens",
        "cache_write_1h_tokens",
        "cache_read_tokens",
        "output_tokens",
        "web_search_count",
    )


def test_an_entry_cannot_be_changed() -> None:
    """A correction is another entry."""
    with pytest.raises(FrozenInstanceError):
        entry(Usage(), Savings(), 5).cost_nano_usd = 4  # type: ignore[misc]
