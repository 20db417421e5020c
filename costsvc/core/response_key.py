"""The key under which an answer is kept: a keyed hash of everything that could change the answer.

The form that is hashed is versioned JSON in one canonical spelling. It holds the whole body, what the policy
lets answer it, and how it is sent; it leaves out who asks, until when, and what only reports read. The scope
(tenant, namespace, epoch) is no part of the hash but stands before it, in plain, so that no two scopes can
ever meet, whatever the hash does.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from json import JSONEncoder
from typing import Any

from costsvc.core.json_text import Member
from costsvc.core.near_identical import RULES_VERSION

FORM_VERSION = 2
"""Raised with every change to what is hashed or how: old entries are then never met again."""

_LEFT_OUT = frozenset({"model", "stream", "max_tokens"})
"""Members of the body that the form says in its own way, or that do not change the answer."""

_encode = JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Whose answers may serve: a tenant, one of its namespaces, and a generation of it.

    Tenants and namespaces are words of `a-z 0-9 . _ -`.
    """

    tenant: str
    namespace: str
    epoch: int

    @property
    def prefix(self) -> str:
        """What every key of this scope begins with; no word has a colon, so no two scopes share it."""
        return f"{self.tenant}:{self.namespace}:{self.epoch}:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What determines an answer. `members` are the body's, `max_tokens` the ones in effect.

    `candidates` are the models that constraints and rules left, in their order; `pin` is the one that the
    caller insists on, "" for none; `checks` is what the answer is verified against, as JSON; `headers` go
    along to the provider; `dropped` are members that are not sent, and `levers` what may make it shorter, as
    JSON.
    """

    members: Mapping[str, Member]
    max_tokens: int
    candidates: Sequence[str]
    pin: str = ""
    checks: Any = None
    headers: Mapping[str, str]
    dropped: Sequence[str] = ()
    levers: Any = None

    def form(self, *, ignore: Iterable[str] = ()) -> dict[str, Any]:
        """Return the JSON value that stands for the question.

        `ignore` names members, as dotted paths such as `metadata.user_id`, that the operator declares to be
        without influence on the answer.
        """
        left_out = _LEFT_OUT.union(self.dropped)
        body = {name: member.value for name, member in self.members.items() if name not in left_out}
        for path in ignore:
            body = _without(body, path.split("."))
        return {
            "version": FORM_VERSION,
            "body": body,
            "max_tokens": self.max_tokens,
            "candidates": list(self.candidates),
            "pin": self.pin,
            "checks": self.checks,
            "headers": dict(self.headers),
            **({"levers": self.levers} if self.levers else {}),
        }


def last_text(messages: Sequence[Any]) -> str:
    """Return the text with which the user ends a conversation, "" where it ends otherwise."""
    last = messages[-1]
    content = last["content"] if last["role"] == "user" else ""
    if isinstance(content, list):
        block = content[-1] if content else {}
        return str(block["text"]) if block.get("type") == "text" else ""
    return str(content)


def near_form(form: Mapping[str, Any], key: str, *, off: Iterable[str]) -> dict[str, Any]:
    """Return the form of a question in which a key stands for its last text.

    Everything else is as it is; the version of the rules, and which are off, make it no other form.
    """
    *earlier, last = form["body"]["messages"]
    content = last["content"]
    if isinstance(content, list):
        said: Any = [*content[:-1], {**content[-1], "text": key}]
    else:
        said = key
    body = {**form["body"], "messages": [*earlier, {**last, "content": said}]}
    return {**form, "body": body, "rules": [RULES_VERSION, *sorted(off)]}


def canonical(value: Any) -> bytes:
    """Return the one spelling of a JSON value: keys sorted, no white space, UTF-8.

    Two values have the same spelling exactly when they are the same to a reader of JSON: the order of keys,
    white space, escapes and the way a number is written (1, 1.0, 1e0) do not matter, the order of arrays
    does.

    Raises:
        RecursionError: nested more deeply than can be written.
    """
    text = _encode(value)
    if ".0" in text or "e+" in text:  # perhaps a whole number that was read as a float
        text = _encode(_with_whole_numbers(value))
    return text.encode()


def fingerprint(secret: bytes, form: Mapping[str, Any]) -> str:
    """Return 64 hexadecimal digits that stand for a form, and that nobody can compute without the secret.

    Raises:
        RecursionError: nested more deeply than can be written.
    """
    return hmac.digest(secret, canonical(form), "sha256").hex()


def _with_whole_numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_whole_numbers(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_with_whole_numbers(inner) for inner in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _without(body: dict[str, Any], path: Sequence[str]) -> dict[str, Any]:
    """Return an object without the member at a path; an object that this empties goes, too."""
    first, *rest = path
    if first not in body:
        return body
    others = {name: value for name, value in body.items() if name != first}
    if not rest or not isinstance(body[first], dict):
        return body if rest else others
    inner = _without(body[first], rest)
    return {**others, first: inner} if inner else others
