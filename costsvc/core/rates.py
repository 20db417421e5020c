"""What a token costs: dated price rows, discounts and multipliers, worked out to whole pico-USD at the start.

A row holds list prices for a period and a prompt length. Batch, fast and US geography multiply it; the
products are made once, exactly, so that pricing a call is a look-up and six multiplications.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime
from fractions import Fraction

from costsvc.core.money import pico_per_token
from costsvc.core.toml_rows import Row

_BEGINNING = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Pico-USD a token by class; exact integers."""

    input_pico_usd: int
    cache_write_5m_pico_usd: int
    cache_write_1h_pico_usd: int
    cache_read_pico_usd: int
    output_pico_usd: int


CLASSES = tuple(field.name.removesuffix("_pico_usd") for field in fields(Rates))


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """The days for which a price or a discount holds, in UTC: from `start` on, up to but without `end`."""

    start: date | None
    end: date | None

    def covers(self, day: date) -> bool:
        """Tell whether the day lies inside."""
        return (self.start is None or self.start <= day) and (self.end is None or day < self.end)


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceRow:
    """List prices for a period, for prompts longer than `prompt_tokens_over`."""

    period: Period
    prompt_tokens_over: int
    list_rates: Rates


@dataclass(frozen=True, slots=True, kw_only=True)
class Discount:
    """What remains to be paid of every token price in a period; `source` is where to complain."""

    period: Period
    remaining: Fraction
    source: Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Multipliers:
    """What multiplies every token price; a multiplier that a model does not know is 1."""

    batch: Fraction
    fast: Fraction
    geo_us: Fraction

    def combined(self, *, batch: bool, fast: bool, geo_us: bool) -> Fraction:
        """Return the product; fast mode does not exist in batches."""
        speed = self.batch if batch else self.fast if fast else Fraction(1)
        return speed * (self.geo_us if geo_us else 1)


@dataclass(frozen=True, slots=True)
class Tier:
    """The rates of prompts longer than `prompt_tokens_over`."""

    prompt_tokens_over: int
    rates: Rates


@dataclass(frozen=True, slots=True)
class Schedule:
    """Rates over time: `tiers[i]`, longest prompts first, hold from `starts[i]` on."""

    starts: tuple[datetime, ...]
    tiers: tuple[tuple[Tier, ...], ...]

    def at(self, when: datetime, prompt_tokens: int) -> Rates:
        """Return the rates of a prompt of that length at that instant."""
        tiers = self.tiers[bisect_right(self.starts, when) - 1] if len(self.starts) > 1 else self.tiers[0]
        for tier in tiers:
            if prompt_tokens > tier.prompt_tokens_over:
                return tier.rates
        return tiers[-1].rates


def read_period(row: Row) -> Period:
    """Read `from` (first day) and `before` (first day after) of a row."""
    period = Period(start=row.day("from"), end=row.day("before"))
    if period.start and period.end and period.start >= period.end:
        raise row.error("before", "must be later than from")
    return period


def read_price_row(row: Row) -> PriceRow:
    """Read one row of prices, decimal strings in USD per million tokens."""
    rates = {f"{name}_pico_usd": _read_price(row, name) for name in CLASSES}
    price_row = PriceRow(
        period=read_period(row),
        prompt_tokens_over=row.count("prompt_tokens_over", 0),
        list_rates=Rates(**rates),
    )
    row.finish()
    return price_row


def _read_price(row: Row, field: str) -> int:
    price_usd_per_mtok = row.text(field)
    try:
        return pico_per_token(price_usd_per_mtok)
    except ValueError as error:
        raise row.error(field, str(error)) from error


def build_schedules(
    model: Row, rows: Sequence[PriceRow], discounts: Sequence[Discount], multipliers: Multipliers
) -> tuple[Schedule, ...]:
    """Return one schedule for each combination of batch (1), fast (2) and US geography (4).

    Raises:
        CatalogError: the rows leave a gap or overlap, or a product is not a whole number of pico-USD.
    """
    days = _first_days(rows, discounts)
    listed = [_tiers_on(model, rows, day) for day in days]
    remaining = [_discount_on(discounts, day) for day in days]
    starts = tuple(_BEGINNING if day == date.min else _midnight(day) for day in days)
    return tuple(
        Schedule(
            starts, tuple(_multiplied(model, *pair, factor) for pair in zip(listed, remaining, strict=True))
        )
        for factor in _factors(multipliers)
    )


def _factors(multipliers: Multipliers) -> list[Fraction]:
    return [
        multipliers.combined(batch=bool(flags & 1), fast=bool(flags & 2), geo_us=bool(flags & 4))
        for flags in range(8)
    ]


def _first_days(rows: Sequence[PriceRow], discounts: Sequence[Discount]) -> list[date]:
    periods = [row.period for row in rows] + [discount.period for discount in discounts]
    edges = {edge for period in periods for edge in (period.start, period.end) if edge}
    return sorted({date.min} | edges)


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _tiers_on(model: Row, rows: Sequence[PriceRow], day: date) -> list[PriceRow]:
    current = sorted((r for r in rows if r.period.covers(day)), key=lambda r: -r.prompt_tokens_over)
    thresholds = [row.prompt_tokens_over for row in current]
    when = "at the beginning" if day == date.min else f"on {day}"
    if len(set(thresholds)) < len(thresholds):
        raise model.error("prices", f"two rows hold {when} for the same prompt length")
    if not thresholds or thresholds[-1] != 0:
        raise model.error(
            "prices", f"no row for short prompts holds {when}; leave `from` out of the earliest row"
        )
    return current


def _discount_on(discounts: Sequence[Discount], day: date) -> Discount | None:
    current = [discount for discount in discounts if discount.period.covers(day)]
    if len(current) > 1:
        raise current[1].source.error(
            "models", f"overlaps with {current[0].source.table}: discounts do not add"
        )
    return current[0] if current else None


def _multiplied(
    model: Row, rows: Sequence[PriceRow], discount: Discount | None, factor: Fraction
) -> tuple[Tier, ...]:
    return tuple(
        Tier(row.prompt_tokens_over, _exact(model, row.list_rates, discount, factor)) for row in rows
    )


def _exact(model: Row, rates: Rates, discount: Discount | None, factor: Fraction) -> Rates:
    products = {}
    for name in CLASSES:
        field = f"{name}_pico_usd"
        product = getattr(rates, field) * factor * (discount.remaining if discount else 1)
        if product.denominator != 1:
            raise _inexact(model, name, discount)
        products[field] = int(product)
    return Rates(**products)


def _inexact(model: Row, name: str, discount: Discount | None) -> Exception:
    problem = f"makes the {name} price finer than a pico-USD a token"
    if discount is None:
        return model.error("prices", f"a multiplier {problem}")
    return discount.source.error("percent", f"{problem} for {model.values['id']}")
