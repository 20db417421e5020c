"""Reads the `[[rules]]` of a policy."""

from __future__ import annotations

import re
from collections.abc import Iterable

from costsvc.core.catalog import Catalog
from costsvc.core.patterns import compile_pattern
from costsvc.core.policy_fields import read_models, read_optional_tier
from costsvc.core.rules import DAYS, Hours, Rule
from costsvc.core.toml_rows import Row
from costsvc.core.windows import find_zone

MOST_RULES = 100
MOST_PATTERNS = 20
"""Each may take some milliseconds on a text that was made for it."""

_NAME = re.compile(r"[a-z][a-z0-9._-]{0,62}")
_HOURS = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-4]):([0-5][0-9])")
_WHOLE_DAY = "00:00-24:00"
_MINUTES = 24 * 60


def read_rules(rows: Iterable[Row], catalog: Catalog) -> tuple[Rule, ...]:
    """Return the rules in their order.

    Raises:
        CatalogError: naming file, line, table and field.
    """
    found: dict[str, Rule] = {}
    for row in rows:
        rule = _rule(row, catalog)
        if rule.name in found:
            raise row.error("name", f"{rule.name!r} names an earlier rule, too")
        if len(found) == MOST_RULES:
            raise row.error("name", f"is one rule more than {MOST_RULES}")
        if rule.text is not None and sum(each.text is not None for each in found.values()) == MOST_PATTERNS:
            raise row.error("text", f"is one pattern more than {MOST_PATTERNS}")
        found[rule.name] = rule
    return tuple(found.values())


def _rule(row: Row, catalog: Catalog) -> Rule:
    rule = Rule(
        name=_name(row),
        tasks=_any_of(row, "tasks"),
        tenants=_any_of(row, "tenants"),
        labels=_labels(row),
        min_input_tokens=row.optional_count("min_input_tokens") or 0,
        max_input_tokens=row.optional_count("max_input_tokens"),
        tools=row.optional_flag("tools"),
        images=row.optional_flag("images"),
        text=_pattern(row),
        hours=_hours(row),
        tier=read_optional_tier(row, "tier"),
        models=read_models(row, "models", catalog) if row.has("models") else (),
        min_tier=read_optional_tier(row, "min_tier"),
        max_tier=read_optional_tier(row, "max_tier"),
    )
    row.finish()
    _check(rule, row)
    return rule


def _check(rule: Rule, row: Row) -> None:
    """Refuse a rule that cannot match or says nothing, or two things at once."""
    if rule.max_input_tokens is not None and rule.max_input_tokens < rule.min_input_tokens:
        raise row.error("max_input_tokens", "is below min_input_tokens")
    if rule.min_tier and rule.max_tier and rule.min_tier > rule.max_tier:
        raise row.error("min_tier", "is above max_tier")
    has_bounds = bool(rule.min_tier or rule.max_tier)
    if [bool(rule.tier), bool(rule.models), has_bounds].count(True) != 1:
        raise row.error("tier", "give either tier, or models, or min_tier and max_tier")


def _name(row: Row) -> str:
    name = row.text("name")
    if not _NAME.fullmatch(name):
        raise row.error("name", "must be 1 to 63 of a-z 0-9 . _ - and begin with a letter")
    return name


def _any_of(row: Row, field: str) -> frozenset[str]:
    if row.has(field) and not row.texts(field):
        raise row.error(field, "must name at least one")
    return frozenset(row.texts(field, []))


def _labels(row: Row) -> dict[str, frozenset[str]]:
    labels = row.row("labels", {})
    return {key: _any_of(labels, key) for key in labels.values}


def _pattern(row: Row) -> re.Pattern[str] | None:
    if not row.has("text"):
        return None
    try:
        return compile_pattern(row.text("text"))
    except ValueError as error:
        raise row.error("text", str(error)) from None


def _hours(row: Row) -> Hours | None:
    names = [field for field in ("hours", "days", "zone") if row.has(field)]
    if not names:
        return None
    if names == ["zone"]:
        raise row.error("zone", "needs hours or days")
    times = _HOURS.fullmatch(row.text("hours", _WHOLE_DAY))
    start, end = (60 * int(times[at]) + int(times[at + 1]) for at in (1, 3)) if times else (0, 0)
    if start == end or end > _MINUTES:
        raise row.error("hours", "must be two times such as 22:00-06:00")
    return Hours(start_minute=start, end_minute=end, days=_days(row), zone=_zone(row))


def _days(row: Row) -> tuple[str, ...]:
    named = row.texts("days", list(DAYS))
    for day in named:
        if day not in DAYS:
            raise row.error("days", f"{day!r} is none of {', '.join(DAYS)}")
    if not named:
        raise row.error("days", "must name at least one")
    return tuple(day for day in DAYS if day in named)


def _zone(row: Row) -> str:
    """Return the zone, which is said wherever hours are: what "at night" means must not be guessed."""
    try:
        return find_zone(row.text("zone")).key
    except ValueError as error:
        raise row.error("zone", str(error)) from None
