"""Budgets and money at risk for people: one line each, money exact."""

from __future__ import annotations

from collections.abc import Iterable

from google.protobuf.timestamp_pb2 import Timestamp

from costsvc.cli.text import percent, table, tier_name
from costsvc.core.money import format_usd
from costsvc.v1 import (
    AtRisk,
    Budget,
    BudgetBalance,
    BudgetKind,
    BudgetMode,
    BudgetScope,
    BudgetStatus,
    BudgetWindow,
    CalendarUnit,
)

_BUDGET_HEADERS = ("budget", "scope", "window", "when full", "limit")
_BALANCE_HEADERS = ("for", "from", "until (UTC)", "spent", "at risk", "held", "left", "used")
_RISK_HEADERS = ("attempt", "started (UTC)", "tenant", "model", "why", "at least", "at most")
_MINUTE_S, _HOUR_S, _DAY_S = 60, 3_600, 86_400


def budgets_table(budgets: Iterable[Budget]) -> str:
    """Return a line a budget."""
    return table(_BUDGET_HEADERS, [_budget_row(budget) for budget in budgets], left=4)


def balances_table(status: BudgetStatus) -> str:
    """Return a line for each that a budget counts for."""
    limit = status.budget.limit_nano_usd
    return table(_BALANCE_HEADERS, [_balance_row(balance, limit) for balance in status.balances], left=3)


def risks_table(risks: Iterable[AtRisk]) -> str:
    """Return a line an attempt, and what they can have cost together."""
    risks = list(risks)
    rows = [_risk_row(risk) for risk in risks]
    least, most = sum(r.lower_nano_usd for r in risks), sum(r.upper_nano_usd for r in risks)
    total = ("total", "", "", "", "", format_usd(least), format_usd(most))
    return table(_RISK_HEADERS, [*rows, total], left=5)


def _budget_row(budget: Budget) -> tuple[str, ...]:
    limit = format_usd(budget.limit_nano_usd)
    return budget.id, _scope(budget.scope), _window(budget.window), _mode(budget), limit


def _balance_row(balance: BudgetBalance, limit_nano_usd: int) -> tuple[str, ...]:
    return (
        balance.instance or "all",
        _time(balance.window_start_time),
        _time(balance.window_end_time),
        format_usd(balance.spent_nano_usd),
        format_usd(balance.at_risk_nano_usd),
        format_usd(balance.held_nano_usd),
        format_usd(balance.remaining_nano_usd),
        percent(limit_nano_usd - balance.remaining_nano_usd, limit_nano_usd),
    )


def _risk_row(risk: AtRisk) -> tuple[str, ...]:
    return (
        risk.attempt_id,
        _time(risk.start_time),
        risk.tenant,
        risk.model,
        risk.reason,
        format_usd(risk.lower_nano_usd),
        format_usd(risk.upper_nano_usd),
    )


def _scope(scope: BudgetScope) -> str:
    kind = BudgetKind.Name(scope.kind).removeprefix("BUDGET_KIND_").lower().replace("_", "-")
    name = f"{kind}:{scope.key}" if scope.key and scope.value else kind
    named = scope.value or scope.key
    return f"{name}={named}" if named else name


def _window(window: BudgetWindow) -> str:
    if window.HasField("calendar"):
        unit = CalendarUnit.Name(window.calendar.unit).removeprefix("CALENDAR_UNIT_").lower()
        return f"{unit} in {window.calendar.zone}"
    seconds = window.duration.seconds
    for unit_s, unit in ((_DAY_S, "d"), (_HOUR_S, "h")):
        if seconds % unit_s == 0 and seconds > unit_s:
            return f"last {seconds // unit_s}{unit}"
    return f"last {seconds // _MINUTE_S}m"


def _mode(budget: Budget) -> str:
    mode = BudgetMode.Name(budget.mode).removeprefix("BUDGET_MODE_").lower()
    if mode == "hard":
        overshoot = f"{budget.overshoot_permille / 10:g} %"
        return "refuse, strictly" if budget.strict else f"refuse, overshoot {overshoot}"
    if mode == "soft":
        return f"alert, cap at {tier_name(budget.cap_tier)}" if budget.cap_tier else "alert"
    return "only count"


def _time(stamp: Timestamp) -> str:
    return stamp.ToDatetime().strftime("%Y-%m-%d %H:%M")
