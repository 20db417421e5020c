"""Which URLs something may be sent to."""

from __future__ import annotations

from urllib.parse import urlsplit

MAX_URL_CHARS = 2_048


def http_url(url: str) -> str:
    """Return an absolute URL of http or https as it is.

    Raises:
        ValueError: it is something else, too long, or not as it goes over the wire: printable ASCII.
    """
    is_plain = url.isascii() and url.isprintable() and " " not in url and len(url) <= MAX_URL_CHARS
    if not (is_plain and _has_host(url)):
        raise ValueError("must be a URL such as https://example.com/path")
    return url


def _has_host(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # of brackets, or of a port
        return False
