"""What an answer must be like to be of use to its caller, and whether it is.

Checks look at the answer's text: its text blocks, joined. A turn that goes on (the model calls a tool, or
pauses) has no final text yet, so only what the provider says of it is checked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from costsvc.core.json_text import parse_answer
from costsvc.core.schema_size import SchemaSize, node_count

LARGEST_PATTERN_TEXT = 100_000
"""Characters of an answer that a pattern is searched in; a search may take a microsecond for each."""

_UNFINISHED = frozenset({"tool_use", "pause_turn"})
_CUT = frozenset({"max_tokens", "model_context_window_exceeded"})


class Matcher(Protocol):
    """What a JSON schema or a pattern is compiled to."""

    def problem(self, value: Any) -> str:
        """Say what is wrong with a JSON value, without quoting it; "" where it fits."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A JSON schema, and how large it is when it is written out."""

    matcher: Matcher
    size: SchemaSize


@dataclass(frozen=True, slots=True, kw_only=True)
class Checks:
    """What an answer is checked for; what is empty, 0 or None is not.

    `form` says all of it as JSON, for fingerprints. `structured` is the shape that the provider was asked to
    keep to.
    """

    shape: Shape | None = None
    structured: Shape | None = None
    pattern: Matcher | None = None
    values: frozenset[str] = frozenset()
    min_chars: int = 0
    max_chars: int = 0
    no_refusal: bool = False
    no_truncation: bool = False
    form: Mapping[str, Any] = field(default_factory=dict)

    @property
    def are_about_content(self) -> bool:
        """Whether they say what a good answer is, so that any model may try."""
        return self.shape is not None or self.pattern is not None or bool(self.values)

    @property
    def stand_a_cut(self) -> bool:
        """Whether a beginning of an answer passes them where the whole does."""
        is_about_the_whole = self.pattern is not None or self.values or self.min_chars or self.no_truncation
        return not (self.shape or self.structured or is_about_the_whole)

    @property
    def look_at_the_text(self) -> bool:
        """Whether they judge what an answer says, and not only how it ended."""
        return self.are_about_content or bool(self.structured or self.min_chars or self.max_chars)


@dataclass(frozen=True, slots=True)
class Failed:
    """A check that an answer did not pass; `is_final` where no other answer of this kind could."""

    check: str
    problem: str
    is_final: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The checks that an answer passed, and those that it failed."""

    passed: tuple[str, ...]
    failed: tuple[Failed, ...]

    @property
    def is_accepted(self) -> bool:
        """Whether no check failed."""
        return not self.failed


def verify(checks: Checks, *, text: str, stop_reason: str) -> Verdict:
    """Return what an answer passes and fails: its text, and why the model stopped."""
    found = list(_about_the_end(checks, stop_reason))
    if stop_reason not in _UNFINISHED:
        found += _about_the_text(checks, text)
    return Verdict(
        passed=tuple(name for name, failed in found if failed is None),
        failed=tuple(failed for _, failed in found if failed is not None),
    )


def _about_the_end(checks: Checks, stop_reason: str) -> Iterator[tuple[str, Failed | None]]:
    if checks.no_refusal:
        yield _judged("no_refusal", "the model refused" if stop_reason == "refusal" else "")
    if checks.no_truncation:
        yield _judged("no_truncation", f"cut by {stop_reason}" if stop_reason in _CUT else "")


def _about_the_text(checks: Checks, text: str) -> Iterator[tuple[str, Failed | None]]:
    if shape := checks.shape or checks.structured:
        yield "json_schema", _shape_failure(shape, text)
    if checks.pattern is not None:
        yield "pattern", _pattern_failure(checks.pattern, text)
    if checks.values:
        yield _judged("allowed_values", "" if text.strip() in checks.values else "is none of the values")
    if checks.min_chars or checks.max_chars:
        yield _judged("length", _length_problem(checks, len(text)))


def _judged(check: str, problem: str) -> tuple[str, Failed | None]:
    return check, Failed(check, problem) if problem else None


def _shape_failure(shape: Shape, text: str) -> Failed | None:
    try:
        value = parse_answer(text)
    except (ValueError, RecursionError):
        return Failed("json_schema", "is not JSON")
    if not shape.size.admits(node_count(value), len(text)):
        return Failed("json_schema", "is too large to be checked against this schema", is_final=True)
    problem = shape.matcher.problem(value)
    return Failed("json_schema", problem) if problem else None


def _pattern_failure(pattern: Matcher, text: str) -> Failed | None:
    if len(text) > LARGEST_PATTERN_TEXT:
        return Failed("pattern", f"has more than {LARGEST_PATTERN_TEXT} characters", is_final=True)
    problem = pattern.problem(text)
    return Failed("pattern", "does not match") if problem else None


def _length_problem(checks: Checks, char_count: int) -> str:
    if char_count < checks.min_chars:
        return f"has {char_count} characters, less than {checks.min_chars}"
    if checks.max_chars and char_count > checks.max_chars:
        return f"has {char_count} characters, more than {checks.max_chars}"
    return ""
