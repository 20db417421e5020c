"""A request to the Messages API as costsvc carries it: the provider's own JSON, read but not rewritten.

Every check here is one of shape, made before anything is decided or spent. What the provider alone knows
(new block types, new parameters) passes through untouched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum, IntEnum
from typing import Any

from costsvc.core.accept import Checks
from costsvc.core.errors import InvalidRequest, Violation
from costsvc.core.json_text import Member, join_object, parse_object

MAX_BODY_BYTES = 32 * 1024 * 1024
MAX_MESSAGES = 100_000
SAMPLING_PARAMETERS = ("temperature", "top_p", "top_k")
_ROLES = frozenset({"user", "assistant", "system"})
_AUTO = ("", "auto")


class Tier(IntEnum):
    """What kind of work a request is; ordered, so that bounds can be compared."""

    SIMPLE = 1
    MEDIUM = 2
    COMPLEX = 3

    @property
    def label(self) -> str:
        """The word that policies, reports and logs use."""
        return self.name.lower()


class CacheMode(Enum):
    """What the response cache may do for a request, as the caller says."""

    DEFAULT = "default"
    BYPASS = "bypass"  # neither look up nor store
    REFRESH = "refresh"  # do not look up, but store
    ONLY = "only"  # answer from what is stored, or not at all


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRequest:
    """One request: the body's members with their text, and what the caller says about it.

    `model` is "" when costsvc chooses. `min_tier` and `max_tier` bound that choice, and so
    does `max_cost_nano_usd` where it is not 0.
    `cache_namespace` is "" for the task's; answers older than `cache_max_age` will not do.
    """

    members: Mapping[str, Member]
    request_id: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    task: str = ""
    conversation_id: str = ""
    model: str = ""
    min_tier: Tier = Tier.SIMPLE
    max_tier: Tier = Tier.COMPLEX
    max_cost_nano_usd: int = 0
    cache_mode: CacheMode = CacheMode.DEFAULT
    cache_namespace: str = ""
    cache_max_age: timedelta | None = None
    baseline_only: bool = False
    caller_markers_only: bool = False
    betas: Sequence[str] = ()
    checks: Checks | None = None
    is_beside: bool = False
    """costsvc asks it on its own account: nothing is done to it that is done to what callers ask."""
    is_shown_early: bool = False
    """The answer reaches its caller while it is written: nothing can follow when it fails its checks."""

    def get(self, name: str) -> Any:
        """Return a member's parsed value, or None where it is absent or null."""
        member = self.members.get(name)
        return None if member is None else member.value

    @property
    def body(self) -> dict[str, Any]:
        """The parsed body."""
        return {name: member.value for name, member in self.members.items()}

    def body_with(self, changes: Mapping[str, Member | None]) -> bytes:
        """Return the body with some members replaced, added at the end, or (None) left out."""
        members = {**self.members, **changes}
        return join_object({name: member for name, member in members.items() if member is not None})


def read_messages_json(source: bytes, *, where: str = "messages_json") -> dict[str, Member]:
    """Return the members of a Messages API body whose shape has been checked.

    Raises:
        InvalidRequest: naming the field, as a path below `where`.
    """
    if len(source) > MAX_BODY_BYTES:
        raise InvalidRequest(Violation(where, f"{len(source)} bytes, more than {MAX_BODY_BYTES}"))
    try:
        members = parse_object(source)
    except ValueError as error:
        raise InvalidRequest(Violation(where, str(error))) from None
    violations = [Violation(f"{where}.{v.field}", v.problem) for v in _shape_violations(members)]
    if violations:
        raise InvalidRequest(*violations)
    return members


def simple_members(
    system: str, messages: Sequence[tuple[str, str]], max_tokens: int | None
) -> dict[str, Member]:
    """Return the members of a body made of typed fields; `messages` are (role, text) pairs."""
    members: dict[str, Member] = {}
    if max_tokens is not None:
        members["max_tokens"] = Member(max_tokens)
    if system:
        members["system"] = Member(system)
    members["messages"] = Member([{"role": role, "content": text} for role, text in messages])
    return members


