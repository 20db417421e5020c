"""The traces: seeded, each days of virtual time, of the kinds of traffic that services send."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from math import exp
from random import Random
from typing import Any

from benchmarks.prompt_cache.arrivals import (
    DAY_S,
    HOUR_S,
    Bursts,
    OfficeHours,
    alike,
    memoryless,
    never,
    poisson,
)
from benchmarks.prompt_cache.calls import ANSWER_S, Call, Trace, Truth, assistant, make_call, user, words
from costsvc.core.odds import Odds
from costsvc.core.prefixes import DOCUMENT, HISTORY, TAIL
from costsvc.core.reuse import FIVE_MINUTES_S, ONE_HOUR_S

SEED = 20261122


def make_traces(seed: int = SEED, *, only: str = "", scale: float = 1.0) -> Iterator[Trace]:
    """Yield the traces whose name holds `only`, one by one; `scale` shortens them, for tests."""
    for name, make in KINDS.items():
        if only in name:
            calls = make(Random(f"{seed} {name}"), scale)
            yield Trace(name, sorted(calls, key=lambda call: call.at_s))


def _truth(stable: Odds, turn: Odds | None = None) -> Truth:
    """Return the odds of what every call shares, and of what a turn adds."""
    added = turn or never()
    return lambda kin: added if kin in {TAIL, HISTORY, DOCUMENT} else stable


def _one_shots(chance: Random, scale: float) -> Iterator[Call]:
    truth = _truth(never())
    for at_s in poisson(chance, 20 / HOUR_S, 4 * DAY_S * scale, 100_000):
        yield make_call(at_s, {"messages": [user(words(chance, chance.randint(600, 6_000)))]}, truth)


def _stamped(chance: Random, scale: float) -> Iterator[Call]:
    """A time of day at the top of the system prompt: nothing below it ever repeats."""
    rules, truth = words(chance, 4_000), _truth(never())
    for at_s in poisson(chance, 30 / HOUR_S, 3 * DAY_S * scale, 100_000):
        blocks = [{"type": "text", "text": f"It is {at_s:.3f}. "}, {"type": "text", "text": rules}]
        yield make_call(at_s, {"system": blocks, "messages": [user(words(chance, 200))]}, truth)


def _shared(times: Callable[[Random, float], Iterable[float]], odds: Callable[[float], Odds]) -> Any:
    """Return the maker of a trace: one system prompt of 4,000 tokens, and questions that vary."""

    def make(chance: Random, scale: float) -> Iterator[Call]:
        system = words(chance, 4_000)
        for at_s in times(chance, scale):
            body = {"system": system, "messages": [user(words(chance, chance.randint(50, 500)))]}
            yield make_call(at_s, body, _truth(odds(at_s)))

    return make


def _steady(per_hour: float, most: int) -> Any:
    per_s = per_hour / HOUR_S
    return _shared(
        lambda chance, scale: poisson(chance, per_s, float("inf"), int(most * scale)),
        lambda _: memoryless(per_s),
    )


def _office(day: float, night: float, days: float) -> Any:
    hours = OfficeHours(day / HOUR_S, night / HOUR_S)
    return _shared(lambda chance, scale: hours.times(chance, days * DAY_S * scale), hours.odds)


def _bursty(per_day: float, stays: float, gap_s: float, days: float) -> Any:
    bursts = Bursts(per_day / DAY_S, stays, gap_s)
    return _shared(lambda chance, scale: bursts.times(chance, days * DAY_S * scale), lambda _: bursts.odds())


def _chats(per_hour: float, think_s: float, goes_on: float, days: float) -> Any:
    """Return the maker of conversations: think times are lognormal around a median."""

    def make(chance: Random, scale: float, tenant: str = "tenant") -> Iterator[Call]:
        system, spread = words(chance, 1_500), 1.0
        gaps = [ANSWER_S + chance.lognormvariate(0, spread) * think_s for _ in range(4_000)]
        soon, hour = (goes_on * _share(gaps, s) for s in (FIVE_MINUTES_S, ONE_HOUR_S))
        truth = _truth(memoryless(per_hour / HOUR_S / (1 - goes_on)), alike(soon, hour))
        for start_s in poisson(chance, per_hour / HOUR_S, days * DAY_S * scale, 100_000):
            at_s, messages = start_s, [user(words(chance, chance.randint(20, 400)))]
            while True:
                yield make_call(at_s, {"system": system, "messages": messages}, truth, tenant=tenant)
                if chance.random() > goes_on:
                    break
                at_s += ANSWER_S + chance.lognormvariate(0, spread) * think_s
                told = assistant(words(chance, chance.randint(100, 600)))
                messages = [*messages, told, user(words(chance, chance.randint(20, 200)))]

    return make


def _share(gaps: list[float], within_s: float) -> float:
    return sum(gap <= within_s for gap in gaps) / len(gaps)


def _agents(per_hour: float, steps: float, pause: float, days: float) -> Any:
    """Return the maker of loops with tools; with chance `pause` a person is asked in between."""
    goes_on = 1 - 1 / steps

    def make(chance: Random, scale: float, tenant: str = "tenant") -> Iterator[Call]:
        tools = [_tool(chance, index, 400) for index in range(15)]
        system = words(chance, 2_000)
        hour = goes_on * (1 - pause + pause * (1 - exp(-ONE_HOUR_S / 1500)))
        soon = goes_on * (1 - pause + pause * (1 - exp(-FIVE_MINUTES_S / 1500)))
        truth = _truth(memoryless(per_hour / HOUR_S * steps), alike(soon, hour))
        for start_s in poisson(chance, per_hour / HOUR_S, days * DAY_S * scale, 100_000):
            at_s, messages = start_s, [user(words(chance, chance.randint(100, 3_000)))]
            while True:
                body = {"tools": tools, "system": system, "messages": messages}
                yield make_call(at_s, body, truth, tenant=tenant)
                if chance.random() > goes_on:
                    break
                asked = chance.random() < pause
                at_s += ANSWER_S + (chance.expovariate(1 / 1500) if asked else chance.uniform(3, 20))
                messages = [*messages, *_step(chance)]

    return make


def _tool(chance: Random, index: int, tokens: int) -> dict[str, Any]:
    return {
        "name": f"tool_{index}",
        "description": words(chance, tokens),
        "input_schema": {"type": "object", "properties": {"q": {"type": "string"}}},
    }


def _step(chance: Random) -> list[dict[str, Any]]:
    """Return one turn of an agent: some tools used, one now and then with many texts, and their results."""
    ids = [f"toolu_{chance.getrandbits(40):x}" for _ in range(chance.randint(1, 4))]
    uses = [{"type": "tool_use", "id": i, "name": "tool_1", "input": {"q": words(chance, 20)}} for i in ids]
    said = {"type": "text", "text": words(chance, 40)}
    results: list[dict[str, Any]] = [
        {"type": "tool_result", "tool_use_id": i, "content": words(chance, chance.randint(20, 1_200))}
        for i in ids
    ]
    if chance.random() < 0.1:
        results += [{"type": "text", "text": words(chance, 30)} for _ in range(24)]
    return [{"role": "assistant", "content": [said, *uses]}, {"role": "user", "content": results}]


def _documents(chance: Random, scale: float, tenant: str = "tenant", per_hour: float = 40) -> Iterator[Call]:
    """Questions about documents, some of which are asked about far more often than others."""
    system, per_s = words(chance, 800), per_hour / HOUR_S
    texts = [words(chance, chance.randint(4_000, 16_000)) for _ in range(200)]
    weights = list(accumulate(1 / rank for rank in range(1, len(texts) + 1)))
    for at_s in poisson(chance, per_s, 3 * DAY_S * scale, 100_000):
        which = bisect(weights, chance.random() * weights[-1])
        own = memoryless(per_s / (which + 1) / weights[-1])
        blocks = [{"type": "text", "text": text} for text in (texts[which], words(chance, 60))]
        truth = _document_truth(memoryless(per_s), own)
        body = {"system": system, "messages": [{"role": "user", "content": blocks}]}
        yield make_call(at_s, body, truth, tenant=tenant)


def _document_truth(stable: Odds, document: Odds) -> Truth:
    return lambda kin: document if kin == DOCUMENT else never() if kin in {TAIL, HISTORY} else stable


def _daily_tools(chance: Random, scale: float) -> Iterator[Call]:
    per_s, system, day = 12 / HOUR_S, words(chance, 1_000), -1
    tools: list[dict[str, Any]] = []
    for at_s in poisson(chance, per_s, 8 * DAY_S * scale, 100_000):
        if int(at_s // DAY_S) != day:
            day, tools = int(at_s // DAY_S), [_tool(chance, index, 500) for index in range(16)]
        body = {"tools": tools, "system": system, "messages": [user(words(chance, 300))]}
        yield make_call(at_s, body, _truth(memoryless(per_s)))


def _few_shot(chance: Random, scale: float) -> Iterator[Call]:
    """Examples as earlier turns, the same in every call."""
    per_s = 15 / HOUR_S
    shots = [turn for _ in range(6) for turn in (user(words(chance, 150)), assistant(words(chance, 180)))]
    odds = memoryless(per_s)

    def truth(kin: str) -> Odds:
        return never() if kin == TAIL else odds

    for at_s in poisson(chance, per_s, 4 * DAY_S * scale, 100_000):
        yield make_call(at_s, {"messages": [*shots, user(words(chance, 120))]}, truth)


def _mix(chance: Random, scale: float) -> Iterator[Call]:
    """Fifty tenants, most of them small, each with traffic of one kind."""
    for number in range(50):
        per_hour = min(chance.lognormvariate(0, 1.2), 12)
        kind, tenant = number % 5, f"tenant{number}"
        if kind == 0:
            yield from _chats(per_hour, chance.choice([40, 120, 400]), 0.75, 2)(chance, scale, tenant)
        elif kind == 1:
            yield from _agents(per_hour / 8, 12, 0.1, 2)(chance, scale, tenant)
        elif kind == 2:
            yield from _documents(chance, scale / 1.5, tenant, per_hour * 3)
        else:
            yield from _simple(chance, scale, tenant, per_hour * 5, is_stable=kind == 3)


def _simple(chance: Random, scale: float, tenant: str, per_hour: float, *, is_stable: bool) -> Iterator[Call]:
    system, per_s = words(chance, chance.randint(600, 8_000)), per_hour / HOUR_S
    truth = _truth(memoryless(per_s) if is_stable else never())
    for at_s in poisson(chance, per_s, 2 * DAY_S * scale, 100_000):
        top = system if is_stable else f"{at_s:.3f} {system}"
        yield make_call(at_s, {"system": top, "messages": [user(words(chance, 200))]}, truth, tenant=tenant)


KINDS: dict[str, Callable[[Random, float], Iterable[Call]]] = {
    "one-shot prompts": _one_shots,
    "timestamp at the top": _stamped,
    "system, 0.1/h": _steady(0.1, 1_200),
    "system, 0.7/h": _steady(0.7, 1_500),
    "system, 3/h": _steady(3, 1_500),
    "system, 20/h": _steady(20, 2_000),
    "system, 1/min": _steady(60, 4_000),
    "system, 100/min": _steady(6_000, 10_000),
    "system, office hours 4/h": _office(4, 0.1, 84),
    "system, office hours 40/h": _office(40, 0.5, 14),
    "system, bursts": _bursty(8, 0.9, 20, 14),
    "system, rare pairs": _bursty(3, 0.4, 120, 250),
    "chats, quick": _chats(6, 50, 0.8, 3),
    "chats, slow": _chats(6, 420, 0.8, 3),
    "agents": _agents(1.5, 25, 0.0, 2),
    "agents, people asked": _agents(1.5, 25, 0.08, 2),
    "documents by Zipf": _documents,
    "examples as turns": _few_shot,
    "tools change daily": _daily_tools,
    "50 tenants": _mix,
}
