from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costsvc.config import load_catalog_files
from costsvc.core.errors import UnknownModel
from costsvc.core.pricing import bill
from costsvc.core.savings import Account, LeverSaving, Reduction, Savings, account, spent_in_vain
from costsvc.core.usage import Reported, Usage, read_usage

CATALOG = load_catalog_files()
NOW = datetime(2026, 11, 22, tzinfo=UTC)
MODELS = st.sampled_from(sorted(CATALOG.models))
USAGES = st.builds(Usage, **{field.name: st.integers(0, 300_000) for field in fields(Usage)})


@st.composite
def reports(draw: st.DrawFn) -> Reported:
    """Draw what a provider may report: one call or several, any tier, geography and speed."""
    parts = draw(st.lists(st.tuples(MODELS, USAGES), min_size=1, max_size=3))
    return Reported(
        model=parts[0][0],
        parts=tuple(parts),
        totals=sum((usage for _, usage in parts[1:]), start=parts[0][1]),
        service_tier=draw(st.sampled_from(["", "standard", "batch"])),
        inference_geo=draw(st.sampled_from(["", "global", "us", "not_available"])),
        speed=draw(st.sampled_from(["standard", "fast"])),
        billed=draw(st.sampled_from([True, True, True, False])),
    )


def answered(model: str, usage: dict[str, Any], **report: Any) -> Reported:
    """Read a usage object of an answer by a model."""
    return read_usage({"input_tokens": 0, "output_tokens": 0} | usage, model=model, **report)


def booked(reported: Reported, baseline: str = "claude-opus-5-5", *, marked_by_us: bool = False) -> Account:
    """Walk the chain for an answer."""
    return account(CATALOG, reported, baseline_model=baseline, marked_by_us=marked_by_us, at=NOW)


@given(reports(), MODELS, st.booleans())
def test_the_parts_sum_exactly(reported: Reported, baseline: str, marked_by_us: bool) -> None:
    """Baseline minus cost is the sum of the parts, and the cost is the bill, whatever was reported."""
    result = booked(reported, baseline, marked_by_us=marked_by_us)
    parts = [getattr(result.savings, field.name) for field in fields(Savings)]
    assert sum(parts) == result.savings.total_nano_usd == result.baseline_nano_usd - result.cost_nano_usd
    assert result.cost_nano_usd == bill(CATALOG, reported, at=NOW).nano_usd
    assert result.baseline_nano_usd >= 0


LEVERS = st.lists(
    st.builds(
        Reduction,
        st.sampled_from(["prompt_tidied", "effort_set", "length_cap"]),
        st.integers(-500, 50_000),
        st.integers(-500, 50_000),
    ),
    max_size=4,
)


@given(reports(), MODELS, st.booleans(), LEVERS)
def test_the_levers_sum_to_token_reduction(
    reported: Reported, baseline: str, marked_by_us: bool, reductions: list[Reduction]
) -> None:
    """Whatever was kept out, and the other techniques are paid as much as they are without it."""
    result = account(
        CATALOG,
        reported,
        baseline_model=baseline,
        marked_by_us=marked_by_us,
        at=NOW,
        reductions=reductions,
    )
    plain, savings = booked(reported, baseline, marked_by_us=marked_by_us), result.savings
    parts = [getattr(savings, field.name) for field in fields(Savings)]
    assert sum(parts) == savings.total_nano_usd == result.baseline_nano_usd - result.cost_nano_usd
    assert sum(lever.nano_usd for lever in result.levers) == savings.token_reduction_nano_usd
    assert result.cost_nano_usd == plain.cost_nano_usd
    assert replace(savings, routing_nano_usd=0, token_reduction_nano_usd=0) == replace(
        plain.savings, routing_nano_usd=0
    )
    if reported.billed:
        assert [lever.lever for lever in result.levers] == [each.lever for each in reductions]


