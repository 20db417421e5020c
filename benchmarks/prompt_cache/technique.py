"""The textbook example of prompt caching, at $3 a million tokens: by its formula, and metered.

The published figures count 90 % off each call and leave the writes out. Here they are in. And a rule of
thumb has it that a prefix pays from three uses in five minutes on: it pays from the second.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from benchmarks.prompt_cache.arrivals import memoryless, never
from benchmarks.prompt_cache.calls import Call, Trace, make_call, user, words
from benchmarks.prompt_cache.policies import Planned
from benchmarks.prompt_cache.replay import replay
from costsvc.core.arrangement import Ratios

USD_PER_TOKEN = 3e-6
RATIOS = Ratios(0.1, 1.25, 2.0)
MIN_TOKENS = 1_024
CASES = (("system prompt", 4_000, 1_000), ("document", 10_000, 500), ("examples", 2_000, 2_000))
EVERY_S = (30, 120, 290, 900)


def technique_lines() -> Iterator[str]:
    """Yield what the example costs, in dollars of its prefix alone."""
    yield f"{'at $3/M, read 0.1':32}{'without':>9}{'published':>11}{'formula':>9}" + "".join(
        f"{f'every {every_s} s':>13}" for every_s in EVERY_S
    )
    for name, tokens, count in CASES:
        plain = tokens * count * USD_PER_TOKEN
        formula = (RATIOS.write_5m + (count - 1) * RATIOS.read) * tokens * USD_PER_TOKEN
        metered = [_metered_usd(tokens, count, every_s) for every_s in EVERY_S]
        what = f"{tokens:,} x {count:,} ({name})"
        figures = "".join(f"{usd:>13.2f}" for usd in metered)
        yield f"{what:32}{plain:>9.2f}{plain * RATIOS.read:>11.2f}{formula:>9.2f}{figures}"
    yield from _thumb_lines()


def _thumb_lines() -> Iterator[str]:
    """Yield what is lost by waiting for a third use in five minutes."""
    tokens, times = 10_000, 1_000
    plain = 2 * tokens * times * USD_PER_TOKEN
    cached = (RATIOS.write_5m + RATIOS.read) * tokens * times * USD_PER_TOKEN
    yield (
        f"used twice in 5 minutes, {tokens:,} tokens, {times:,} times: ${plain:.2f} without,"
        f" ${cached:.2f} with; the rule of thumb loses ${plain - cached:.2f}"
    )
    for per_hour in (4, 8, 20):
        soon = memoryless(per_hour / 3600).within_5m
        steady = RATIOS.write_5m - (RATIOS.write_5m - RATIOS.read) * soon
        third = soon * soon
        yield (
            f"used {per_hour}/h at random (again within 5 minutes: {soon:.0%}, three times: {third:.0%}),"
            f" 10,000 tokens x 1,000: ${30:.2f} without, ${30 * steady:.2f} marked for 5 minutes,"
            f" ${30 * (2 - 1.9 * memoryless(per_hour / 3600).within_1h):.2f} for an hour"
        )


def _metered_usd(tokens: int, count: int, every_s: int) -> float:
    """Return what the prefix of calls at this interval costs with the planner, less what varies."""
    trace = Trace("technique", list(_calls(tokens, count, every_s)))
    cost = replay(trace, Planned(RATIOS, MIN_TOKENS), RATIOS, MIN_TOKENS)
    varies = sum(call.tokens - call.chain[0][1] / 4 for call in trace.calls)
    return (cost - varies) * USD_PER_TOKEN


def _calls(tokens: int, count: int, every_s: int) -> Iterator[Call]:
    chance = Random(tokens)
    system, odds = words(chance, tokens), never()
    for number in range(count):
        body = {"system": system, "messages": [user(words(chance, 40))]}
        yield make_call(number * every_s, body, lambda _: odds)
