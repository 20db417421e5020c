from __future__ import annotations

from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from costsvc.provider_sim import RunningSim
from costsvc.provider_sim.errors import ApiError
from costsvc.provider_sim.provider import Call

LONG = "The handbook says that every ticket is answered within a day and closed within a week. " * 60
FIVE = {"type": "ephemeral"}
HOUR = {"type": "ephemeral", "ttl": "1h"}


def text(value: str, marker: dict[str, str] | None = None) -> dict[str, Any]:
    """Return a text block, marked or not."""
    return {"type": "text", "text": value} | ({"cache_control": marker} if marker else {})


def user(*blocks: dict[str, Any]) -> dict[str, Any]:
    """Return a user message."""
    return {"role": "user", "content": list(blocks)}


def split(answer: dict[str, Any]) -> tuple[int, int, int]:
    """Return read, 5-minute writes and 1-hour writes."""
    usage = answer["usage"]
    made = usage["cache_creation"]
    assert usage["cache_creation_input_tokens"] == sum(made.values())
    return (
        usage["cache_read_input_tokens"],
        made["ephemeral_5m_input_tokens"],
        made["ephemeral_1h_input_tokens"],
    )


async def test_a_prefix_is_written_once_and_then_read(ask: Any) -> None:
    """The second request with the same marked system prompt reads what the first wrote."""
    first = await ask(system=[text(LONG, FIVE)])
    second = await ask(system=[text(LONG, FIVE)], messages=[user(text("Something else?"))])
    written = split(first)[1]
    assert written > 512
    assert split(first) == (0, written, 0)
    assert split(second) == (written, 0, 0)


async def test_the_classes_are_disjoint_and_add_up(ask: Any, http: aiohttp.ClientSession) -> None:
    """Input, writes and reads sum to what count_tokens says."""
    body = {"model": "claude-haiku-5-5", "system": [text(LONG, HOUR)], "messages": [user(text("Why?"))]}
    usage = (await ask(**body))["usage"]
    async with http.post("/v1/messages/count_tokens", json=body) as response:
        counted = (await response.json())["input_tokens"]
    assert counted == usage["input_tokens"] + usage["cache_creation_input_tokens"]


async def test_below_the_minimum_nothing_is_cached(ask: Any) -> None:
    """A prefix long enough for Haiku 5.5 is too short for Haiku 4.5, without an error."""
    for _ in range(2):
        answer = await ask(model="claude-haiku-4-5", system=[text(LONG, FIVE)])
        assert split(answer) == (0, 0, 0)


async def test_entries_expire_from_the_start_of_the_last_use(ask: Any, sim: RunningSim) -> None:
    """A read refreshes five minutes; after more than that the prefix is written again."""
    await ask(system=[text(LONG, FIVE)])
    for _ in range(3):
        sim.clock.advance(299)
        assert split(await ask(system=[text(LONG, FIVE)]))[0] > 0
    sim.clock.advance(300)
    assert split(await ask(system=[text(LONG, FIVE)]))[0] == 0


async def test_an_hour_lasts_an_hour(ask: Any, sim: RunningSim) -> None:
    """A 1-hour entry is read after 59 minutes."""
    await ask(system=[text(LONG, HOUR)])
    sim.clock.advance(59 * 60)
    assert split(await ask(system=[text(LONG, HOUR)]))[0] > 0


async def test_mixed_lifetimes_are_charged_apart(ask: Any) -> None:
    """Up to the last 1-hour breakpoint writes are 1h, from there 5m."""
    read, five, hour = split(await ask(system=[text(LONG, HOUR)], messages=[user(text(LONG, FIVE))]))
    assert read == 0
    assert five > 500
    assert hour > 500


@pytest.mark.parametrize(
    ("system", "last", "automatic"),
    [
        ([text("a", FIVE)] * 4, FIVE, None),
        ([text("a", FIVE)], HOUR, None),
        ([text("a", FIVE)] * 4, None, FIVE),
        ([text("a")], HOUR, FIVE),
        ([text("a", {"type": "ephemeral", "ttl": "2h"})], None, None),
    ],
)
async def test_impossible_markers_are_refused(
    ask: Any, system: list[Any], last: dict[str, str] | None, automatic: dict[str, str] | None
) -> None:
    """More than four, 1h after 5m, no slot for the automatic one, two lifetimes on one block: 400."""
    fields: dict[str, Any] = {"cache_control": automatic} if automatic else {}
    assert (await ask(system=system, messages=[user(text("b", last))], **fields))["status"] == 400


