"""Tests of why prompts are not read from the provider's cache, and of what that costs."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from costsvc.config import load_catalog_files
from costsvc.core.arrangement import Ratios
from costsvc.core.markers import MarkerPlan, plan_markers, weigh_spots
from costsvc.core.misses import Answered, Miss, explain, loss_nano_usd
from costsvc.core.prefix_walk import read_prefixes
from costsvc.core.reuse import Reuse, Sighting, settle
from costsvc.core.traits import traits_of
from costsvc.core.usage import Reported, Usage

from .prompts import as_request

AT_S = 1_800_000_000
AT = datetime.fromtimestamp(AT_S, UTC)
RULES = "Answer in one sentence, and say where you know it from. " * 300
TOKENS, MIN_TOKENS = 4_000, 1_024
RATIOS = Ratios(0.1, 1.25, 2.0)
PLAIN = Usage(input_tokens=TOKENS, output_tokens=9)


def body(system: str = RULES, **members: Any) -> dict[str, Any]:
    """Return the body of a request."""
    return {"max_tokens": 9, "system": system, "messages": [{"role": "user", "content": "Why?"}], **members}


def answered(
    before: dict[str, Any] | None = None,
    now: dict[str, Any] | None = None,
    *,
    usage: Usage = PLAIN,
    seen_s: int = 60,
    kept_s: int = 0,
    is_known: bool = False,
    **fields: Any,
) -> Answered:
    """Return an answer to a prompt; the one before came `seen_s` ago, and was kept for `kept_s`."""
    request = as_request(now or body())
    prefixes = read_prefixes(request)
    states: dict[bytes, Reuse] = {}
    if is_known:
        at_s = AT_S - seen_s
        until_s = at_s + kept_s if kept_s else 0
        spots = [spot for spot in prefixes.spots if spot.member != "messages"]
        for gone_s in (900, 600, 300, 0):
            each = [
                Sighting(digest=s.digest, kin=s.kin, at_s=at_s - gone_s, warm_until_s=until_s) for s in spots
            ]
            settle(states, {}, each)
    views = weigh_spots(prefixes, states, {}, input_tokens=TOKENS, now_s=AT_S)
    plan = plan_markers(
        views, RATIOS, min_tokens=MIN_TOKENS, input_tokens=TOKENS, marker_count=prefixes.marker_count
    )
    return Answered(
        **{
            "request": request,
            "plan": plan,
            "views": views,
            "states": states,
            "before": traits_of(as_request(before), "m", AT_S - seen_s) if before else None,
            "now": traits_of(request, fields.pop("model", "m"), AT_S),
            "usage": usage,
            "message": {},
            "min_tokens": MIN_TOKENS,
            "break_even": 0.22,
            "parallel": views[0] if fields.pop("is_parallel", False) else None,
            "is_next_turn": False,
            **fields,
        }
    )


def test_a_first_prompt_is_no_miss() -> None:
    """There was nothing to read."""
    assert explain(answered()) is None


@pytest.mark.parametrize(
    ("top", "block"),
    [("It is 10:31. ", "system.0~date"), ("On 2026-11-22: ", "system.0~date"), ("For Ann. ", "system.0")],
)
def test_what_changes_at_the_top_of_a_prompt_costs_what_follows(top: str, block: str) -> None:
    """And it is said whether it looks like a date."""
    miss = explain(answered(body(f"Before this. {RULES}"), body(top + RULES)))
    assert miss is not None
    assert (miss.reason, miss.block) == ("system_changed", block)
    assert 0.9 * TOKENS < miss.tokens < TOKENS


def test_a_date_in_the_part_that_stays_is_not_blamed() -> None:
    """Only what is different can be the cause, give or take a sixteenth of the block."""
    rules = f"{RULES} Since 2026-01-01 holds: {RULES}"
    miss = explain(answered(body(f"For Bob. {rules}"), body(f"For Ann. {rules}")))
    assert miss is not None
    assert miss.block == "system.0"


def test_changes_count_while_a_read_was_possible() -> None:
    """Not where the prompt before came more than 5 minutes ago, or nothing is the same any more."""
    assert explain(answered(body(f"A. {RULES}"), body(f"B. {RULES}"), seen_s=301)) is None
    assert explain(answered(body("x" * 9_000), body())) is None
    assert explain(answered(body("A. short"), body("B. short"))) is None


def test_prompts_that_take_turns_are_no_change() -> None:
    """The one before was another, but this one was seen as well."""
    assert explain(answered(body(f"A. {RULES}"), body(f"B. {RULES}"), is_known=True)) is None


def test_tools_that_change_are_named() -> None:
    """They stand in front of all the rest."""
    tools = [{"name": "look", "description": "Looks.", "input_schema": {"type": "object"}}]
    other = [{**tools[0], "description": "Looks it up."}]
    miss = explain(answered(body(tools=tools), body(tools=other)))
    assert miss is not None
    assert miss[:2] == ("tools_changed", "tools")


def test_a_conversation_that_moves_loses_its_turns() -> None:
    """Caches are per model."""
    turns = [{"role": "user", "content": RULES}]
    more = [*turns, {"role": "assistant", "content": "So."}, {"role": "user", "content": "Oh."}]
    moved = answered(body(messages=turns), body(messages=more), is_next_turn=True, model="n")
    miss = explain(moved)
    assert miss is not None
    assert miss.reason == "model_switched"
    assert miss.tokens > 0.9 * TOKENS


def test_turns_that_are_rewritten_cost_what_they_hold() -> None:
    """Within a conversation; its first turn has no turns before it."""
    turns = [{"role": "user", "content": RULES}]
    other = [{"role": "user", "content": f"No. {RULES}"}, {"role": "assistant", "content": "So."}]
    more = [*other, {"role": "user", "content": "Oh."}]
    rewritten = explain(answered(body(messages=turns), body(messages=more), is_next_turn=True))
    assert rewritten is not None
    assert rewritten[:2] == ("messages_changed", "messages")
    assert explain(answered(body(messages=turns), body(messages=more))) is None


def test_an_entry_that_ran_out_is_told_from_one_that_was_lost() -> None:
    """The first was kept for too short a time, the second should have been there."""
    ran_out = explain(answered(is_known=True, seen_s=400, kept_s=300))
    lost = explain(answered(is_known=True, seen_s=60, kept_s=300))
    assert ran_out is not None
    assert lost is not None
    assert (ran_out.reason, lost.reason) == ("expired", "evicted_or_unknown")
    assert min(ran_out.tokens, lost.tokens) > 0.9 * TOKENS
    read = Usage(cache_read_tokens=TOKENS - 10, input_tokens=10)
    assert explain(answered(is_known=True, seen_s=60, kept_s=300, usage=read)) is None


def test_two_that_write_the_same_at_once_are_one_too_many() -> None:
    """The second could have waited."""
    written = Usage(input_tokens=10, cache_write_5m_tokens=TOKENS - 10)
    assert explain(answered(usage=written)) is None
    miss = explain(answered(usage=written, is_parallel=True))
    assert miss is not None
    assert miss[:2] == ("not_yet_written", "system.0")
    assert 0.9 * TOKENS < miss.tokens < TOKENS


def test_a_prompt_that_comes_again_may_be_too_short() -> None:
    """Where it would pay if the model cached it."""
    known = {"is_known": True, "seen_s": 60, "plan": MarkerPlan(plain_tokens=TOKENS)}
    miss = explain(answered(min_tokens=TOKENS * 2, **known))
    assert miss is not None
    assert miss[:2] == ("too_short", "system.0")
    assert explain(answered(min_tokens=TOKENS * 2, break_even=1.1, **known)) is None


@pytest.mark.parametrize(
    ("diagnostics", "miss"),
    [
        (None, None),
        ({"cache_miss_reason": None}, None),
        ({"cache_miss_reason": "unavailable"}, None),
        ({"cache_miss_reason": {"type": "tools_changed", "cache_missed_input_tokens": 900}}, 900),
        ({"cache_miss_reason": "tools_changed", "cache_missed_input_tokens": 900}, 900),
        ({"cache_miss_reason": {"type": "tools_changed", "cache_missed_input_tokens": True}}, None),
        ({"cache_miss_reason": [1]}, None),
        ("odd", None),
    ],
)
def test_what_the_provider_says_goes_first(diagnostics: Any, miss: int | None) -> None:
    """In whatever form it comes."""
    found = explain(answered(message={"diagnostics": diagnostics}))
    assert found == (Miss("tools_changed", "", miss) if miss else None)


def test_a_loss_is_what_a_read_would_have_spared() -> None:
    """What was written counts at the price of writing, the rest at that of input."""
    catalog, model = load_catalog_files(), "claude-opus-5-5"
    rates = catalog.resolve(model).rates(AT, prompt_tokens=3_000)
    usage = Usage(input_tokens=2_000, cache_write_5m_tokens=1_000, output_tokens=70)
    reported = Reported(model=model, parts=((model, usage),), totals=usage)
    written = 1_000 * (rates.cache_write_5m_pico_usd - rates.cache_read_pico_usd)
    plain = 500 * (rates.input_pico_usd - rates.cache_read_pico_usd)
    assert loss_nano_usd(catalog, reported, 1_000, at=AT) == written // 1_000
    assert loss_nano_usd(catalog, reported, 1_500, at=AT) == (written + plain) // 1_000
    assert loss_nano_usd(catalog, reported, 0, at=AT) == 0
    assert loss_nano_usd(catalog, replace(reported, billed=False), 1_500, at=AT) == 0
