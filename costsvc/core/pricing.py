"""What a call costs. One `price` for estimates, holds and bills, so that they can never disagree.

A price is exact in pico-USD and rounded up to nano-USD once a call: the sum of entries never undercharges by
rounding, and overcharges by less than a nano-USD a call.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from costsvc.core.catalog import Catalog, Model
from costsvc.core.money import ceil_nano
from costsvc.core.usage import Reported, Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """A call's cost by class, exact. Add costs before rounding: `nano_usd` is the ceiling of the whole."""

    input_pico_usd: int = 0
    cache_write_5m_pico_usd: int = 0
    cache_write_1h_pico_usd: int = 0
    cache_read_pico_usd: int = 0
    output_pico_usd: int = 0
    server_tools_pico_usd: int = 0

    @property
    def pico_usd(self) -> int:
        """The exact total."""
        return (
            self.input_pico_usd
            + self.cache_write_5m_pico_usd
            + self.cache_write_1h_pico_usd
            + self.cache_read_pico_usd
            + self.output_pico_usd
            + self.server_tools_pico_usd
        )

    @property
    def nano_usd(self) -> int:
        """The total as it is stored and sent: rounded up, once."""
        return ceil_nano(self.pico_usd)

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            input_pico_usd=self.input_pico_usd + other.input_pico_usd,
            cache_write_5m_pico_usd=self.cache_write_5m_pico_usd + other.cache_write_5m_pico_usd,
            cache_write_1h_pico_usd=self.cache_write_1h_pico_usd + other.cache_write_1h_pico_usd,
            cache_read_pico_usd=self.cache_read_pico_usd + other.cache_read_pico_usd,
            output_pico_usd=self.output_pico_usd + other.output_pico_usd,
            server_tools_pico_usd=self.server_tools_pico_usd + other.server_tools_pico_usd,
        )


def price(
    catalog: Catalog,
    model: str,
    usage: Usage,
    *,
    at: datetime,
    batch: bool = False,
    fast: bool = False,
    geo_us: bool = False,
) -> Cost:
    """Return what these tokens cost on a model (id or alias) at an instant.

    Long-prompt tiers compare everything read and re-price the whole call. Batch halves tokens, not the fees
    of server tools. Fast mode and US geography count only where the model has a multiplier for them, and fast
    mode never in a batch (Claude docs: pricing).

    Raises:
        UnknownModel: not in the catalogue.
    """
    rates = catalog.resolve(model).rates(
        at, prompt_tokens=usage.prompt_tokens, batch=batch, fast=fast, geo_us=geo_us
    )
    return Cost(
        input_pico_usd=usage.input_tokens * rates.input_pico_usd,
        cache_write_5m_pico_usd=usage.cache_write_5m_tokens * rates.cache_write_5m_pico_usd,
        cache_write_1h_pico_usd=usage.cache_write_1h_tokens * rates.cache_write_1h_pico_usd,
        cache_read_pico_usd=usage.cache_read_tokens * rates.cache_read_pico_usd,
        output_pico_usd=usage.output_tokens * rates.output_pico_usd,
        server_tools_pico_usd=usage.web_search_count * catalog.web_search_pico_usd,
    )


def bill(catalog: Catalog, reported: Reported, *, at: datetime) -> Cost:
    """Return what a call costs as the provider reports it: tier, speed and geography by the answer.

    `at` is when the request started. A request may ask for fast mode or a geography and not get it; only the
    answer says. Geography `not_available`, or none, is the plain price.

    Raises:
        UnknownModel: an answering model is not in the catalogue.
    """
    if not reported.billed:
        return Cost()
    batch, fast = reported.service_tier == "batch", reported.speed == "fast"
    geo_us = reported.inference_geo == "us"
    (model, usage), *others = reported.parts
    cost = price(catalog, model, usage, at=at, batch=batch, fast=fast, geo_us=geo_us)
    for model, usage in others:
        cost += price(catalog, model, usage, at=at, batch=batch, fast=fast, geo_us=geo_us)
    return cost


def uncached(usage: Usage) -> Usage:
    """Return the same call as it would have been read without any prompt cache."""
    return Usage(
        input_tokens=usage.prompt_tokens,
        output_tokens=usage.output_tokens,
        web_search_count=usage.web_search_count,
    )


def retokenized(usage: Usage, from_model: Model, to_model: Model) -> Usage:
    """Return about the counts that another model's tokenizer would make of the same text, rounded half up.

    Newer tokenizers make about 1.3 times as many tokens of the same text (the catalogue has the ratio and its
    sources: public measurements, not a price list). Without it a comparison across generations would call
    a model cheaper by tokens that it does not have. An estimate: for counterfactuals, never for a bill.
    """
    numerator, denominator = to_model.tokenizer.relative_permille, from_model.tokenizer.relative_permille
    if numerator == denominator:
        return usage
    return Usage(
        input_tokens=_scaled(usage.input_tokens, numerator, denominator),
        cache_write_5m_tokens=_scaled(usage.cache_write_5m_tokens, numerator, denominator),
        cache_write_1h_tokens=_scaled(usage.cache_write_1h_tokens, numerator, denominator),
        cache_read_tokens=_scaled(usage.cache_read_tokens, numerator, denominator),
        output_tokens=_scaled(usage.output_tokens, numerator, denominator),
        web_search_count=usage.web_search_count,
    )


def _scaled(count: int, numerator: int, denominator: int) -> int:
    return (2 * count * numerator + denominator) // (2 * denominator)
