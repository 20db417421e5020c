"""What a caller wants checked, compiled: everything that can be wrong with it is said before any spend."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from costsvc import v1
from costsvc.core.accept import Checks, Shape
from costsvc.core.errors import InvalidRequest, Violation
from costsvc.core.json_text import Member, parse_object
from costsvc.matchers import compile_pattern, compile_shape


def checks_of(message: v1.Request, members: Mapping[str, Member]) -> Checks | None:
    """Return what an answer is checked for: as the caller says, and as the body's structured output does.

    Raises:
        InvalidRequest: naming the field, and the part of a schema.
    """
    structured = _structured(members)
    accept = message.accept
    if not accept.ByteSize():
        return Checks(structured=structured) if structured else None
    if 0 < accept.max_chars < accept.min_chars:
        raise InvalidRequest(Violation("accept.max_chars", "is below min_chars"))
    schema = _schema(accept.json_schema)
    return Checks(
        shape=compile_shape(schema, "accept.json_schema") if schema is not None else None,
        structured=structured,
        pattern=compile_pattern(accept.pattern, "accept.pattern") if accept.pattern else None,
        values=frozenset(accept.allowed_values),
        min_chars=accept.min_chars,
        max_chars=accept.max_chars,
        no_refusal=accept.no_refusal,
        no_truncation=accept.no_truncation,
        form=dict(_form(accept, schema)),
    )


def _schema(source: bytes) -> dict[str, Any] | None:
    if not source:
        return None
    try:
        return {name: member.value for name, member in parse_object(source).items()}
    except (ValueError, RecursionError) as error:
        problem = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise InvalidRequest(Violation("accept.json_schema", problem)) from None


def _structured(members: Mapping[str, Member]) -> Shape | None:
    """Return the shape that the provider is asked to keep to; None for one that we cannot check."""
    config = members["output_config"].value if "output_config" in members else None
    form = config.get("format") if isinstance(config, dict) else None
    schema = form.get("schema") if isinstance(form, dict) else None
    if not isinstance(schema, dict):
        return None
    try:
        return compile_shape(schema, "output_config.format.schema")
    except InvalidRequest:
        return None


def _form(accept: v1.Accept, schema: dict[str, Any] | None) -> Iterator[tuple[str, Any]]:
    """Yield what is checked, as JSON: two requests want the same exactly if it is the same."""
    if schema is not None:
        yield "json_schema", schema
    if accept.allowed_values:
        yield "allowed_values", sorted(set(accept.allowed_values))
    for name in ("pattern", "min_chars", "max_chars", "no_refusal", "no_truncation"):
        if value := getattr(accept, name):
            yield name, value
