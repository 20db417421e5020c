from __future__ import annotations

import copy
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from costsvc.core.prefix_walk import read_prefixes
from costsvc.core.prefixes import KIN, LOOK_BACK_POSITIONS, Spot, cache_scope, kin_digest
from costsvc.provider_sim import models, prompt, prompt_cache
from tests.core.prompts import LAYOUTS, SEEDS, as_request, make_body

LONG = "All work and no play. " * 200
MARK = {"type": "ephemeral"}


def conversation(turns: int, **members: Any) -> dict[str, Any]:
    """Return a conversation of some turns, each with a use of a tool."""
    messages: list[Any] = [{"role": "user", "content": "Begin."}]
    for turn in range(turns):
        use = {"type": "tool_use", "id": f"t{turn}", "name": "look", "input": {"turn": turn}}
        result = {"type": "tool_result", "tool_use_id": f"t{turn}", "content": f"result {turn}"}
        messages += [
            {"role": "assistant", "content": [{"type": "text", "text": "So."}, use, use]},
            {"role": "user", "content": [result, result]},
        ]
    return {"system": LONG, "messages": messages} | members


def spots(body: dict[str, Any]) -> tuple[Spot, ...]:
    """Return the spots of a body."""
    return read_prefixes(as_request(body)).spots


@settings(deadline=None)
@given(st.integers(0, 60))
def test_a_conversation_that_grows_keeps_its_prefixes(turns: int) -> None:
    """The end of a turn is known again in the next, however long the conversation is."""
    before, after = spots(conversation(turns)), spots(conversation(turns + 1))
    assert before[-1].kin == "tail"
    assert before[-1].digest in {spot.digest for spot in after if spot.kin == "history"}
    assert before[0].digest == after[0].digest


def test_a_string_and_one_block_of_it_are_the_same() -> None:
    """As a message, as a system prompt, and with a breakpoint on it."""
    text = {"type": "text", "text": LONG}
    bodies = [
        {"system": LONG, "messages": [{"role": "user", "content": LONG}]},
        {"system": [text], "messages": [{"role": "user", "content": [text]}]},
        {"system": [{**text, "cache_control": MARK}], "messages": [{"role": "user", "content": [text]}]},
        {"system": LONG, "messages": [{"role": "user", "content": [{**text, "cache_control": MARK}]}]},
    ]
    assert len({tuple(spot.digest for spot in spots(body)) for body in bodies}) == 1


@settings(deadline=None)
@given(SEEDS)
def test_breakpoints_of_the_caller_change_no_digest_of_messages(seed: int) -> None:
    """A client that moves its breakpoint from turn to turn repeats its prefixes."""
    marked = make_body(seed)
    marked.pop("tools", None)
    bare = copy.deepcopy(marked)
    bare.pop("cache_control", None)
    blocks = bare["system"] if isinstance(bare.get("system"), list) else []
    for block in [
        *blocks,
        *(b for m in bare["messages"] if isinstance(m["content"], list) for b in m["content"]),
    ]:
        block.pop("cache_control", None)
    with_markers = {(s.member, s.at, s.block): s.digest for s in spots(marked)}
    for spot in spots(bare):
        assert with_markers.get((spot.member, spot.at, spot.block), spot.digest) == spot.digest


@settings(deadline=None)
@given(SEEDS)
def test_spots_come_in_prompt_order_and_can_be_marked(seed: int) -> None:
    """Each is longer than the one before, and no thinking, unknown block or empty text is among them."""
    body = make_body(seed, markers=False)
    found = spots(body)
    assert all(a.size <= b.size and a.position <= b.position for a, b in pairwise(found))
    assert len({spot.digest for spot in found}) == len(found)
    assert {spot.kin for spot in found} <= set(KIN)
    for spot in found:
        if spot.member == "messages" and spot.block >= 0:
            assert body["messages"][spot.at]["content"][spot.block]["type"] not in {
                "thinking",
                "from_the_future",
            }


@settings(deadline=None)
@given(SEEDS)
def test_positions_are_those_of_the_provider(seed: int) -> None:
    """Two spots are as far apart as the simulated provider's look-back counts them."""
    body = make_body(seed, markers=False)
    model = models.MODELS["claude-opus-5-5"]
    blocks = prompt.read(body, model).blocks
    starts = [0]
    for message in body["messages"]:
        starts.append(starts[-1] + (1 if isinstance(message["content"], str) else len(message["content"])))
    first = len(blocks) - starts[-1]
    found = [spot for spot in spots(body) if spot.member == "messages"]
    indexes = [first + starts[spot.at] + max(spot.block, 0) for spot in found]
    for at, index in enumerate(indexes):
        reached = set(prompt_cache._look_back(blocks, index))
        for earlier in range(at):
            in_reach = found[at].position - found[earlier].position < LOOK_BACK_POSITIONS
            assert in_reach == (indexes[earlier] in reached)


def test_what_spoils_a_prefix_changes_its_digest() -> None:
    """Each parameter at its level: what comes before is still known."""
    tool = {"name": "look", "description": LONG, "input_schema": {"type": "object"}}
    body = conversation(2, tools=[tool])
    base = [spot.digest for spot in spots(body)]
    for changed, kept in [
        ({"speed": "fast"}, 0),
        ({"thinking": {"type": "disabled"}}, 0),
        ({"output_config": {"effort": "low"}}, 0),
        ({"tools": [{**tool, "name": "see"}]}, 0),
        ({"system": f"{LONG}."}, 1),
        ({"tool_choice": {"type": "any"}}, 2),
        ({"metadata": {"user_id": "u"}, "max_tokens": 1}, len(base)),
    ]:
        now = [spot.digest for spot in spots(body | changed)]
        assert now[:kept] == base[:kept]
        assert set(now[kept:]).isdisjoint(base)


def test_layouts_are_one_content() -> None:
    """White space and escapes of messages are no content."""
    body = make_body(7, markers=False)
    body.pop("tools", None)
    assert len({read_prefixes(as_request(body, layout)).spots[-1].digest for layout in LAYOUTS}) == 1


def test_deferred_tools_and_empty_texts_have_no_spot() -> None:
    """Neither is in the prefix."""
    tool = {"name": "look", "input_schema": {}, "defer_loading": True}
    body = {"tools": [tool], "system": "", "messages": [{"role": "user", "content": ""}]}
    assert spots(body) == ()


def test_a_long_text_is_sampled() -> None:
    """Its length and both ends still count."""
    texts = ["a" * 3_000_000, "a" * 3_000_001, "b" + "a" * 2_999_999, "a" * 2_999_999 + "b"]
    bodies = [{"messages": [{"role": "user", "content": text}]} for text in texts]
    assert len({spots(body)[-1].digest for body in bodies}) == len(texts)


def test_models_and_workspaces_have_caches_of_their_own() -> None:
    """So do the kinds of one task, and of another."""
    scopes = {cache_scope(m, w) for m in ("opus", "haiku") for w in ("", "a")}
    assert len(scopes) == 4
    assert len({kin_digest(task, kin) for task in ("", "a") for kin in KIN}) == 2 * len(KIN)
