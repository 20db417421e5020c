"""Tests of which URLs something may be sent to."""

from __future__ import annotations

import pytest

from costsvc.core.urls import MAX_URL_CHARS, http_url


@pytest.mark.parametrize(
    "url", ["http://a", "https://hooks.example.com/services/T0/B0/x", "http://[::1]:80/", "http://u:p@h/?q#f"]
)
def test_absolute_urls_are_fine(url: str) -> None:
    """Of http and https."""
    assert http_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        *("", "a", "//a", "/a", "ftp://a", "file:///etc/passwd", "http:", "http://", "http:///x"),
        *("http://a b", "http://a\n", "http://ä", "http://[", "http://a:x", "http://a:99999", "http://a:0"),
        "http://" + "a" * MAX_URL_CHARS,
    ],
)
def test_anything_else_is_none(url: str) -> None:
    """Other schemes, no host, odd ports, and what would not pass a wire."""
    with pytest.raises(ValueError, match="URL such as"):
        http_url(url)
