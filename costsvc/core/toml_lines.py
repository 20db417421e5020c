"""Finds the line of a field in a TOML text: the parser keeps no lines, and an operator looks for one."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

_HEADER = re.compile(r"\s*(\[\[?)\s*([^\[\]#]+?)\s*\]\]?\s*(?:#.*)?")
_KEY = re.compile(r"\s*((?:[\w-]+|\"[^\"]*\"|'[^']*')(?:\s*\.\s*(?:[\w-]+|\"[^\"]*\"|'[^']*'))*)\s*=")
_PART = re.compile(r"\"([^\"]*)\"|'([^']*)'|([\w-]+)")


def line_of(text: str, table: str, field: str) -> int:
    """Return the line, from 1, of a field, or of what it should be in; 0 where that cannot be told.

    Tables are named as in errors: `tasks.faq`, `rules[2]`.
    """
    wanted = ".".join(part for part in (table, field) if part)
    found, longest = 0, 0
    for number, path in _paths(text):
        if wanted == path:
            return number
        if longest < len(path) and wanted.startswith(path) and wanted[len(path)] in ".[":
            found, longest = number, len(path)
    return found


def _paths(text: str) -> Iterator[tuple[int, str]]:
    """Yield where each table and each key begins; what looks like one inside a text is taken for one."""
    header, seen = "", Counter[str]()
    for number, line in enumerate(text.splitlines(), 1):
        if table := _HEADER.fullmatch(line):
            header = _joined(table[2])
            if table[1] == "[[":
                yield number, header
                seen[header] += 1
                header = f"{header}[{seen[header]}]"
            yield number, header
        elif key := _KEY.match(line):
            yield number, f"{header}.{_joined(key[1])}" if header else _joined(key[1])


def _joined(dotted: str) -> str:
    """Return a dotted name without its quotes and spaces."""
    return ".".join("".join(found.groups(default="")) for found in _PART.finditer(dotted))
