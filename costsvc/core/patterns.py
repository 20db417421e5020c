"""Regular expressions of a policy: Python's, but only those whose search of a text takes bounded time.

A search tries a pattern from every character of the text on, and each repetition and alternative multiplies
the ways that it can take from there. So the ways are counted before a pattern is accepted: what could stall
every caller of the service for a second is refused when the policy is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from re import _constants as op  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

LONGEST_PATTERN = 1_000
MOST_WAYS = 200
UNBOUNDED_WAYS = 100
"""What `*` and `+` count for, over one character: their ways are far quicker than others."""

_SINGLE = frozenset({op.LITERAL, op.NOT_LITERAL, op.ANY, op.IN, op.AT})
_REPEATS = frozenset({op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT})


def compile_pattern(source: str) -> re.Pattern[str]:
    """Return the compiled pattern.

    Raises:
        ValueError: no regular expression, or one that may take too long; the message says why.
    """
    if not 0 < len(source) <= LONGEST_PATTERN:
        raise ValueError(f"must have 1 to {LONGEST_PATTERN} characters")
    try:
        pattern = re.compile(source)
        ways = _ways(parser.parse(source))
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"is no regular expression: {error}") from error
    if ways > MOST_WAYS:
        raise ValueError(
            f"may take too long: {ways} ways to match from one place, at most {MOST_WAYS}; `*` and `+` count "
            f"for {UNBOUNDED_WAYS}, so use one at most, or bounds such as {{0,9}}"
        )
    return pattern


def _ways(parsed: Iterable[tuple[Any, Any]]) -> int:
    """Return how many ways a sequence can take from one character on: those of its parts, multiplied."""
    ways = 1
    for kind, argument in parsed:
        ways *= 1 if kind in _SINGLE else _part_ways(kind, argument)
    return ways


def _part_ways(kind: Any, argument: Any) -> int:
    if kind in _REPEATS:
        return _repeat_ways(*argument)
    if kind is op.SUBPATTERN:
        return _ways(argument[-1])
    if kind is op.BRANCH:
        return sum(map(_ways, argument[1]))
    if kind in {op.ASSERT, op.ASSERT_NOT}:
        return _ways(argument[1])
    if kind is op.ATOMIC_GROUP:
        return _ways(argument)
    raise ValueError(f"has {str(kind).lower().replace('_', ' ')}, which can take too long")


def _repeat_ways(least: int, most: int, inner: Any) -> int:
    """Return the ways of a repetition: each count that it can stop at, with every way to get there."""
    if not inner.getwidth()[0] and most > 1:  # what matches nothing can do so without end
        return MOST_WAYS + 1
    each, parts = _ways(inner), list(inner)
    if most == op.MAXREPEAT or most - least >= UNBOUNDED_WAYS:
        simple = each == 1 and len(parts) == 1 and parts[0][0] in _SINGLE
        return UNBOUNDED_WAYS if simple else MOST_WAYS + 1
    if each == 1:
        return most - least + 1
    return sum(min(each, MOST_WAYS + 1) ** min(count, 8) for count in range(least, most + 1))
