"""Which requests may be answered from the response cache, and which answers may be kept in it.

Both functions return why not, "" for yes. What is not known is not kept: a member, a block or a stop reason
of tomorrow may mean an answer that depends on more than the request.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from enum import Enum
from typing import Any

_MEMBERS = frozenset(
    [
        "model",
        "system",
        "messages",
        "max_tokens",
        "stop_sequences",
        "metadata",
        "stream",
        "temperature",
        "top_p",
        "top_k",
        "tools",
        "tool_choice",
        "thinking",
        "output_config",
        "speed",
        "inference_geo",
        "service_tier",
        "cache_control",
    ]
)
"""What an answer depends on by its text alone; not mcp_servers, container, thread, fallbacks and the like."""

_CLIENT_TOOLS = ("bash_", "computer_", "memory_", "text_editor_")
"""What types of tools begin with that the provider defines and the caller runs."""

_INLINE_SOURCES = frozenset({"base64", "text", "content"})
_FINAL_STOPS = frozenset({"end_turn", "stop_sequence"})


class Kind(Enum):
    """Content beyond text, that a namespace may allow."""

    TOOLS = "tools"
    IMAGES = "images"
    DOCUMENTS = "documents"
    THINKING = "thinking"


class CacheOutcome(Enum):
    """What the response cache did for a call."""

    DISABLED = "disabled"  # no namespace
    BYPASSED = "bypassed"
    NOT_CACHEABLE = "not_cacheable"
    MISS = "miss"
    HIT = "hit"
    NEAR_IDENTICAL = "near_identical"


_KINDS: Mapping[str, Kind | None] = {
    "text": None,
    "image": Kind.IMAGES,
    "document": Kind.DOCUMENTS,
    "search_result": Kind.DOCUMENTS,
    "tool_use": Kind.TOOLS,
    "tool_result": Kind.TOOLS,
    "thinking": Kind.THINKING,
    "redacted_thinking": Kind.THINKING,
}
"""What each type of block needs; a type that is not here is never kept."""


def why_not_asked(body: Mapping[str, Any], allowed: Collection[Kind]) -> str:
    """Return why a request, as parsed JSON, can have no stored answer."""
    for member in body:
        if member not in _MEMBERS:
            return f"{member} is not kept"
    thinking = body.get("thinking")
    if thinking and thinking.get("type") != "disabled" and Kind.THINKING not in allowed:
        return "thinking is not allowed"
    return _first(
        _why_not_tools(body.get("tools") or (), allowed),
        _why_not_blocks(body.get("system"), allowed),
        *(_why_not_blocks(message.get("content"), allowed) for message in body["messages"]),
    )


def why_not_kept(
    message: Mapping[str, Any], allowed: Collection[Kind], *, asked_model: str, model_ids: Collection[str]
) -> str:
    """Return why an answer is not kept.

    `model_ids` are the ids, in the catalogue's spelling, of every model that had part in the answer: only
    answers by the one that was asked are kept.
    """
    if set(model_ids) != {asked_model}:
        return "another model answered"
    stop_reason = _word(message, "stop_reason")
    if stop_reason not in _FINAL_STOPS and not (stop_reason == "tool_use" and Kind.TOOLS in allowed):
        return f"stopped by {stop_reason}"
    if message.get("container"):
        return "container is not kept"
    return _why_not_blocks(message.get("content"), allowed) if message.get("content") else "empty"


def _why_not_tools(tools: Iterable[Any], allowed: Collection[Kind]) -> str:
    for tool in tools:
        kind = _word(tool, "type", "custom")
        if kind != "custom" and not kind.startswith(_CLIENT_TOOLS):
            return "server tools are not kept"
        if Kind.TOOLS not in allowed:
            return "tools is not allowed"
    return ""


def _why_not_blocks(content: Any, allowed: Collection[Kind]) -> str:
    if content is None or isinstance(content, str):
        return ""
    if not isinstance(content, list):
        return "content of an unknown shape"
    return _first(*(_why_not_block(block, allowed) for block in content))


def _why_not_block(block: Any, allowed: Collection[Kind]) -> str:
    name = _word(block, "type")
    if name not in _KINDS:
        return f"{name} is not kept"
    if name == "thinking" and block.get("thinking") == "":
        return ""  # models that think by themselves say so, and no more: nobody has asked for it
    kind = _KINDS[name]
    if kind is not None and kind not in allowed:
        return f"{kind.value} is not allowed"
    source = block.get("source")
    if isinstance(source, dict):
        where = _word(source, "type")
        if where not in _INLINE_SOURCES:
            return f"a source of type {where} is not kept"
        if where == "content":
            return _why_not_blocks(source.get("content"), allowed)
    return _why_not_blocks(block.get("content"), allowed) if "content" in block else ""


def _word(value: Any, name: str, otherwise: str = "?") -> str:
    """Return a member that should be text; what is odd reads as a word that nobody knows."""
    found = value.get(name, otherwise) if isinstance(value, dict) else "?"
    return found if isinstance(found, str) else "?"


def _first(*problems: str) -> str:
    return next((problem for problem in problems if problem), "")
