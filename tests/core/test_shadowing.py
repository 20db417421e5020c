"""Tests of what is compared with the baseline model, and of what counts as a judge's opinion."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from costsvc.config import POLICY, load_catalog_files
from costsvc.core.catalog import CatalogError
from costsvc.core.judging import Preference, question_for, read_preference
from costsvc.core.policy import read_policy
from costsvc.core.shadowing import Judging, Shadowing
from costsvc.data import read_text

CATALOG = load_catalog_files()
PRICE = 'price = "standard"'


def shadowing(rows: str) -> Shadowing:
    """Return what the shipped policy says with these rows of `[shadow]`."""
    return read_policy(f"{read_text(POLICY)}\n[shadow]\n{rows}\n", CATALOG).shadowing


def test_nothing_is_compared_as_shipped() -> None:
    """A share that is listed counts; without one, that of all tasks, if there is one."""
    assert read_policy(read_text(POLICY), CATALOG).shadowing == Shadowing()
    assert Shadowing().share("faq") == 0
    found = shadowing(
        f'{PRICE}\ndaily_usd = "2.5"\nkeep_days = 3\n[shadow.shares]\nfaq = "0.1"\n"*" = "0.02"\n'
        '[shadow.judge]\nmodel = "claude-sonnet-5-5"\nrubric = " Be strict. "'
    )
    assert found == Shadowing(
        shares={"faq": 0.1, "*": 0.02},
        daily_nano_usd=2_500_000_000,
        kept=timedelta(days=3),
        judging=Judging(model="claude-sonnet-5-5", rubric="Be strict."),
    )
    assert (found.share("faq"), found.share(""), found.share("law")) == (0.1, 0.02, 0.02)


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ('[shadow.shares]\nfaq = "0.1"', "shadow: price: must say"),
        ('price = "batch"', "shadow: price: "),
        (f'{PRICE}\n[shadow.shares]\nfaq = "1.1"', r"shadow\.shares: faq: must be at most 1"),
        ('daily_usd = "0.0000000001"', "shadow: daily_usd: "),
        ('daily_usd = "1001"', "shadow: daily_usd: "),
        ("keep_days = 0", "shadow: keep_days: "),
        ("keep_days = 91", "shadow: keep_days: "),
        ('[shadow.judge]\nmodel = "claude-opus-5-5"', r"shadow\.judge: rubric: "),
        ('[shadow.judge]\nmodel = "claude-opus-5-5"\nrubric = " "', r"shadow\.judge: rubric: must say"),
        ('[shadow.judge]\nmodel = "nobody"\nrubric = "x"', r"shadow\.judge: model: "),
        ("share = 1", "shadow: share: "),
    ],
)
def test_a_mistake_in_the_policy_is_named(rows: str, problem: str) -> None:
    """With its table and field."""
    with pytest.raises(CatalogError, match=problem):
        shadowing(rows)


@pytest.mark.parametrize(
    ("text", "stop_reason", "found"),
    [
        ("a", "end_turn", Preference.ANSWERED),
        (" B\n", "end_turn", Preference.BASELINE),
        ("same", "end_turn", Preference.SAME),
        ("a", "max_tokens", None),
        ("a", "refusal", None),
        ("a is better", "end_turn", None),
        ("", "end_turn", None),
    ],
)
def test_an_opinion_is_exactly_one_of_three_words(
    text: str, stop_reason: str, found: Preference | None
) -> None:
    """In the other order, a and b change places."""
    assert read_preference(text, stop_reason, swapped=False) is found
    others = {Preference.ANSWERED: Preference.BASELINE, Preference.BASELINE: Preference.ANSWERED}
    other = others.get(found, found) if found else None
    assert read_preference(text, stop_reason, swapped=True) is other


@pytest.mark.parametrize(("model", "max_tokens"), [("claude-haiku-5-5", 8), ("claude-opus-5-5", 4096)])
def test_a_judge_sees_both_answers_as_data(model: str, max_tokens: int) -> None:
    """In either order, and has room to think where it cannot be kept from it."""
    for swapped in (False, True):
        members = question_for(
            CATALOG.models[model], "{x} rubric", asked='"}', answered="one", baseline="two", swapped=swapped
        )
        shown = json.loads(members["messages"].value[0]["content"])
        first, second = ("two", "one") if swapped else ("one", "two")
        assert shown == {"request": '"}', "answer_a": first, "answer_b": second}
        assert "{x} rubric" in members["system"].value
        assert members["max_tokens"].value == max_tokens
        assert ("thinking" in members) == (max_tokens == 8)
