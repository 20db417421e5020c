"""The policy's table about deferring."""

from __future__ import annotations

import pytest

from costsvc.core.deferring import Deferring

SIGNED = "https://hooks.example.com/run%2Fnow"
RULES = Deferring(webhook_urls=("https://hooks.example.com/a", "https://other.example.com/", SIGNED))


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example.com/a",
        "https://hooks.example.com/a/b?c=d%2Fe",
        "https://other.example.com/x",
        SIGNED,
    ],
)
def test_a_caller_may_have_posted_to_what_policy_names(url: str) -> None:
    """The URL itself, and paths below it."""
    assert RULES.may_post_to(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example.com/ab",
        "https://hooks.example.com/a/../b",
        "https://hooks.example.com/a/%2E%2e/b",
        "https://hooks.example.com/a/b%2F..%2F..%2fc",
        "https://hooks.example.com/a/b\\..\\..\\c",
        "https://hooks.example.com/a/%252e%252e/b",
        "https://other.example.com.evil.example/",
        "http://other.example.com/x",
        "https://other.example.com@evil.example/",
    ],
)
def test_a_caller_may_have_posted_nowhere_else(url: str) -> None:
    """Whoever defers must not reach what only the service can reach."""
    assert not RULES.may_post_to(url)
    assert not Deferring().may_post_to(url)
