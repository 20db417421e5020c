from __future__ import annotations

from dataclasses import astuple, replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costsvc.core.catalog import load_catalog
from costsvc.core.errors import UnknownModel
from costsvc.core.money import NANO_PER_USD, PICO_PER_USD
from costsvc.core.pricing import Cost, bill, price, retokenized, uncached
from costsvc.core.usage import Usage, overlay_usage, read_usage
from costsvc.data import read_text

CATALOG = load_catalog(read_text("catalog.toml"))
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
OPUS_4, SONNET_4, HAIKU_35 = "claude-opus-4-20250514", "claude-sonnet-4-20250514", "claude-3-5-haiku-20241022"

COUNTS = st.integers(min_value=0, max_value=2_000_000)
USAGES = st.builds(
    Usage,
    input_tokens=COUNTS,
    cache_write_5m_tokens=COUNTS,
    cache_write_1h_tokens=COUNTS,
    cache_read_tokens=COUNTS,
    output_tokens=COUNTS,
    web_search_count=st.integers(min_value=0, max_value=20),
)
MODELS = st.sampled_from(sorted(CATALOG.models))
FLAGS = st.fixed_dictionaries({"batch": st.booleans(), "fast": st.booleans(), "geo_us": st.booleans()})


def usd(text: str) -> int:
    """Return exact pico-USD."""
    return int(Decimal(text) * PICO_PER_USD)


@pytest.mark.parametrize(
    ("model", "usage", "expected_usd"),
    [
        (
            "claude-opus-5-5",
            Usage(
                input_tokens=50,
                cache_read_tokens=100_000,
                cache_write_5m_tokens=148,
                cache_write_1h_tokens=100,
                output_tokens=503,
                web_search_count=1,
            ),
            "0.0418",
        ),
        ("claude-haiku-5-5", Usage(input_tokens=100_000, output_tokens=1_000), "0.0105"),
        ("claude-haiku-5-5", Usage(input_tokens=100_001, output_tokens=1_000), "0.0525005"),
        ("claude-sonnet-4-5", Usage(input_tokens=1_000, output_tokens=100), "0.0045"),
        (SONNET_4, Usage(input_tokens=2_000, output_tokens=500), "0.0135"),
    ],
)
def test_worked_examples_come_out_exactly(model: str, usage: Usage, expected_usd: str) -> None:
    """Sums worked out by hand from the price page are met to the pico-dollar."""
    assert price(CATALOG, model, usage, at=NOW).pico_usd == usd(expected_usd)


def test_ten_thousand_calls_of_the_first_example() -> None:
    """2,000 tokens in and 500 out on Sonnet 4 are $0.0135 a call and $135 for 10,000."""
    cost = price(CATALOG, SONNET_4, Usage(input_tokens=2_000, output_tokens=500), at=NOW)
    assert 10_000 * cost.nano_usd == 135 * NANO_PER_USD


def test_batch_and_geography_multiply_the_smallest_price() -> None:
    """A cached token of Haiku 5.5, in a batch, in the US is 5,500 pico-dollars, rounded to 6 nano-dollars."""
    cost = price(CATALOG, "claude-haiku-5-5", Usage(cache_read_tokens=1), at=NOW, batch=True, geo_us=True)
    assert (cost.pico_usd, cost.nano_usd) == (5_500, 6)


@pytest.mark.parametrize(
    "name", ["input_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens", "cache_read_tokens"]
)
def test_every_class_of_input_counts_towards_the_long_prompt(name: str) -> None:
    """Haiku 5.5 re-prices the whole request, output too, once everything it read is over 100,000 tokens."""
    short = Usage(output_tokens=10) + Usage(**{name: 100_000})
    long = Usage(output_tokens=10) + Usage(**{name: 100_001})
    short_cost = price(CATALOG, "claude-haiku-5-5", short, at=NOW)
    long_cost = price(CATALOG, "claude-haiku-5-5", long, at=NOW)
    assert long_cost.output_pico_usd == 5 * short_cost.output_pico_usd
    assert long_cost.pico_usd > 5 * short_cost.pico_usd


