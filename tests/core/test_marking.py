from __future__ import annotations

import json
import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from costsvc.config import load_catalog_files
from costsvc.core.arrangement import View
from costsvc.core.markers import Marker, MarkerPlan, plan_markers, ratios_of, weigh_spots
from costsvc.core.marking import insertions, mark, take_out
from costsvc.core.odds import Odds
from costsvc.core.prefix_walk import read_prefixes
from costsvc.core.prefixes import KIN, MOST_MARKERS, Prefixes
from costsvc.core.rates import Rates
from costsvc.core.request import ModelRequest
from costsvc.core.reuse import Reuse
from costsvc.provider_sim import models, prompt
from costsvc.provider_sim.errors import ApiError
from tests.core.prompts import SEEDS, as_request, request_of

MODEL = load_catalog_files().resolve("claude-opus-5-5")
RATIOS = ratios_of(MODEL.schedules[0].tiers[-1][-1].rates)
NOW_S = 1_800_000_000


def statistics(prefixes: Prefixes, seed: int) -> tuple[dict[bytes, Reuse], dict[str, Reuse]]:
    """Return random statistics for some spots of a prompt, and for their kin."""
    chance = random.Random(seed)

    def state(kin: str) -> Reuse:
        counts = []
        for _ in range(len(Reuse().counts) // 3):
            uses = chance.randrange(50)
            short = chance.randint(0, uses)
            counts += [uses, short, chance.randint(0, uses - short)]
        return Reuse(
            last_s=NOW_S - chance.choice([3, 200, 2_000, 90_000]),
            row=chance.randrange(4),
            kin=kin,
            counted=chance.random() < 0.7,
            warm_until_s=NOW_S + chance.choice([-500, 1, 200, 3_000]),
            one_hour=chance.random() < 0.5,
            counts=tuple(counts),
        )

    known = {spot.digest: state(spot.kin) for spot in prefixes.spots if chance.random() < 0.7}
    return known, {kin: state(kin) for kin in KIN if chance.random() < 0.7}


def planned(request: ModelRequest, seed: int, *, batch: bool = False) -> MarkerPlan:
    """Return the plan under random statistics."""
    prefixes = read_prefixes(request)
    states, kin = statistics(prefixes, seed)
    tokens = max(prefixes.size // 4, 1)
    views = weigh_spots(prefixes, states, kin, input_tokens=tokens, now_s=NOW_S)
    return plan_markers(
        views,
        RATIOS,
        min_tokens=MODEL.min_cacheable_tokens,
        input_tokens=tokens,
        marker_count=prefixes.marker_count,
        batch=batch,
    )


def accepted(body: dict[str, Any]) -> bool:
    """Tell whether the provider takes the breakpoints of a body."""
    try:
        prompt.read(body, models.MODELS["claude-opus-5-5"])
    except ApiError:
        return False
    return True


@settings(deadline=None)
@given(SEEDS, st.booleans())
def test_the_provider_takes_every_marked_request(seed: int, batch: bool) -> None:
    """Never five breakpoints, nor an hour after 5 minutes, whatever the caller has placed."""
    request = request_of(seed)
    body = json.loads(request.body_with(mark(request, planned(request, seed, batch=batch).ours)))
    assert accepted(body) or not accepted(request.body)


@settings(deadline=None)
@given(SEEDS)
def test_taking_the_breakpoints_out_gives_back_the_bytes(seed: int) -> None:
    """What is sent is what came, and what was put in."""
    request = request_of(seed)
    ours = planned(request, seed).ours
    for name, member in mark(request, ours).items():
        put = insertions(request.members[name], [m for m in ours if m.view.spot.member == name])
        assert take_out(member.text, put) == request.members[name].text
        assert json.loads(member.text) == member.value


def content(body: Any) -> Any:
    """Return a body without breakpoints, each text as the block that it means."""
    if isinstance(body, list):
        return [content(item) for item in body]
    if isinstance(body, dict):
        bare = {name: content(value) for name, value in body.items() if name != "cache_control"}
        for name in ("system", "content"):
            if isinstance(bare.get(name), str) and bare.get("type") != "tool_result":
                bare[name] = [{"type": "text", "text": bare[name]}]
        return bare
    return body


def own_markers(body: Any) -> list[Any]:
    """Return all breakpoints of a body, in order."""
    if isinstance(body, list):
        return [mark for item in body for mark in own_markers(item)]
    if isinstance(body, dict):
        inner = [mark for name in sorted(body) for mark in own_markers(body[name]) if name != "cache_control"]
        return [*inner, body["cache_control"]] if "cache_control" in body else inner
    return []


@settings(deadline=None)
@given(SEEDS)
def test_breakpoints_are_no_content_and_the_callers_stay(seed: int) -> None:
    """The model reads the same, and each of the caller's breakpoints is where it was."""
    request = request_of(seed)
    plan = planned(request, seed)
    sent = json.loads(request.body_with(mark(request, plan.ours)))
    assert content(sent) == content(request.body)
    assert len(own_markers(sent)) == len(own_markers(request.body)) + len(plan.ours)
    again = read_prefixes(as_request(sent))
    assert places(read_prefixes(request)) <= places(again)
    assert not plan.ours or again.marker_count <= MOST_MARKERS


def places(prefixes: Prefixes) -> set[tuple[str, int, int, str]]:
    """Return where breakpoints are, and for how long."""
    return {(s.member, s.at, max(s.block, 0), s.marker) for s in prefixes.spots if s.marker}


@settings(deadline=None)
@given(SEEDS)
def test_every_breakpoint_of_ours_is_long_enough_and_decided_alike(seed: int) -> None:
    """Nothing is marked that the model would not cache, and the same facts give the same plan."""
    request = request_of(seed, markers=False)
    plan = planned(request, seed)
    assert all(marker.view.tokens >= MODEL.min_cacheable_tokens for marker in plan.ours)
    assert len(plan.ours) <= MOST_MARKERS
    assert sorted(marker.ttl for marker in plan.markers) == [marker.ttl for marker in plan.markers]
    assert planned(request, seed) == plan


@settings(deadline=None)
@given(SEEDS)
def test_the_tail_alone_can_be_marked_in_any_layout(seed: int) -> None:
    """Each spot by itself, too: the text around a breakpoint is untouched."""
    request = request_of(seed, markers=False)
    prefixes = read_prefixes(request)
    spot = random.Random(seed).choice(prefixes.spots or (None,))
    if spot is None:
        return
    view = View(spot, 1_000.0, 0, Odds(1, 0, 1, 0, 1, 0), is_known=False)
    changed = mark(request, [Marker(view, "1h", is_callers=False)])
    sent = json.loads(request.body_with(changed))
    assert places(read_prefixes(as_request(sent))) == {(spot.member, spot.at, max(spot.block, 0), "1h")}


def test_what_is_free_gets_no_breakpoint() -> None:
    """With a discount of 100 % there is nothing to save."""
    free = Rates(**dict.fromkeys(Rates.__dataclass_fields__, 0))
    body = {"system": "Be brief. " * 900, "messages": [{"role": "user", "content": "Why?"}]}
    prefixes = read_prefixes(as_request(body))
    views = weigh_spots(prefixes, {}, {}, input_tokens=50_000, now_s=NOW_S)
    for ratios, some in ((ratios_of(free), False), (RATIOS, True)):
        plan = plan_markers(views, ratios, min_tokens=512, input_tokens=50_000, marker_count=0)
        assert bool(plan.ours) == some