def test_what_was_removed_is_plain_input_on_the_answering_model() -> None:
    """Also where the rest was cached and the answer came in a batch: haiku 5.5 at 0.1/0.5 a million."""
    usage = {"input_tokens": 10, "cache_read_input_tokens": 900, "service_tier": "batch"}
    result = account(
        CATALOG,
        answered("claude-haiku-5-5", usage),
        baseline_model="claude-opus-5-5",
        marked_by_us=True,
        at=NOW,
        reductions=[Reduction("prompt_tidied", 100, 0), Reduction("length_cap", 0, 1_000)],
    )
    assert result.levers == (LeverSaving("prompt_tidied", 10_000), LeverSaving("length_cap", 500_000))
    assert result.savings.token_reduction_nano_usd == 510_000
    assert result.baseline_nano_usd == 1_010 * 4_000 + 1_000 * 20_000


def test_bills_of_one_call_add_up_by_lever() -> None:
    """An answer that failed its checks has none; those of the one that stands keep their order."""
    one = Account(
        cost_nano_usd=1,
        baseline_nano_usd=4,
        savings=Savings(token_reduction_nano_usd=3),
        levers=(LeverSaving("effort_set", 1), LeverSaving("length_cap", 2)),
    )
    assert (spent_in_vain(5) + one).levers == one.levers
    assert (one + one).levers == (LeverSaving("effort_set", 2), LeverSaving("length_cap", 4))


@given(reports(), MODELS)
def test_who_marked_changes_the_name_only(reported: Reported, baseline: str) -> None:
    """The same difference goes to costsvc or to the caller, never to both."""
    ours, theirs = (booked(reported, baseline, marked_by_us=by_us).savings for by_us in (True, False))
    assert ours.prompt_cache_nano_usd == theirs.caller_nano_usd
    assert ours.caller_nano_usd == theirs.prompt_cache_nano_usd == 0
    assert ours.total_nano_usd == theirs.total_nano_usd


@given(MODELS, USAGES, st.booleans())
def test_a_pinned_model_saves_nothing_by_routing(model: str, usage: Usage, by_us: bool) -> None:
    """Against itself a model is neither cheaper nor dearer."""
    reported = Reported(model=model, parts=((model, usage),), totals=usage)
    assert booked(reported, model, marked_by_us=by_us).savings.routing_nano_usd == 0


@given(MODELS, USAGES)
def test_without_a_cache_nothing_is_saved_by_it(model: str, usage: Usage) -> None:
    """Plain input at standard tier leaves routing as the only part."""
    plain = Usage(input_tokens=usage.input_tokens, output_tokens=usage.output_tokens)
    savings = booked(Reported(model=model, parts=((model, plain),), totals=plain), marked_by_us=True).savings
    assert savings == Savings(routing_nano_usd=savings.total_nano_usd)


def test_routing_is_the_price_of_the_same_text() -> None:
    """1,000 + 100 tokens: haiku 5.5 at 0.1/0.5, opus 5.5 at 4/20 USD a million; the same tokenizer."""
    result = booked(answered("claude-haiku-5-5", {"input_tokens": 1000, "output_tokens": 100}))
    assert result == Account(
        cost_nano_usd=150_000,
        baseline_nano_usd=6_000_000,
        savings=Savings(routing_nano_usd=5_850_000),
    )


def test_a_dearer_model_shows_as_a_loss() -> None:
    """Routing above the baseline is not hidden."""
    result = booked(answered("claude-opus-5-5", {"input_tokens": 1000}), "claude-haiku-5-5")
    assert result.savings.routing_nano_usd == -3_900_000


def test_the_baseline_counts_its_own_tokens() -> None:
    """An older tokenizer makes fewer tokens of the same text, so its baseline is smaller."""
    reported = answered("claude-sonnet-5-5", {"input_tokens": 1300})
    scale = CATALOG.resolve("claude-sonnet-5-5").tokenizer.relative_permille
    old = CATALOG.resolve("claude-sonnet-4-6").tokenizer.relative_permille
    assert scale > old
    tokens = round(1300 * old / scale)
    assert booked(reported, "claude-sonnet-4-6").baseline_nano_usd == tokens * 3_000


def test_a_write_costs_and_a_read_saves() -> None:
    """A first turn books the premium as a loss, the next its gain: 10,000 tokens on opus 5.5 at 4, 5, 0.2."""
    write = answered("claude-opus-5-5", {"cache_creation_input_tokens": 10_000})
    read = answered("claude-opus-5-5", {"cache_read_input_tokens": 10_000})
    assert booked(write, marked_by_us=True).savings == Savings(prompt_cache_nano_usd=-10_000_000)
    assert booked(read, marked_by_us=True).savings == Savings(prompt_cache_nano_usd=38_000_000)
    assert booked(read).savings == Savings(caller_nano_usd=38_000_000)