# Prompt caching at $3 a million: the writes are left out, as published.
@pytest.mark.parametrize(
    ("prompt_tokens", "calls", "plain_usd", "cached_usd"),
    [(4_000, 1_000, "12.00", "1.20"), (10_000, 500, "15.00", "1.50"), (2_000, 2_000, "12.00", "1.20")],
)
def test_published_prompt_caching_figures(
    prompt_tokens: int, calls: int, plain_usd: str, cached_usd: str
) -> None:
    """Reading a cached prompt costs a tenth on Sonnet 4."""
    cached = Usage(cache_read_tokens=prompt_tokens)
    assert calls * price(CATALOG, SONNET_4, cached, at=NOW).pico_usd == usd(cached_usd)
    assert calls * price(CATALOG, SONNET_4, uncached(cached), at=NOW).pico_usd == usd(plain_usd)


# The published figures give no token counts; these are the round ones that they follow from.
@pytest.mark.parametrize(
    ("model", "usage", "calls", "plain_usd", "batch_usd"),
    [
        (HAIKU_35, Usage(input_tokens=1_000, output_tokens=200), 10_000, "16", "8"),
        (SONNET_4, Usage(input_tokens=5_000, output_tokens=1_000), 5_000, "150", "75"),
        (OPUS_4, Usage(input_tokens=10_000, output_tokens=10_000), 1_000, "900", "450"),
    ],
)
def test_published_batch_figures(
    model: str, usage: Usage, calls: int, plain_usd: str, batch_usd: str
) -> None:
    """A batch costs half."""
    assert calls * price(CATALOG, model, usage, at=NOW).pico_usd == usd(plain_usd)
    assert calls * price(CATALOG, model, usage, at=NOW, batch=True).pico_usd == usd(batch_usd)


# At equal tokens. The published $2,460, $4,520 and $6,780 do not follow from the prices.
@pytest.mark.parametrize(
    ("simple", "medium", "complex_", "mixed_usd"),
    [(70, 20, 10, "2660"), (50, 30, 20, "4300"), (30, 40, 30, "5940"), (0, 0, 100, "15000")],
)
def test_published_routing_figures(simple: int, medium: int, complex_: int, mixed_usd: str) -> None:
    """100,000 calls cost $15,000 on Opus 4 and what the formula says when shared with cheaper models."""
    usage = Usage(input_tokens=5_000, output_tokens=1_000)
    mix = ((HAIKU_35, simple), (SONNET_4, medium), (OPUS_4, complex_))
    total = sum(1_000 * percent * price(CATALOG, model, usage, at=NOW).pico_usd for model, percent in mix)
    assert total == usd(mixed_usd)


def test_prices_follow_their_dates() -> None:
    """Sonnet 5.5's cache reads cost 0.20 until 7 October 2026, 0:00 UTC, and 0.10 from then on."""
    read = Usage(cache_read_tokens=1_000_000)
    before = datetime(2026, 10, 6, 23, 59, 59, 999_999, tzinfo=UTC)
    assert price(CATALOG, "claude-sonnet-5-5", read, at=before).pico_usd == usd("0.20")
    assert price(CATALOG, "claude-sonnet-5-5", read, at=datetime(2026, 10, 7, tzinfo=UTC)).pico_usd == usd(
        "0.10"
    )


@pytest.mark.parametrize(("day", "expected_usd"), [(12, "1.2000060"), (13, "0.6000030")])
def test_the_old_surcharge_for_long_prompts_ended(day: int, expected_usd: str) -> None:
    """Sonnet 4.6 charged double above 200,000 tokens up to 12 March 2026."""
    at = datetime(2026, 3, day, tzinfo=UTC)
    cost = price(CATALOG, "claude-sonnet-4-6", Usage(input_tokens=200_001), at=at)
    assert cost.pico_usd == usd(expected_usd)


