from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costsvc.core.usage import MalformedUsage, Usage, overlay_usage, read_usage

COUNTS = st.integers(min_value=0, max_value=10**7)
OPUS, SONNET, HAIKU = "claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5"


def plain(**counts: Any) -> dict[str, Any]:
    """Return a small usage object with these counts in it."""
    return {"input_tokens": 10, "output_tokens": 5} | counts


def test_the_documented_answer_is_read() -> None:
    """A complete usage object lands in disjoint classes, with tier, geography and speed."""
    reported = read_usage(
        {
            "input_tokens": 50,
            "cache_creation_input_tokens": 248,
            "cache_read_input_tokens": 100_000,
            "cache_creation": {"ephemeral_5m_input_tokens": 148, "ephemeral_1h_input_tokens": 100},
            "output_tokens": 503,
            "output_tokens_details": {"thinking_tokens": 400},
            "server_tool_use": {"web_search_requests": 1, "web_fetch_requests": 7},
            "service_tier": "batch",
            "inference_geo": "us",
            "speed": "fast",
        },
        model=OPUS,
    )
    expected = Usage(
        input_tokens=50,
        cache_write_5m_tokens=148,
        cache_write_1h_tokens=100,
        cache_read_tokens=100_000,
        output_tokens=503,
        web_search_count=1,
    )
    assert reported.totals == expected
    assert reported.parts == ((OPUS, expected),)
    assert (reported.service_tier, reported.inference_geo, reported.speed) == ("batch", "us", "fast")
    assert reported.billed
    assert reported.totals.prompt_tokens == 100_298


def test_null_and_absent_mean_the_same() -> None:
    """A field that is null counts like a field that is missing."""
    names = (
        "cache_creation_input_tokens",
        "cache_read_input_tokens",
        "cache_creation",
        "server_tool_use",
        "service_tier",
        "inference_geo",
        "speed",
        "iterations",
    )
    assert read_usage(plain(**dict.fromkeys(names)), model=OPUS) == read_usage(plain(), model=OPUS)


@given(total=COUNTS, one_hour=COUNTS, five_minutes=COUNTS)
def test_what_a_short_split_leaves_open_is_five_minutes(total: int, one_hour: int, five_minutes: int) -> None:
    """The parts always add up to the total; what the split does not say was written for 5 minutes."""
    total += one_hour + five_minutes
    split = {"ephemeral_5m_input_tokens": five_minutes, "ephemeral_1h_input_tokens": one_hour}
    used = read_usage(plain(cache_creation_input_tokens=total, cache_creation=split), model=OPUS).totals
    assert used.cache_write_1h_tokens == one_hour
    assert used.cache_write_5m_tokens == total - one_hour


def test_a_split_without_a_total_stands_for_itself() -> None:
    """An absent total is not zero where its parts say otherwise."""
    split = {"ephemeral_5m_input_tokens": 7, "ephemeral_1h_input_tokens": 3}
    used = read_usage(plain(cache_creation=split, cache_creation_input_tokens=None), model=OPUS).totals
    assert (used.cache_write_5m_tokens, used.cache_write_1h_tokens) == (7, 3)


def test_a_split_above_an_explicit_total_names_both_counts() -> None:
    """A total of 0 is a statement: parts above it are an error that names the counts."""
    split = {"ephemeral_5m_input_tokens": 7, "ephemeral_1h_input_tokens": 3}
    with pytest.raises(MalformedUsage, match=r"0 is less than its parts: 7 .* 3") as caught:
        read_usage(plain(cache_creation=split, cache_creation_input_tokens=0), model=OPUS)
    assert caught.value.field == "cache_creation_input_tokens"


@pytest.mark.parametrize("count", [-1, 1.5, "3", True, False, [], 10**9 + 1])
@pytest.mark.parametrize(
    "name", ["input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"]
)
def test_what_is_not_a_count_is_an_error(name: str, count: object) -> None:
    """Negative, fractional, textual, boolean and absurd counts are refused by name."""
    with pytest.raises(MalformedUsage) as caught:
        read_usage(plain(**{name: count}), model=OPUS)
    assert caught.value.field == name


@pytest.mark.parametrize("name", ["input_tokens", "output_tokens"])
def test_counts_that_every_answer_has_must_be_there(name: str) -> None:
    """A usage without input or output cannot be billed: it is not taken for zero."""
    with pytest.raises(MalformedUsage, match="is missing"):
        read_usage(plain(**{name: None}), model=OPUS)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cache_creation", 3),
        ("server_tool_use", []),
        ("iterations", {}),
        ("iterations", [3]),
        ("service_tier", 1),
        ("speed", {}),
    ],
)
def test_wrong_shapes_are_errors(name: str, value: object) -> None:
    """A part of the wrong JSON type is refused by name."""
    with pytest.raises(MalformedUsage) as caught:
        read_usage(plain(**{name: value}), model=OPUS)
    assert caught.value.field == name


