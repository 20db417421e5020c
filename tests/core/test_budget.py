from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costsvc.config import load_catalog_files
from costsvc.core.budget import (
    MAX_APPLYING,
    MAX_LIMIT_NANO_USD,
    Budget,
    Kind,
    Mode,
    Scope,
    applies,
    applying,
    define,
    validated,
)
from costsvc.core.budget_json import UnreadableBudget, read_budget, write_budget
from costsvc.core.errors import InvalidRequest, TooManyBudgets
from costsvc.core.money import NANO_PER_USD
from costsvc.core.request import Tier
from costsvc.core.windows import Calendar, Rolling, Unit, window_at

AT = datetime(2026, 11, 22, 23, 59, 59, tzinfo=UTC)
CATALOG = load_catalog_files()
MODEL = "claude-opus-5-5"
DAY = Calendar(Unit.DAY)


def budget(scope: Scope | None = None, **changes: Any) -> Budget:
    """Return a valid budget with some fields changed."""
    plain = Budget(id="b", scope=scope or Scope(Kind.EVERYTHING), window=DAY, limit_nano_usd=5 * NANO_PER_USD)
    return replace(plain, **changes)


CALL: dict[str, Any] = {"tenant": "acme", "labels": {"team": "search", "env": ""}, "model": MODEL}


@pytest.mark.parametrize(
    ("scope", "instance", "described"),
    [
        (Scope(Kind.EVERYTHING), "", "everything"),
        (Scope(Kind.TENANT, value="acme"), "acme", "tenant=acme"),
        (Scope(Kind.TENANT, value="acme2"), None, ""),
        (Scope(Kind.LABEL, "team", "search"), "search", "label team=search"),
        (Scope(Kind.LABEL, "team", "ads"), None, ""),
        (Scope(Kind.LABEL, "env", "search"), None, ""),
        (Scope(Kind.MODEL, value=MODEL), MODEL, f"model={MODEL}"),
        (Scope(Kind.MODEL, value="claude-opus-5"), None, ""),
        (Scope(Kind.EACH_TENANT), "acme", "tenant=acme"),
        (Scope(Kind.EACH_LABEL, "team"), "search", "label team=search"),
        (Scope(Kind.EACH_LABEL, "env"), "", "label env="),
        (Scope(Kind.EACH_LABEL, "owner"), None, ""),
    ],
)
def test_a_budget_applies_by_its_scope(scope: Scope, instance: str | None, described: str) -> None:
    """A template applies to every call that brings a value, and is one budget for each."""
    asked = budget(scope)
    assert applies(asked, **CALL) == instance
    found = applying(define([asked]), **CALL, at=AT)
    assert [application.instance for application in found] == ([] if instance is None else [instance])
    assert [application.scope for application in found] == ([] if instance is None else [described])


names = st.sampled_from(["a", "b", ""])
scopes = st.builds(Scope, st.sampled_from(Kind), names, names)


@given(st.lists(scopes, max_size=MAX_APPLYING), st.sampled_from("ab"), st.dictionaries(names, names), names)
def test_budgets_are_found_as_if_each_were_asked(scopes, tenant, labels, model):
    """The arrangement by scope only saves time."""
    budgets = [budget(scope, id=f"b{at:02}") for at, scope in enumerate(scopes)]
    found = applying(define(budgets), tenant=tenant, labels=labels, model=model, at=AT)
    asked = [(one, applies(one, tenant=tenant, labels=labels, model=model)) for one in budgets]
    assert [(one.budget, one.instance) for one in found] == [pair for pair in asked if pair[1] is not None]


def test_each_budget_has_its_own_window() -> None:
    """One instant is in several, each in the budget's own zone."""
    windows = (DAY, Calendar(Unit.DAY, "Asia/Tokyo"), Calendar(Unit.MONTH), Rolling(timedelta(hours=1)))
    found = applying(
        define(budget(id=f"b{at}", window=window) for at, window in enumerate(windows)), **CALL, at=AT
    )
    assert [application.window for application in found] == [window_at(window, AT) for window in windows]


