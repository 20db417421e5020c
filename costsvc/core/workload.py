"""What many calls of one size cost: spread over models, with prompt cache, as a batch, and repeated.

A calculation from token counts and the price list alone, for plans and comparisons; what a request of its own
would cost is for Estimate to say. The steps follow each other as the ledger's savings do, so that a plan
and its report can be laid side by side.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise

from costsvc.core.catalog import Catalog, Model
from costsvc.core.pricing import price
from costsvc.core.prompt_cache import Prefix
from costsvc.core.request import Tier

PERMILLE = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Calls of one size at the prices of one instant.

    `cached_tokens` of each prompt are a marked prefix: one call writes it, the `cache_uses - 1` after it read
    it; with 0 uses all calls of a model follow one write. `hit_permille` of the calls, rounded down, are
    answered by the response cache.
    """

    call_count: int
    input_tokens: int
    output_tokens: int
    at: datetime
    cached_tokens: int = 0
    cache_uses: int = 0
    batch: bool = False
    hit_permille: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """How many of 1,000 calls a model answers; `tier` is None where it is named itself."""

    model: Model
    tier: Tier | None
    permille: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What the calls of one share cost after every step."""

    share: Share
    call_count: int
    cost_nano_usd: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What everything costs with one more technique, and what that technique saves."""

    technique: str
    cost_nano_usd: int
    saved_nano_usd: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """A workload's cost, from all calls on the baseline model to what is paid in the end."""

    baseline: Model
    baseline_nano_usd: int
    steps: tuple[Step, ...]
    parts: tuple[Part, ...]

    @property
    def cost_nano_usd(self) -> int:
        """What is paid in the end."""
        return sum(part.cost_nano_usd for part in self.parts)


def forecast(catalog: Catalog, work: Workload, shares: Sequence[Share], baseline: Model) -> Forecast:
    """Return what a workload costs; `shares` add up to 1,000. Only techniques that are used are steps."""
    counts = spread(work.call_count, [share.permille for share in shares])
    plain = replace(work, cached_tokens=0, batch=False, hit_permille=0)
    costs = [("baseline", cost_nano_usd(catalog, plain, baseline, work.call_count))]
    for technique, stage in _stages(plain, work, routed=[share.model for share in shares] != [baseline]):
        spent = sum(
            cost_nano_usd(catalog, stage, share.model, count)
            for share, count in zip(shares, counts, strict=True)
        )
        costs.append((technique, spent))
    return Forecast(
        baseline=baseline,
        baseline_nano_usd=costs[0][1],
        steps=tuple(
            Step(technique=technique, cost_nano_usd=after, saved_nano_usd=before - after)
            for (_, before), (technique, after) in pairwise(costs)
        ),
        parts=tuple(
            Part(
                share=share,
                call_count=count,
                cost_nano_usd=cost_nano_usd(catalog, work, share.model, count),
            )
            for share, count in zip(shares, counts, strict=True)
        ),
    )


def cost_nano_usd(catalog: Catalog, work: Workload, model: Model, call_count: int) -> int:
    """Return what so many of the calls cost on a model, each rounded up to a nano-USD as it is booked."""
    paid = call_count - call_count * work.hit_permille // PERMILLE
    writes = -(-paid // (work.cache_uses or paid or 1))
    cacheable = work.cached_tokens >= model.min_cacheable_tokens
    prefix = Prefix(tokens=work.cached_tokens if cacheable else 0)

    def one(*, warm: bool) -> int:
        usage = prefix.usage(work.input_tokens, work.output_tokens, warm=warm)
        return price(catalog, model.id, usage, at=work.at, batch=work.batch).nano_usd

    return writes * one(warm=False) + (paid - writes) * one(warm=True)


def why_not(work: Workload, model: Model) -> str:
    """Return why a model cannot have answered such calls at that time, "" where it can."""
    day = work.at.date()
    if model.released is not None and day < model.released:
        return f"was released on {model.released}"
    if model.retires_on is not None and day >= model.retires_on:
        return f"was retired on {model.retires_on}"
    if work.output_tokens > model.max_output_tokens:
        return f"writes at most {model.max_output_tokens:,} tokens"
    if work.input_tokens + work.output_tokens > model.context_tokens:
        return f"holds at most {model.context_tokens:,} tokens"
    return ""


def spread(count: int, permille: Sequence[int]) -> list[int]:
    """Return whole parts of a count by their shares; what remains goes to the largest fractions."""
    parts = [count * share // PERMILLE for share in permille]
    by_fraction = sorted(range(len(parts)), key=lambda at: -(count * permille[at] % PERMILLE))
    for at in by_fraction[: count - sum(parts)]:
        parts[at] += 1
    return parts


def _stages(plain: Workload, work: Workload, *, routed: bool) -> Iterator[tuple[str, Workload]]:
    """Yield the techniques in use, each with the workload as it is when those before it are used, too."""
    stage = plain
    if routed:
        yield "routing", stage
    stage = replace(stage, cached_tokens=work.cached_tokens)
    if work.cached_tokens:
        yield "prompt cache", stage
    stage = replace(stage, batch=work.batch)
    if work.batch:
        yield "batch", stage
    if work.hit_permille:
        yield "response cache", work
