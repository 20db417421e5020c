"""Tests of what an answer that was not read to its end has cost."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from costsvc.core.catalog import load_catalog
from costsvc.core.errors import Bounds
from costsvc.core.holds import Hold
from costsvc.core.partial import bounds
from costsvc.core.request import ModelRequest, read_messages_json
from costsvc.data import read_text

CATALOG = load_catalog(read_text("catalog.toml"))
AT = datetime(2026, 11, 22, 12, tzinfo=UTC)
HOLD = Hold(q_nano_usd=10**9, w_nano_usd=2 * 10**9)
SEARCH = ',"tools":[{"type":"web_search_20250305","name":"web_search","max_uses":2}]'


def of(message: dict[str, Any], text: str = "", *, max_tokens: int = 1_000, more: str = "") -> Bounds:
    """Return the bounds of an answer by Sonnet 5.5: $2 and $10 a million tokens."""
    body = f'{{"max_tokens":1000,"messages":[{{"role":"user","content":"hi"}}]{more}}}'
    request = ModelRequest(members=read_messages_json(body.encode()))
    return bounds(
        request,
        message,
        text,
        CATALOG,
        model="claude-sonnet-5-5",
        max_tokens=max_tokens,
        hold=HOLD,
        at=AT,
    )


def begun(output_tokens: int = 2, **usage: Any) -> dict[str, Any]:
    """Return a message that has begun."""
    return {
        "model": "claude-sonnet-5-5",
        "usage": {"input_tokens": 500, "output_tokens": output_tokens, **usage},
    }


def test_the_prompt_is_known_and_the_answer_is_between_what_was_seen_and_its_limit() -> None:
    """500 tokens in are $0.001; 2 out are $0.00002, and 1,000 are $0.01."""
    assert of(begun(), "Hello") == Bounds(1_020_000, 11_000_000)
    assert of(begun(), "x" * 1_600) == Bounds(2_000_000, 11_000_000)
    assert of(begun(), " \n" * 5_000) == Bounds(1_020_000, 11_000_000)
    assert of(begun(700), "Hello") == Bounds(8_000_000, 11_000_000)


def test_nothing_is_certain_before_there_is_output() -> None:
    """A refusal before any output may be free."""
    assert of(begun()) == Bounds(0, 11_000_000)


def test_what_cannot_be_read_costs_at_most_what_was_held() -> None:
    """No beginning, or one without counts, or a prompt that the provider may read again."""
    assert of({}) == Bounds(0, 2 * 10**9)
    assert of({"usage": {"input_tokens": "many"}}, "Hello") == Bounds(0, 2 * 10**9)
    assert of(begun(), "Hello", more=SEARCH) == Bounds(1_020_000, 2 * 10**9)
    iterations = [{"type": "message", "input_tokens": 500, "output_tokens": 2}] * 2
    assert of(begun(iterations=iterations), "Hello").upper_nano_usd == 2 * 10**9


@given(st.integers(0, 2_000), st.text(max_size=400), st.integers(1, 500))
def test_the_lower_bound_is_never_above_the_upper(seen: int, text: str, max_tokens: int) -> None:
    """Also where more was seen than was allowed; and more text never makes the least smaller."""
    known = of(begun(seen), text, max_tokens=max_tokens)
    assert 0 <= known.lower_nano_usd <= known.upper_nano_usd
    assert of(begun(seen), text + "more", max_tokens=max_tokens).lower_nano_usd >= known.lower_nano_usd
