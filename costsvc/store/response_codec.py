"""A stored answer as bytes: one line of compact JSON, versioned, then the message as the provider wrote it.

Large ones are compressed. A name never changes its meaning, and a new field gets a new name and a default.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from costsvc.core.json_text import to_json

VERSION = 1
COMPRESSED_ABOVE_BYTES = 2048

REMEMBERED_BYTES, REMEMBERED_COUNT = 8 * 1024, 256
"""What is asked for again and again is read once."""

_PLAIN, _COMPRESSED = b"p", b"z"
_FAST = 1  # of zlib's levels: half the size for a tenth of the time
_EPOCH, _MILLISECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAnswer:
    """A complete answer that was paid for once, and who may have it.

    `version` is the epochs' when it was asked for, `labels` are those of the call that paid. `question` is
    the last text of the user, "" where only the exact repetition is served.
    """

    tenant: str
    fingerprint: str
    response_id: str
    model: str
    stored_at: datetime
    version: int
    labels: Mapping[str, str] = field(default_factory=dict)
    question: str = ""
    rules: tuple[str, ...] = ()
    message_json: bytes


def encode(answer: StoredAnswer) -> bytes:
    """Return the answer's bytes; `decode` gives back an equal answer, but for parts of milliseconds."""
    head: dict[str, Any] = {
        "v": VERSION,
        "te": answer.tenant,
        "fp": answer.fingerprint,
        "re": answer.response_id,
        "m": answer.model,
        "t": (answer.stored_at - _EPOCH) // _MILLISECOND,
        "ep": answer.version,
    }
    if answer.labels:
        head["la"] = dict(answer.labels)
    if answer.question:
        head["q"], head["ru"] = answer.question, list(answer.rules)
    data = to_json(head).encode() + b"\n" + answer.message_json
    if len(data) <= COMPRESSED_ABOVE_BYTES:
        return _PLAIN + data
    return _COMPRESSED + zlib.compress(data, _FAST)


def decode(data: bytes) -> StoredAnswer:
    """Return the answer that `encode` wrote; small ones that were read lately are remembered.

    Raises:
        ValueError: not a stored answer, or one of a newer version.
    """
    return _remembered(data) if len(data) <= REMEMBERED_BYTES else _decode(data)


def _decode(data: bytes) -> StoredAnswer:
    try:
        plain = zlib.decompress(data[1:]) if data[:1] == _COMPRESSED else data[1:]
        head, _, message_json = plain.partition(b"\n")
        read = json.loads(head)
        if read["v"] > VERSION:
            raise ValueError(f"answer of version {read['v']}, known is {VERSION}")
        return StoredAnswer(
            tenant=read["te"],
            fingerprint=read["fp"],
            response_id=read["re"],
            model=read["m"],
            stored_at=_EPOCH + read["t"] * _MILLISECOND,
            version=read["ep"],
            labels=read.get("la", {}),
            question=read.get("q", ""),
            rules=tuple(read.get("ru", ())),
            message_json=message_json,
        )
    except (zlib.error, LookupError, TypeError) as error:
        raise ValueError(f"not a stored answer: {error!r}") from error


_remembered = lru_cache(REMEMBERED_COUNT)(_decode)
