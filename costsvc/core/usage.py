"""What a call used, in classes of tokens that never overlap.

The provider's `usage` object overlaps with itself: `cache_creation_input_tokens` is the sum of a 5-minute
and a 1-hour part, and `iterations`, where present, restates the top level call by call. `Usage` is disjoint
by construction, so that a price is one multiplication a class and nothing is charged twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

BILLED_BEFORE_OUTPUT = frozenset({"bio", "frontier_llm", "reasoning_extraction"})
"""Refusal categories that are billed although nothing was written (Claude docs: refusals and billing)."""

_LARGEST_COUNT = 10**9  # far above any call's; an hour of thousands such still sums within int64 nano-USD
_LARGEST_SUM = 4 * _LARGEST_COUNT  # of all classes and iterations: the same for a call as a whole


class MalformedUsage(ValueError):
    """The usage object cannot be billed: `field` names the count, `problem` what is wrong with it."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field, self.problem = field, problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Token counts by price class; `input_tokens` is the uncached rest of the prompt only."""

    input_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    cache_read_tokens: int = 0
    output_tokens: int = 0
    web_search_count: int = 0

    @property
    def prompt_tokens(self) -> int:
        """Everything the model read: the length that long-prompt price tiers compare."""
        return (
            self.input_tokens
            + self.cache_write_5m_tokens
            + self.cache_write_1h_tokens
            + self.cache_read_tokens
        )

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            cache_write_5m_tokens=self.cache_write_5m_tokens + other.cache_write_5m_tokens,
            cache_write_1h_tokens=self.cache_write_1h_tokens + other.cache_write_1h_tokens,
            cache_read_tokens=self.cache_read_tokens + other.cache_read_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            web_search_count=self.web_search_count + other.web_search_count,
        )

    def __sub__(self, other: Usage) -> Usage:
        return Usage(
            input_tokens=self.input_tokens - other.input_tokens,
            cache_write_5m_tokens=self.cache_write_5m_tokens - other.cache_write_5m_tokens,
            cache_write_1h_tokens=self.cache_write_1h_tokens - other.cache_write_1h_tokens,
            cache_read_tokens=self.cache_read_tokens - other.cache_read_tokens,
            output_tokens=self.output_tokens - other.output_tokens,
            web_search_count=self.web_search_count - other.web_search_count,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """What the provider says a call used, and what of it must be paid.

    `parts` is one (model, usage) for each model call inside the answer, each billed at its own price and
    prompt length; `totals` is their sum. Nothing is due where `billed` is False, whatever the counts say.
    """

    model: str
    parts: tuple[tuple[str, Usage], ...]
    totals: Usage
    service_tier: str = ""
    inference_geo: str = ""
    speed: str = "standard"
    billed: bool = True


def read_usage(
    usage: Mapping[str, Any],
    *,
    model: str,
    stop_reason: str | None = None,
    stop_details: Mapping[str, Any] | None = None,
) -> Reported:
    """Return what is to be billed for a message, from its `usage` object as parsed JSON.

    With `iterations`, their sum is the bill and the top level is not: compaction and advisor calls are
    missing there, and each call is billed at its own model (Claude docs: compaction, advisor tool).

    Raises:
        MalformedUsage: a count is missing, negative or not an integer, or a split exceeds its total.
    """
    parts = _read_iterations(usage, model) or ((model, _read_counts(usage)),)
    parts = _with_searches(parts, _count(_table(usage, "server_tool_use"), "web_search_requests"))
    totals = sum((used for _, used in parts[1:]), start=parts[0][1])
    if totals.prompt_tokens + totals.output_tokens > _LARGEST_SUM:
        raise MalformedUsage("iterations", "add up to more than can be billed")
    return Reported(
        model=model,
        parts=parts,
        totals=totals,
        service_tier=_word(usage, "service_tier", ""),
        inference_geo=_word(usage, "inference_geo", ""),
        speed=_word(usage, "speed", "standard"),
        billed=_is_billed(totals, stop_reason, stop_details),
    )


def overlay_usage(start: Mapping[str, Any], delta: Mapping[str, Any]) -> dict[str, Any]:
    """Return a stream's usage: the cumulative counts of a `message_delta` over those of `message_start`.

    Deltas carry no split by cache lifetime, service tier, geography or speed: those stay as they started. A
    count that is 0 in the delta replaces, one that is null or absent does not.
    """
    merged = dict(start)
    merged |= {name: value for name, value in delta.items() if value is not None or name not in merged}
    split, total_tokens = start.get("cache_creation"), delta.get("cache_creation_input_tokens")
    if isinstance(split, Mapping) and type(total_tokens) is int and delta.get("cache_creation") is None:
        merged["cache_creation"] = _refitted(split, total_tokens)
    return merged


def _refitted(split: Mapping[str, Any], total_tokens: int) -> Mapping[str, Any]:
    """Fit the split of an earlier count to a later one, which may be smaller after a compaction."""
    counts = {name: value for name, value in split.items() if type(value) is int}
    if sum(counts.values()) <= total_tokens:
        return split
    return {"ephemeral_1h_input_tokens": min(counts.get("ephemeral_1h_input_tokens", 0), total_tokens)}


def _read_iterations(usage: Mapping[str, Any], model: str) -> tuple[tuple[str, Usage], ...]:
    entries = _tables(usage, "iterations")
    fell_back = any(entry.get("type") == "fallback_message" for entry in entries)
    return tuple(
        (_word(entry, "model", model), _read_counts(entry, f"iterations[{at}]."))
        for at, entry in enumerate(entries)
        if not (fell_back and _declined_for_free(entry))
    )


def _declined_for_free(entry: Mapping[str, Any]) -> bool:
    """Tell whether this attempt refused before any output, so that a fallback answered instead."""
    wrote_nothing = entry.get("type") == "message" and entry.get("output_tokens") == 0
    return wrote_nothing and not _billed_before_output(_table(entry, "stop_details"))


def _read_counts(usage: Mapping[str, Any], at: str = "") -> Usage:
    write_5m_tokens, write_1h_tokens = _read_writes(usage, at)
    return Usage(
        input_tokens=_required(usage, "input_tokens", at),
        cache_write_5m_tokens=write_5m_tokens,
        cache_write_1h_tokens=write_1h_tokens,
        cache_read_tokens=_count(usage, "cache_read_input_tokens", at),
        output_tokens=_required(usage, "output_tokens", at),
    )


def _read_writes(usage: Mapping[str, Any], at: str) -> tuple[int, int]:
    """Split cache writes by lifetime; what a short split leaves open was written for 5 minutes."""
    split = _table(usage, "cache_creation", at)
    five_minute_tokens = _count(split, "ephemeral_5m_input_tokens", at)
    one_hour_tokens = _count(split, "ephemeral_1h_input_tokens", at)
    split_tokens = five_minute_tokens + one_hour_tokens
    if usage.get("cache_creation_input_tokens") is None:
        return five_minute_tokens, one_hour_tokens
    total_tokens = _count(usage, "cache_creation_input_tokens", at)
    if split_tokens > total_tokens:
        raise MalformedUsage(
            f"{at}cache_creation_input_tokens",
            f"{total_tokens} is less than its parts: {five_minute_tokens} for 5 minutes + "
            f"{one_hour_tokens} for 1 hour",
        )
    return total_tokens - one_hour_tokens, one_hour_tokens


def _with_searches(parts: tuple[tuple[str, Usage], ...], count: int) -> tuple[tuple[str, Usage], ...]:
    if not count:
        return parts
    (model, used), *others = parts
    return ((model, replace(used, web_search_count=count)), *others)


def _is_billed(totals: Usage, stop_reason: str | None, stop_details: Mapping[str, Any] | None) -> bool:
    if stop_reason != "refusal" or totals.output_tokens > 0:
        return True
    return _billed_before_output(stop_details or {})


def _billed_before_output(stop_details: Mapping[str, Any]) -> bool:
    return _word(stop_details, "category", "") in BILLED_BEFORE_OUTPUT


def _required(usage: Mapping[str, Any], name: str, at: str) -> int:
    if usage.get(name) is None:
        raise MalformedUsage(f"{at}{name}", "is missing")
    return _count(usage, name, at)


def _count(counts: Mapping[str, Any], name: str, at: str = "") -> int:
    value = counts.get(name)
    if value is None:
        return 0
    if type(value) is not int or not 0 <= value <= _LARGEST_COUNT:
        raise MalformedUsage(f"{at}{name}", f"{value!r} is not a count")
    return value


def _word(usage: Mapping[str, Any], name: str, default: str) -> str:
    value = usage.get(name)
    if value is None:
        return default
    if not isinstance(value, str):
        raise MalformedUsage(name, "must be a string")
    return value


def _table(usage: Mapping[str, Any], name: str, at: str = "") -> Mapping[str, Any]:
    value = usage.get(name)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise MalformedUsage(f"{at}{name}", "must be an object")
    return value


def _tables(usage: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    values = usage.get(name)
    if values is None:
        return []
    if not isinstance(values, list) or not all(isinstance(value, Mapping) for value in values):
        raise MalformedUsage(name, "must be an array of objects")
    return values
