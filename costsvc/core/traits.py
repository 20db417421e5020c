"""What a prompt consisted of, in digests: enough to tell what is different from the one before.

    now = traits_of(request, model, at_s)           after an answer, beside its settlement
    change = find_change(before, now, goes_on=goes_on(before, request))

A prefix's own digest says that something in front of a spot changed, but not what. So tools, parameters and
each block of the system prompt are digested alone, too, and a block also from its end: where a date stands
at its top, the rest of it is known again. Kept for an hour at most, and only for explanations.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, NamedTuple

from costsvc.core.json_text import Member, to_json
from costsvc.core.request import ModelRequest

_PARAMETERS = ("speed", "thinking", "output_config", "mcp_servers")
_BLOCKS = 6
_MOST_CHARS = 1_000_000
_STEP_BITS, _LEAST_STEP_BITS = 5, 6  # a text is cut into 16 to 31 pieces, of 64 characters at least
_DIGEST_BYTES = 4
_LONG_CHARS, _SHOWN_CHARS = 20_000, 2_000


class Part(NamedTuple):
    """A text by its size, its digest, and those of its last `step`, 2 `step`, ... characters."""

    chars: int
    whole: str
    step: int = 0
    ends: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """One prompt on one model; `last` is the digest of the last of its `turns`."""

    model: str
    at_s: int
    parameters: str
    choice: str
    tools: Part
    system: tuple[Part, ...]
    turns: int
    last: str
    message_chars: int

    @property
    def chars(self) -> int:
        """The size of the prompt."""
        return self.tools.chars + sum(part.chars for part in self.system) + self.message_chars

    def pack(self) -> str:
        """Return it as it is stored, in some hundred bytes."""
        system = [[part.chars, part.whole, part.step, "".join(part.ends)] for part in self.system]
        head = [self.model, self.at_s, self.parameters, self.choice, self.tools.chars, self.tools.whole]
        return to_json([*head, system, self.turns, self.last, self.message_chars])


def unpack_traits(text: str | bytes) -> Traits:
    """Return stored traits.

    Raises:
        ValueError: they are none, or another version's.
    """
    try:
        model, at_s, parameters, choice, chars, tools, system, turns, last, message_chars = json.loads(text)
        width = 2 * _DIGEST_BYTES
        parts = [
            Part(size, whole, step, tuple(ends[at : at + width] for at in range(0, len(ends), width)))
            for size, whole, step, ends in system
        ]
    except (TypeError, ValueError) as error:
        raise ValueError("not the traits of a prompt") from error
    return Traits(
        model=model,
        at_s=at_s,
        parameters=parameters,
        choice=choice,
        tools=Part(chars, tools),
        system=tuple(parts),
        turns=turns,
        last=last,
        message_chars=message_chars,
    )


@dataclass(frozen=True, slots=True)
class Change:
    """What is different first, in prompt order, and how many characters after it are as they were.

    What is different lies in the first `new_chars` of its block.
    """

    reason: str
    block: str
    kept_chars: int
    new_chars: int = 0


def traits_of(request: ModelRequest, model: str, at_s: int) -> Traits:
    """Return the traits of a request whose shape was checked."""
    messages = request.get("messages")
    given = [request.get(name) for name in _PARAMETERS]
    choice, tools = request.get("tool_choice"), request.members.get("tools")
    return Traits(
        model=model,
        at_s=at_s,
        parameters=_digest(to_json(given)) if any(given) else "",
        choice=_digest(to_json(choice)) if choice else "",
        tools=_tools(tools) if tools is not None and tools.value else Part(0, ""),
        system=tuple(map(_ends_of, _few(system_texts(request)))),
        turns=len(messages),
        last=_digest(_bare(messages[-1])),
        message_chars=len(request.members["messages"].text),
    )


def system_texts(request: ModelRequest) -> Sequence[str]:
    """Return the system prompt's blocks as texts."""
    system = request.get("system")
    if not system or isinstance(system, str):
        return [system] if system else []
    return [block["text"] if block["type"] == "text" else _bare(block) for block in system]


def _few(texts: Sequence[str]) -> Sequence[str]:
    """Return texts with those beyond a number as one."""
    return texts if len(texts) <= _BLOCKS else [*texts[: _BLOCKS - 1], "".join(texts[_BLOCKS - 1 :])]


