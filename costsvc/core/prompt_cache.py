"""What a prompt costs with cache breakpoints in it: likely, and at most.

Rules of the provider (Claude docs: prompt caching): tools come before the system prompt; a prefix below the
model's minimum is silently not cached; a write costs more than plain input.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from costsvc.core.catalog import Model
from costsvc.core.json_text import Member
from costsvc.core.request import ModelRequest
from costsvc.core.tokens import estimate_input, measure
from costsvc.core.usage import Usage

_ESCAPED = re.compile(r"\\u00(?:31|5[fF]|6[1358cCeEfF]|7[24])")
"""Escapes, which nobody needs, of the letters in `cache_control` and `1h`: a breakpoint may hide there."""

_TURN = {"role", "content"}


def has_breakpoints(request: ModelRequest) -> bool:
    """Return whether the caller has placed breakpoints; a mention inside a text counts too, harmlessly."""
    return "cache_control" in request.members or any(map(_has_breakpoint, request.members.values()))


def _has_breakpoint(member: Member) -> bool:
    """Look for it in the text, which is long to write where a member came without one: only if need be."""
    if member.written is None and _is_plain(member.value):
        return False
    return '"cache_control"' in member.text


def _is_plain(value: Any) -> bool:
    """Tell whether a value is none of blocks: a number, a text, or turns that are texts."""
    if not isinstance(value, list):
        return not isinstance(value, dict)
    return all(
        isinstance(turn, dict) and turn.keys() == _TURN and isinstance(turn["content"], str) for turn in value
    )


def may_have_breakpoints(request: ModelRequest) -> bool:
    """Return whether the caller may have placed breakpoints, in however odd a spelling."""
    texts = [member.text for member in request.members.values()]
    return has_breakpoints(request) or any(map(_ESCAPED.search, texts))


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefix:
    """The part of a prompt in front of its last breakpoint, and for how long it would be kept."""

    tokens: int = 0
    one_hour: bool = False

    def usage(self, input_tokens: int, output_tokens: int, *, warm: bool) -> Usage:
        """Return a call's usage when the prefix is read from the cache (`warm`), or written to it."""
        prefix = min(self.tokens, input_tokens)
        return Usage(
            input_tokens=input_tokens - prefix,
            cache_read_tokens=prefix if warm else 0,
            cache_write_5m_tokens=0 if warm or self.one_hour else prefix,
            cache_write_1h_tokens=prefix if self.one_hour and not warm else 0,
            output_tokens=output_tokens,
        )


def worst_usage(
    request: ModelRequest, ours: Prefix, model: Model, input_tokens: int, output_tokens: int
) -> Usage:
    """Return the dearest usage of a prompt: with a breakpoint anywhere, all of it may be written.

    `ours` is what is in front of breakpoints that costsvc adds. It is written at the dearest rate that any
    breakpoint asks for, whichever comes last. The provider caches nothing below a model's minimum.
    """
    texts = [member.text for member in request.members.values()]
    hidden = any(map(_ESCAPED.search, texts))
    marked = bool(ours.tokens) or hidden or has_breakpoints(request)
    if not marked or input_tokens < model.min_cacheable_tokens:
        return Usage(input_tokens=input_tokens, output_tokens=output_tokens)
    one_hour = ours.one_hour or hidden or any('"1h"' in text for text in texts)
    whole = Prefix(tokens=input_tokens, one_hour=one_hour)
    return whole.usage(input_tokens, output_tokens, warm=False)


def callers_prefix(request: ModelRequest, model: Model) -> Prefix:
    """Return what the caller's breakpoints would keep on a model; empty where too short or unmarked."""
    if not has_breakpoints(request):
        return Prefix()
    body, marker = _up_to_last_marker(request)
    tokens = estimate_input(measure(body), model).expected if body else 0
    prefix = Prefix(tokens=tokens, one_hour=marker.get("ttl") == "1h")
    return prefix if prefix.tokens >= model.min_cacheable_tokens else Prefix()


def _up_to_last_marker(request: ModelRequest) -> tuple[dict[str, Any], Mapping[str, Any]]:
    """Return the body up to the caller's last breakpoint, and that breakpoint; both empty without one."""
    automatic = request.get("cache_control")
    if isinstance(automatic, dict):
        return request.body, automatic
    before = {name: request.get(name) for name in ("tools", "system", "tool_choice")}
    messages = request.get("messages")
    for index in reversed(range(len(messages))):
        blocks, marker = _marked_blocks(messages[index]["content"])
        if blocks:
            return {**before, "messages": [*messages[:index], {**messages[index], "content": blocks}]}, marker
    for name in ("system", "tools"):
        blocks, marker = _marked_blocks(before[name])
        if blocks:
            return {**before, name: blocks}, marker
        before[name] = None
    return {}, {}


def _marked_blocks(blocks: Any) -> tuple[list[Any], Mapping[str, Any]]:
    if isinstance(blocks, list):
        for index in reversed(range(len(blocks))):
            marker = blocks[index].get("cache_control") if isinstance(blocks[index], dict) else None
            if isinstance(marker, dict):
                return blocks[: index + 1], marker
    return [], {}
