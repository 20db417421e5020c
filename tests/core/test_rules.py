"""Tests of the operator's rules: how they are read, when they match, and what follows."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costsvc.config import load_catalog_files
from costsvc.core.catalog import CatalogError
from costsvc.core.content import measure
from costsvc.core.policy import read_policy
from costsvc.core.request import ModelRequest, read_messages_json
from costsvc.core.rule_rows import MOST_PATTERNS, MOST_RULES
from costsvc.core.rules import MOST_TEXT_CHARS, Facts, Rule, first_match, last_user_text

CATALOG = load_catalog_files()
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)  # a Sunday
HEAD = """version = 1
baseline_model = "claude-opus-5-5"
default_tier = "medium"
default_max_tokens = 100
[tiers]
simple = ["claude-haiku-5-5"]
medium = ["claude-sonnet-5-5"]
complex = ["claude-opus-5-5"]
"""
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": ""}}


def rules(*texts: str) -> tuple[Rule, ...]:
    """Return the rules of a policy, each given by its lines; the first gets line 10 of the file."""
    return read_policy(HEAD + "".join(f"[[rules]]\n{text}\n" for text in texts), CATALOG, name="p.toml").rules


def rule(conditions: str) -> Rule:
    """Return one rule with these conditions."""
    [found] = rules(f'name = "one"\ntier = "simple"\n{conditions}')
    return found


def facts(body: dict[str, Any] | None = None, **said: Any) -> Facts:
    """Return what a rule sees of a request."""
    about = {"tenant": "acme", "at": NOON, "input_tokens": lambda: 1_000}
    about |= {name: said.pop(name) for name in tuple(said) if name in about}
    source = {"messages": [{"role": "user", "content": "Where is my order?"}]} | (body or {})
    request = ModelRequest(members=read_messages_json(json.dumps(source).encode()), **said)
    return Facts(request=request, content=measure(request.body), **about)


TOOLS = {"tools": [{"name": "look", "input_schema": {}}]}
PICTURE = {"messages": [{"role": "user", "content": [IMAGE]}]}


@pytest.mark.parametrize(
    ("conditions", "meets", "misses"),
    [
        ('tasks = ["faq", "chat"]', facts(task="chat"), facts()),
        ('tenants = ["acme"]', facts(), facts(tenant="other")),
        ('labels = { team = ["x", "y"] }', facts(labels={"team": "y"}), facts(labels={"team": "z"})),
        ('labels = { team = ["x"] }', facts(labels={"team": "x", "a": "b"}), facts()),
        ("min_input_tokens = 1000", facts(), facts(input_tokens=lambda: 999)),
        ("max_input_tokens = 1000", facts(), facts(input_tokens=lambda: 1001)),
        ("tools = true", facts(TOOLS), facts()),
        ("tools = false", facts(), facts(TOOLS)),
        ("images = true", facts(PICTURE), facts()),
        ("images = false", facts(), facts(PICTURE)),
        ("text = '(?i)\\border\\b'", facts(), facts({"messages": [{"role": "user", "content": "border"}]})),
        ('hours = "09:00-13:00"\nzone = "UTC"', facts(), facts(at=NOON.replace(hour=13))),
        ('days = ["sun"]\nzone = "UTC"', facts(), facts(at=NOON.replace(day=23))),
        ('tasks = ["faq"]\ntools = true', facts(TOOLS, task="faq"), facts(task="faq")),
    ],
)
def test_a_condition_tells_requests_apart(conditions: str, meets: Facts, misses: Facts) -> None:
    """Each condition holds for one request and not for another; several must all hold."""
    found = rule(conditions)
    assert first_match([found], meets) is found
    assert first_match([found], misses) is None


def test_the_first_match_is_the_only_one() -> None:
    """Later rules do not count, also where the first says less."""
    several = rules(
        'name = "a"\ntasks = ["faq"]\ntier = "simple"',
        'name = "b"\nmin_tier = "medium"',
        'name = "c"\nmodels = ["claude-opus-5-5"]',
    )
    matched = [first_match(several, facts(task=task)) for task in ("faq", "chat")]
    assert [found.name for found in matched if found] == ["a", "b"]


@pytest.mark.parametrize(
    ("at", "holds"),
    [
        ("2026-11-20T21:59", False),  # Friday
        ("2026-11-20T22:00", True),
        ("2026-11-21T05:59", True),  # the night of Friday
        ("2026-11-21T06:00", False),
        ("2026-11-21T23:00", False),
        ("2026-11-20T03:00", False),  # the night of Thursday
    ],
)
def test_a_night_belongs_to_the_day_it_begins_on(at: str, holds: bool) -> None:
    """By the clocks of the zone, whatever zone the instant is written in."""
    night = rule('hours = "22:00-06:00"\ndays = ["fri"]\nzone = "Europe/Berlin"')
    instant = datetime.fromisoformat(f"{at}+01:00").astimezone(UTC)
    assert (first_match([night], facts(at=instant)) is night) == holds


@given(st.integers(0, 525_600), st.integers(0, 1439), st.integers(0, 1439))
def test_two_halves_make_a_day(minute: int, start: int, end: int) -> None:
    """Every instant lies either from one time to another, or from the other to the one."""
    if start == end:
        return
    times = [f"{each // 60:02}:{each % 60:02}" for each in (start, end)]
    at = NOON + timedelta(minutes=minute)
    halves = [f'hours = "{a}-{b}"\nzone = "Asia/Kolkata"' for a, b in (times, times[::-1])]
    held = [first_match([rule(half)], facts(at=at)) is not None for half in halves]
    assert sorted(held) == [False, True]


def test_only_the_beginning_of_the_last_user_text_is_searched() -> None:
    """Not what a tool gave back, not earlier turns, and not the end of a long text."""
    result = {"type": "tool_result", "tool_use_id": "t", "content": "order"}
    turns = [
        {"role": "user", "content": "old order"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "n", "input": {}}]},
        {"role": "user", "content": [{"type": "text", "text": "new"}, {"type": "text", "text": "words"}]},
        {"role": "assistant", "content": "order"},
        {"role": "user", "content": [result]},
    ]
    assert last_user_text(facts({"messages": turns}).request) == "new\nwords"
    long = [{"role": "user", "content": "x" * MOST_TEXT_CHARS + "order"}]
    assert last_user_text(facts({"messages": long}).request) == "x" * MOST_TEXT_CHARS
    nobody = [{"role": "assistant", "content": "order"}]
    assert last_user_text(facts({"messages": nobody}).request) == ""


def test_tokens_are_estimated_only_for_rules_that_ask() -> None:
    """A rule without a length costs no estimate, nor does one that fails before."""

    def estimate() -> int:
        raise AssertionError("nobody asked")

    quick = rules(
        'name = "a"\ntasks = ["x"]\nmin_input_tokens = 5\ntier = "simple"', 'name = "b"\ntier = "medium"'
    )
    found = first_match(quick, facts(input_tokens=estimate))
    assert found is not None
    assert found.name == "b"


def test_a_rule_says_in_words_what_it_does() -> None:
    """Operators read rules in `check-config` and in the reasons of decisions."""
    told = rule(
        'tasks = ["b", "a"]\ntenants = ["acme"]\nlabels = { team = ["x"] }\nmin_input_tokens = 1\n'
        "max_input_tokens = 9\ntools = true\nimages = false\ntext = 'a|b'\n"
        'hours = "22:00-24:00"\ndays = ["sat", "fri"]\nzone = "UTC"'
    )
    assert told.conditions == (
        "task a or b and tenant acme and team x and at least 1 tokens and at most 9 tokens and tools and "
        "no images and text like a|b and 22:00-24:00 fri,sat UTC"
    )
    assert told.outcome == "simple"
    [bounds, only] = rules(
        'name = "a"\nmin_tier = "medium"\nmax_tier = "complex"',
        'name = "b"\nmodels = ["claude-haiku-4-5", "claude-haiku-5-5"]',
    )
    assert (bounds.conditions, bounds.outcome) == ("always", "at least medium, at most complex")
    assert only.outcome == "only claude-haiku-4-5-20251001, claude-haiku-5-5"


TIER = 'tier = "simple"\n'
BROKEN = {
    "no name": (TIER, 9, "name", "is missing"),
    "odd name": (f'{TIER}name = "My rule"', 11, "name", "must be 1 to 63 of"),
    "nothing follows": ('name = "a"', 9, "tier", "give either tier, or models, or min_tier and max_tier"),
    "two things follow": (f'name = "a"\n{TIER}max_tier = "simple"', 11, "tier", "give either"),
    "unknown tier": ('name = "a"\ntier = "hard"', 11, "tier", "'hard' is none of"),
    "unknown model": ('name = "a"\nmodels = ["gpt"]', 11, "models", "'gpt' is not in the catalogue"),
    "no models": ('name = "a"\nmodels = []', 11, "models", "must name at least one model"),
    "odd bounds": ('name = "a"\nmin_tier = "complex"\nmax_tier = "simple"', 11, "min_tier", "above max_tier"),
    "no tasks": (f'name = "a"\n{TIER}tasks = []', 12, "tasks", "must name at least one"),
    "tasks as text": (f'name = "a"\n{TIER}tasks = "faq"', 12, "tasks", "must be an array of strings"),
    "tools as text": (f'name = "a"\n{TIER}tools = "yes"', 12, "tools", "must be true or false"),
    "negative": (f'name = "a"\n{TIER}min_input_tokens = -1', 12, "min_input_tokens", "must not be negative"),
    "odd range": (
        f'name = "a"\n{TIER}min_input_tokens = 9\nmax_input_tokens = 8',
        13,
        "max_input_tokens",
        "is below min_input_tokens",
    ),
    "odd pattern": (f"name = 'a'\n{TIER}text = '('", 12, "text", "is no regular expression"),
    "slow pattern": (f"name = 'a'\n{TIER}text = '(a+)+$'", 12, "text", "may take too long"),
    "odd hours": (f'name = "a"\n{TIER}hours = "22-6"\nzone = "UTC"', 12, "hours", "must be two times"),
    "hours without end": (f'name = "a"\n{TIER}hours = "22:00-22:00"\nzone = "UTC"', 12, "hours", "two"),
    "hours past midnight": (
        f'name = "a"\n{TIER}hours = "22:00-24:30"\nzone = "UTC"',
        12,
        "hours",
        "two times",
    ),
    "hours without zone": (f'name = "a"\n{TIER}hours = "22:00-06:00"', 9, "zone", "is missing"),
    "zone alone": (f'name = "a"\n{TIER}zone = "UTC"', 12, "zone", "needs hours or days"),
    "odd zone": (
        f'name = "a"\n{TIER}days = ["mon"]\nzone = "Mars"',
        13,
        "zone",
        "'Mars' is no IANA time zone",
    ),
    "odd day": (f'name = "a"\n{TIER}days = ["Monday"]\nzone = "UTC"', 12, "days", "'Monday' is none of mon"),
    "no day": (f'name = "a"\n{TIER}days = []\nzone = "UTC"', 12, "days", "must name at least one"),
    "unknown field": (f'name = "a"\n{TIER}colour = 1', 12, "colour", "is not a known field"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_every_mistake_names_line_and_field(case: str) -> None:
    """The line of the field, or of the rule that lacks it."""
    text, line, field, problem = BROKEN[case]
    with pytest.raises(CatalogError, match=problem) as caught:
        rules(text)
    error = caught.value
    assert (error.file, error.line, error.table, error.field) == ("p.toml", line, "rules[1]", field)
    assert str(error).startswith(f"p.toml:{line}: rules[1]: {field}: ")


def test_labels_name_their_own_place() -> None:
    """A key of a table inside a rule has its own path."""
    with pytest.raises(CatalogError, match="must be an array") as caught:
        rules('name = "a"\ntier = "simple"\n[rules.labels]\nteam = "x"')
    assert (caught.value.table, caught.value.field) == ("rules[1].labels", "team")


def test_names_are_unique_and_rules_are_few() -> None:
    """A reason that names a rule must name one; a decision must not try thousands."""
    same = 'name = "a"\ntier = "simple"'
    with pytest.raises(CatalogError, match="'a' names an earlier rule, too") as caught:
        rules(same, same)
    assert caught.value.line == 13
    many = [f'name = "a{number}"\ntier = "simple"' for number in range(MOST_RULES)]
    assert len(rules(*many)) == MOST_RULES
    with pytest.raises(CatalogError, match=f"one rule more than {MOST_RULES}"):
        rules(*many, same)
    searching = [f"{each}\ntext = 'x'" for each in many[: MOST_PATTERNS + 1]]
    assert len(rules(*searching[:-1], same)) == MOST_PATTERNS + 1
    with pytest.raises(CatalogError, match=f"one pattern more than {MOST_PATTERNS}"):
        rules(*searching)


def test_the_models_of_rules_are_models_of_the_policy() -> None:
    """Estimates on every model of the policy include them."""
    text = HEAD + '[[rules]]\nname = "a"\nmodels = ["claude-fable-5-2"]'
    assert "claude-fable-5-2" in read_policy(text, CATALOG).models
