"""Where the difference between the baseline and the bill came from, each dollar counted once.

Savings are differences along one chain of prices for the same work:
baseline -> answering model (routing) -> token reduction -> caller's markers -> prompt cache -> batch ->
response cache -> what was paid. The parts telescope, so they sum exactly to baseline minus actual; a
technique that lost money shows a negative part.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime

from costsvc.core.catalog import Catalog
from costsvc.core.money import ceil_nano
from costsvc.core.pricing import bill, price, retokenized, uncached
from costsvc.core.usage import Reported, Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Savings:
    """Signed nano-USD by technique; negative where the technique cost more than it saved."""

    routing_nano_usd: int = 0
    token_reduction_nano_usd: int = 0
    caller_nano_usd: int = 0
    prompt_cache_nano_usd: int = 0
    batch_nano_usd: int = 0
    response_cache_nano_usd: int = 0

    @property
    def total_nano_usd(self) -> int:
        """Baseline minus actual."""
        return (
            self.routing_nano_usd
            + self.token_reduction_nano_usd
            + self.caller_nano_usd
            + self.prompt_cache_nano_usd
            + self.batch_nano_usd
            + self.response_cache_nano_usd
        )

    def __sub__(self, other: Savings) -> Savings:
        return Savings(
            routing_nano_usd=self.routing_nano_usd - other.routing_nano_usd,
            token_reduction_nano_usd=self.token_reduction_nano_usd - other.token_reduction_nano_usd,
            caller_nano_usd=self.caller_nano_usd - other.caller_nano_usd,
            prompt_cache_nano_usd=self.prompt_cache_nano_usd - other.prompt_cache_nano_usd,
            batch_nano_usd=self.batch_nano_usd - other.batch_nano_usd,
            response_cache_nano_usd=self.response_cache_nano_usd - other.response_cache_nano_usd,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What a call cost, what it would have cost, and where the difference came from."""

    cost_nano_usd: int
    baseline_nano_usd: int
    savings: Savings

    def __add__(self, other: Account) -> Account:
        ours, theirs = self.savings, other.savings
        names = [field.name for field in fields(Savings)]
        return Account(
            cost_nano_usd=self.cost_nano_usd + other.cost_nano_usd,
            baseline_nano_usd=self.baseline_nano_usd + other.baseline_nano_usd,
            savings=Savings(**{name: getattr(ours, name) + getattr(theirs, name) for name in names}),
        )


def spent_in_vain(cost_nano_usd: int) -> Account:
    """Return the account of an answer that another had to follow: routing tried, and lost what it cost.

    The baseline would have answered once, so it counts with the answer that stands.
    """
    return Account(
        cost_nano_usd=cost_nano_usd,
        baseline_nano_usd=0,
        savings=Savings(routing_nano_usd=-cost_nano_usd),
    )


def account(
    catalog: Catalog, reported: Reported, *, baseline_model: str, marked_by_us: bool, at: datetime
) -> Account:
    """Walk the chain for one answered call.

    The baseline is the same text on the baseline model, call by call where the answer holds several, at the
    same geography and speed, but in no batch and with nothing cached. Prompt-cache
    savings go to costsvc where it placed the breakpoints (`marked_by_us`), else to the caller. An answer that
    is not billed has no baseline either: it would have been free there too.

    Raises:
        UnknownModel: a model that is not in the catalogue.
    """
    if not reported.billed:
        return Account(cost_nano_usd=0, baseline_nano_usd=0, savings=Savings())
    geo_us, fast = reported.inference_geo == "us", reported.speed == "fast"
    answering, baseline = catalog.resolve(reported.model), catalog.resolve(baseline_model)

    def price_pico_usd(model: str, usage: Usage) -> int:
        return price(catalog, model, usage, at=at, fast=fast, geo_us=geo_us).pico_usd

    paid_pico_usd = cached_pico_usd = bill(catalog, reported, at=at).pico_usd
    if reported.service_tier == "batch":
        cached_pico_usd = sum(price_pico_usd(model, usage) for model, usage in reported.parts)
    plain_pico_usd = cached_pico_usd
    if reported.totals.prompt_tokens != reported.totals.input_tokens:
        plain_pico_usd = sum(price_pico_usd(model, uncached(usage)) for model, usage in reported.parts)
    baseline_pico_usd = plain_pico_usd
    if baseline is not answering:
        baseline_pico_usd = sum(
            price_pico_usd(baseline.id, retokenized(uncached(usage), catalog.resolve(model), baseline))
            for model, usage in reported.parts
        )
    steps = [ceil_nano(p) for p in (baseline_pico_usd, plain_pico_usd, cached_pico_usd, paid_pico_usd)]
    caching_nano_usd = steps[1] - steps[2]
    return Account(
        cost_nano_usd=steps[3],
        baseline_nano_usd=steps[0],
        savings=Savings(
            routing_nano_usd=steps[0] - steps[1],
            caller_nano_usd=0 if marked_by_us else caching_nano_usd,
            prompt_cache_nano_usd=caching_nano_usd if marked_by_us else 0,
            batch_nano_usd=steps[2] - steps[3],
        ),
    )