async def test_the_automatic_marker_sits_on_the_last_block(ask: Any) -> None:
    """Top-level cache_control caches the conversation so far, and the next turn reads it."""
    turns: list[dict[str, Any]] = [user(text(LONG))]
    first = await ask(messages=turns, cache_control=FIVE)
    turns += [{"role": "assistant", "content": "Yes."}, user(text("And then?"))]
    second = await ask(messages=turns, cache_control=FIVE)
    assert split(second)[0] > 0.9 * split(first)[1]
    assert split(second)[1] > 0


@pytest.mark.parametrize(("added", "hit"), [(19, True), (20, False)])
async def test_the_look_back_is_twenty_positions(ask: Any, added: int, hit: bool) -> None:
    """An entry 20 positions back, the breakpoint included, is found; one more and it is not."""
    base = [text(LONG, FIVE)]
    await ask(messages=[user(*base)])
    tail = [text(f"note {i}") for i in range(added - 1)] + [text("end", FIVE)]
    answer = await ask(messages=[user(text(LONG), *tail)])
    assert (split(answer)[0] > 0) is hit


@pytest.mark.parametrize(
    "changed",
    [
        {"model": "claude-sonnet-5-5"},
        {"output_config": {"effort": "high"}},
        {"thinking": {"type": "disabled"}},
        {"headers": {"anthropic-workspace-id": "wrkspc_other"}},
        {"tools": [{"name": "look", "input_schema": {}}]},
        {"system": [text("x" + LONG, FIVE)]},
    ],
)
async def test_what_spoils_a_prefix(ask: Any, changed: dict[str, Any]) -> None:
    """Model, effort, thinking, workspace, tools and text are all part of the key."""
    await ask(system=[text(LONG, FIVE)])
    assert split(await ask(**({"system": [text(LONG, FIVE)]} | changed)))[0] == 0


async def test_the_default_effort_is_the_same_as_none(ask: Any) -> None:
    """Spelling out a default does not spoil the cache."""
    await ask(system=[text(LONG, FIVE)])
    assert split(await ask(system=[text(LONG, FIVE)], output_config={"effort": "medium"}))[0] > 0


async def test_fast_and_standard_do_not_share(ask: Any) -> None:
    """Falling back from fast to standard is a miss."""
    await ask(model="claude-opus-5-5", system=[text(LONG, FIVE)])
    assert split(await ask(model="claude-opus-5-5", system=[text(LONG, FIVE)], speed="fast"))[0] == 0


def test_an_entry_is_readable_once_its_answer_has_begun(sim: RunningSim) -> None:
    """Two requests prepared together both write; a third after message_start reads."""
    provider = sim._provider
    body = {"model": "claude-haiku-5-5", "max_tokens": 9, "system": [text(LONG, FIVE)]}
    call = Call(
        body=body | {"messages": [user(text("Why?"))]}, request_id="r", workspace="w", version="2026-10-21"
    )
    first, second = provider.prepare(call), provider.prepare(call)
    provider.begin(first)
    third = provider.prepare(call)
    assert first.used.write_5m == second.used.write_5m == third.used.read > 0


async def test_prewarming_writes_and_says_nothing(ask: Any) -> None:
    """max_tokens 0 fills the cache for no output."""
    warm = await ask(system=[text(LONG, FIVE)], max_tokens=0)
    assert (warm["content"], warm["usage"]["output_tokens"], warm["stop_reason"]) == ([], 0, "max_tokens")
    assert split(await ask(system=[text(LONG, FIVE)]))[0] == split(warm)[1]


marks = st.lists(st.sampled_from([None, "5m", "1h"]), min_size=1, max_size=8)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rounds=st.lists(st.tuples(marks, st.sampled_from([0, 200, 301, 3600])), min_size=1, max_size=4))
def test_any_markers_give_disjoint_classes(
    sim: RunningSim, rounds: list[tuple[list[str | None], int]]
) -> None:
    """Whatever the markers, no class is negative and their sum is the prompt."""
    provider = sim._provider
    for ttls, pause_s in rounds:
        provider.clock.advance(pause_s)
        blocks = [
            text(f"{i} {LONG}", {"type": "ephemeral", "ttl": t} if t else None) for i, t in enumerate(ttls)
        ]
        body = {"model": "claude-haiku-5-5", "max_tokens": 9, "messages": [user(*blocks)]}
        call = Call(body=body, request_id="r", workspace="w", version="2026-10-21")
        marked = [t for t in ttls if t]
        try:
            run = provider.prepare(call)
        except ApiError:
            assert len(marked) > 4 or marked != sorted(marked)
            continue
        provider.begin(run)
        used = run.used
        assert min(used.input, used.read, used.write_5m, used.write_1h) >= 0
        assert used.prompt == run.prompt.token_count