def test_at_most_sixteen_budgets_apply() -> None:
    """The refusal names all that do; those that do not apply do not count."""
    others = [budget(Scope(Kind.TENANT, value="b"), id=f"o{at}") for at in range(100)]
    ours = [budget(id=f"b{at:02}") for at in range(MAX_APPLYING + 1)]
    assert len(applying(define(others + ours[1:]), **CALL, at=AT)) == MAX_APPLYING
    with pytest.raises(TooManyBudgets) as refused:
        applying(define(others + ours), **CALL, at=AT)
    assert refused.value.budget_ids == tuple(one.id for one in ours)


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"id": ""}, ["id"]),
        ({"id": "Team"}, ["id"]),
        ({"id": "b" * 65}, ["id"]),
        ({"scope": Scope(Kind.TENANT)}, ["scope.value"]),
        ({"scope": Scope(Kind.TENANT, "k", "acme")}, ["scope.key"]),
        ({"scope": Scope(Kind.LABEL, "Team", "search")}, ["scope.key"]),
        ({"scope": Scope(Kind.LABEL, "team", "")}, ["scope.value"]),
        ({"scope": Scope(Kind.LABEL, "team", "x" * 129)}, ["scope.value"]),
        ({"scope": Scope(Kind.MODEL, value="gpt-4o")}, ["scope.value"]),
        ({"scope": Scope(Kind.EVERYTHING, value="x")}, ["scope.value"]),
        ({"scope": Scope(Kind.EACH_TENANT, value="x")}, ["scope.value"]),
        ({"scope": Scope(Kind.EACH_LABEL, "", "x")}, ["scope.key", "scope.value"]),
        ({"window": Calendar(Unit.DAY, "Mars/Olympus")}, ["window.zone"]),
        ({"window": Rolling(timedelta(seconds=59))}, ["window.duration"]),
        ({"window": Rolling(timedelta(seconds=90))}, ["window.duration"]),
        ({"window": Rolling(timedelta(days=367))}, ["window.duration"]),
        ({"limit_nano_usd": 0}, ["limit_nano_usd"]),
        ({"limit_nano_usd": MAX_LIMIT_NANO_USD + 1}, ["limit_nano_usd"]),
        ({"overshoot_permille": -1}, ["overshoot_permille"]),
        ({"overshoot_permille": 1001}, ["overshoot_permille"]),
        ({"thresholds_permille": (800, 500)}, ["thresholds_permille"]),
        ({"thresholds_permille": (500, 500)}, ["thresholds_permille"]),
        ({"thresholds_permille": (0,)}, ["thresholds_permille"]),
        ({"thresholds_permille": (10_001,)}, ["thresholds_permille"]),
        ({"thresholds_permille": tuple(range(1, 22))}, ["thresholds_permille"]),
        ({"webhook_url": "file:///etc/passwd"}, ["webhook_url"]),
        ({"mode": Mode.HARD, "cap_tier": Tier.SIMPLE}, ["cap_tier"]),
        ({"mode": Mode.SHADOW, "cap_tier": Tier.SIMPLE}, ["cap_tier"]),
    ],
)
def test_a_budget_that_cannot_work_is_refused(changes: dict[str, Any], fields: list[str]) -> None:
    """Every broken rule names its field."""
    with pytest.raises(InvalidRequest) as refused:
        validated(budget(**changes), CATALOG)
    assert [violation.field for violation in refused.value.violations] == [f"budget.{f}" for f in fields]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"id": "a.b_c-1"},
        {"limit_nano_usd": 1},
        {"limit_nano_usd": MAX_LIMIT_NANO_USD},
        {"window": Rolling(timedelta(minutes=1))},
        {"window": Rolling(timedelta(days=366))},
        {"thresholds_permille": ()},
        {"thresholds_permille": (1, 1000, 1500)},
        {"mode": Mode.SOFT, "cap_tier": Tier.SIMPLE},
        {"scope": Scope(Kind.EACH_LABEL, "team")},
        {"webhook_url": "http://127.0.0.1:9/x"},
    ],
)
def test_what_keeps_the_rules_stays_as_it_is(changes: dict[str, Any]) -> None:
    """The bounds themselves are allowed."""
    assert validated(budget(**changes), CATALOG) == budget(**changes)


