"""Where the difference between the baseline and the bill came from, each dollar counted once.

Savings are differences along one chain of prices for the same work:
baseline -> answering model (routing) -> token reduction -> caller's markers -> prompt cache -> batch ->
response cache -> what was paid. The parts telescope, so they sum exactly to baseline minus actual; a
technique that lost money shows a negative part. Token reduction is itself a chain of levers, each with a sum
of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from itertools import chain, pairwise

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


@dataclass(frozen=True, slots=True)
class Reduction:
    """Tokens that a lever kept out of a call; negative where it added some."""

    lever: str
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class LeverSaving:
    """The part of token reduction that one lever has, signed nano-USD."""

    lever: str
    nano_usd: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What a call cost, what it would have cost, and where the difference came from.

    `levers` are parts of `savings.token_reduction_nano_usd` and sum exactly to it.
    """

    cost_nano_usd: int
    baseline_nano_usd: int
    savings: Savings
    levers: tuple[LeverSaving, ...] = ()

    def __add__(self, other: Account) -> Account:
        ours, theirs = self.savings, other.savings
        names = [field.name for field in fields(Savings)]
        return Account(
            cost_nano_usd=self.cost_nano_usd + other.cost_nano_usd,
            baseline_nano_usd=self.baseline_nano_usd + other.baseline_nano_usd,
            savings=Savings(**{name: getattr(ours, name) + getattr(theirs, name) for name in names}),
            levers=_added(self.levers, other.levers),
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


def spent_on_batch_in_vain(cost_nano_usd: int) -> Account:
    """Return the account of a batch's answer that came after another: batching lost what it cost."""
    return Account(
        cost_nano_usd=cost_nano_usd,
        baseline_nano_usd=0,
        savings=Savings(batch_nano_usd=-cost_nano_usd),
    )


def account(
    catalog: Catalog,
    reported: Reported,
    *,
    baseline_model: str,
    marked_by_us: bool,
    at: datetime,
    reductions: Sequence[Reduction] = (),
) -> Account:
    """Walk the chain for one answered call; `reductions` are in the order of their levers.

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
    whole, reduced_pico_usd = tuple((model, uncached(usage)) for model, usage in reported.parts), []
    for reduction in reversed(reductions):
        whole = _enlarged(whole, reduction)
        reduced_pico_usd.append(sum(price_pico_usd(model, usage) for model, usage in whole))
    full_pico_usd = reduced_pico_usd[-1] if reduced_pico_usd else plain_pico_usd
    baseline_pico_usd = full_pico_usd
    if baseline is not answering:
        baseline_pico_usd = sum(
            price_pico_usd(baseline.id, retokenized(usage, catalog.resolve(model), baseline))
            for model, usage in whole
        )
    amounts = (baseline_pico_usd, full_pico_usd, plain_pico_usd, cached_pico_usd, paid_pico_usd)
    steps = [ceil_nano(amount) for amount in amounts]
    caching_nano_usd = steps[2] - steps[3]
    return Account(
        cost_nano_usd=steps[4],
        baseline_nano_usd=steps[0],
        savings=Savings(
            routing_nano_usd=steps[0] - steps[1],
            token_reduction_nano_usd=steps[1] - steps[2],
            caller_nano_usd=0 if marked_by_us else caching_nano_usd,
            prompt_cache_nano_usd=caching_nano_usd if marked_by_us else 0,
            batch_nano_usd=steps[3] - steps[4],
        ),
        levers=_parts(reductions, [*reversed(reduced_pico_usd), plain_pico_usd]),
    )


def _enlarged(parts: Sequence[tuple[str, Usage]], reduction: Reduction) -> tuple[tuple[str, Usage], ...]:
    """Return what would have been used without a lever; what it kept out belongs to the last call."""
    *others, (model, usage) = parts
    enlarged = replace(
        usage,
        input_tokens=max(usage.input_tokens + reduction.input_tokens, 0),
        output_tokens=max(usage.output_tokens + reduction.output_tokens, 0),
    )
    return (*others, (model, enlarged))


def _parts(reductions: Sequence[Reduction], amounts_pico_usd: Sequence[int]) -> tuple[LeverSaving, ...]:
    """Return each lever's part: the difference of what a call costs without it and with it."""
    amounts = [ceil_nano(amount) for amount in amounts_pico_usd]
    differences = [before - after for before, after in pairwise(amounts)]
    return tuple(
        LeverSaving(reduction.lever, amount)
        for reduction, amount in zip(reductions, differences, strict=True)
    )


def _added(*sums: Iterable[LeverSaving]) -> tuple[LeverSaving, ...]:
    """Return the sums by lever, in the order of their first mention."""
    by_lever: dict[str, int] = {}
    for saving in chain(*sums):
        by_lever[saving.lever] = by_lever.get(saving.lever, 0) + saving.nano_usd
    return tuple(LeverSaving(lever, nano_usd) for lever, nano_usd in by_lever.items())
