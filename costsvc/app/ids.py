"""Ids that sort by time: of answers, and through them of attempts and entries."""

from __future__ import annotations

import secrets
import time

_MS_PER_NS = 1_000_000


def new_id() -> str:
    """Return 32 hexadecimal digits: 12 of the time in milliseconds, 20 of chance."""
    return f"{time.time_ns() // _MS_PER_NS:012x}{secrets.token_hex(10)}"
