"""How much work a JSON schema can make, before any answer is checked against it.

A schema of a few lines can refer to its parts so often that checking takes hours, and nothing else runs in
the meantime. Without recursion the parts can be counted as if each reference were written out: a check visits
each part at most once for each node of the value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

MOST_PARTS = 5_000
MOST_VISITS = 2_000_000
"""Parts times nodes; a visit takes about 40 ns, so this many take less than a tenth of a second."""
MOST_PATTERN_CHARS = 100_000
"""Patterns times characters; some patterns take a microsecond a character, most a thousandth of that."""
DEEPEST = 64

DIALECTS = frozenset(
    {
        "https://json-schema.org/draft/2020-12/schema",
        "https://json-schema.org/draft/2019-09/schema",
        "http://json-schema.org/draft-07/schema",
    }
)
_ELSEWHERE = frozenset(
    {"$id", "$anchor", "$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$recursiveAnchor"}
)
_DEFINITIONS = frozenset({"$defs", "definitions"})


class SchemaProblem(ValueError):
    """A schema that is not taken: `path` names the part, `problem` says why."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path or 'the schema'}: {problem}")
        self.path, self.problem = path, problem


@dataclass(frozen=True, slots=True)
class SchemaSize:
    """A schema's parts and patterns, each reference written out."""

    part_count: int
    pattern_count: int

    def admits(self, node_count: int, char_count: int) -> bool:
        """Tell whether a value of so many nodes, written in so many characters, is checked soon enough."""
        visits, searched = self.part_count * node_count, self.pattern_count * char_count
        return visits <= MOST_VISITS and searched <= MOST_PATTERN_CHARS

    def __add__(self, other: SchemaSize) -> SchemaSize:
        return SchemaSize(self.part_count + other.part_count, self.pattern_count + other.pattern_count)


def measure_schema(schema: Mapping[str, Any]) -> SchemaSize:
    """Return the size of a schema whose references are its own, and not recursive.

    Raises:
        SchemaProblem: another dialect, a reference that leads elsewhere or back to itself, or too large.
    """
    dialect = schema.get("$schema")
    if dialect is not None and (not isinstance(dialect, str) or dialect.rstrip("#") not in DIALECTS):
        raise SchemaProblem("$schema", "must be JSON Schema 2020-12, 2019-09 or draft-07")
    found = _Measuring(schema).parts({k: v for k, v in schema.items() if k not in _DEFINITIONS}, "", 0)
    if found.part_count > MOST_PARTS:
        raise SchemaProblem("", f"has {found.part_count} parts with its references, more than {MOST_PARTS}")
    return found


def node_count(value: Any) -> int:
    """Return how many values a JSON value holds, itself and the names of members included."""
    count, waiting = 0, [value]
    while waiting:
        value = waiting.pop()
        count += 1
        if isinstance(value, dict):
            count += len(value)
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
    return count


class _Measuring:
    """One walk through a schema; what a reference leads to is measured once."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._known: dict[str, SchemaSize | None] = {}  # None while it is being measured

    def parts(self, value: Any, path: str, depth: int) -> SchemaSize:
        if depth > DEEPEST:
            raise SchemaProblem(path, f"is nested more than {DEEPEST} deep")
        total = SchemaSize(1, 0)
        for name, inner in _members(value):
            where = f"{path}.{name}" if path else name
            if isinstance(inner, dict | list):
                total += self.parts(inner, where, depth + 1)
                if name == "patternProperties":
                    total += SchemaSize(0, len(inner))
            elif name == "pattern":
                total += SchemaSize(1, 1)
            elif name == "$ref" and isinstance(inner, str):
                total += self._target(inner, where, depth)
            elif name in _ELSEWHERE and isinstance(inner, str | bool) and (path or name != "$id"):
                raise SchemaProblem(where, "is not supported: only references to parts of the schema are")
            else:
                total += SchemaSize(1, 0)
        return total

    def _target(self, ref: str, where: str, depth: int) -> SchemaSize:
        if ref in self._known:
            known = self._known[ref]
            if known is None:
                raise SchemaProblem(where, "is recursive, which is not supported")
            return known
        self._known[ref] = None
        path = ".".join(ref.split("/")[1:])
        self._known[ref] = size = self.parts(self._resolve(ref, where), path, depth + 1)
        return size

    def _resolve(self, ref: str, where: str) -> Any:
        if ref != "#" and not ref.startswith("#/"):
            raise SchemaProblem(where, "must begin with #/: only references to parts of the schema are taken")
        found: Any = self._root
        for step in ref.split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            if not isinstance(found, dict) or name not in found:
                raise SchemaProblem(where, "leads nowhere")
            found = found[name]
        return found


def _members(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        yield from value.items()
    elif isinstance(value, list):
        yield from ((str(at), inner) for at, inner in enumerate(value))
