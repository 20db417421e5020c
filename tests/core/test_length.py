"""Tests of the policy's length levers, and of the lengths that they go by."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costsvc.config import load_catalog_files
from costsvc.core.length import Length
from costsvc.core.lengths import LEAST_CALLS, WINDOW_CALLS, Lengths, Quantile
from costsvc.core.policy import Policy, read_policy
from costsvc.core.toml_rows import CatalogError
from costsvc.data import read_text

CATALOG = load_catalog_files()
SHIPPED = read_text("policy.toml")
SCHEMA = '{"type":"object","properties":{"label":{"type":"string"}},"additionalProperties":false}'
COUNTS = st.lists(st.tuples(st.integers(0, 2_000), st.booleans()), max_size=WINDOW_CALLS)


def policy(table: str) -> Policy:
    """Read the shipped policy with a table for a task."""
    return read_policy(f"{SHIPPED}\n[length.label]\n{table}", CATALOG, name="mine.toml")


def seen(*lengths: int, cut: tuple[int, ...] = ()) -> Lengths:
    """Return lengths that have seen some answers under the key "k"."""
    found = Lengths()
    for tokens in lengths:
        found.observe("k", tokens, is_cut=False)
    for tokens in cut:
        found.observe("k", tokens, is_cut=True)
    return found


def test_a_table_is_read_whole() -> None:
    """Every field arrives; decimals are exact, and the schema is parsed."""
    read = policy(
        f"""
