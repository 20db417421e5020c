"""The operator's rules: what a request looks like, and which models may then answer it.

Rules are tried in their order and the first that matches is the only one that counts, so that an operator can
tell from the file alone which one it will be.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from costsvc.core.content import Content
from costsvc.core.request import ModelRequest, Tier

MOST_TEXT_CHARS = 2_000
"""How much of the last user message a pattern is searched in: its beginning."""

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hours:
    """A part of some days by the clocks of a zone.

    Minutes from midnight; where the end is not after the start, it lies on the next day.
    """

    start_minute: int
    end_minute: int
    days: tuple[str, ...]
    zone: str

    def has(self, at: datetime) -> bool:
        """Tell whether an instant lies in it."""
        local = at.astimezone(ZoneInfo(self.zone))
        minute = local.hour * 60 + local.minute
        if self.start_minute < self.end_minute:
            return self._is_on(local) and self.start_minute <= minute < self.end_minute
        if minute >= self.start_minute:
            return self._is_on(local)
        return minute < self.end_minute and self._is_on(local - _DAY)

    def _is_on(self, local: datetime) -> bool:
        return DAYS[local.weekday()] in self.days

    def __str__(self) -> str:
        start, end = (f"{at // 60:02}:{at % 60:02}" for at in (self.start_minute, self.end_minute))
        days = "" if self.days == DAYS else f" {','.join(self.days)}"
        return f"{start}-{end}{days} {self.zone}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Conditions, all of which must hold, and what follows: a tier, models, or bounds of the tier.

    Empty sets, None and 0 are conditions that always hold.
    """

    name: str
    tasks: frozenset[str] = frozenset()
    tenants: frozenset[str] = frozenset()
    labels: Mapping[str, frozenset[str]] = field(default_factory=dict)
    min_input_tokens: int = 0
    max_input_tokens: int | None = None
    tools: bool | None = None
    images: bool | None = None
    text: re.Pattern[str] | None = None
    hours: Hours | None = None
    tier: Tier | None = None
    models: tuple[str, ...] = ()
    min_tier: Tier | None = None
    max_tier: Tier | None = None

    @property
    def conditions(self) -> str:
        """The conditions in words."""
        return " and ".join(_conditions(self)) or "always"

    @property
    def outcome(self) -> str:
        """What follows, in words."""
        if self.models:
            return f"only {', '.join(self.models)}"
        bounds = (("at least", self.min_tier), ("at most", self.max_tier))
        words = [self.tier.label] if self.tier else []
        return ", ".join(words + [f"{word} {tier.label}" for word, tier in bounds if tier])


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What rules look at; `input_tokens` estimates the prompt, when a rule asks."""

    request: ModelRequest
    tenant: str
    content: Content
    input_tokens: Callable[[], int]
    at: datetime


def first_match(rules: Iterable[Rule], facts: Facts) -> Rule | None:
    """Return the first rule whose conditions all hold."""
    return next((rule for rule in rules if _matches(rule, facts)), None)


def last_user_text(request: ModelRequest) -> str:
    """Return the beginning of the newest text of the user; what tools gave back is none."""
    for message in reversed(request.get("messages")):
        if message["role"] == "user":
            content = message["content"]
            blocks = [content] if isinstance(content, str) else _texts(content)
            if text := "\n".join(block[:MOST_TEXT_CHARS] for block in blocks):
                return text[:MOST_TEXT_CHARS]
    return ""


def _texts(blocks: Iterable[Mapping[str, str]]) -> Iterator[str]:
    return (block["text"] for block in blocks if block["type"] == "text")


def _matches(rule: Rule, facts: Facts) -> bool:
    """Tell whether all conditions hold; the cheapest are asked first."""
    request, content = facts.request, facts.content
    if (rule.tasks and request.task not in rule.tasks) or (rule.tenants and facts.tenant not in rule.tenants):
        return False
    if any(request.labels.get(key) not in values for key, values in rule.labels.items()):
        return False
    if rule.tools is not None and rule.tools != (content.tool_count > 0):
        return False
    if rule.images is not None and rule.images != bool(content.image_sizes):
        return False
    return (
        (rule.hours is None or rule.hours.has(facts.at))
        and _is_as_long(rule, facts)
        and (rule.text is None or rule.text.search(last_user_text(request)) is not None)
    )


def _is_as_long(rule: Rule, facts: Facts) -> bool:
    if not rule.min_input_tokens and rule.max_input_tokens is None:
        return True
    tokens = facts.input_tokens()
    return rule.min_input_tokens <= tokens and (
        rule.max_input_tokens is None or tokens <= rule.max_input_tokens
    )


def _conditions(rule: Rule) -> Iterator[str]:
    for name, values in (("task", rule.tasks), ("tenant", rule.tenants), *rule.labels.items()):
        if values:
            yield f"{name} {' or '.join(sorted(values))}"
    if rule.min_input_tokens:
        yield f"at least {rule.min_input_tokens} tokens"
    if rule.max_input_tokens is not None:
        yield f"at most {rule.max_input_tokens} tokens"
    for name, wanted in (("tools", rule.tools), ("images", rule.images)):
        if wanted is not None:
            yield name if wanted else f"no {name}"
    if rule.text is not None:
        yield f"text like {rule.text.pattern}"
    if rule.hours is not None:
        yield str(rule.hours)
