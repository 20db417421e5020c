"""Values that fit a JSON schema, for structured outputs and tool inputs."""

from __future__ import annotations

from typing import Any

from .prose import NAMES, NOUNS, Dice

_MAX_DEPTH = 12
_FORMATS = {
    "date": "2026-0{d}-1{d}",
    "date-time": "2026-0{d}-1{d}T09:3{d}:00Z",
    "time": "09:3{d}:00",
    "duration": "PT{d}H",
    "email": "{noun}{d}@example.com",
    "hostname": "{noun}{d}.example.com",
    "uri": "https://example.com/{noun}/{d}",
    "uuid": "6f9c2a1{d}-0b7d-4c3e-9a55-1d2e3f40516{d}",
    "ipv4": "192.0.2.{d}",
    "ipv6": "2001:db8::{d}",
}


def value_for(schema: Any, dice: Dice, root: dict[str, Any] | None = None, depth: int = 0) -> Any:
    """Return a value that the schema admits: every property present, short arrays, short strings."""
    if not isinstance(schema, dict) or depth > _MAX_DEPTH:
        return None
    root = schema if root is None else root
    if "$ref" in schema:
        return value_for(_resolve(schema["$ref"], root), dice, root, depth + 1)
    if "const" in schema or schema.get("enum"):
        options = [schema["const"]] if "const" in schema else schema["enum"]
        return options[dice.below(len(options))]
    choice = schema.get("anyOf") or schema.get("oneOf")
    if choice:
        return value_for(choice[0], dice, root, depth + 1)
    if schema.get("allOf"):
        return value_for(_merged(schema["allOf"], root), dice, root, depth + 1)
    return _typed(schema, dice, root, depth)


def _typed(schema: dict[str, Any], dice: Dice, root: dict[str, Any], depth: int) -> Any:
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = next((name for name in kind if name != "null"), "null")
    if kind == "object":
        properties = schema.get("properties") or {}
        return {name: value_for(part, dice, root, depth + 1) for name, part in properties.items()}
    if kind == "array":
        low = schema.get("minItems", 1)
        size = dice.between(low, max(low, min(schema.get("maxItems", low + 2), low + 2)))
        return [value_for(schema.get("items") or {}, dice, root, depth + 1) for _ in range(size)]
    if kind in {"integer", "number"}:
        return _number(schema, kind, dice)
    if kind == "boolean":
        return bool(dice.below(2))
    return None if kind == "null" else _string(schema, dice)


def _number(schema: dict[str, Any], kind: str, dice: Dice) -> float:
    low = schema.get("minimum", schema.get("exclusiveMinimum", 0))
    high = schema.get("maximum", schema.get("exclusiveMaximum", low + 100))
    if kind == "integer":
        first = int(low) + ("exclusiveMinimum" in schema)
        last = int(high) - ("exclusiveMaximum" in schema)
        return dice.between(first, max(first, last))
    step = dice.between(1, 99) / 100
    return round(float(low + (high - low) * step), 4)


def _string(schema: dict[str, Any], dice: Dice) -> str:
    pattern = _FORMATS.get(schema.get("format", ""))
    if pattern:
        return pattern.format(d=dice.between(1, 9), noun=dice.pick(NOUNS))
    text = f"{dice.pick(NAMES)} {dice.pick(NOUNS)}"
    text = text.ljust(int(schema.get("minLength", 0)), "a")
    return text[: schema["maxLength"]] if "maxLength" in schema else text


def _resolve(ref: str, root: dict[str, Any]) -> Any:
    found: Any = root
    for part in ref.removeprefix("#").strip("/").split("/"):
        if part:
            found = found.get(part, {}) if isinstance(found, dict) else {}
    return found


def _merged(parts: list[Any], root: dict[str, Any]) -> dict[str, Any]:
    merged: dict[str, Any] = {"properties": {}}
    for part in parts:
        whole = _resolve(part["$ref"], root) if "$ref" in part else part
        merged["properties"] |= whole.get("properties", {})
        merged |= {key: value for key, value in whole.items() if key != "properties"}
    return merged
