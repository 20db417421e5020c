"""How often the provider may read a prompt for one call: what a bound on the call's cost rests on.

A plain call is read once, and no reading is longer than the model's context window. Tools that the provider
runs make it read again after each use, so that only their `max_uses` bounds a call. Whatever is not known to
be read once counts as unbounded: a new feature must not spend past a budget because nobody knew it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from costsvc.core.request import ModelRequest

_PLAIN = frozenset({"model", "system", "messages", "max_tokens", "stop_sequences", "metadata", "stream"})
_READ_ONCE = _PLAIN | {
    "billing_policy",
    "cache_control",
    "diagnostics",
    "fallback_credit_token",
    "inference_geo",
    "output_config",
    "service_tier",
    "speed",
    "temperature",
    "thinking",
    "tool_choice",
    "top_k",
    "top_p",
}
_CUSTOM = "custom"
_CALLER_RUNS = ("bash_", "computer_", "memory_", "text_editor_")
"""Tools that the provider defines and the caller runs: each use ends the call."""

_DIRECT_VERSIONS = frozenset({"web_search_20250305", "web_fetch_20250910"})
"""Versions that only the model calls. In later ones its code may, unless `allowed_callers` forbids it, and
how often code runs is bounded by nothing (Claude docs: web search, dynamic filtering)."""

_MOST_USES = 1_000
_REFUSED_USE = 1  # a use beyond max_uses is answered with an error, which is read too


@dataclass(frozen=True, slots=True)
class Unbounded:
    """No bound can be given; `reason` says why, in words for the caller."""

    reason: str


@dataclass(frozen=True, slots=True)
class Readings:
    """How often a prompt is read at most, each time up to a whole context window if more than once."""

    count: int = 1
    search_count: int = 0


def count_readings(request: ModelRequest) -> Readings | Unbounded:
    """Return how often a request is read at most, and how many paid searches it makes."""
    members = request.members
    if members.keys() <= _PLAIN:
        return Readings()
    for name in members:
        if name not in _READ_ONCE and name != "tools" and not _only_clears(name, members[name].value):
            return Unbounded(f"{name!r} is not known to be read once")
    tools = [tool for tool in request.get("tools") or () if isinstance(tool, dict)]
    return _count_uses(tools)


def _only_clears(name: str, value: Any) -> bool:
    """Tell whether a member edits the context only by taking away from it."""
    edits = value.get("edits") if name == "context_management" and isinstance(value, dict) else None
    return value is None or (isinstance(edits, list) and all(map(_clears, edits)))


def _clears(edit: Any) -> bool:
    return isinstance(edit, dict) and str(edit.get("type")).startswith("clear_")


def _count_uses(tools: list[dict[str, Any]]) -> Readings | Unbounded:
    use_count = search_count = 0
    for tool in tools:
        kind = str(tool.get("type") or _CUSTOM)
        if kind == _CUSTOM or kind.startswith(_CALLER_RUNS):
            continue
        uses = _most_uses(kind, tool)
        if isinstance(uses, Unbounded):
            return uses
        use_count += uses
        search_count += uses if kind.startswith("web_search_") else 0
    return Readings(1 + use_count + _REFUSED_USE, search_count) if use_count else Readings()


def _most_uses(kind: str, tool: Mapping[str, Any]) -> int | Unbounded:
    if not kind.startswith(("web_search_", "web_fetch_")):
        return Unbounded(f"the provider runs {kind} as often as it likes")
    if kind not in _DIRECT_VERSIONS and tool.get("allowed_callers") != ["direct"]:
        return Unbounded(f"code may call {kind}: set its allowed_callers to ['direct']")
    uses = tool.get("max_uses")
    if type(uses) is not int or not 0 < uses <= _MOST_USES:
        return Unbounded(f"{kind} needs max_uses, from 1 to {_MOST_USES}")
    return uses
