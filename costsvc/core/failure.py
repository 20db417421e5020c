"""How the provider fails, by what can be done about it."""

from __future__ import annotations

from enum import Enum


class Failure(Enum):
    """What kind of failure the provider's is, by what a caller can do about it."""

    RATE_LIMITED = "rate_limited"  # 429 that passes by itself
    SPEND_LIMITED = "spend_limited"  # 402, spend-limit 429 and 400: lasts until a limit changes
    OVERLOADED = "overloaded"  # 529, and `overloaded_error` in a stream
    UNAVAILABLE = "unavailable"  # 5xx, 408, 409, 504, connection refused or lost
    TIMED_OUT = "timed_out"  # our deadline passed while the provider worked
    INVALID = "invalid"  # 400, 413, 422: the request itself
    NOT_FOUND = "not_found"  # 404, also a retired model
    UNAUTHORIZED = "unauthorized"  # 401, 403: our credentials, not the caller's
    CALLER_GONE = "caller_gone"  # nobody wanted the rest of the answer, which was dear: closed by us
    MALFORMED = "malformed"  # an answer that cannot be read, or a stream that ended early
