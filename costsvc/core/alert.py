"""Alerts of budgets: what is said when spend has reached a share of a limit, and how it is signed.

A body has a `text`, as chats show it, and the same as data: money as a decimal string in USD and as an
integer in nano-USD.
"""

from __future__ import annotations

import hmac
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any
from zoneinfo import ZoneInfo

from costsvc.core.budget import Budget
from costsvc.core.money import format_usd
from costsvc.core.windows import Calendar, rolling_duration

_MINUTE, _HOUR, _DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
_WAITS = tuple(timedelta(seconds=s) for s in (1, 2, 5, 10, 30, 60, 120, 300, 600))
_MARKUP = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """A budget's sums at the moment at which they reached a threshold, in permille of the limit.

    `id` is the same for the same threshold of the same limit, window and instance. `displaced_id` is the
    alert that had to go for this one, because too many wait.
    """

    id: str
    budget_id: str
    instance: str
    window_key: str
    window_end: datetime
    threshold_permille: int
    spent_nano_usd: int
    at_risk_nano_usd: int
    limit_nano_usd: int
    raised_at: datetime
    displaced_id: str = ""

    @property
    def used_nano_usd(self) -> int:
        """What counts against the limit."""
        return self.spent_nano_usd + self.at_risk_nano_usd


def write_body(alert: Alert, budget: Budget | None) -> bytes:
    """Return what is sent, as JSON; `budget` is the definition of now, None where it is deleted."""
    is_rolling = rolling_duration(alert.window_key) is not None
    amounts: dict[str, int | str] = {}
    for name in ("spent", "at_risk", "limit"):
        nano_usd = getattr(alert, f"{name}_nano_usd")
        amounts |= {f"{name}_usd": _usd(nano_usd), f"{name}_nano_usd": nano_usd}
    table: dict[str, Any] = {
        "text": _text(alert, budget),
        "type": "budget_threshold",
        "id": alert.id,
        "budget_id": alert.budget_id,
        "instance": alert.instance,
        "mode": budget.mode.value if budget else None,
        "threshold_permille": alert.threshold_permille,
        **amounts,
        "window": alert.window_key,
        "window_end_time": None if is_rolling else alert.window_end.isoformat(),
        "time": alert.raised_at.isoformat(),
    }
    return json.dumps(table, separators=(",", ":")).encode()


def sign(secret: bytes, body: bytes, at: datetime) -> str:
    """Return the signature of a body sent at an instant: `t=<seconds>,v1=<hexadecimal HMAC-SHA256>`.

    What is signed is the seconds, a full stop, and the body: a receiver can refuse what is old.
    """
    sent_s = int(at.timestamp())
    digest = hmac.new(secret, b"%d." % sent_s + body, sha256).hexdigest()
    return f"t={sent_s},v1={digest}"


def wait_before(failures: int) -> timedelta:
    """Return how long to wait after so many failures in a row, at least one: longer each time."""
    return _WAITS[min(failures, len(_WAITS)) - 1]


def _text(alert: Alert, budget: Budget | None) -> str:
    """Return a sentence; what callers may choose is stripped of markup, which could address everybody."""
    scope = budget.scope.describe(alert.instance) if budget else alert.instance
    about = f" for {' '.join(scope.split())}" if scope else ""
    used = f"{format_usd(alert.used_nano_usd)} of {format_usd(alert.limit_nano_usd)} ({_share(alert)})"
    at_risk = f", {format_usd(alert.at_risk_nano_usd)} of it at risk" if alert.at_risk_nano_usd else ""
    mode = f" ({budget.mode.value} budget)" if budget else ""
    reached = f"{_percent(alert.threshold_permille)} of budget {alert.budget_id}{about} reached"
    text = f"{reached}: {used}{at_risk}, {_period(alert, budget)}{mode}"
    return "".join(c if c.isprintable() else " " for c in text).translate(_MARKUP)


def _share(alert: Alert) -> str:
    """Return what is used of the limit, rounded down, so that it never says more than there is."""
    return _percent(alert.used_nano_usd * 1000 // alert.limit_nano_usd)


def _percent(permille: int) -> str:
    whole, tenths = divmod(permille, 10)
    return f"{whole}.{tenths} %" if tenths else f"{whole} %"


def _period(alert: Alert, budget: Budget | None) -> str:
    duration = rolling_duration(alert.window_key)
    if duration is not None:
        return f"in the last {_span(duration)}"
    zone = budget.window.zone if budget and isinstance(budget.window, Calendar) else "UTC"
    return f"window until {alert.window_end.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M} {zone}"


def _span(duration: timedelta) -> str:
    for unit, name in ((_DAY, "d"), (_HOUR, "h")):
        if duration % unit == timedelta(0) and duration > unit:
            return f"{duration // unit} {name}"
    return f"{duration // _MINUTE} min"


def _usd(nano_usd: int) -> str:
    return format_usd(nano_usd).replace("$", "").replace(",", "")
