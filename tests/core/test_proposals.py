"""Tests of advice: what each proposal is worth, by the prices of bills."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costsvc.config import load_catalog_files
from costsvc.core.fillers import fillers
from costsvc.core.money import NANO_PER_USD
from costsvc.core.pricing import price
from costsvc.core.proposals import MONTH, Case, Proposal, Traffic, propose
from costsvc.core.usage import Usage

CATALOG = load_catalog_files()
SONNET, OPUS = "claude-sonnet-4-6", "claude-opus-5-5"
MILLION = Traffic(1_000_000, MONTH)
PLAIN = Case(
    model=CATALOG.models[SONNET],
    at=datetime(2026, 11, 22, tzinfo=UTC),
    fast=False,
    geo_us=False,
    task="label",
    prompt_tokens=47,
    output_tokens=10,
    longest_tokens=12,
    max_tokens=64,
    has_max_tokens=True,
    fixed_tokens=40,
    filler_tokens=0,
    tidy_tokens=0,
    is_cached=False,
    may_be_json=False,
    may_wait=False,
    is_kept=True,
    routed="",
    routed_nano_usd=None,
    traffic=MILLION,
)


def found(case: Case) -> dict[str, Proposal]:
    """Return the proposals by code."""
    return {proposal.code: proposal for proposal in propose(CATALOG, case)}


def test_a_prompt_of_15_tokens_instead_of_47_saves_96_dollars_a_million() -> None:
    """32 tokens x 1 M calls x $3 a million tokens."""
    [proposal] = propose(CATALOG, replace(PLAIN, filler_tokens=32))
    assert proposal.code == "drop_fillers"
    assert (proposal.monthly_call_count, proposal.monthly_nano_usd) == (1_000_000, 96 * NANO_PER_USD)
    assert proposal.thousand_calls_nano_usd == 96 * NANO_PER_USD // 1_000
    assert proposal.assumption.endswith("1000000 calls of label in 30 days")


def test_what_is_read_from_the_cache_saves_a_tenth() -> None:
    """Only the reading of the prefix becomes shorter: sonnet 4.6 reads at 0.3."""
    case = replace(PLAIN, filler_tokens=32, is_cached=True)
    assert found(case)["drop_fillers"].monthly_nano_usd == 9_600_000_000


def test_nothing_is_known_of_calls_that_were_not_seen() -> None:
    """A thousand calls have a price all the same."""
    proposal = found(replace(PLAIN, tidy_tokens=10, traffic=None))["tidy_prompt"]
    assert (proposal.monthly_call_count, proposal.monthly_nano_usd) == (0, 0)
    assert proposal.thousand_calls_nano_usd == 10 * 3_000 * 1_000
    assert proposal.assumption == "the prompt is no code"


def test_a_wordy_fixed_part_is_worth_its_quarter() -> None:
    """Of 1,000 tokens 250: at 3 dollars a million and a million calls, 750 dollars."""
    proposal = found(replace(PLAIN, prompt_tokens=1_040, fixed_tokens=1_000))["shorten_fixed_part"]
    assert proposal.monthly_nano_usd == 750 * NANO_PER_USD


def test_a_limit_is_proposed_without_a_saving() -> None:
    """Models do not shorten to it: it bounds what a call can cost, here from 1,101 to 321 micro-dollars."""
    case = replace(PLAIN, has_max_tokens=False)
    [proposal] = propose(CATALOG, case)
    assert (proposal.code, proposal.monthly_nano_usd, proposal.thousand_calls_nano_usd) == (
        "set_max_tokens",
        0,
        0,
    )
    assert proposal.text == "set max_tokens: about 12 instead of the default of 64"
    assert "$0.001101" in proposal.assumption
    assert "$0.000321" in proposal.assumption
    assert not propose(CATALOG, replace(case, longest_tokens=64))


def test_a_long_prompt_belongs_into_the_cache_where_it_is_read_again() -> None:
    """4,000 tokens at 3, 3.75 and 0.3 dollars a million; forgotten after 5 minutes by who calls seldom."""
    case = replace(PLAIN, prompt_tokens=4_100, fixed_tokens=4_000)
    busy = found(case)["cache_prompt"]
    assert busy.monthly_nano_usd == pytest.approx(10_800 * NANO_PER_USD, rel=1e-6)
    seldom = replace(case, traffic=Traffic(100, MONTH))
    assert "cache_prompt" not in found(seldom)
    assert found(replace(case, traffic=None))["cache_prompt"].thousand_calls_nano_usd == 10_800_000_000
    assert "cache_prompt" not in found(replace(case, is_cached=True))
    assert "cache_prompt" not in found(replace(case, prompt_tokens=1_000, fixed_tokens=900))


def test_a_short_json_answer_is_worth_the_rest_less_its_schema() -> None:
    """120 tokens of text for 20 of JSON, at 15 dollars a million, less 200 more to read at 3."""
    case = replace(PLAIN, output_tokens=120, may_be_json=True)
    assert found(case)["ask_for_json"].monthly_nano_usd == (1_500 - 600) * NANO_PER_USD
    assert "ask_for_json" not in found(replace(case, output_tokens=59))
    assert "ask_for_json" not in found(replace(case, may_be_json=False))


def test_the_rest_of_the_checklist() -> None:
    """Batches at half price, one answer in ten kept, and the model that policy would choose."""
    cost = price(CATALOG, SONNET, Usage(input_tokens=47, output_tokens=10), at=PLAIN.at).nano_usd
    case = replace(PLAIN, may_wait=True, is_kept=False, routed="claude-haiku-5-5", routed_nano_usd=cost // 10)
    proposals = propose(CATALOG, case)
    assert [proposal.code for proposal in proposals] == ["let_route", "use_batches", "keep_answers"]
    assert [proposal.thousand_calls_nano_usd for proposal in proposals] == [
        1_000 * (cost - cost // 10),
        500 * cost,
        100 * cost,
    ]


@given(
    st.sampled_from([SONNET, OPUS, "claude-haiku-5-5"]),
    st.integers(0, 300_000),
    st.integers(0, 300_000),
    st.integers(0, 9_000),
    st.integers(0, 500),
    st.booleans(),
    st.sampled_from([None, MILLION, Traffic(1, timedelta(hours=1)), Traffic(7, timedelta(days=7))]),
)
def test_no_proposal_promises_more_than_a_call_costs(
    model: str,
    fixed: int,
    rest: int,
    output: int,
    filler: int,
    is_cached: bool,
    traffic: Traffic | None,
) -> None:
    """Each is above nothing, but for the limit, and at most the call; the most comes first."""
    case = replace(
        PLAIN,
        model=CATALOG.models[model],
        prompt_tokens=fixed + rest,
        fixed_tokens=fixed,
        filler_tokens=filler,
        tidy_tokens=filler // 2,
        output_tokens=output,
        has_max_tokens=False,
        may_be_json=True,
        may_wait=True,
        is_kept=False,
        is_cached=is_cached,
        traffic=traffic,
    )
    most = price(CATALOG, model, Usage(input_tokens=fixed + rest, output_tokens=output), at=case.at).nano_usd
    proposals = propose(CATALOG, case)
    worths = [proposal.thousand_calls_nano_usd for proposal in proposals]
    assert worths == sorted(worths, reverse=True)
    for proposal in proposals:
        assert (proposal.thousand_calls_nano_usd > 0) == (proposal.code != "set_max_tokens")
        assert proposal.thousand_calls_nano_usd <= 1_000 * most
        if traffic is not None:
            expected = proposal.thousand_calls_nano_usd * traffic.monthly_call_count / 1_000
            assert proposal.monthly_nano_usd == pytest.approx(expected, abs=traffic.monthly_call_count + 1)


def test_courtesies_are_found_and_nothing_else() -> None:
    """Words of the task stay."""
    text = (
        "I would like you to please classify the really odd ticket in order to route it. Thank you very much!"
    )
    assert [found.strip() for found in fillers([text])] == [
        "I would like you to",
        "please",
        "really",
        "in order",
        "Thank you very much",
    ]
    assert fillers(["Classify the ticket as bug or wish.", "pleasure, justice, verification"]) == []