def test_a_batch_saves_half_of_what_is_left() -> None:
    """The batch's half is counted after routing and caching, of what those left."""
    usage = {"input_tokens": 1000, "cache_read_input_tokens": 10_000, "service_tier": "batch"}
    result = booked(answered("claude-opus-5-5", usage), marked_by_us=True)
    assert result.baseline_nano_usd == 44_000_000
    assert result.savings == Savings(prompt_cache_nano_usd=38_000_000, batch_nano_usd=3_000_000)
    assert result.cost_nano_usd == 3_000_000


def test_geography_and_speed_are_no_saving() -> None:
    """What the caller asks for costs on the baseline as well: 10 % for the US, double for fast."""
    for usage, factor in (({"inference_geo": "us"}, 1.1), ({"speed": "fast"}, 2)):
        result = booked(answered("claude-opus-5-5", {"input_tokens": 1000} | usage))
        assert result.cost_nano_usd == result.baseline_nano_usd == 4_000_000 * factor
        assert result.savings == Savings()


def test_a_search_is_paid_on_every_model() -> None:
    """A fee of a cent cancels out."""
    usage = {"input_tokens": 1000, "server_tool_use": {"web_search_requests": 2}}
    result = booked(answered("claude-haiku-5-5", usage))
    assert (result.cost_nano_usd, result.baseline_nano_usd) == (20_100_000, 24_000_000)
    assert result.savings == Savings(routing_nano_usd=3_900_000)


def test_an_unbilled_refusal_saves_nothing() -> None:
    """It would have been free on the baseline as well; a billed one counts like any answer."""
    usage = {"input_tokens": 1000}
    free, paid = (
        answered("claude-haiku-5-5", usage, stop_reason="refusal", stop_details={"category": category})
        for category in ("cyber", "bio")
    )
    assert booked(free) == Account(cost_nano_usd=0, baseline_nano_usd=0, savings=Savings())
    assert booked(paid).cost_nano_usd == 100_000


def test_calls_inside_an_answer_count_together() -> None:
    """Each at its own model; the baseline is the price of all of them there."""
    usage = {
        "iterations": [
            {"type": "message", "input_tokens": 1000, "output_tokens": 0},
            {"type": "advisor_message", "model": "claude-opus-5-5", "input_tokens": 500, "output_tokens": 0},
        ]
    }
    result = booked(answered("claude-haiku-5-5", usage))
    assert result.cost_nano_usd == 100_000 + 2_000_000
    assert result.baseline_nano_usd == 6_000_000
    assert result.savings == Savings(routing_nano_usd=3_900_000)


def test_a_long_prompt_on_haiku_books_its_surcharge_under_routing() -> None:
    """100,001 tokens cost five times as much a token; on opus they do not."""
    result = booked(answered("claude-haiku-5-5", {"input_tokens": 100_001, "output_tokens": 1_000}))
    assert result.cost_nano_usd == 52_500_500
    assert result.savings.routing_nano_usd == 420_004_000 - 52_500_500


def test_calls_inside_an_answer_do_not_make_a_long_prompt_of_the_baseline() -> None:
    """Two calls of 60,000 tokens stay below the threshold of 100,000 that haiku 5.5 has a call."""
    calls = [{"type": "message", "input_tokens": 60_000, "output_tokens": 0}] * 2
    result = booked(answered("claude-opus-5-5", {"iterations": calls}), "claude-haiku-5-5")
    assert result.baseline_nano_usd == 2 * 6_000_000


@pytest.mark.parametrize("unknown", ["answering", "baseline"])
def test_an_unknown_model_is_refused(unknown: str) -> None:
    """No price, no account."""
    models = {"answering": "claude-opus-5-5", "baseline": "claude-opus-5-5"} | {unknown: "claude-opus-9"}
    with pytest.raises(UnknownModel):
        booked(answered(models["answering"], {"input_tokens": 1}), models["baseline"])