def test_a_budget_of_an_alias_is_one_of_its_model() -> None:
    """Calls go by id: a budget by alias would never fire."""
    model = next(model for model in CATALOG.models.values() if model.aliases)
    kept = validated(budget(Scope(Kind.MODEL, value=model.aliases[0])), CATALOG)
    assert applies(kept, tenant="t", labels={}, model=model.id) == model.id


limits = st.integers(1, MAX_LIMIT_NANO_USD)


@given(limits, st.integers(0, 1000), st.booleans())
def test_overshoot_is_none_when_strict_and_never_leaves_what_scripts_count(limit, permille, strict):
    """Limit and overshoot together stay where doubles are whole."""
    asked = budget(limit_nano_usd=limit, overshoot_permille=permille, strict=strict)
    assert 0 <= asked.overshoot_nano_usd <= (0 if strict else limit * permille // 1000)
    assert limit + asked.overshoot_nano_usd <= MAX_LIMIT_NANO_USD < 2**53


budgets = st.builds(
    Budget,
    id=st.from_regex(r"[a-z0-9._-]{1,64}", fullmatch=True),
    scope=st.builds(Scope, st.sampled_from(Kind), st.text(), st.text()),
    window=st.builds(Calendar, st.sampled_from(Unit), st.sampled_from(["UTC", "Asia/Kolkata"]))
    | st.integers(1, 10**6).map(lambda minutes: Rolling(timedelta(minutes=minutes))),
    limit_nano_usd=limits,
    mode=st.sampled_from(Mode),
    strict=st.booleans(),
    overshoot_permille=st.integers(0, 1000),
    thresholds_permille=st.lists(st.integers(1, 10_000)).map(tuple),
    cap_tier=st.none() | st.sampled_from(Tier),
    webhook_url=st.text(),
)


@given(budgets)
def test_a_definition_reads_as_it_was_written(kept):
    """Nothing is lost on the way through the store."""
    assert read_budget(write_budget(kept)) == kept
    assert read_budget(write_budget(kept).encode()) == kept


def test_the_written_form_stays() -> None:
    """What this version has written must be read by every later one."""
    kept = budget(Scope(Kind.LABEL, "team", "search"), window=Rolling(timedelta(hours=1)), mode=Mode.SOFT)
    assert json.loads(write_budget(replace(kept, cap_tier=Tier.MEDIUM))) == {
        "version": 1,
        "id": "b",
        "scope": {"kind": "label", "key": "team", "value": "search"},
        "window": {"rolling_s": 3600},
        "limit_nano_usd": 5_000_000_000,
        "mode": "soft",
        "strict": False,
        "overshoot_permille": 50,
        "thresholds_permille": [500, 800, 950, 1000],
        "cap_tier": "medium",
        "webhook_url": "",
    }
    written = json.loads(write_budget(budget(window=Calendar(Unit.WEEK, "Europe/Berlin"))))
    assert written["window"] == {"calendar": "week", "zone": "Europe/Berlin"}


def test_what_had_no_webhook_is_read() -> None:
    """A definition of before has none."""
    written = write_budget(budget()).replace(',"webhook_url":""', "")
    assert "webhook_url" not in written
    assert read_budget(written) == budget()


@pytest.mark.parametrize("damage", ["", "[]", "{}", '{"version":2}', '{"version":1}', "null"])
def test_what_is_not_a_definition_is_refused(damage: str) -> None:
    """Half a definition could be a budget without its limit."""
    with pytest.raises(UnreadableBudget):
        read_budget(damage)


def test_an_unknown_word_in_a_definition_is_refused() -> None:
    """What a newer process may have written is not guessed at."""
    written = write_budget(budget()).replace('"hard"', '"firm"')
    with pytest.raises(UnreadableBudget):
        read_budget(written)
