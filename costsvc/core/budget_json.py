"""A budget's definition as the JSON that the store keeps: versioned, every field written out.

Definitions are few and are read by people too. A name never changes its meaning; a new field gets a new name
and a default. What a newer version wrote is refused, not half read: a budget must not lose a rule.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from costsvc.core.budget import Budget, Kind, Mode, Scope
from costsvc.core.request import Tier
from costsvc.core.windows import Calendar, Rolling, Unit, WindowSpec

VERSION = 1
_SECOND = timedelta(seconds=1)


class UnreadableBudget(ValueError):
    """The text is no definition of a version that this process knows."""


def write_budget(budget: Budget) -> str:
    """Return a definition as JSON."""
    scope, cap = budget.scope, budget.cap_tier
    return json.dumps(
        {
            "version": VERSION,
            "id": budget.id,
            "scope": {"kind": scope.kind.value, "key": scope.key, "value": scope.value},
            "window": _window_table(budget.window),
            "limit_nano_usd": budget.limit_nano_usd,
            "mode": budget.mode.value,
            "strict": budget.strict,
            "overshoot_permille": budget.overshoot_permille,
            "thresholds_permille": list(budget.thresholds_permille),
            "cap_tier": cap.label if cap else None,
            "webhook_url": budget.webhook_url,
        },
        separators=(",", ":"),
    )


def read_budget(text: str | bytes) -> Budget:
    """Return the definition that `write_budget` wrote.

    Raises:
        UnreadableBudget: damaged, or of a version that is not known here.
    """
    try:
        table = json.loads(text)
        if table["version"] != VERSION:
            raise UnreadableBudget(f"version {table['version']!r} is not known")
        return _budget(table)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UnreadableBudget(f"{type(error).__name__}: {error}") from error


def _budget(table: dict[str, Any]) -> Budget:
    scope, cap = table["scope"], table["cap_tier"]
    return Budget(
        id=table["id"],
        scope=Scope(Kind(scope["kind"]), scope["key"], scope["value"]),
        window=_window(table["window"]),
        limit_nano_usd=table["limit_nano_usd"],
        mode=Mode(table["mode"]),
        strict=table["strict"],
        overshoot_permille=table["overshoot_permille"],
        thresholds_permille=tuple(table["thresholds_permille"]),
        cap_tier=Tier[cap.upper()] if cap else None,
        webhook_url=table.get("webhook_url", ""),
    )


def _window_table(window: WindowSpec) -> dict[str, str | int]:
    if isinstance(window, Rolling):
        return {"rolling_s": window.duration // _SECOND}
    return {"calendar": window.unit.value, "zone": window.zone}


def _window(table: dict[str, Any]) -> WindowSpec:
    if "rolling_s" in table:
        return Rolling(table["rolling_s"] * _SECOND)
    return Calendar(Unit(table["calendar"]), table["zone"])
