"""The rules of the schema, checked by its validator; requests that plainly keep them skip it.

The validator interprets the schema's expressions, which costs a call more than its decision does. So what is
obviously in order is told apart first, by a check that may say no to a good request but never yes to a bad
one; a test holds it against the validator.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import protovalidate
from google.protobuf.message import Message

from costsvc import v1
from costsvc.core.errors import InvalidRequest, Violation
from costsvc.core.request import MAX_BODY_BYTES

ITEMS = "requests"
"""What a batch calls its items: each has its own status."""

_ID = re.compile(r"[!-~]{0,128}")
_NAME = re.compile(r"[a-z][a-z0-9_.-]{0,62}")
_MAX_PLAIN_MESSAGES, _MAX_PLAIN_LABELS = 64, 16
_MAX_LABEL_CHARS = _MAX_MODEL_CHARS = 128


def check_rules(message: Message) -> Mapping[int, Sequence[Violation]]:
    """Return what is wrong with the items of a batch, by their position.

    Raises:
        InvalidRequest: the message as a whole breaks a rule.
    """
    if isinstance(message, v1.CreateBatchRequest | v1.CreateBatchStreamRequest):
        if broken := violations_of(message.options, "options"):
            raise InvalidRequest(*broken)
        return {}  # each item is looked at when it is taken in
    request = getattr(message, "request", None)
    if isinstance(request, v1.Request) and plainly_keeps_rules(request) and not _has_odd_format(message):
        return {}
    whole: list[Violation] = []
    items: dict[int, list[Violation]] = {}
    for violation in protovalidate.collect_violations(message):
        first, *rest = violation.proto.field.elements if violation.proto.field else (None,)
        if first is not None and first.field_name == ITEMS and first.subscript is not None:
            broken = items.setdefault(int(first.subscript.value), [])
            broken.append(Violation(_path(rest), violation.proto.message))
        else:
            whole.append(Violation(_path([first, *rest]), violation.proto.message))
    if whole:
        raise InvalidRequest(*whole)
    return items


def violations_of(message: Message, where: str) -> list[Violation]:
    """Return what is wrong with a part of a message, as paths below `where`."""
    found = protovalidate.collect_violations(message)
    return [
        Violation(
            ".".join(filter(None, (where, _path(each.proto.field.elements if each.proto.field else ())))),
            each.proto.message,
        )
        for each in found
    ]


def plainly_keeps_rules(request: v1.Request) -> bool:
    """Tell whether a request keeps every rule at first sight; False says nothing."""
    return (
        _has_plain_body(request)
        and _ID.fullmatch(request.request_id) is not None
        and _ID.fullmatch(request.conversation_id) is not None
        and (not request.task or _NAME.fullmatch(request.task) is not None)
        and len(request.model) <= _MAX_MODEL_CHARS
        and (not request.HasField("max_cost_nano_usd") or request.max_cost_nano_usd > 0)
        and not (request.min_tier or request.max_tier or request.betas)
        and request.cache_mode in _CACHE_MODES
        and not (request.routing_mode or request.marker_mode)
        and not request.HasField("accept")
        and _has_plain_labels(request.labels)
    )


def _has_plain_body(request: v1.Request) -> bool:
    simple = request.system or request.messages or request.HasField("max_tokens")
    body = request.messages_json  # each look at it copies it
    if body:
        return not simple and len(body) <= MAX_BODY_BYTES
    return (
        0 < len(request.messages) <= _MAX_PLAIN_MESSAGES
        and (not request.HasField("max_tokens") or request.max_tokens > 0)
        and all(turn.text and turn.role in _ROLES for turn in request.messages)
    )


def _has_plain_labels(labels: Mapping[str, str]) -> bool:
    return len(labels) <= _MAX_PLAIN_LABELS and all(
        _NAME.fullmatch(key) and len(value) <= _MAX_LABEL_CHARS for key, value in labels.items()
    )


_CACHE_MODES = frozenset(v1.CacheMode.values())
_FORMATS = frozenset(v1.StreamFormat.values())
_ROLES = frozenset({v1.ROLE_UNSPECIFIED, v1.ROLE_USER, v1.ROLE_ASSISTANT})


def _has_odd_format(message: Message) -> bool:
    """Tell whether the message around the request names an undefined format, or has more rules of its own."""
    if isinstance(message, v1.RouteRequest):
        return message.HasField("reserve")
    if isinstance(message, v1.DeferRequest):
        return message.HasField("tolerance") or bool(message.webhook_url)
    return isinstance(message, v1.StreamCompleteRequest) and message.format not in _FORMATS


def _path(elements: Sequence[Any]) -> str:
    """Return a violation's path as it is written in code: request.labels['team']."""
    return ".".join(
        e.field_name + ("" if e.subscript is None else f"[{e.subscript.value!r}]") for e in elements if e
    )