def report(model: str = "claude-opus-5-5", **fields: object) -> Cost:
    """Return the bill of a million tokens of input with these fields in the usage."""
    usage = {"input_tokens": 1_000_000, "output_tokens": 0} | fields
    return bill(CATALOG, read_usage(usage, model=model), at=NOW)


@pytest.mark.parametrize(
    ("model", "fields", "expected_usd"),
    [
        ("claude-opus-5-5", {}, "4"),
        ("claude-opus-5-5", {"service_tier": "priority"}, "4"),
        ("claude-opus-5-5", {"service_tier": "batch"}, "2"),
        ("claude-opus-5-5", {"speed": "fast"}, "8"),
        ("claude-opus-5-5", {"speed": "fast", "inference_geo": "us"}, "8.8"),
        ("claude-opus-5-5", {"speed": "fast", "service_tier": "batch"}, "2"),
        ("claude-opus-5-5", {"inference_geo": "us"}, "4.4"),
        ("claude-opus-5-5", {"inference_geo": "global"}, "4"),
        ("claude-opus-5-5", {"inference_geo": "not_available"}, "4"),
        ("claude-opus-4-6", {"speed": "fast"}, "5"),
        ("claude-opus-4-5", {"inference_geo": "us"}, "5"),
        ("claude-opus-5-5", {"service_tier": "batch", "server_tool_use": {"web_search_requests": 3}}, "2.03"),
    ],
)
def test_a_bill_goes_by_what_the_answer_says(
    model: str, fields: dict[str, object], expected_usd: str
) -> None:
    """Tier, speed and geography of the answer decide, where the model has a price for them."""
    assert report(model, **fields).pico_usd == usd(expected_usd)


def test_a_bill_adds_parts_before_it_rounds() -> None:
    """Each iteration is billed at its own model and the sum is rounded up once."""
    iteration = {"type": "message", "model": "claude-haiku-5-5", "input_tokens": 0, "output_tokens": 0}
    one_read = iteration | {"cache_read_input_tokens": 1}
    cost = report(service_tier="batch", iterations=[one_read, one_read, one_read])
    assert (cost.pico_usd, cost.nano_usd) == (15_000, 15)
    advised = report(
        iterations=[
            iteration | {"input_tokens": 1_000},
            {**iteration, "model": "claude-opus-5", "output_tokens": 100},
        ]
    )
    assert advised.pico_usd == usd("0.0001") + usd("0.0025")


def test_a_free_refusal_costs_nothing() -> None:
    """Tokens in the usage of an unbilled refusal are not charged."""
    reported = read_usage(
        {"input_tokens": 900, "output_tokens": 0}, model="claude-opus-5-5", stop_reason="refusal"
    )
    assert bill(CATALOG, reported, at=NOW) == Cost()


@pytest.mark.parametrize(
    "name", ["", "claude", "claude-opus-5-", "claude-opus-5-5-20260922", "CLAUDE-OPUS-5-5"]
)
def test_what_the_catalogue_does_not_name_has_no_price(name: str) -> None:
    """A prefix, a dated guess or another case is unknown: refused, never zero."""
    with pytest.raises(UnknownModel):
        price(CATALOG, name, Usage(), at=NOW)


@given(MODELS, USAGES, FLAGS)
def test_parts_sum_to_the_total_and_rounding_is_bounded(
    model: str, usage: Usage, flags: dict[str, bool]
) -> None:
    """The classes add up to the total, nothing is negative, and rounding adds less than a nano-dollar."""
    cost = price(CATALOG, model, usage, at=NOW, **flags)
    assert sum(astuple(cost)) == cost.pico_usd
    assert all(part >= 0 for part in astuple(cost))
    assert 0 <= cost.nano_usd * 1000 - cost.pico_usd < 1000


