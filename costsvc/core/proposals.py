"""What would make calls like one request cheaper, in dollars: each line with what it takes for granted.

A proposal is worth the price of a call less its price without what is spoken of, by the prices of bills. For
a month it is multiplied by the calls of the task that were seen; nothing is known of calls that were not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import exp

from costsvc.core.catalog import Catalog
from costsvc.core.model import Model
from costsvc.core.money import ceil_nano, format_usd
from costsvc.core.pricing import price
from costsvc.core.usage import Usage

MONTH = timedelta(days=30)
JSON_TOKENS = 20
"""An answer's length as compact JSON without an explanation."""

FORMAT_TOKENS = 200
"""About what a schema adds to a prompt: the provider's instruction and the schema."""

_FIVE_MINUTES = timedelta(minutes=5)
_THOUSAND = 1_000
_SHORTEST_FIXED_TOKENS = 100
_LONG_ANSWER_TOKENS = 60


@dataclass(frozen=True, slots=True)
class Traffic:
    """How many calls were seen in a time."""

    call_count: int
    span: timedelta

    @property
    def monthly_call_count(self) -> int:
        """How many that makes in 30 days."""
        return int(self.call_count * MONTH / self.span)

    def words(self, task: str) -> str:
        """The same in words."""
        days = self.span / timedelta(days=1)
        return f"{self.call_count} calls of {task} in {days:.3g} days"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A request as proposals see it.

    `fixed_tokens` are those of its system prompt and tools, `filler_tokens` of words that say nothing,
    `tidy_tokens` of white space and repetitions. `longest_tokens` is what few answers exceed. `routed` is the
    model that policy would choose and `routed_nano_usd` the call's cost on it, None where the caller lets it.
    """

    model: Model
    at: datetime
    fast: bool
    geo_us: bool
    task: str
    prompt_tokens: int
    output_tokens: int
    longest_tokens: int
    max_tokens: int
    has_max_tokens: bool
    fixed_tokens: int
    filler_tokens: int
    tidy_tokens: int
    is_cached: bool
    may_be_json: bool
    may_wait: bool
    is_kept: bool
    routed: str
    routed_nano_usd: int | None
    traffic: Traffic | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """One way to save: what to do, what that takes for granted, and what it is worth.

    `thousand_calls_nano_usd` is for 1,000 calls like this; `monthly_nano_usd` for the `monthly_call_count`
    that a month has at the observed rate, 0 where nothing was observed.
    """

    code: str
    text: str
    assumption: str
    thousand_calls_nano_usd: int
    monthly_call_count: int
    monthly_nano_usd: int


def propose(catalog: Catalog, case: Case) -> tuple[Proposal, ...]:
    """Return what would save something, the dearest first; what bounds a call without saving comes last."""
    found = [_valued(case, *each) for rule in _RULES for each in rule(_Priced(catalog, case))]
    kept = [each for each in found if each.thousand_calls_nano_usd > 0 or each.code == "set_max_tokens"]
    return tuple(sorted(kept, key=lambda each: -each.thousand_calls_nano_usd))


_Found = tuple[str, str, str, int]
"""Code, text, assumption, and what one call costs less, in pico-USD."""


@dataclass(frozen=True, slots=True)
class _Priced:
    """A case with its prices."""

    catalog: Catalog
    case: Case

    @property
    def usage(self) -> Usage:
        """What a call is expected to use: its fixed part is read from the prompt cache where that is used."""
        case = self.case
        cached = case.fixed_tokens if case.is_cached else 0
        return Usage(
            input_tokens=max(case.prompt_tokens - cached, 0),
            cache_read_tokens=cached,
            output_tokens=case.output_tokens,
        )

    def pico_usd(self, usage: Usage, *, batch: bool = False) -> int:
        """Return what a call costs with this usage."""
        case = self.case
        cost = price(
            self.catalog, case.model.id, usage, at=case.at, batch=batch, fast=case.fast, geo_us=case.geo_us
        )
        return cost.pico_usd

    def without(self, tokens: int) -> int:
        """Return what a call costs less without some tokens of its fixed part."""
        usage = self.usage
        kind = "cache_read_tokens" if self.case.is_cached else "input_tokens"
        left = max(getattr(usage, kind) - tokens, 0)
        return self.pico_usd(usage) - self.pico_usd(replace(usage, **{kind: left}))


def _valued(case: Case, code: str, text: str, assumption: str, saved_pico_usd: int) -> Proposal:
    monthly = case.traffic.monthly_call_count if case.traffic else 0
    seen = f"; {case.traffic.words(case.task)}" if case.traffic else ""
    return Proposal(
        code=code,
        text=text,
        assumption=f"{assumption}{seen}",
        thousand_calls_nano_usd=ceil_nano(saved_pico_usd * _THOUSAND),
        monthly_call_count=monthly,
        monthly_nano_usd=ceil_nano(saved_pico_usd * monthly),
    )


def _shorten(priced: _Priced) -> Iterator[_Found]:
    case = priced.case
    quarter = case.fixed_tokens // 4
    if case.fixed_tokens >= _SHORTEST_FIXED_TOKENS:
        text = f"shorten the fixed part, system prompt and tools, of about {case.fixed_tokens} tokens"
        read = ", read from the prompt cache" if case.is_cached else ""
        yield "shorten_fixed_part", text, f"a quarter of it can go{read}", priced.without(quarter)
    if case.filler_tokens:
        text = f"leave out words that say nothing, about {case.filler_tokens} tokens"
        yield (
            "drop_fillers",
            text,
            "courtesies and emphasis change no answer",
            priced.without(case.filler_tokens),
        )
    if case.tidy_tokens:
        text = (
            f"let [length] tidy_prompts remove about {case.tidy_tokens} tokens of white space and repetitions"
        )
        yield "tidy_prompt", text, "the prompt is no code", priced.without(case.tidy_tokens)


def _limit(priced: _Priced) -> Iterator[_Found]:
    """A limit saves nothing of answers that are shorter anyway; it bounds the others."""
    case, usage = priced.case, priced.usage
    if not case.has_max_tokens and case.longest_tokens < case.max_tokens:
        now, then = (
            format_usd(ceil_nano(priced.pico_usd(replace(usage, output_tokens=tokens))))
            for tokens in (case.max_tokens, case.longest_tokens)
        )
        text = f"set max_tokens: about {case.longest_tokens} instead of the default of {case.max_tokens}"
        yield "set_max_tokens", text, f"saves nothing by itself; bounds a call at {then} instead of {now}", 0


def _cache_prompt(priced: _Priced) -> Iterator[_Found]:
    case, usage = priced.case, priced.usage
    if case.is_cached or case.fixed_tokens < case.model.min_cacheable_tokens:
        return
    missed, assumption = 0.0, "it is read by every call but the first"
    if case.traffic is not None:
        missed = exp(-case.traffic.call_count * (_FIVE_MINUTES / case.traffic.span))
        assumption = f"calls come evenly, and {missed:.0%} of them find it forgotten after 5 minutes"
    plain = replace(usage, input_tokens=max(usage.input_tokens - case.fixed_tokens, 0))
    read, written = (
        priced.pico_usd(replace(plain, **{kind: case.fixed_tokens}))
        for kind in ("cache_read_tokens", "cache_write_5m_tokens")
    )
    text = f"mark the fixed part of about {case.fixed_tokens} tokens for the prompt cache"
    saved = priced.pico_usd(usage) - round(read + missed * (written - read))
    yield "cache_prompt", text, assumption, saved


def _ask_for_json(priced: _Priced) -> Iterator[_Found]:
    case, usage = priced.case, priced.usage
    if not case.may_be_json or case.output_tokens < _LONG_ANSWER_TOKENS:
        return
    shorter = replace(usage, input_tokens=usage.input_tokens + FORMAT_TOKENS, output_tokens=JSON_TOKENS)
    text = f"ask for JSON by a schema instead of about {case.output_tokens} tokens of text"
    assumption = f"{JSON_TOKENS} tokens of JSON say it, a schema adds {FORMAT_TOKENS} to the prompt"
    yield "ask_for_json", text, assumption, priced.pico_usd(usage) - priced.pico_usd(shorter)


def _wait(priced: _Priced) -> Iterator[_Found]:
    usage = priced.usage
    if priced.case.may_wait:
        saved = priced.pico_usd(usage) - priced.pico_usd(usage, batch=True)
        yield "use_batches", "send what can wait in message batches", "the answer may take a day", saved


def _keep(priced: _Priced) -> Iterator[_Found]:
    if not priced.case.is_kept:
        text = "give the task a namespace of the response cache"
        saved = priced.pico_usd(priced.usage) // 10
        yield "keep_answers", text, "one call in ten asks what was asked before", saved


def _route(priced: _Priced) -> Iterator[_Found]:
    case = priced.case
    if case.routed_nano_usd is not None:
        text = f"let the policy choose the model: {case.routed} instead of {case.model.id}"
        now = priced.pico_usd(Usage(input_tokens=case.prompt_tokens, output_tokens=case.output_tokens))
        saved = now - case.routed_nano_usd * 1_000
        yield "let_route", text, "the task's tier is good enough for it", saved


_RULES = (_shorten, _limit, _cache_prompt, _ask_for_json, _wait, _keep, _route)
