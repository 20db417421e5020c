"""JSON schemas and patterns of callers, compiled by the one library that knows both.

Its pattern engine takes time in proportion to the text, so a caller's pattern cannot stall the others; it
knows no look-around and no back-references. Nothing is ever fetched.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import jsonschema_rs

from costsvc.core.accept import Matcher, Shape
from costsvc.core.errors import InvalidRequest, Violation
from costsvc.core.schema_size import SchemaProblem, measure_schema

LARGEST_PATTERN_BYTES = 1 << 16
"""Of a compiled pattern: what a search takes for a character grows with it."""

_MOST_WORDS = 200

_compile = partial(
    jsonschema_rs.validator_for,
    offline=True,
    mask="it",
    pattern_options=jsonschema_rs.RegexOptions(
        size_limit=LARGEST_PATTERN_BYTES, dfa_size_limit=16 * LARGEST_PATTERN_BYTES
    ),
)


class Schema:
    """A compiled JSON schema. Problems name where in the value, and never quote it."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._validator = _compile(dict(schema))

    def problem(self, value: Any) -> str:
        """Say what is wrong with a JSON value, "" where it fits."""
        try:
            error = next(self._validator.iter_errors(value), None)
        except ValueError:
            return "is nested too deeply to be checked"
        if error is None:
            return ""
        where = ".".join(map(str, error.instance_path))
        return f"{where}: {error.message}"[:_MOST_WORDS] if where else error.message[:_MOST_WORDS]


def compile_shape(schema: Mapping[str, Any], where: str) -> Shape:
    """Return a schema ready to check answers.

    Raises:
        InvalidRequest: naming the part, as a path below `where`.
    """
    try:
        return Shape(size=measure_schema(schema), matcher=Schema(schema))
    except SchemaProblem as error:
        raise _invalid(where, error.path, error.problem) from None
    except jsonschema_rs.ValidationError as error:
        raise _invalid(where, ".".join(map(str, error.instance_path)), error.message) from None
    except ValueError as error:
        raise _invalid(where, "", str(error)) from None


def compile_pattern(pattern: str, where: str) -> Matcher:
    """Return a pattern ready to be searched in answers.

    Raises:
        InvalidRequest: it is none, or too large when compiled.
    """
    try:
        return Schema({"type": "string", "pattern": pattern})
    except (jsonschema_rs.ValidationError, ValueError):
        problem = "is no regular expression that takes time in proportion to the text, or too large a one"
        raise _invalid(where, "", problem) from None


def _invalid(where: str, path: str, problem: str) -> InvalidRequest:
    return InvalidRequest(Violation(f"{where}.{path}" if path else where, problem[:_MOST_WORDS]))
