"""Tests of what is said of a threshold, and of its signature."""

from __future__ import annotations

import hmac
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costsvc.core.alert import Alert, sign, wait_before, write_body
from costsvc.core.budget import Budget, Kind, Mode, Scope
from costsvc.core.windows import Calendar, Rolling, Unit, window_at

AT = datetime(2026, 11, 22, 18, 0, tzinfo=UTC)
MONTH = Calendar(Unit.MONTH, "Europe/Berlin")
WINDOW = window_at(MONTH, AT)
TEAM = Budget(
    id="team-a", scope=Scope(Kind.LABEL, "team", "a"), window=MONTH, limit_nano_usd=1, mode=Mode.SOFT
)
ALERT = Alert(
    id="f00",
    budget_id="team-a",
    instance="a",
    window_key=WINDOW.key,
    window_end=WINDOW.end,
    threshold_permille=800,
    spent_nano_usd=12_340_000_000,
    at_risk_nano_usd=0,
    limit_nano_usd=15_000_000_000,
    raised_at=AT,
)


def body(alert: Alert, budget: Budget | None = TEAM) -> dict[str, Any]:
    """Return what is sent."""
    table: dict[str, Any] = json.loads(write_body(alert, budget))
    return table


def test_the_text_says_how_much_of_what_until_when() -> None:
    """In the zone of the budget's own clock."""
    assert body(ALERT)["text"] == (
        "80 % of budget team-a for label team=a reached: $12.34 of $15.00 (82.2 %), "
        "window until 2026-12-01 00:00 Europe/Berlin (soft budget)"
    )


def test_the_data_has_every_amount_twice() -> None:
    """As a string in USD and as an integer in nano-USD."""
    assert body(ALERT) | {"text": ""} == {
        "text": "",
        "type": "budget_threshold",
        "id": "f00",
        "budget_id": "team-a",
        "instance": "a",
        "mode": "soft",
        "threshold_permille": 800,
        "spent_usd": "12.34",
        "spent_nano_usd": 12_340_000_000,
        "at_risk_usd": "0.00",
        "at_risk_nano_usd": 0,
        "limit_usd": "15.00",
        "limit_nano_usd": 15_000_000_000,
        "window": WINDOW.key,
        "window_end_time": "2026-11-30T23:00:00+00:00",
        "time": "2026-11-22T18:00:00+00:00",
    }


def test_a_deleted_budget_is_spoken_of_in_utc() -> None:
    """Without its definition there is no zone, no scope and no mode."""
    alert = replace(ALERT, at_risk_nano_usd=10**9, limit_nano_usd=8_999_999 * 10**9)
    table = body(alert, None)
    assert table["text"] == (
        "80 % of budget team-a for a reached: $13.34 of $8,999,999.00 (0 %), $1.00 of it at risk, "
        "window until 2026-11-30 23:00 UTC"
    )
    assert (table["limit_usd"], table["mode"]) == ("8999999.00", None)


@pytest.mark.parametrize(
    ("duration", "said"),
    [
        (timedelta(minutes=90), "90 min"),
        (timedelta(hours=24), "24 h"),
        (timedelta(days=30), "30 d"),
        (timedelta(hours=36), "36 h"),
    ],
)
def test_a_rolling_window_has_no_end(duration: timedelta, said: str) -> None:
    """It says for how long it adds up."""
    key = window_at(Rolling(duration), AT).key
    table = body(replace(ALERT, window_key=key), None)
    assert table["text"].endswith(f", in the last {said}")
    assert table["window_end_time"] is None


@given(st.text())
def test_no_caller_can_address_a_chat(name: str) -> None:
    """A label's value, which callers choose, is text: no markup, no line of its own."""
    table = body(replace(ALERT, instance=f"{name}<!channel>\n"))
    assert "<" not in table["text"]
    assert ">" not in table["text"]
    assert table["text"].isprintable()
    assert table["instance"] == f"{name}<!channel>\n"


@given(st.binary(max_size=50), st.binary(min_size=1, max_size=50))
def test_a_signature_binds_time_and_body(data: bytes, secret: bytes) -> None:
    """As documented: seconds, a full stop, and the body."""
    digest = hmac.new(secret, b"1795370400." + data, "sha256").hexdigest()
    assert sign(secret, data, AT) == f"t=1795370400,v1={digest}"
    later = sign(secret, data, AT + timedelta(seconds=1))
    assert len({sign(secret, data, AT), later, sign(secret + b"x", data, AT)}) == 3


def test_waits_grow_to_ten_minutes() -> None:
    """And stay there."""
    waits = [wait_before(failures) for failures in range(1, 100)]
    assert waits[0] == timedelta(seconds=1)
    assert waits == sorted(waits)
    assert waits[-1] == timedelta(minutes=10)
