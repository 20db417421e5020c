"""Page tokens: opaque to callers, and good only for the query that they came from."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode

from costsvc.core.errors import InvalidRequest, Violation

DEFAULT_PAGE, LARGEST_PAGE = 100, 1_000


def page_size(asked: int) -> int:
    """Return how many rows a page has; 0 asks for the default."""
    return min(asked or DEFAULT_PAGE, LARGEST_PAGE)


def write_token(query: str, last: str) -> str:
    """Return the token for what comes after `last`; empty where nothing does."""
    return urlsafe_b64encode(json.dumps([query, last]).encode()).decode() if last else ""


def read_token(token: str, query: str) -> str:
    """Return the last row of the page before, "" for the first page.

    Raises:
        InvalidRequest: no token, or another query's.
    """
    if not token:
        return ""
    try:
        bound, last = json.loads(urlsafe_b64decode(token))
    except (ValueError, TypeError):
        raise InvalidRequest(Violation("page_token", "is not a token of this service")) from None
    if bound != query or not isinstance(last, str):
        raise InvalidRequest(Violation("page_token", "belongs to another query"))
    return last
