"""Tests of what many calls of one size cost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costsvc.config import load_catalog_files
from costsvc.core.pricing import price
from costsvc.core.usage import Usage
from costsvc.core.workload import Share, Workload, forecast, spread, why_not

AT = datetime(2026, 11, 22, tzinfo=UTC)
CATALOG = load_catalog_files()
HAIKU, SONNET, OPUS = (CATALOG.models[f"claude-{line}-5-5"] for line in ("haiku", "sonnet", "opus"))

cuts = st.tuples(st.integers(0, 1_000), st.integers(0, 1_000)).map(sorted)
shares = cuts.map(
    lambda cut: [
        Share(model=model, tier=None, permille=part)
        for model, part in zip((HAIKU, SONNET, OPUS), (cut[0], cut[1] - cut[0], 1_000 - cut[1]), strict=True)
    ]
)
workloads = st.builds(
    Workload,
    call_count=st.integers(1, 10**9),
    input_tokens=st.integers(5_000, 200_000),
    output_tokens=st.integers(0, 20_000),
    cached_tokens=st.integers(0, 5_000),
    cache_uses=st.integers(0, 50),
    batch=st.booleans(),
    hit_permille=st.integers(0, 1_000),
    at=st.just(AT),
)


def test_equal_calls_cost_what_each_is_booked_with() -> None:
    """One price function: of so many calls, a multiple of what one costs."""
    work = Workload(call_count=7, input_tokens=1_001, output_tokens=333, at=AT)
    one = price(CATALOG, SONNET.id, Usage(input_tokens=1_001, output_tokens=333), at=AT).nano_usd
    result = forecast(CATALOG, work, [Share(model=SONNET, tier=None, permille=1_000)], SONNET)
    assert result.cost_nano_usd == result.baseline_nano_usd == 7 * one
    assert result.steps == ()


@pytest.mark.parametrize(("uses", "writes"), [(0, 1), (1, 10), (3, 4), (10, 1), (99, 1)])
def test_a_prefix_is_written_once_for_its_uses(uses: int, writes: int) -> None:
    """The first of each run of calls writes it, the rest read it."""
    work = Workload(
        call_count=10, input_tokens=5_000, output_tokens=9, cached_tokens=4_000, cache_uses=uses, at=AT
    )
    result = forecast(CATALOG, work, [Share(model=OPUS, tier=None, permille=1_000)], OPUS)
    written, read = (
        price(CATALOG, OPUS.id, usage, at=AT).nano_usd
        for usage in (
            Usage(input_tokens=1_000, cache_write_5m_tokens=4_000, output_tokens=9),
            Usage(input_tokens=1_000, cache_read_tokens=4_000, output_tokens=9),
        )
    )
    assert result.cost_nano_usd == writes * written + (10 - writes) * read


def test_what_is_too_short_is_not_cached() -> None:
    """Below a model's minimum, a marked prefix costs plain input."""
    short = SONNET.min_cacheable_tokens - 1
    work = Workload(call_count=10, input_tokens=9_000, output_tokens=9, cached_tokens=short, at=AT)
    [step] = forecast(CATALOG, work, [Share(model=SONNET, tier=None, permille=1_000)], SONNET).steps
    assert (step.technique, step.saved_nano_usd) == ("prompt cache", 0)


def test_hits_cost_nothing() -> None:
    """A call that the response cache answers is not paid."""
    work = Workload(call_count=10, input_tokens=900, output_tokens=9, hit_permille=300, at=AT)
    result = forecast(CATALOG, work, [Share(model=SONNET, tier=None, permille=1_000)], SONNET)
    assert 10 * result.cost_nano_usd == 7 * result.baseline_nano_usd
    assert [step.technique for step in result.steps] == ["response cache"]


def test_who_cannot_have_answered_is_named() -> None:
    """Before a model's release, after its retirement, or beyond its limits."""
    work = Workload(call_count=1, input_tokens=1, output_tokens=1, at=AT)
    old = CATALOG.models["claude-sonnet-4-20250514"]
    assert not why_not(work, HAIKU)
    assert why_not(work, old) == f"was retired on {old.retires_on}"
    early = Workload(call_count=1, input_tokens=1, output_tokens=1, at=AT - timedelta(days=500))
    assert why_not(early, HAIKU) == f"was released on {HAIKU.released}"
    assert not why_not(early, old)
    long = Workload(call_count=1, input_tokens=1, output_tokens=HAIKU.max_output_tokens + 1, at=AT)
    assert "writes at most" in why_not(long, HAIKU)
    wide = Workload(call_count=1, input_tokens=HAIKU.context_tokens, output_tokens=1, at=AT)
    assert "holds at most" in why_not(wide, HAIKU)


@given(workloads, shares)
def test_steps_lead_from_the_baseline_to_what_is_paid(work: Workload, shared: list[Share]) -> None:
    """Savings add up to baseline minus cost; parts add up to the cost; every call is in one part."""
    result = forecast(CATALOG, work, shared, OPUS)
    saved = sum(step.saved_nano_usd for step in result.steps)
    assert saved == result.baseline_nano_usd - result.cost_nano_usd
    assert not result.steps or result.steps[-1].cost_nano_usd == result.cost_nano_usd
    assert sum(part.call_count for part in result.parts) == work.call_count


@given(st.integers(0, 10**12), cuts)
def test_calls_are_spread_by_their_shares(count: int, cut: list[int]) -> None:
    """Whole numbers, less than one off, and none is lost."""
    permille = [cut[0], cut[1] - cut[0], 1_000 - cut[1]]
    parts = spread(count, permille)
    assert sum(parts) == count
    assert all(abs(1_000 * part - count * share) < 1_000 for part, share in zip(parts, permille, strict=True))
