"""Budgets and money at risk, between the messages of AdminService and the values of the domain."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from costsvc import v1
from costsvc.app.admin import Counted, Resolution, Resolved, Status
from costsvc.core.budget import (
    DEFAULT_OVERSHOOT_PERMILLE,
    DEFAULT_THRESHOLDS_PERMILLE,
    Budget,
    Kind,
    Mode,
    Scope,
)
from costsvc.core.errors import InvalidRequest, Violation
from costsvc.core.request import Tier
from costsvc.core.windows import Calendar, Rolling, Unit, WindowSpec
from costsvc.store.attempts import AtRisk

_KINDS = {
    v1.BUDGET_KIND_EVERYTHING: Kind.EVERYTHING,
    v1.BUDGET_KIND_TENANT: Kind.TENANT,
    v1.BUDGET_KIND_LABEL: Kind.LABEL,
    v1.BUDGET_KIND_MODEL: Kind.MODEL,
    v1.BUDGET_KIND_EACH_TENANT: Kind.EACH_TENANT,
    v1.BUDGET_KIND_EACH_LABEL: Kind.EACH_LABEL,
}
_UNITS = {
    v1.CALENDAR_UNIT_HOUR: Unit.HOUR,
    v1.CALENDAR_UNIT_DAY: Unit.DAY,
    v1.CALENDAR_UNIT_WEEK: Unit.WEEK,
    v1.CALENDAR_UNIT_MONTH: Unit.MONTH,
}
_MODES = {
    v1.BUDGET_MODE_HARD: Mode.HARD,
    v1.BUDGET_MODE_SOFT: Mode.SOFT,
    v1.BUDGET_MODE_SHADOW: Mode.SHADOW,
}
_KIND_NUMBERS = {kind: number for number, kind in _KINDS.items()}
_UNIT_NUMBERS = {unit: number for number, unit in _UNITS.items()}
_MODE_NUMBERS = {mode: number for number, mode in _MODES.items()}
_FIELDS = {"budget.window.zone": "budget.window.calendar.zone"}
"""Fields that the message has elsewhere than the domain."""


def budget(message: v1.Budget) -> Budget:
    """Return the definition, with what is absent as it is by default."""
    return Budget(
        id=message.id,
        scope=Scope(_KINDS[message.scope.kind], message.scope.key, message.scope.value),
        window=_window(message.window),
        limit_nano_usd=message.limit_nano_usd,
        mode=_MODES.get(message.mode, Mode.HARD),
        strict=message.strict,
        overshoot_permille=(
            message.overshoot_permille
            if message.HasField("overshoot_permille")
            else DEFAULT_OVERSHOOT_PERMILLE
        ),
        thresholds_permille=tuple(message.thresholds_permille) or DEFAULT_THRESHOLDS_PERMILLE,
        cap_tier=Tier(message.cap_tier) if message.cap_tier else None,
        webhook_url=message.webhook_url,
    )


def budget_message(value: Budget) -> v1.Budget:
    """Return a definition with every field written out."""
    scope = value.scope
    return v1.Budget(
        id=value.id,
        scope=v1.BudgetScope(kind=_KIND_NUMBERS[scope.kind], key=scope.key, value=scope.value),
        window=_window_message(value.window),
        limit_nano_usd=value.limit_nano_usd,
        mode=_MODE_NUMBERS[value.mode],
        strict=value.strict,
        overshoot_permille=value.overshoot_permille,
        thresholds_permille=value.thresholds_permille,
        cap_tier=v1.Tier.Name(value.cap_tier or v1.TIER_UNSPECIFIED),
        webhook_url=value.webhook_url,
    )


def budget_response(value: Status) -> v1.GetBudgetResponse:
    """Return a budget with what it counts."""
    balances = [_balance(counted, value.budget.limit_nano_usd) for counted in value.counted]
    return v1.GetBudgetResponse(
        status=v1.BudgetStatus(budget=budget_message(value.budget), balances=balances),
        next_page_token=value.next_page_token,
    )


def at_risk(value: AtRisk) -> v1.AtRisk:
    """Return an attempt at risk."""
    opening = value.opening
    return v1.AtRisk(
        attempt_id=value.attempt_id,
        start_time=_stamp(opening.started_at),
        at_risk_time=_stamp(value.since),
        tenant=opening.tenant,
        model=opening.model,
        labels=opening.labels,
        lower_nano_usd=value.lower_nano_usd,
        upper_nano_usd=value.upper_nano_usd,
        reason=value.reason,
    )


def resolution(message: v1.ResolveAtRiskRequest) -> Resolution:
    """Return what an operator found out."""
    usage = message.usage
    return Resolution(attempt_id=message.attempt_id, model=usage.model, usage_json=usage.usage_json)


def resolved_response(value: Resolved) -> v1.ResolveAtRiskResponse:
    """Return what was booked."""
    return v1.ResolveAtRiskResponse(entry_id=value.entry_id, cost_nano_usd=value.cost_nano_usd)


@contextmanager
def fields_of_budget() -> Iterator[None]:
    """Name violations as the caller's message has its fields."""
    try:
        yield
    except InvalidRequest as error:
        named = [Violation(_FIELDS.get(v.field, v.field), v.problem) for v in error.violations]
        raise InvalidRequest(*named) from error


def _window(message: v1.BudgetWindow) -> WindowSpec:
    if message.HasField("duration"):
        return Rolling(message.duration.ToTimedelta())
    return Calendar(_UNITS[message.calendar.unit], message.calendar.zone or "UTC")


def _window_message(spec: WindowSpec) -> v1.BudgetWindow:
    if isinstance(spec, Rolling):
        return v1.BudgetWindow(duration=Duration(seconds=spec.duration // timedelta(seconds=1)))
    return v1.BudgetWindow(calendar=v1.CalendarWindow(unit=_UNIT_NUMBERS[spec.unit], zone=spec.zone))


def _balance(counted: Counted, limit_nano_usd: int) -> v1.BudgetBalance:
    balance, window = counted.balance, counted.window
    used = balance.spent_nano_usd + balance.at_risk_nano_usd + balance.sum_q_nano_usd
    return v1.BudgetBalance(
        instance=counted.instance,
        window_start_time=_stamp(window.start),
        window_end_time=_stamp(window.end),
        spent_nano_usd=balance.spent_nano_usd,
        at_risk_nano_usd=balance.at_risk_nano_usd,
        held_nano_usd=balance.sum_q_nano_usd,
        held_worst_nano_usd=balance.sum_w_nano_usd,
        remaining_nano_usd=max(limit_nano_usd - used, 0),
    )


def _stamp(at: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(at)
    return stamp