@given(MODELS, USAGES, FLAGS, st.sampled_from(Usage.__slots__), st.integers(min_value=1, max_value=10**6))
def test_more_of_anything_never_costs_less(
    model: str, usage: Usage, flags: dict[str, bool], name: str, more: int
) -> None:
    """Cost rises with every count, also across the threshold of a long prompt."""
    larger = replace(usage, **{name: getattr(usage, name) + more})
    assert (
        price(CATALOG, model, larger, at=NOW, **flags).pico_usd
        > price(CATALOG, model, usage, at=NOW, **flags).pico_usd
    )


@given(MODELS, USAGES, st.booleans())
def test_a_batch_is_exactly_half_but_for_server_tools(model: str, usage: Usage, geo_us: bool) -> None:
    """Every class of tokens costs half in a batch; searches cost the same."""
    standard = price(CATALOG, model, usage, at=NOW, geo_us=geo_us)
    batch = price(CATALOG, model, usage, at=NOW, geo_us=geo_us, batch=True)
    assert batch.server_tools_pico_usd == standard.server_tools_pico_usd
    assert (
        2 * (batch.pico_usd - batch.server_tools_pico_usd)
        == standard.pico_usd - standard.server_tools_pico_usd
    )


@given(MODELS, st.lists(USAGES, min_size=1, max_size=4))
def test_cost_is_additive_where_prices_are_flat(model: str, usages: list[Usage]) -> None:
    """Without tiers the cost of a sum is the sum of costs: nothing depends on how calls are cut."""
    if model == "claude-haiku-5-5":
        return
    costs = [price(CATALOG, model, usage, at=NOW) for usage in usages]
    assert sum(costs, start=Cost()) == price(CATALOG, model, sum(usages, start=Usage()), at=NOW)


@given(MODELS, USAGES)
def test_a_stream_is_billed_like_an_answer_in_one_piece(model: str, usage: Usage) -> None:
    """The same counts cost the same, whether one object reports them or a stream's start and end."""
    writes = usage.cache_write_5m_tokens + usage.cache_write_1h_tokens
    split = {"ephemeral_1h_input_tokens": usage.cache_write_1h_tokens}
    counts = {
        "input_tokens": usage.input_tokens,
        "cache_creation_input_tokens": writes,
        "cache_read_input_tokens": usage.cache_read_tokens,
        "server_tool_use": {"web_search_requests": usage.web_search_count},
    }
    start = {"input_tokens": 1, "output_tokens": 1, "cache_creation": split, "service_tier": "batch"}
    streamed = overlay_usage(start, counts | {"output_tokens": usage.output_tokens})
    whole = counts | {"output_tokens": usage.output_tokens, "cache_creation": split, "service_tier": "batch"}
    costs = [bill(CATALOG, read_usage(read, model=model), at=NOW) for read in (streamed, whole)]
    assert costs == [price(CATALOG, model, usage, at=NOW, batch=True)] * 2


@given(USAGES)
def test_uncached_reads_the_same_prompt(usage: Usage) -> None:
    """Leaving the cache out keeps the prompt, the answer and the searches."""
    plain = uncached(usage)
    assert plain.prompt_tokens == plain.input_tokens == usage.prompt_tokens
    assert (plain.output_tokens, plain.web_search_count) == (usage.output_tokens, usage.web_search_count)


@given(USAGES)
def test_changing_tokenizers_there_and_back_stays_close(usage: Usage) -> None:
    """A newer tokenizer makes 1.3 times the tokens; the way back loses at most rounding."""
    old, new = CATALOG.resolve("claude-sonnet-4-6"), CATALOG.resolve("claude-sonnet-5-5")
    newer = retokenized(usage, old, new)
    assert abs(10 * newer.input_tokens - 13 * usage.input_tokens) <= 5
    assert retokenized(newer, new, old) == usage
    assert retokenized(usage, old, CATALOG.resolve("claude-haiku-4-5")) is usage
