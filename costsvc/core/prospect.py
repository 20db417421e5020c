"""What a call is going to cost, before it is made: expected, upper and worst, and what to hold for it.

Estimates and holds are made here and priced by `pricing.price`, so that neither can disagree with the other
or with the bill.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from costsvc.core.catalog import Catalog
from costsvc.core.constraints import Needs
from costsvc.core.content import Content
from costsvc.core.holds import Hold
from costsvc.core.model import Model
from costsvc.core.pricing import price
from costsvc.core.prompt_cache import Prefix, callers_prefix, worst_usage
from costsvc.core.readings import Unbounded, count_readings
from costsvc.core.request import ModelRequest
from costsvc.core.tokens import Expectation, estimate_input
from costsvc.core.usage import Usage


@dataclass(frozen=True, slots=True)
class Range:
    """Three values of one quantity: the best guess, one that few calls exceed, one that none can.

    `worst` is 0 where there is no such bound.
    """

    expected: int
    upper: int
    worst: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Prospect:
    """One request on one model: what it is likely to use, and the most that it can use.

    `prefix` is what the prompt cache would hold. `inference_geo` is None where the request leaves it to the
    workspace.
    """

    model: Model
    reads: Expectation
    writes: Expectation
    most: Usage | Unbounded
    max_tokens: int
    prefix: Prefix
    fast: bool
    inference_geo: str | None

    @property
    def input_tokens(self) -> Range:
        """The prompt's tokens."""
        worst = 0 if isinstance(self.most, Unbounded) else self.most.prompt_tokens
        return Range(self.reads.expected, self.reads.upper, worst)

    @property
    def output_tokens(self) -> Range:
        """The answer's tokens."""
        worst = self.max_tokens if isinstance(self.most, Unbounded) else self.most.output_tokens
        return Range(self.writes.expected, self.writes.upper, worst)


def foresee(
    request: ModelRequest,
    model: Model,
    *,
    content: Content,
    reads: Expectation,
    writes: Expectation,
    needs: Needs,
    ours: Prefix,
) -> Prospect:
    """Return what lies ahead of a request on a model; `ours` is in front of breakpoints that costsvc adds."""
    return Prospect(
        model=model,
        reads=reads,
        writes=writes,
        most=_most(request, model, content, needs.max_tokens, ours),
        max_tokens=needs.max_tokens,
        prefix=ours if ours.tokens else callers_prefix(request, model),
        fast=needs.fast,
        inference_geo=request.get("inference_geo"),
    )


def cost_range(catalog: Catalog, prospect: Prospect, *, at: datetime, batch: bool, warm: bool) -> Range:
    """Return expected, upper and worst cost in nano-USD; warm = the prefix is read from the cache."""
    most = prospect.most
    expected, upper = (
        _likely(catalog, prospect, prospect.prefix.usage(read, written, warm=warm), at=at, batch=batch)
        for read, written in (
            (prospect.reads.expected, prospect.writes.expected),
            (prospect.reads.upper, prospect.writes.upper),
        )
    )
    worst = 0 if isinstance(most, Unbounded) else _worst(catalog, prospect, most, at=at, batch=batch)
    return Range(expected, upper, worst)


def hold_for(catalog: Catalog, prospect: Prospect, *, at: datetime, batch: bool = False) -> Hold:
    """Return what to hold for a call that starts at an instant.

    q is the cost of upper quantiles, nothing cached, with every paid search that it may make; never above w.
    """
    most = prospect.most
    usage = prospect.prefix.usage(prospect.reads.upper, prospect.writes.upper, warm=False)
    if isinstance(most, Unbounded):
        q_nano_usd = _likely(catalog, prospect, usage, at=at, batch=batch)
        return Hold(q_nano_usd=q_nano_usd, w_nano_usd=None, unbounded=most.reason)
    if most.web_search_count:
        usage = replace(usage, web_search_count=most.web_search_count)
    w_nano_usd = _worst(catalog, prospect, most, at=at, batch=batch)
    q_nano_usd = min(_likely(catalog, prospect, usage, at=at, batch=batch), w_nano_usd)
    return Hold(q_nano_usd=q_nano_usd, w_nano_usd=w_nano_usd)


def _most(
    request: ModelRequest, model: Model, content: Content, max_tokens: int, ours: Prefix
) -> Usage | Unbounded:
    """Return the dearest usage that the provider can report.

    Where it reads more than once, each reading may fill the window and write an answer of its own.
    """
    readings = count_readings(request)
    if isinstance(readings, Unbounded):
        return readings
    once = estimate_input(content, model).bound if readings.count == 1 else model.context_tokens
    read, written = once * readings.count, max_tokens * readings.count
    usage = worst_usage(request, ours, model, read, written)
    return replace(usage, web_search_count=readings.search_count) if readings.search_count else usage


def _likely(catalog: Catalog, prospect: Prospect, usage: Usage, *, at: datetime, batch: bool) -> int:
    return _cost(catalog, prospect, usage, at=at, batch=batch, geo_us=prospect.inference_geo == "us")


def _worst(catalog: Catalog, prospect: Prospect, most: Usage, *, at: datetime, batch: bool) -> int:
    """Without `inference_geo` the workspace's default applies, which may be the dearer one."""
    geo_us = prospect.inference_geo in {None, "us"}
    return _cost(catalog, prospect, most, at=at, batch=batch, geo_us=geo_us)


def _cost(
    catalog: Catalog, prospect: Prospect, usage: Usage, *, at: datetime, batch: bool, geo_us: bool
) -> int:
    model = prospect.model.id
    return price(catalog, model, usage, at=at, batch=batch, fast=prospect.fast, geo_us=geo_us).nano_usd