def test_iterations_are_the_bill_each_at_its_own_model() -> None:
    """Compaction and advisor calls are billed although the top level leaves them out."""
    reported = read_usage(
        plain(
            iterations=[
                {"type": "compaction", "input_tokens": 55_000, "output_tokens": 900},
                {"type": "message", "input_tokens": 10, "output_tokens": 5},
                {"type": "advisor_message", "model": OPUS, "input_tokens": 700, "output_tokens": 80},
            ],
            server_tool_use={"web_search_requests": 2},
        ),
        model=SONNET,
    )
    assert [model for model, _ in reported.parts] == [SONNET, SONNET, OPUS]
    assert reported.totals == Usage(input_tokens=55_710, output_tokens=985, web_search_count=2)


def test_an_empty_list_of_iterations_leaves_the_top_level() -> None:
    """No iterations is not a call of nothing."""
    assert read_usage(plain(iterations=[]), model=OPUS).totals.input_tokens == 10


@pytest.mark.parametrize(
    ("category", "billed_models"), [(None, [HAIKU]), ("cyber", [HAIKU]), ("bio", [OPUS, HAIKU])]
)
def test_a_declined_attempt_before_a_fallback_is_free(category: str | None, billed_models: list[str]) -> None:
    """An attempt that declined before a fallback answered is not charged, but for some categories."""
    declined = {"type": "message", "input_tokens": 900, "output_tokens": 0, "model": OPUS}
    if category:
        declined["stop_details"] = {"type": "refusal", "category": category}
    answered = {"type": "fallback_message", "model": HAIKU, "input_tokens": 900, "output_tokens": 40}
    reported = read_usage(plain(iterations=[declined, answered]), model=HAIKU)
    assert [model for model, _ in reported.parts] == billed_models


@pytest.mark.parametrize(
    ("category", "output_tokens", "billed"),
    [
        (None, 0, False),
        ("cyber", 0, False),
        ("general_harms", 0, False),
        ("bio", 0, True),
        ("frontier_llm", 0, True),
        ("reasoning_extraction", 0, True),
        ("cyber", 1, True),
        (None, 12, True),
    ],
)
def test_refusals_are_billed_by_the_published_rules(
    category: str | None, output_tokens: int, billed: bool
) -> None:
    """A refusal is billed once anything was written, and before that only for three categories."""
    reported = read_usage(
        plain(output_tokens=output_tokens),
        model=OPUS,
        stop_reason="refusal",
        stop_details={"type": "refusal", "category": category},
    )
    assert reported.billed is billed


def test_a_refusal_without_details_before_output_is_free() -> None:
    """Where the provider gives no category, nothing written is nothing billed."""
    assert not read_usage(plain(output_tokens=0), model=OPUS, stop_reason="refusal").billed


def test_an_empty_answer_that_is_no_refusal_is_billed() -> None:
    """Warming the cache writes no output and is paid for."""
    assert read_usage(plain(output_tokens=0), model=OPUS, stop_reason="max_tokens").billed


def test_a_stream_keeps_what_only_its_start_knows() -> None:
    """The delta's counts replace, its nulls do not, and tier, geography and the split stay."""
    start = {
        "input_tokens": 25,
        "output_tokens": 1,
        "cache_creation_input_tokens": 30,
        "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
        "service_tier": "standard",
        "inference_geo": "us",
    }
    delta = {"output_tokens": 15, "input_tokens": None, "cache_creation_input_tokens": 30}
    reported = read_usage(overlay_usage(start, delta), model=OPUS)
    assert reported.inference_geo == "us"
    assert reported.totals == Usage(
        input_tokens=25, cache_write_5m_tokens=10, cache_write_1h_tokens=20, output_tokens=15
    )


def test_a_zero_in_a_delta_replaces() -> None:
    """After a compaction the message's own counts are smaller than what the stream began with."""
    start = plain(
        cache_read_input_tokens=55_096,
        cache_creation_input_tokens=500,
        cache_creation={"ephemeral_5m_input_tokens": 500, "ephemeral_1h_input_tokens": 0},
    )
    delta = {"output_tokens": 9, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0}
    used = read_usage(overlay_usage(start, delta), model=OPUS).totals
    assert used == Usage(input_tokens=10, output_tokens=9)


@given(
    st.lists(
        st.builds(Usage, input_tokens=COUNTS, cache_read_tokens=COUNTS, output_tokens=COUNTS), max_size=5
    )
)
def test_usage_adds_up_by_class(parts: list[Usage]) -> None:
    """Adding usages adds what was read and what was written."""
    total = sum(parts, start=Usage())
    assert total.prompt_tokens == sum(part.prompt_tokens for part in parts)
    assert total.output_tokens == sum(part.output_tokens for part in parts)