cap_tokens = 16
truncate_ok = true
default_quantile = "0.95"
floor_tokens = 8
ceiling_tokens = 400
effort = "low"
thinking_off = true
stop_sequences = ["##", "END"]
tidy_prompts = true
probe_share = "0.1"
[length.json]
json_schema = '{SCHEMA}'
"""
    ).lengths
    assert read["label"] == Length(
        cap_tokens=16,
        default_quantile=Fraction(95, 100),
        floor_tokens=8,
        ceiling_tokens=400,
        effort="low",
        thinking_off=True,
        stop_sequences=("##", "END"),
        tidy_prompts=True,
        probe_share=Fraction(1, 10),
    )
    assert read["json"].json_schema == {
        "type": "object",
        "properties": {"label": {"type": "string"}},
        "additionalProperties": False,
    }
    assert read["label"].words == (
        "cut after 16 tokens, max_tokens at quantile 0.95, 8 to 400, effort low, thinking off, "
        "2 stop sequences, prompts tidied; without some in 10.00% of calls"
    )
    assert policy("tidy_prompts = true").lengths["label"].words == "prompts tidied"


def test_the_shipped_policy_pulls_no_lever() -> None:
    """Whoever wants shorter answers says so."""
    assert read_policy(SHIPPED, CATALOG).lengths == {}


BROKEN = {
    "cap_tokens = 16": ("cap_tokens", "needs truncate_ok = true"),
    "cap_tokens = 0\ntruncate_ok = true": ("cap_tokens", "must be from 1 to 128000"),
    "cap_tokens = 200000\ntruncate_ok = true": ("cap_tokens", "must be from 1 to 128000"),
    "truncate_ok = true": ("truncate_ok", "needs cap_tokens"),
    'default_quantile = "0.4"': ("default_quantile", "must be from 0.5 to 0.995"),
    'default_quantile = "1"': ("default_quantile", "must be from 0.5 to 0.995"),
    "default_quantile = 0.9": ("default_quantile", "must be a string"),
    "floor_tokens = 5": ("floor_tokens", "needs default_quantile"),
    "ceiling_tokens = 5": ("ceiling_tokens", "needs default_quantile"),
    'default_quantile = "0.9"\nfloor_tokens = 9\nceiling_tokens = 8': (
        "ceiling_tokens",
        "is below floor_tokens",
    ),
    'effort = "lazy"': ("effort", "'lazy' is none of high, low, max, medium, xhigh"),
    "stop_sequences = []": ("stop_sequences", "must be 1 to 16"),
    'stop_sequences = ["\\n"]': ("stop_sequences", "must not be white space alone"),
    "json_schema = 'no'": ("json_schema", "is not JSON"),
    "json_schema = '{}'": ("json_schema", "has no type"),
    'json_schema = \'{"type":"object"}\'': ("json_schema", "additionalProperties = false"),
    f"json_schema = '{SCHEMA}'\nstop_sequences = ['x']": ("stop_sequences", "would cut the JSON"),
    f"json_schema = '{SCHEMA}'\ncap_tokens = 9\ntruncate_ok = true": ("cap_tokens", "would cut the JSON"),
    f"json_schema = '{' ' * 16384}{SCHEMA}'": ("json_schema", "has more than 16384 bytes"),
    'effort = "low"\nprobe_share = "0.6"': ("probe_share", "must be at most 0.5"),
    'probe_share = "0.1"': ("", "pulls no lever"),
    "efort = 'low'": ("efort", "is not a known field"),
}


@pytest.mark.parametrize("table", BROKEN)
def test_a_table_that_cannot_work_names_its_place(table: str) -> None:
    """File, line, table, field and reason."""
    field, problem = BROKEN[table]
    with pytest.raises(CatalogError, match=problem) as caught:
        policy(table)
    error = caught.value
    assert (error.file, error.table, error.field) == ("mine.toml", "length.label", field)
    assert error.line > SHIPPED.count("\n")


def test_a_task_has_a_name_that_calls_can_have() -> None:
    """A table that no call could ever meet is a mistake."""
    with pytest.raises(CatalogError, match="must be 1 to 63"):
        read_policy(f"{SHIPPED}\n[length.Label]\neffort = 'low'", CATALOG)


def test_too_few_answers_say_nothing() -> None:
    """Neither a quantile, which needs as many as it leaves out, nor a mean."""
    few = seen(*[10] * (LEAST_CALLS - 1))
    assert few.quantile("k", Fraction(1, 2)) is few.mean("k", most=99) is None
    assert few.mean_beyond("k", 5, most=99) == 0
    some = seen(*[10] * 40)
    assert some.quantile("k", Fraction(99, 100)) is None
    assert some.quantile("k", Fraction(95, 100)) == Quantile(10, 40)
    assert some.quantile("other", Fraction(95, 100)) is None


def test_a_quantile_that_cuts_does_not_creep_down() -> None:
    """Cut answers are longer than any: where more than the share allows are cut, no length is known."""
    assert seen(*range(1, 96), cut=(95,) * 5).quantile("k", Fraction(95, 100)) == Quantile(95, 100)
    assert seen(*range(1, 95), cut=(94,) * 6).quantile("k", Fraction(95, 100)) == Quantile(None, 100)


@given(COUNTS, st.sampled_from([Fraction(1, 2), Fraction(9, 10), Fraction(995, 1000)]))
def test_a_quantile_is_not_exceeded_by_more_than_the_rest(
    counts: list[tuple[int, bool]], share: Fraction
) -> None:
    """At least the share of the answers, cut ones counted as longer, has at most so many tokens."""
    lengths = Lengths()
    for tokens, is_cut in counts:
        lengths.observe("k", tokens, is_cut=is_cut)
    found = lengths.quantile("k", share)
    if found is not None:
        whole = [tokens for tokens, is_cut in counts if not is_cut]
        most = max(whole, default=-1) if found.tokens is None else found.tokens
        within = sum(tokens <= most for tokens in whole)
        assert found.call_count == len(counts)
        assert (within >= share * len(counts)) == (found.tokens is not None)


@given(COUNTS, st.integers(1, 500), st.integers(1, 2_500))
def test_what_is_beyond_a_limit_is_bounded(counts: list[tuple[int, bool]], limit: int, most: int) -> None:
    """Never negative, and never more than there was room for."""
    lengths = Lengths()
    for tokens, is_cut in counts:
        lengths.observe("k", tokens, is_cut=is_cut)
    assert 0 <= lengths.mean_beyond("k", limit, most=most) <= max(most - limit, 0)
    mean = lengths.mean("k", most=most)
    assert mean is None or 0 <= mean <= most


def test_only_the_last_answers_count() -> None:
    """What a task was long ago is forgotten, and so are keys that nobody uses."""
    lengths = seen(*[1_000] * 50, *[10] * WINDOW_CALLS)
    assert lengths.mean("k", most=2_000) == 10
    small = Lengths(capacity=2)
    for key in ("a", "b", "a", "c"):
        small.observe(key, 1, is_cut=False)
    assert len(small) == 2
    for _ in range(LEAST_CALLS):
        small.observe("a", 1, is_cut=False)
    assert small.mean("a", most=9) == 1
