"""Ids that sort by time: of answers, and through them of attempts and entries."""

from __future__ import annotations

import secrets
import time
from datetime import UTC, datetime, timedelta

_MS_PER_NS = 1_000_000
_TIME_DIGITS = 12
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def new_id() -> str:
    """Return 32 hexadecimal digits: 12 of the time in milliseconds, 20 of chance."""
    return f"{time.time_ns() // _MS_PER_NS:012x}{secrets.token_hex(10)}"


def made_at(made_id: str) -> datetime:
    """Return when an id was made, to the millisecond.

    Raises:
        ValueError: it is no id of ours.
    """
    try:
        return _EPOCH + timedelta(milliseconds=int(made_id[:_TIME_DIGITS], 16))
    except OverflowError as error:
        raise ValueError(made_id) from error
