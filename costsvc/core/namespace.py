"""Namespaces of the response cache: what the operator lets be kept, how long, and what counts as the same.

Nothing is kept outside a namespace. A call belongs to the one that it names, else to the one that lists its
task; whoever calls can choose a namespace, but never what is allowed in it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from fractions import Fraction

from costsvc.core.cacheable import Kind
from costsvc.core.near_identical import RULES
from costsvc.core.toml_rows import Row

MOST_BYTES = 4 * 1024 * 1024
LONGEST_TTL = timedelta(days=30)

_NAME = re.compile(r"[a-z][a-z0-9._-]{0,62}")
_PATH = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")
_NEVER_IGNORED = frozenset({"system", "messages", "tools", "tool_choice", "thinking", "output_config"})


class Near(Enum):
    """What is done with answers to near-identical questions."""

    OFF = "off"
    SHADOW = "shadow"  # looked up and compared with the model's own answer, never served
    ON = "on"


@dataclass(frozen=True, slots=True, kw_only=True)
class Namespace:
    """One namespace's rules.

    `ignore` are members of the body, as dotted paths, that do not change an answer; `largest_bytes` is the
    size of the largest answer that is kept; `most_mistakes` the share of near-identical answers that may be
    wrong before they are no longer served.
    """

    name: str
    tasks: frozenset[str] = frozenset()
    ttl: timedelta
    allowed: frozenset[Kind] = frozenset()
    ignore: tuple[str, ...] = ()
    near: Near = Near.OFF
    rules_off: frozenset[str] = frozenset()
    most_mistakes: Fraction = Fraction(1, 100)
    largest_bytes: int = 256 * 1024


def read_namespaces(row: Row) -> dict[str, Namespace]:
    """Return the namespaces of a policy's `[response_cache]` table, by name.

    Raises:
        CatalogError: naming file, table and field.
    """
    found: dict[str, Namespace] = {}
    for name in row.values:
        if not _NAME.fullmatch(name):
            raise row.error(name, "must be 1 to 63 of a-z 0-9 . _ - and begin with a letter")
        inner = row.row(name)
        namespace = _read(inner, name)
        for other in found.values():
            if shared := namespace.tasks & other.tasks:
                raise inner.error("tasks", f"{min(shared)!r} is in {other.name}, too")
        found[name] = namespace
    row.finish()
    return found


def namespace_of(namespaces: Mapping[str, Namespace], *, named: str, task: str) -> Namespace | None:
    """Return the namespace of a call, None where it has none; one that it names and nobody knows is none."""
    if named:
        return namespaces.get(named)
    return next((each for each in namespaces.values() if task and task in each.tasks), None)


def _read(row: Row, name: str) -> Namespace:
    namespace = Namespace(
        name=name,
        tasks=frozenset(row.texts("tasks", [])),
        ttl=_ttl(row),
        allowed=frozenset(Kind(word) for word in _words(row, "allow", {kind.value for kind in Kind})),
        ignore=_ignored(row),
        near=Near(row.text("near_identical", "off", among=frozenset(near.value for near in Near))),
        rules_off=_words(row, "rules_off", {rule.name for rule in RULES}),
        most_mistakes=_share(row),
        largest_bytes=_largest_bytes(row),
    )
    row.finish()
    return namespace


def _ttl(row: Row) -> timedelta:
    ttl = timedelta(seconds=row.count("ttl_s"))
    if not timedelta(0) < ttl <= LONGEST_TTL:
        raise row.error("ttl_s", f"must be from 1 to {LONGEST_TTL // timedelta(seconds=1)}")
    return ttl


def _words(row: Row, field: str, among: set[str]) -> frozenset[str]:
    words = row.texts(field, [])
    for word in words:
        if word not in among:
            raise row.error(field, f"{word!r} is none of {', '.join(sorted(among))}")
    return frozenset(words)


def _ignored(row: Row) -> tuple[str, ...]:
    paths = row.texts("ignore", [])
    for path in paths:
        if not _PATH.fullmatch(path):
            raise row.error("ignore", f"{path!r} is no path such as metadata.user_id")
        if path.split(".")[0] in _NEVER_IGNORED:
            raise row.error("ignore", f"{path!r} changes the answer")
    return paths


def _share(row: Row) -> Fraction:
    share = row.decimal("most_mistakes", "0.01")
    if not 0 < share < 1:
        raise row.error("most_mistakes", "must be between 0 and 1")
    return share


def _largest_bytes(row: Row) -> int:
    count = row.count("largest_bytes", 256 * 1024)
    if not 0 < count <= MOST_BYTES:
        raise row.error("largest_bytes", f"must be from 1 to {MOST_BYTES}")
    return count
