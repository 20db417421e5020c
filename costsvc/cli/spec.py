"""How amounts, shares, durations and scopes are written on the command line."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation

import click

from costsvc.core.money import NANO_PER_USD
from costsvc.v1 import BudgetScope

_SPAN = re.compile(r"(\d{1,6})([mhd])")
_SECONDS = {"m": 60, "h": 3_600, "d": 86_400}
_MAX_INT64 = 2**63 - 1
_KINDS = {"everything": "", "each-tenant": "", "tenant": "value", "model": "value", "each-label": "key"}


class _Limit(click.ParamType[int]):
    """An amount in USD, as nano-USD."""

    name = "usd"

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        nano = _whole(value.removeprefix("$").replace(",", ""), NANO_PER_USD)
        if nano is None or nano > _MAX_INT64:
            self.fail(f"{value!r} is not an amount in USD such as 500 or 0.25", param, ctx)
        return nano


class _Permille(click.ParamType[int]):
    """A share such as 80%, as permille."""

    name = "percent"

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        permille = _whole(value.removesuffix("%"), 10)
        if permille is None or permille > 10_000:  # noqa: PLR2004 - ten times the limit
            self.fail(f"{value!r} is not a share such as 80% or 99.5%, up to 1000%", param, ctx)
        return permille


class _Rolling(click.ParamType[int]):
    """A duration such as 24h, in seconds."""

    name = "duration"

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        span = _SPAN.fullmatch(value)
        if span is None:
            self.fail(f"{value!r} is not a duration such as 90m, 24h or 30d", param, ctx)
        return int(span[1]) * _SECONDS[span[2]]


class _Scope(click.ParamType[BudgetScope]):
    """Whose spend counts: KIND, KIND=VALUE or label:KEY=VALUE."""

    name = "scope"

    def convert(
        self, value: str | BudgetScope, param: click.Parameter | None, ctx: click.Context | None
    ) -> BudgetScope:
        if isinstance(value, BudgetScope):
            return value
        kind, equals, name = value.partition("=")
        if kind.startswith("label:") and equals:
            return BudgetScope(kind="BUDGET_KIND_LABEL", key=kind.removeprefix("label:"), value=name)
        if kind not in _KINDS or bool(equals) != bool(_KINDS[kind]):
            self.fail(
                f"{value!r} is none of everything, tenant=NAME, label:KEY=VALUE, model=NAME, each-tenant, "
                "each-label=KEY",
                param,
                ctx,
            )
        number = f"BUDGET_KIND_{kind.replace('-', '_').upper()}"
        return BudgetScope(kind=number, **({_KINDS[kind]: name} if equals else {}))


def _whole(text: str, factor: int) -> int | None:
    """Return a decimal times a factor where that is a whole number, not below 0."""
    try:
        scaled = Decimal(text) * factor
    except InvalidOperation:
        return None
    if not scaled.is_finite() or scaled < 0 or scaled != scaled.to_integral_value():
        return None
    return int(scaled)


LIMIT, PERMILLE, ROLLING, SCOPE = _Limit(), _Permille(), _Rolling(), _Scope()
