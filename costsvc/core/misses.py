"""Why a prompt that could have been read from the provider's cache was not, and what that cost.

    miss = explain(answered)        a pure guess from what was known before, and what the answer says
    loss = loss_nano_usd(...)       what its tokens cost more than a read

What the provider says itself (`diagnostics` of an answer) goes first. A change counts where the prompt
before came at most 5 minutes ago: then a read would have been possible with the shortest time to live.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple

from costsvc.core.arrangement import View
from costsvc.core.catalog import Catalog
from costsvc.core.markers import MarkerPlan
from costsvc.core.money import PICO_PER_NANO
from costsvc.core.pricing import price
from costsvc.core.request import ModelRequest
from costsvc.core.reuse import FIVE_MINUTES_S, Reuse
from costsvc.core.traits import Change, Traits, find_change, goes_on, system_texts
from costsvc.core.usage import Reported, Usage

EVICTED, EXPIRED, NOT_YET_WRITTEN, TOO_SHORT = "evicted_or_unknown", "expired", "not_yet_written", "too_short"
REASONS = (
    "tools_changed",
    "system_changed",
    "messages_changed",
    "model_switched",
    "parameters_changed",
    EXPIRED,
    NOT_YET_WRITTEN,
    EVICTED,
    TOO_SHORT,
)
_TOLD = {
    "model_changed": "model_switched",
    "system_changed": "system_changed",
    "tools_changed": "tools_changed",
    "messages_changed": "messages_changed",
}
_ENOUGH = 0.9  # of what was relied on: tokens of a part of a prompt are estimates
_LEAST_TOKENS = 200
_SURELY_S = 2
_LOOKED_AT_CHARS = 4_000
DATED = "~date"
"""What follows the name of a block in whose changed part there is a date or a time."""

_DATE = re.compile(
    r"\d{4}-\d\d-\d\d|\d\d?:\d\d|\d\d?[/.]\d\d?[/.]\d{2,4}|\b1[6-9]\d{8}(\d{3})?\b|o'clock"
    r"|\b(mon|tues|wednes|thurs|fri|satur|sun)day\b",
    re.IGNORECASE,
)


class Miss(NamedTuple):
    """A miss: one of `REASONS`, the block to which it is due or "", and the tokens that were not read."""

    reason: str
    block: str
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """An answered prompt: what was known of it when it was sent, and what the answer says.

    `before` is the prompt that came before it in its conversation, so that this `is_next_turn`, or else of
    its task on this model. `parallel` is the longest prefix that another call was writing, too.
    `break_even` is the chance of another use from which on a breakpoint of 5 minutes pays.
    """

    request: ModelRequest
    plan: MarkerPlan
    views: Sequence[View]
    states: Mapping[bytes, Reuse]
    before: Traits | None
    now: Traits
    usage: Usage
    message: Mapping[str, Any]
    min_tokens: int
    break_even: float
    parallel: View | None
    is_next_turn: bool

    @property
    def scale(self) -> float:
        """Real tokens for each one that was expected."""
        return self.usage.prompt_tokens / self.plan.plain_tokens if self.plan.plain_tokens else 0.0

    @property
    def read_tokens(self) -> int:
        """What was read."""
        return self.usage.cache_read_tokens


def explain(answered: Answered) -> Miss | None:
    """Return why tokens were not read that could have been; None where nothing speaks for it."""
    miss = _relied(answered) or _parallel(answered) or _changed(answered)
    miss = miss or _expired(answered) or _too_short(answered)
    told = _told(answered.message)
    if told is None:
        return miss
    reason, tokens = told
    block = miss.block if miss is not None and miss.reason == reason else ""
    lost = tokens or (miss.tokens if miss is not None else 0)
    return _miss(answered, reason, block, lost) or miss


def loss_nano_usd(catalog: Catalog, reported: Reported, tokens: int, *, at: datetime) -> int:
    """Return what tokens of a prompt cost more than they would have if read; in nano-USD, rounded down.

    They are taken from what was written first, then from what was not cached.
    """
    if not reported.billed:
        return 0
    batch, fast, geo_us = (
        reported.service_tier == "batch",
        reported.speed == "fast",
        reported.inference_geo == "us",
    )
    paid, read = (
        price(catalog, reported.model, usage, at=at, batch=batch, fast=fast, geo_us=geo_us).pico_usd
        for usage in (reported.totals, _as_read(reported.totals, tokens))
    )
    return max(paid - read, 0) // PICO_PER_NANO


def _as_read(usage: Usage, tokens: int) -> Usage:
    from_1h = min(usage.cache_write_1h_tokens, tokens)
    from_5m = min(usage.cache_write_5m_tokens, tokens - from_1h)
    plain = min(usage.input_tokens, tokens - from_1h - from_5m)
    return replace(
        usage,
        cache_write_1h_tokens=usage.cache_write_1h_tokens - from_1h,
        cache_write_5m_tokens=usage.cache_write_5m_tokens - from_5m,
        input_tokens=usage.input_tokens - plain,
        cache_read_tokens=usage.cache_read_tokens + from_1h + from_5m + plain,
    )


def _miss(answered: Answered, reason: str, block: str, tokens: float) -> Miss | None:
    """Return a miss of as many tokens as were not read, if they are enough to matter."""
    lost = int(min(tokens, answered.usage.prompt_tokens - answered.read_tokens))
    return Miss(reason, block, lost) if lost >= _LEAST_TOKENS else None


def _relied(answered: Answered) -> Miss | None:
    """Return that an entry that should have been there was not."""
    relied = answered.plan.read
    tokens = relied.tokens * answered.scale if relied is not None else 0.0
    if relied is None or answered.read_tokens >= _ENOUGH * tokens:
        return None
    return _miss(answered, EVICTED, relied.spot.kin, tokens - answered.read_tokens)


def _parallel(answered: Answered) -> Miss | None:
    """Return that another call was writing the same at that time."""
    view = answered.parallel
    if view is None:
        return None
    return _miss(
        answered, NOT_YET_WRITTEN, view.spot.kin, view.tokens * answered.scale - answered.read_tokens
    )


def _changed(answered: Answered) -> Miss | None:
    """Return that something is different from the prompt before."""
    before, now = answered.before, answered.now
    if before is None or now.at_s - before.at_s > FIVE_MINUTES_S:
        return None
    goes = answered.is_next_turn and goes_on(before, answered.request)
    change = find_change(before, now, in_conversation=answered.is_next_turn, goes_on=goes)
    if change is None or _is_known(answered, change):
        return None
    tokens = change.kept_chars * answered.usage.prompt_tokens / max(now.chars, 1)
    if tokens + answered.read_tokens < answered.min_tokens:
        return None
    return _miss(answered, change.reason, _named(answered.request, change), tokens)


def _is_known(answered: Answered, change: Change) -> bool:
    """Tell whether what is different has been seen all the same: prompts take turns."""
    member = "tools" if change.block == "tools" else "messages" if change.block == "messages" else "system"
    views = [view for view in answered.views if view.spot.member == member]
    return member != "messages" and bool(views) and views[-1].is_known


def _named(request: ModelRequest, change: Change) -> str:
    """Return the name of the changed block, with a mark where its changed part has a date in it."""
    if change.reason != "system_changed":
        return change.block
    at = int(change.block.removeprefix("system."))
    texts = system_texts(request)
    head = texts[at][: min(change.new_chars, _LOOKED_AT_CHARS)] if at < len(texts) else ""
    return change.block + (DATED if _DATE.search(head) else "")


def _expired(answered: Answered) -> Miss | None:
    """Return that an entry was kept when it was last used, but not for long enough."""
    now_s = answered.now.at_s
    for view in reversed(answered.views):
        state = answered.states.get(view.spot.digest)
        if state is None or not state.last_s < state.warm_until_s <= now_s + _SURELY_S:
            continue
        tokens = view.tokens * answered.scale
        if answered.read_tokens < _ENOUGH * tokens:
            return _miss(answered, EXPIRED, view.spot.kin, tokens - answered.read_tokens)
    return None


def _too_short(answered: Answered) -> Miss | None:
    """Return that what comes again is shorter than what the model caches."""
    usage, now_s = answered.usage, answered.now.at_s
    if usage.prompt_tokens != usage.input_tokens:
        return None
    for view in reversed(answered.views):
        state = answered.states.get(view.spot.digest)
        if state is None or view.tokens >= answered.min_tokens or now_s - state.last_s > FIVE_MINUTES_S:
            continue
        if view.spot.member != "messages" and view.odds.within_5m >= answered.break_even:
            return _miss(answered, TOO_SHORT, view.spot.kin, view.tokens * answered.scale)
    return None


def _told(message: Mapping[str, Any]) -> tuple[str, int] | None:
    """Return what the provider itself says of a miss, and of how many tokens, 0 where it does not say."""
    diagnostics = message.get("diagnostics")
    if not isinstance(diagnostics, dict):
        return None
    found = diagnostics.get("cache_miss_reason")
    kind = found.get("type") if isinstance(found, dict) else found
    reason = _TOLD.get(kind) if isinstance(kind, str) else None
    if reason is None:
        return None
    holder = found if isinstance(found, dict) else diagnostics
    tokens = holder.get("cache_missed_input_tokens")
    return reason, tokens if isinstance(tokens, int) and not isinstance(tokens, bool) and tokens > 0 else 0
