"""Where costsvc places a prompt-cache breakpoint: at the end of what every turn of a conversation repeats.

A breakpoint never changes content. It is spliced into the text of one member, so that every other byte of
the request, and with it every prefix that others have cached, stays as the caller wrote it. Rules of the
provider (Claude docs: prompt caching): tools come before the system prompt; a prefix below the model's
minimum is silently not cached; a write costs more than plain input, so a prefix that nobody reads again loses
money.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from costsvc.core.catalog import Model
from costsvc.core.json_text import Member
from costsvc.core.policy import MarkSystem, Policy
from costsvc.core.request import ModelRequest
from costsvc.core.tokens import estimate_input, measure
from costsvc.core.usage import Usage

_ESCAPED = re.compile(r"\\u00(?:31|5[fF]|6[1358cCeEfF]|7[24])")
"""Escapes, which nobody needs, of the letters in `cache_control` and `1h`: a breakpoint may hide there."""

_TURN = {"role", "content"}
_MARK = '"cache_control":{"type":"ephemeral"}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Breakpoint:
    """A breakpoint at the end of one member, and how long the prefix up to it is estimated to be."""

    member: str
    unmarked: Member
    prefix_tokens: int

    @property
    def marked(self) -> Member:
        """The member with the breakpoint."""
        return _marked(self.unmarked)


def place_breakpoint(request: ModelRequest, policy: Policy, model: Model) -> Breakpoint | None:
    """Return the breakpoint that policy wants for this request on this model, None where it would not pay."""
    if not _wanted(request, policy) or has_breakpoints(request):
        return None
    member = "system" if _markable(request, "system") else "tools" if _markable(request, "tools") else ""
    if not member:
        return None
    prefix_tokens = _prefix_tokens(request, model)
    if prefix_tokens < model.min_cacheable_tokens:
        return None
    return Breakpoint(member=member, unmarked=request.members[member], prefix_tokens=prefix_tokens)


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


def _wanted(request: ModelRequest, policy: Policy) -> bool:
    if request.caller_markers_only or policy.mark_system is MarkSystem.NEVER:
        return False
    repeated = bool(request.conversation_id) or request.task in policy.marked_tasks
    return repeated or policy.mark_system is MarkSystem.ALWAYS


def _markable(request: ModelRequest, name: str) -> bool:
    """Tell whether a member ends with something that a breakpoint may sit on."""
    value = request.get(name)
    if isinstance(value, str):
        return bool(value)
    if not isinstance(value, list) or not value or not isinstance(value[-1], dict):
        return False
    if name == "tools":  # one that is loaded only when it is searched for is not in the prefix
        return not value[-1].get("defer_loading")
    return value[-1]["type"] == "text" and bool(value[-1]["text"])


def _prefix_tokens(request: ModelRequest, model: Model) -> int:
    prefix = {name: request.get(name) for name in ("tools", "system", "tool_choice")}
    return estimate_input(measure(prefix), model).expected


def _marked(member: Member) -> Member:
    """Return the member with the breakpoint on its last block; a string becomes a block of the same text."""
    value: list[Mapping[str, object]]
    if isinstance(member.value, str):
        value = [{"type": "text", "text": member.value}]
        text = f'[{{"type":"text","text":{member.text},{_MARK}}}]'
    else:
        value = list(member.value)
        head, brace, tail = member.text.rpartition("}")
        text = f"{head}{',' if value[-1] else ''}{_MARK}{brace}{tail}"
    value[-1] = {**value[-1], "cache_control": {"type": "ephemeral"}}
    return Member(value, text)


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
    request: ModelRequest, placed: Breakpoint | None, model: Model, input_tokens: int, output_tokens: int
) -> Usage:
    """Return the dearest usage of a prompt: with a breakpoint anywhere, all of it may be written.

    It is written at the dearest rate that any breakpoint asks for, whichever comes last. The provider caches
    nothing below a model's minimum.
    """
    texts = [member.text for member in request.members.values()]
    hidden = any(map(_ESCAPED.search, texts))
    marked = placed is not None or hidden or has_breakpoints(request)
    if not marked or input_tokens < model.min_cacheable_tokens:
        return Usage(input_tokens=input_tokens, output_tokens=output_tokens)
    one_hour = hidden or any('"1h"' in text for text in texts)
    whole = Prefix(tokens=input_tokens, one_hour=one_hour)
    return whole.usage(input_tokens, output_tokens, warm=False)


def marked_prefix(request: ModelRequest, placed: Breakpoint | None, model: Model) -> Prefix:
    """Return the prefix that the prompt cache would hold on a model; empty where too short or unmarked."""
    if placed is not None:
        prefix = Prefix(tokens=_prefix_tokens(request, model))
    elif has_breakpoints(request):
        body, marker = _up_to_last_marker(request)
        tokens = estimate_input(measure(body), model).expected if body else 0
        prefix = Prefix(tokens=tokens, one_hour=marker.get("ttl") == "1h")
    else:
        return Prefix()
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