def goes_on(before: Traits, request: ModelRequest) -> bool:
    """Tell whether a request begins with the turns of the one before."""
    messages = request.get("messages")
    return before.turns < len(messages) and _digest(_bare(messages[before.turns - 1])) == before.last


def find_change(before: Traits, now: Traits, *, in_conversation: bool, goes_on: bool) -> Change | None:
    """Return what keeps a prompt from being read as far as it is the same as the one before.

    Turns are compared within a conversation only: elsewhere they are always others.
    """
    history = before.message_chars if in_conversation and goes_on else 0
    system = _same_chars(before.system, now.system) + history
    tools = now.tools.chars if now.tools == before.tools else 0
    if before.model != now.model:
        return Change("model_switched", "", tools + system)
    if before.parameters != now.parameters:
        return Change("parameters_changed", "", tools + system)
    if before.tools != now.tools:
        return Change("tools_changed", "tools", system)
    if before.system != now.system:
        return _system_change(before.system, now.system, history)
    return _message_change(before, now, history, in_conversation and not goes_on)


def _system_change(before: Sequence[Part], now: Sequence[Part], history: int) -> Change:
    at, end = _first_difference(before, now)
    after = _same_chars(before[at + 1 :], now[at + 1 :])
    new_chars = now[at].chars - end if at < len(now) else 0
    return Change("system_changed", f"system.{at}", end + after + history, new_chars)


def _message_change(before: Traits, now: Traits, history: int, is_other: bool) -> Change | None:
    if before.choice != now.choice:
        return Change("parameters_changed", "messages", history)
    if is_other:
        return Change("messages_changed", "messages", min(before.message_chars, now.message_chars))
    return None


def _same_chars(before: Sequence[Part], now: Sequence[Part]) -> int:
    known = set(before)
    return sum(part.chars for part in now if part in known)


def _first_difference(before: Sequence[Part], now: Sequence[Part]) -> tuple[int, int]:
    """Return which block is the first to differ, and how many characters at its end do not."""
    for at, (old, new) in enumerate(zip(before, now, strict=False)):
        if old != new:
            return at, _same_end(old, new)
    return min(len(before), len(now)), 0


def _same_end(old: Part, new: Part) -> int:
    step, same = max(old.step, new.step), 0
    if not min(old.step, new.step):
        return 0
    for size in range(step, min(old.chars, new.chars) + 1, step):
        at = [size // part.step - 1 for part in (old, new)]
        if at[0] >= len(old.ends) or at[1] >= len(new.ends) or old.ends[at[0]] != new.ends[at[1]]:
            break
        same = size
    return same


def _tools(tools: Member) -> Part:
    """Return the part of the tools, by their text as it came unless there are breakpoints in it."""
    text = _bare(tools.value) if "cache_control" in tools.text else tools.text
    return Part(len(text), _digest(text))


def _ends_of(text: str) -> Part:
    """Return a text's part with the digests of its ends; the step is a power of 2, so that they compare."""
    chars = len(text)
    looked_at = min(chars, _MOST_CHARS)
    step = 1 << max(looked_at.bit_length() - _STEP_BITS, _LEAST_STEP_BITS)
    state, ends = blake2b(digest_size=_DIGEST_BYTES), []
    for size in range(step, looked_at + 1, step):
        state.update(_bytes(text[chars - size : chars - size + step]))
        ends.append(state.hexdigest())
    return Part(chars, _digest(text), step, tuple(ends))


def _bare(value: Any) -> str:
    """Return a value as text without the breakpoints in it, which are no content; long texts only in part."""
    return to_json(_without(value))


def _without(value: Any) -> Any:
    if isinstance(value, str) and len(value) > _LONG_CHARS:
        return f"{len(value)} {value[:_SHOWN_CHARS]}{value[-_SHOWN_CHARS:]}"
    if isinstance(value, list):
        return [_without(item) for item in value]
    if not isinstance(value, dict):
        return value
    bare = {key: _without(item) for key, item in value.items() if key != "cache_control"}
    content = bare.get("content")  # one text is the same, as a string or as a block
    if isinstance(content, list) and len(content) == 1 and set(content[0]) == {"type", "text"}:
        bare["content"] = content[0]["text"]
    return bare


def _digest(text: str) -> str:
    return blake2b(_bytes(text[-_MOST_CHARS:]), digest_size=_DIGEST_BYTES).hexdigest()


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
