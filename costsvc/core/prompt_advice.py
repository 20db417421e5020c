"""What to change about prompts so that the provider's cache helps, in dollars a day.

Each piece of advice follows from sums that were observed: what a miss cost more than reads would have, over
the days in which it was seen, a day at least. So nothing is promised that has not been lost already.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from costsvc.core.misses import DATED, TOO_SHORT
from costsvc.core.money import format_usd
from costsvc.core.tallies import MissTally, PrefixTally

_LEAST_COUNT = 3
"""So often a miss must have been seen: a release changes a prompt, too, and once."""

_DAY_S = 86_400
_CENT_PART = 10_000  # nano-USD: amounts for people end there
_WORDS = {
    "tools_changed": "tools change between calls",
    "messages_changed": "earlier turns of conversations are rewritten",
    "model_switched": "conversations move to another model",
    "parameters_changed": "thinking, effort, speed or tool_choice change between calls",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptAdvice:
    """One thing to change; `reason` is that of the misses, or `caller_breakpoints`."""

    reason: str
    block: str
    task: str
    model: str
    text: str
    daily_nano_usd: int


def advise_on_prompts(
    prefixes: Iterable[PrefixTally],
    misses: Iterable[MissTally],
    *,
    observed_s: int,
    min_tokens: Mapping[str, int],
) -> Sequence[PromptAdvice]:
    """Return what to change, the dearest first; `min_tokens` is what a model caches at least."""
    often = [miss for miss in misses if miss.count >= _LEAST_COUNT]
    found = [_of_miss(miss, observed_s, min_tokens) for miss in often]
    advice = [*found, *_of_callers(prefixes, observed_s)]
    worth = [each for each in advice if each is not None and each.daily_nano_usd > 0]
    return sorted(worth, key=lambda each: -each.daily_nano_usd)


def a_day(nano_usd: int, observed_s: int) -> int:
    """Return what an amount comes to a day; what was seen for less than a day is not multiplied."""
    return nano_usd * _DAY_S // max(observed_s, _DAY_S)


def _of_miss(miss: MissTally, observed_s: int, min_tokens: Mapping[str, int]) -> PromptAdvice | None:
    what = _what(miss, min_tokens)
    if not what:
        return None
    daily_nano_usd = a_day(miss.lost_nano_usd, observed_s)
    return PromptAdvice(
        reason=miss.reason,
        block=miss.block,
        task=miss.task,
        model=miss.model,
        text=f"{what}: {_usd(daily_nano_usd)} a day",
        daily_nano_usd=daily_nano_usd,
    )


def _what(miss: MissTally, min_tokens: Mapping[str, int]) -> str:
    """Say what is wrong; nothing where nobody can do anything about it."""
    if miss.reason == "system_changed":
        number = int(miss.block.removesuffix(DATED).removeprefix("system.") or 0) + 1
        if miss.block.endswith(DATED):
            return f"a timestamp in system block {number} defeats caching of what follows it"
        return f"system block {number} changes between calls and defeats caching of what follows it"
    if miss.reason == TOO_SHORT and miss.model in min_tokens:
        short = min_tokens[miss.model] - miss.tokens // miss.count
        return f"what comes again is {short:,} tokens short of what {miss.model} caches" if short > 0 else ""
    what = _WORDS.get(miss.reason, "")
    return f"{what} and defeat caching of what follows them" if miss.block == "tools" and what else what


def _of_callers(prefixes: Iterable[PrefixTally], observed_s: int) -> Iterable[PromptAdvice]:
    """Yield what callers' own breakpoints lose by task and model, where they are written and hardly read."""
    lost: dict[tuple[str, str], list[int]] = {}
    for prefix in prefixes:
        sums = lost.setdefault((prefix.task, prefix.model), [0, 0])
        sums[0] += prefix.call_count if prefix.caller_saved_nano_usd else 0
        sums[1] -= prefix.caller_saved_nano_usd
    for (task, model), (count, nano_usd) in lost.items():
        daily_nano_usd = a_day(nano_usd, observed_s)
        if count >= _LEAST_COUNT and daily_nano_usd > 0:
            text = f"the caller's own breakpoints are written and hardly read: {_usd(daily_nano_usd)} a day"
            yield PromptAdvice(
                reason="caller_breakpoints",
                block="",
                task=task,
                model=model,
                text=text,
                daily_nano_usd=daily_nano_usd,
            )


def _usd(nano_usd: int) -> str:
    """Return an amount for people, to a thousandth of a cent."""
    return format_usd(nano_usd - nano_usd % _CENT_PART)