def requested_model(pinned: str, members: Mapping[str, Member], *, where: str = "messages_json") -> str:
    """Return the model that the caller pins, "" for none, from the request's field and the body's member.

    Raises:
        InvalidRequest: the two name different models.
    """
    inside = members["model"].value if "model" in members else ""
    outside, inside = ("" if name in _AUTO else name for name in (pinned, inside))
    if outside and inside and outside != inside:
        raise InvalidRequest(Violation("model", f"{outside!r} here, but {inside!r} in {where}"))
    return outside or inside


def _shape_violations(members: Mapping[str, Member]) -> list[Violation]:
    """Return what is wrong with the members that costsvc reads; at most one violation each."""
    found = [_message_list_violation(members.get("messages"))]
    for name, kinds, words in _MEMBER_KINDS:
        member = members.get(name)
        if member is not None and not _is(member.value, kinds):
            found.append(Violation(name, f"must be {words}"))
    max_tokens = members.get("max_tokens")
    if max_tokens is not None and _is(max_tokens.value, (int,)) and max_tokens.value < 0:
        found.append(Violation("max_tokens", "must not be negative"))
    system = members.get("system")
    if system is not None and isinstance(system.value, list):
        found.append(_block_violation("system", system.value))
    return [violation for violation in found if violation is not None]


_MEMBER_KINDS: tuple[tuple[str, tuple[type, ...], str], ...] = (
    ("model", (str,), "a string"),
    ("max_tokens", (int,), "a whole number"),
    ("system", (str, list), "a string or an array of blocks"),
    ("tools", (list,), "an array"),
    ("tool_choice", (dict,), "an object"),
    ("thinking", (dict,), "an object"),
    ("output_config", (dict,), "an object"),
    ("metadata", (dict,), "an object"),
    ("stop_sequences", (list,), "an array"),
    ("stream", (bool,), "true or false"),
    ("temperature", (int, float), "a number"),
    ("top_p", (int, float), "a number"),
    ("top_k", (int,), "a whole number"),
    ("speed", (str,), "a string"),
    ("inference_geo", (str, type(None)), "a string"),
)


def _is(value: Any, kinds: tuple[type, ...]) -> bool:
    """Return whether a JSON value has one of these types; true and false are not numbers."""
    return isinstance(value, kinds) and (not isinstance(value, bool) or bool in kinds)


def _message_list_violation(member: Member | None) -> Violation | None:
    if member is None:
        return Violation("messages", "is missing")
    messages = member.value
    if not isinstance(messages, list) or not messages:
        return Violation("messages", "must be an array of at least one message")
    if len(messages) > MAX_MESSAGES:
        return Violation("messages", f"{len(messages)} messages, more than {MAX_MESSAGES}")
    for index, message in enumerate(messages):
        violation = _message_violation(f"messages[{index}]", message)
        if violation is not None:
            return violation
    return None


def _message_violation(where: str, message: Any) -> Violation | None:
    if not isinstance(message, dict):
        return Violation(where, "must be an object")
    role, content = message.get("role"), message.get("content")
    if not isinstance(role, str) or role not in _ROLES:
        return Violation(f"{where}.role", "must be user, assistant or system")
    if isinstance(content, str):
        return None
    if not isinstance(content, list):
        return Violation(f"{where}.content", "must be a string or an array of blocks")
    return _block_violation(f"{where}.content", content)


def _block_violation(where: str, blocks: list[Any]) -> Violation | None:
    """Every block is an object with a type; a text block has text. The provider checks the rest."""
    for index, block in enumerate(blocks):
        if not isinstance(block, dict) or not isinstance(block.get("type"), str):
            return Violation(f"{where}[{index}]", "must be an object with a type")
        if block["type"] == "text" and not isinstance(block.get("text"), str):
            return Violation(f"{where}[{index}].text", "must be a string")
    return None
