"""Tests of what to change about prompts, and of what it is said to cost."""

from __future__ import annotations

from dataclasses import replace

import pytest

from costsvc.core.misses import REASONS
from costsvc.core.prompt_advice import a_day, advise_on_prompts
from costsvc.core.tallies import MissTally, PrefixTally

DAY_S = 86_400
MODEL = "claude-haiku-4-5"
MISS = MissTally(
    task="faq",
    model=MODEL,
    reason="system_changed",
    block="system.0~date",
    count=40,
    tokens=160_000,
    lost_nano_usd=3_000_000_000,
)


def texts(*misses: MissTally, observed_s: int = DAY_S, prefixes: tuple[PrefixTally, ...] = ()) -> list[str]:
    """Return what is said."""
    advice = advise_on_prompts(prefixes, misses, observed_s=observed_s, min_tokens={MODEL: 4_096})
    return [each.text for each in advice]


def test_a_day_is_the_least_that_is_said() -> None:
    """What was seen for an hour is not multiplied, what was seen for two days is halved."""
    assert a_day(10, 3_600) == a_day(10, 0) == a_day(10, DAY_S) == 10
    assert a_day(10, 2 * DAY_S) == 5


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ("system.0~date", "a timestamp in system block 1 defeats"),
        ("system.2", "system block 3 changes between calls and defeats"),
    ],
)
def test_a_system_prompt_that_changes_is_named(block: str, said: str) -> None:
    """By the block, and with what it costs."""
    assert texts(replace(MISS, block=block)) == [f"{said} caching of what follows it: $3.00 a day"]


def test_a_prompt_that_is_too_short_says_by_how_much() -> None:
    """On average, and nothing on a model that is gone."""
    short = replace(MISS, reason="too_short", tokens=40 * 4_000)
    [said] = texts(short)
    assert said.startswith(f"what comes again is 96 tokens short of what {MODEL} caches")
    assert not texts(replace(short, model="gone"))
    assert not texts(replace(short, tokens=40 * 5_000))


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_has_advice_or_none_can_help(reason: str) -> None:
    """What the provider or the clock does is nothing to change."""
    said = texts(replace(MISS, reason=reason, block="tools" if reason == "tools_changed" else "system.0"))
    helpless = {"expired", "not_yet_written", "evicted_or_unknown"}
    assert bool(said) is (reason not in helpless)


def test_what_is_rare_or_free_is_not_said() -> None:
    """A release changes a prompt, too; the dearest comes first."""
    assert not texts(replace(MISS, count=2))
    assert not texts(replace(MISS, lost_nano_usd=0))
    dearer = replace(MISS, reason="tools_changed", block="tools", lost_nano_usd=4_000_000_000)
    assert texts(MISS, dearer)[0] == (
        "tools change between calls and defeat caching of what follows them: $4.00 a day"
    )


def test_callers_breakpoints_that_lose_are_told() -> None:
    """By what they lost all together; those that save are not."""
    own = PrefixTally(prefix="_caller", task="faq", model=MODEL, call_count=9, caller_saved_nano_usd=-20_000)
    first = replace(own, prefix="_first", caller_saved_nano_usd=-30_000)
    said = "the caller's own breakpoints are written and hardly read: $0.00005 a day"
    assert texts(prefixes=(own, first)) == [said]
    assert not texts(prefixes=(own, replace(first, caller_saved_nano_usd=30_000)))
    assert not texts(prefixes=(replace(own, call_count=2),))
