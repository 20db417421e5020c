from __future__ import annotations

import random
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.prompt_cache import __main__ as bench
from benchmarks.prompt_cache.calls import Trace
from benchmarks.prompt_cache.policies import FIXED, PLANNER
from benchmarks.prompt_cache.provider import Cache, End
from benchmarks.prompt_cache.technique import technique_lines
from benchmarks.prompt_cache.traces import KINDS, make_traces
from costsvc.core.arrangement import Ratios, View
from costsvc.core.markers import Marker
from costsvc.core.marking import mark
from costsvc.core.odds import Odds
from costsvc.core.prefix_walk import read_prefixes
from costsvc.core.prefixes import DOCUMENT, Spot
from costsvc.provider_sim import models, prompt, prompt_cache
from tests.core.prompts import as_request, make_body

RATIOS = Ratios(0.05, 1.25, 2.0)
MODEL = models.MODELS["claude-opus-5-5"]
SURE = Odds(1, 0, 1, 0, 1, 0)


def block_index(spot: Spot, body: dict[str, Any], blocks: list[prompt.Block]) -> int:
    """Return which of the provider's blocks a spot is the end of."""
    if spot.member != "messages":
        first = sum(block.level < prompt.SYSTEM for block in blocks) if spot.member == "system" else 0
        return first + spot.at
    sizes = [1 if isinstance(m["content"], str) else len(m["content"]) for m in body["messages"]]
    return len(blocks) - sum(sizes[spot.at :]) + max(spot.block, 0)


@settings(deadline=None)
@given(st.integers(0, 1_000_000_000))
def test_the_accounting_is_that_of_the_simulated_provider(seed: int) -> None:
    """Over conversations that grow, with any breakpoints at any times: read, written and plain alike."""
    chance = random.Random(seed)
    whole = [make_body(seed, markers=False), make_body(seed + 1, markers=False)]
    theirs, ours = prompt_cache.PromptCache(), Cache(MODEL.min_cache, 0.0)
    now_s = 0.0
    for _ in range(12):
        now_s += chance.choice([1, 200, 299, 301, 3_000, 3_700])
        body = dict(chance.choice(whole))
        body["messages"] = body["messages"][: chance.randrange(1, len(body["messages"]) + 1, 2)]
        request = as_request(body)
        spots = read_prefixes(request, turn_ends=100).spots
        able = [at for at, spot in enumerate(spots) if spot.kin != DOCUMENT]  # it is none in a later turn
        chosen = sorted(chance.sample(able, min(len(able), chance.randint(0, 4))))
        hours = chance.randint(0, 4)
        marks = [(at, "1h" if rank < hours else "5m") for rank, at in enumerate(chosen)]
        markers = [
            Marker(View(spots[at], 0, 0, SURE, is_known=False), ttl, is_callers=False) for at, ttl in marks
        ]
        members = {name: m.value for name, m in {**request.members, **mark(request, markers)}.items()}

        read = prompt.read(members, MODEL)
        plan = theirs.plan(read, prompt_cache.scope_of(members, MODEL, "", "standard"), MODEL, now_s)
        theirs.commit(plan)
        tokens = [0]
        for block in read.blocks:
            tokens.append(tokens[-1] + block.tokens)
        ends = [End(s.digest, tokens[block_index(s, body, read.blocks) + 1], s.position) for s in spots]
        metered = ours.call(ends, marks, read.token_count, now_s)
        bill = prompt_cache.metered(read, plan)
        assert metered == (bill.read, bill.write_5m, bill.write_1h, bill.input)


@pytest.fixture(scope="module")
def results() -> list[bench.Result]:
    """Return a short run of every trace."""
    return [bench.measure(trace, RATIOS) for trace in make_traces(scale=0.05)]


def test_no_policy_beats_the_bound(results: list[bench.Result]) -> None:
    """Not even the planner that knows the rates."""
    assert {result.name for result in results} == set(KINDS)
    for result in results:
        assert result.bound <= min(result.costs.values()) * (1 + 1e-9)
        assert set(result.costs) > set(FIXED)


def test_a_target_that_is_missed_is_named(results: list[bench.Result]) -> None:
    """Against the best online policy, against no caching and against the static rules."""
    good = next(result for result in results if result.name == "system, 100/min")
    bad = bench.Result(good.name, 1_000, {**good.costs, PLANNER: 2 * good.costs["no caching"]}, good.bound)
    assert len(bad.missed()) == 3
    few = bench.Result(good.name, 999, bad.costs, good.bound)
    assert len(few.missed()) == 2
    assert bench.together([good]).above_best == pytest.approx(good.above_best)


def test_traces_are_seeded_and_in_order() -> None:
    """The same seed makes the same calls."""
    first, again = (next(make_traces(7, only="agents, people", scale=0.05)) for _ in range(2))
    assert isinstance(first, Trace)
    assert [call.prefixes for call in first.calls] == [call.prefixes for call in again.calls]
    assert all(a.at_s <= b.at_s for a, b in pairwise(first.calls))


def test_the_textbook_example_with_its_writes() -> None:
    """$12, $15 and $12 without; by the formula about a tenth, and the write of the first call."""
    lines = list(technique_lines())
    figures = [line.split(")", 1)[1].split()[:3] for line in lines[1:4]]
    assert figures == [["12.00", "1.20", "1.21"], ["15.00", "1.50", "1.53"], ["12.00", "1.20", "1.21"]]


def test_the_command_prints_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    """With the mix, and an exit code."""
    assert bench.main(["--only", "system, 3/h"]) == 0
    shown = capsys.readouterr().out
    assert "system, 3/h" in shown
    assert bench.MIX in shown
    assert "Every target is met." in shown
