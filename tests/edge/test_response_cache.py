"""Tests of stored answers: who gets them, when, in what form, and what is booked."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
from redis.asyncio import Redis

from costsvc import v1
from costsvc.core.message_stream import MessageAssembler
from costsvc.core.mistakes import mistake_bound
from tests.policies import uncached

NAMESPACES = """
[response_cache.help]
tasks = ["faq"]
ttl_s = 600
ignore = ["metadata.user_id"]
[response_cache.tools]
ttl_s = 600
allow = ["tools", "images", "documents", "thinking"]
"""
HIT, MISS = v1.CACHE_OUTCOME_HIT, v1.CACHE_OUTCOME_MISS
ACME = {"metadata": (("costsvc-tenant", "acme"),)}


def policy(path: Path, text: str = NAMESPACES) -> Path:
    """Write the shipped policy with namespaces."""
    file = path / "policy.toml"
    file.write_text(uncached() + text)
    return file


@pytest.fixture
async def cached(serve: Any, tmp_path: Path) -> Any:
    """Run a service whose task faq has a namespace."""
    async with serve(policy=policy(tmp_path)) as service:
        yield service


def sums(bill: v1.Bill) -> int:
    """Return baseline minus cost minus the sum of all savings, which must be 0."""
    return bill.baseline_nano_usd - bill.cost_nano_usd - bill.savings.total_nano_usd


async def test_the_second_identical_question_costs_nothing(cached: Any) -> None:
    """It gets the same bytes, names the model that answered, and books what it saved beside what was paid."""
    first = await cached.complete(task="faq")
    second = await cached.complete(task="faq", labels={"team": "b"})
    assert (first.cache_outcome, second.cache_outcome) == (MISS, HIT)
    assert (second.message_json, second.text) == (first.message_json, first.text)
    assert (second.model, second.decision.model) == (first.model, first.decision.model)
    assert (second.attempt_count, second.bill.cost_nano_usd) == (0, 0)
    assert second.bill.usage == v1.Usage()
    assert second.bill.avoided_usage == first.bill.usage
    assert second.bill.savings.response_cache_nano_usd == first.bill.cost_nano_usd
    assert sums(first.bill) == sums(second.bill) == 0
    assert second.response_id != first.response_id == second.cache_origin.response_id
    assert not second.replayed
    paid, hit = await cached.booked(2)
    assert (paid.cache_outcome, hit.cache_outcome) == ("miss", "hit")
    assert (hit.cost_nano_usd, hit.savings.total_nano_usd) == (0, hit.baseline_nano_usd)
    assert (hit.avoided, hit.labels) == (paid.usage, {"team": "b"})
    assert len(cached.sim.bill.lines()) == 1


async def test_reports_tell_avoided_tokens_from_paid_ones(cached: Any) -> None:
    """Hits are counted, and their tokens stand apart."""
    first = await cached.complete(task="faq")
    for _ in range(3):
        await cached.complete(task="faq")
    await cached.booked(4)
    totals = (await cached.report()).totals
    assert (totals.call_count, totals.hit_count) == (4, 3)
    assert totals.bill.usage == first.bill.usage
    assert totals.bill.cost_nano_usd == first.bill.cost_nano_usd
    assert totals.avoided_input_tokens == 3 * first.bill.usage.input_tokens
    assert totals.avoided_output_tokens == 3 * first.bill.usage.output_tokens
    assert sums(totals.bill) == 0


@pytest.mark.parametrize("form", [v1.STREAM_FORMAT_TEXT, v1.STREAM_FORMAT_PROVIDER_EVENTS])
async def test_streams_and_unary_calls_share_answers(cached: Any, form: int) -> None:
    """Whichever came first; replayed events are the provider's, in its order, and add up to the message."""
    unary = await cached.complete(task="faq")
    started, *pieces, completed = await cached.stream(task="faq", form=form)
    assert started.started.cache_outcome == HIT
    assert started.started.cache_origin.response_id == unary.response_id
    assert completed.completed.message_json == unary.message_json
    assert completed.completed.bill.cost_nano_usd == 0
    if form == v1.STREAM_FORMAT_TEXT:
        assert "".join(piece.text_delta for piece in pieces) == unary.text
    else:
        events = [json.loads(raw) for piece in pieces for raw in piece.provider_events.event_json]
        assembler = MessageAssembler()
        for event in events:
            assembler.feed(event["type"], event)
        assert assembler.complete
        assert assembler.message() == json.loads(unary.message_json)
    streamed = await cached.stream("Another one?", task="faq", form=form)
    again = await cached.complete("Another one?", task="faq")
    assert again.cache_outcome == HIT
    assert again.message_json == streamed[-1].completed.message_json
    assert len(cached.sim.bill.lines()) == 2


async def test_tenants_never_share(cached: Any) -> None:
    """Byte-identical requests of two tenants are paid by each."""
    await cached.complete(task="faq")
    other = await cached.complete(task="faq", options=ACME)
    assert other.cache_outcome == MISS
    assert (await cached.complete(task="faq", options=ACME)).cache_outcome == HIT
    assert len(cached.sim.bill.lines()) == 2


RULE = """
[[rules]]
name = "b"
labels = { team = ["b"] }
tier = "complex"
"""


async def test_who_is_sent_to_another_model_never_gets_the_answer_of_this_one(
    serve: Any, tmp_path: Path
) -> None:
    """Team A has haiku and team B opus for the same words: each only ever gets its own."""
    async with serve(policy=policy(tmp_path, NAMESPACES + RULE)) as service:
        found = []
        for team in ("a", "b", "a", "b"):
            answer = await service.complete(task="faq", max_tokens=4000, labels={"team": team})
            found.append((answer.model, answer.cache_outcome))
            await stored(service, max_tokens=4000, labels={"team": team})
        haiku, opus = "claude-haiku-5-5", "claude-opus-5-5"
        assert found == [(haiku, MISS), (opus, MISS), (haiku, HIT), (opus, HIT)]


async def test_what_is_no_part_of_the_question_does_not_matter(cached: Any) -> None:
    """Ids, labels, ignored members, the spelling, and whether typed fields or a body say it."""
    await cached.complete("Why?", task="faq", request_id="one", labels={"team": "a"}, conversation_id="c")
    body = b' {"metadata":{"user_id":"u"}, "messages" : [{"content":"\\u0057hy?","role":"user"}] }'
    assert (await cached.complete(body=body, task="faq", request_id="two")).cache_outcome == HIT


@pytest.mark.parametrize(
    "fields",
    [{"max_tokens": 77}, {"model": "claude-haiku-5-5"}, {"min_tier": v1.TIER_COMPLEX}, {"betas": ["b-1"]},
     {"system": "x"}, {"text": "Whyy?"}, {"routing_mode": v1.ROUTING_MODE_BASELINE},
     {"cache_namespace": "tools"}],
    ids=lambda fields: next(iter(fields)),
)  # fmt: skip
async def test_whatever_could_change_the_answer_is_another_question(cached: Any, fields: Any) -> None:
    """Lengths, models, tiers, betas, texts; and another namespace is another cache."""
    await cached.complete("Why?", task="faq")
    assert (await cached.complete(**{"text": "Why?", "task": "faq"} | fields)).cache_outcome == MISS


async def test_calls_without_a_namespace_are_not_kept(cached: Any, refused: Any) -> None:
    """A task without one, and the caller's own wish; a namespace that is not there is an error."""
    for fields in ({}, {"task": "summary"}):
        assert (await cached.complete(**fields)).cache_outcome == v1.CACHE_OUTCOME_DISABLED
    refusal = await refused(cached.complete(cache_namespace="helpp"))
    assert refusal.violations == {"request.cache_namespace": "is none of the policy's namespaces"}
    assert (await cached.complete(cache_namespace="help")).cache_outcome == MISS
    assert (await cached.complete(cache_namespace="help")).cache_outcome == HIT


async def test_a_caller_may_bypass_refresh_or_want_stored_answers_only(cached: Any, refused: Any) -> None:
    """Bypassed calls neither read nor write, refreshed ones only write, `only` never asks the provider."""
    refusal = await refused(cached.complete(task="faq", cache_mode=v1.CACHE_MODE_ONLY))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "CACHE_MISS")
    assert refusal.metadata["cache_outcome"] == "miss"
    assert await cached.untouched()
    bypassed = await cached.complete(task="faq", cache_mode=v1.CACHE_MODE_BYPASS)
    assert bypassed.cache_outcome == v1.CACHE_OUTCOME_BYPASSED
    first = await cached.complete(task="faq", cache_mode=v1.CACHE_MODE_REFRESH)
    assert first.cache_outcome == MISS
    await stored(cached)
    only = await cached.complete(task="faq", cache_mode=v1.CACHE_MODE_ONLY)
    assert (only.cache_outcome, only.cache_origin.response_id) == (HIT, first.response_id)
    second = await cached.complete(task="faq", cache_mode=v1.CACHE_MODE_REFRESH)
    await stored(cached, second.response_id)
    assert (await cached.complete(task="faq")).cache_origin.response_id == second.response_id
    refusal = await refused(cached.complete(cache_mode=v1.CACHE_MODE_ONLY))
    assert refusal.metadata["cache_outcome"] == "disabled"


async def stored(service: Any, response_id: str = "", **fields: Any) -> Any:
    """Wait until an answer is stored: that of a call, or any; it is, a moment after the call's answer."""
    while True:
        try:
            found = await service.complete(task="faq", cache_mode=v1.CACHE_MODE_ONLY, **fields)
        except grpc.aio.AioRpcError as error:
            assert error.code() is grpc.StatusCode.NOT_FOUND  # noqa: PT017 - it is waited for
        else:
            if response_id in {"", found.cache_origin.response_id}:
                return found
        await asyncio.sleep(0.005)


async def test_answers_older_than_the_caller_wants_are_asked_for_again(cached: Any) -> None:
    """And the new one serves who comes next."""
    first = await cached.complete(task="faq")
    await stored(cached)
    assert (await cached.complete(task="faq", cache_max_age_s=3600)).cache_outcome == HIT
    second = await cached.complete(task="faq", cache_max_age_s=0)
    assert second.cache_outcome == MISS
    found = await stored(cached, second.response_id)
    assert found.cache_origin.response_id != first.response_id


NOT_CACHEABLE = {
    "server tool": {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
    "client tool": {"tools": [{"name": "f", "input_schema": {"type": "object"}}]},
    "unknown member": {"member_of_tomorrow": 1},
}


@pytest.mark.parametrize("name", NOT_CACHEABLE)
async def test_what_is_not_allowed_is_answered_by_the_provider_each_time(cached: Any, name: str) -> None:
    """And the call says so."""
    body = {"max_tokens": 20, "messages": [{"role": "user", "content": "Hi"}], **NOT_CACHEABLE[name]}
    for _ in range(2):
        answer = await cached.complete(body=body, task="faq", model="claude-haiku-5-5")
        assert answer.cache_outcome == v1.CACHE_OUTCOME_NOT_CACHEABLE
    assert len(cached.sim.bill.lines()) == 2


async def test_cut_answers_are_not_kept(cached: Any) -> None:
    """An answer that max_tokens ended is paid again, because it is not complete."""
    for _ in range(2):
        answer = await cached.complete("Tell me everything.", task="faq", max_tokens=1)
        assert (answer.stop_reason, answer.cache_outcome) == ("max_tokens", MISS)


async def test_of_many_identical_questions_at_once_one_is_paid(cached: Any) -> None:
    """Unary calls and streams of either form: one attempt, one paid entry, equal answers."""
    cached.sim.faults.add("slow", delay_s=0.2)
    calls = [cached.complete(task="faq") for _ in range(20)]
    streams = [cached.stream(task="faq", form=form % 3) for form in range(20)]
    answers, events = await asyncio.gather(asyncio.gather(*calls), asyncio.gather(*streams))
    messages = {answer.message_json for answer in answers} | {e[-1].completed.message_json for e in events}
    assert len(messages) == 1
    assert len(cached.sim.bill.lines()) == 1
    entries = await cached.booked(40)
    assert sorted(entry.cache_outcome for entry in entries) == ["hit"] * 39 + ["miss"]
    assert [entry.cost_nano_usd > 0 for entry in entries].count(True) == 1


async def test_a_hit_with_a_request_id_is_repeated_like_any_answer(cached: Any) -> None:
    """The repeat is booked no second time."""
    await cached.complete(task="faq")
    first = await cached.complete(task="faq", request_id="r")
    assert first.cache_outcome == HIT
    again = await cached.complete(task="faq", request_id="r")
    assert again.replayed
    assert again.message_json == first.message_json
    assert again.bill.cost_nano_usd == 0
    await cached.booked(2)


async def begun(service: Any) -> None:
    """Wait until the provider is asked."""
    while not service.sim.requests:  # noqa: ASYNC110 - the simulator has no event
        await asyncio.sleep(0.005)


async def test_replicas_pay_one_call_for_a_hundred_identical_questions(serve: Any, tmp_path: Path) -> None:
    """On three replicas, unary and as streams: one attempt, one paid entry, 99 hits, equal answers."""
    async with AsyncExitStack() as stack:
        replicas = [
            await stack.enter_async_context(serve(policy=policy(tmp_path), data_dir=tmp_path / f"data{n}"))
            for n in range(3)
        ]
        first = replicas[0]
        first.sim.faults.add("slow", delay_s=0.2)
        calls = [replicas[n % 3].complete(task="faq") for n in range(50)]
        streams = [replicas[n % 3].stream(task="faq") for n in range(50)]
        answers, events = await asyncio.gather(asyncio.gather(*calls), asyncio.gather(*streams))
        messages = {answer.message_json for answer in answers}
        messages |= {each[-1].completed.message_json for each in events}
        assert len(messages) == 1
        entries = await first.booked(100)
        assert sorted(entry.cache_outcome for entry in entries) == ["hit"] * 99 + ["miss"]
        assert sum(entry.cost_nano_usd for entry in entries) == sum(first.bill().values())
        assert len(first.bill()) == 1


async def test_leaders_and_followers_get_the_providers_refusal(cached: Any, refused: Any) -> None:
    """An error that the request causes is everybody's; nothing is kept, and the next call asks again."""
    cached.sim.faults.add("error", status=400, count=None)
    refusals = await asyncio.gather(*(refused(cached.complete(task="faq")) for _ in range(10)))
    assert {refusal.reason for refusal in refusals} == {"PROVIDER_REJECTED"}
    cached.sim.faults.clear()
    assert (await cached.complete(task="faq")).cache_outcome == MISS


async def test_a_leader_that_runs_out_of_time_lets_the_next_one_lead(cached: Any) -> None:
    """Its deadline is its own: the follower gets an answer, of an attempt of its own."""
    cached.sim.faults.add("hang")
    leader = asyncio.ensure_future(cached.complete(task="faq", options={"timeout": 0.4}))
    await begun(cached)
    follower = asyncio.ensure_future(cached.complete(task="faq", options={"timeout": 20}))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await leader
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    answer = await follower
    assert answer.text
    assert len(cached.sim.requests) == 2


async def test_a_leader_that_leaves_leads_on_for_those_who_wait(cached: Any) -> None:
    """What it asked for is paid anyway."""
    cached.sim.faults.add("slow", delay_s=0.3)
    leader = asyncio.ensure_future(cached.complete(task="faq"))
    await begun(cached)
    follower = asyncio.ensure_future(cached.complete(task="faq"))
    await asyncio.sleep(0)
    leader.cancel()
    assert (await follower).cache_outcome == HIT
    assert len(cached.sim.requests) == 1


async def test_a_follower_waits_no_longer_than_its_own_deadline(cached: Any) -> None:
    """The leader is not hurried by it."""
    cached.sim.faults.add("slow", delay_s=0.6)
    leader = asyncio.ensure_future(cached.complete(task="faq"))
    await begun(cached)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await cached.complete(task="faq", options={"timeout": 0.2})
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert (await leader).cache_outcome == MISS
    assert len(cached.sim.requests) == 1


async def test_answers_that_are_for_one_alone_let_all_others_go_at_once(cached: Any) -> None:
    """A cut answer serves nobody else, and nobody waits for the next leader either."""
    cached.sim.faults.add("slow", delay_s=0.2)
    calls = (cached.complete("Tell me everything.", task="faq", max_tokens=1) for _ in range(5))
    answers = await asyncio.gather(*calls)
    assert {answer.cache_outcome for answer in answers} == {MISS}
    assert len(cached.sim.requests) == 5


SCOPES = {
    "everything": ({}, set()),
    "tenant": ({"tenant": "acme"}, {"default"}),
    "namespace": ({"tenant": "acme", "namespace": "help"}, {"default"}),
    "another namespace": ({"tenant": "acme", "namespace": "tools"}, {"default", "acme", "acme b"}),
    "label": ({"tenant": "acme", "label_key": "team", "label_value": "a"}, {"default", "acme b"}),
}


@pytest.mark.parametrize("name", SCOPES)
async def test_what_is_invalidated_is_served_no_more(cached: Any, name: str) -> None:
    """Everything, a tenant's, a namespace's, or what was paid for under a label; the rest is."""
    fields, spared = SCOPES[name]
    calls = {
        "default": {"text": "Why do leaves fall in autumn?", "max_tokens": 4000},
        "acme": {
            "text": "Why do leaves fall in autumn?",
            "max_tokens": 4000,
            "labels": {"team": "a"},
            "options": ACME,
        },
        "acme b": {
            "text": "How do magnets work?",
            "max_tokens": 4000,
            "labels": {"team": "b"},
            "options": ACME,
        },
    }
    for call in calls.values():
        assert (await cached.complete(**call, task="faq")).stop_reason == "end_turn"
        await stored(cached, **call)
    await cached.admin.InvalidateCache(v1.InvalidateCacheRequest(**fields))
    found = {
        name
        for name, call in calls.items()
        if (await cached.complete(**call, task="faq")).cache_outcome == HIT
    }
    assert found == spared


@pytest.mark.parametrize(
    "fields", [{"namespace": "help"}, {"label_key": "a"}, {"tenant": "x", "namespace": "y", "label_key": "z"}]
)
async def test_what_to_invalidate_must_be_said_whole(cached: Any, refused: Any, fields: Any) -> None:
    """A namespace or a label is a tenant's, and only one of them can be given."""
    refusal = await refused(cached.admin.InvalidateCache(v1.InvalidateCacheRequest(**fields)))
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT


NEAR = """
[response_cache.help]
tasks = ["faq"]
ttl_s = 600
near_identical = "on"
"""
ASKED = "What is the capital of France?"
DRESSED = "what's the capital of France"


@pytest.fixture
async def near(serve: Any, tmp_path: Path) -> Any:
    """Run a service whose namespace serves near-identical questions."""
    async with serve(policy=policy(tmp_path, NEAR)) as service:
        yield service


def mistake(response_id: str) -> v1.ReportCacheMistakeRequest:
    """Return the report of a mistake."""
    return v1.ReportCacheMistakeRequest(response_id=response_id)


async def test_a_near_identical_question_gets_the_stored_answer(near: Any) -> None:
    """The response says so, what was asked, how long ago, and by which rules it is the same."""
    first = await near.complete(ASKED, task="faq", max_tokens=4000)
    answer = await stored(near, text=DRESSED, max_tokens=4000)
    assert answer.cache_outcome == v1.CACHE_OUTCOME_NEAR_IDENTICAL
    assert answer.message_json == first.message_json
    origin = answer.cache_origin
    assert (origin.response_id, origin.question) == (first.response_id, ASKED)
    assert set(origin.rules) == {"contractions", "case", "articles", "closing_mark"}
    assert 0 <= origin.age_ms < 60_000
    assert (
        await near.complete("What is the capital of Spain?", task="faq", max_tokens=4000)
    ).cache_outcome == MISS
    assert (await near.complete(DRESSED, task="faq", max_tokens=4000, system="x")).cache_outcome == MISS
    assert (await near.complete(DRESSED, task="faq", max_tokens=4000, options=ACME)).cache_outcome == MISS


async def test_a_reported_mistake_blocks_the_pair_for_good(near: Any, refused: Any) -> None:
    """In both directions, also after the other question was answered itself; and too many switch it off."""
    await near.complete(ASKED, task="faq", max_tokens=4000)
    await reported(near, await stored(near, text=DRESSED, max_tokens=4000))
    again = await near.complete(DRESSED, task="faq", max_tokens=4000)
    assert again.cache_outcome == MISS
    await stored(near, text=DRESSED, max_tokens=4000)
    assert (await near.complete(ASKED, task="faq", max_tokens=4000)).cache_outcome == HIT
    for response_id in ("nonsense", again.response_id, "0" * 32):
        refusal = await refused(near.admin.ReportCacheMistake(mistake(response_id)))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "NOT_A_HIT")
    assert near.lines("near_identical_switched_off")


async def reported(service: Any, answer: Any) -> None:
    """Report a stored answer as wrong, once it is booked."""
    while not any(entry.response_id == answer.response_id for entry in await service.entries()):  # noqa: ASYNC110 - soon
        await asyncio.sleep(0.005)
    await service.admin.ReportCacheMistake(mistake(answer.response_id))


def bound(service: Any) -> float:
    """Return what is shown of the share of mistakes."""
    lines = service.running.parts.calls.metrics.text().decode().splitlines()
    [shown] = [line for line in lines if line.startswith("costsvc_cache_mistake_bound{")]
    return float(shown.split()[1])


async def test_mistakes_above_the_operators_bound_switch_near_identity_off(
    serve: Any, tmp_path: Path
) -> None:
    """One of nine stays below a half, two of ten do not; what is shown is true before, between and after."""
    text = NEAR + 'most_mistakes = "0.5"\n'
    again = "What's the capital of France?"
    async with serve(policy=policy(tmp_path, text)) as service:

        async def ask(question: str) -> Any:
            return await service.complete(question, task="faq", max_tokens=4000)

        async def shown(mistakes: int, served: int) -> None:
            while bound(service) != pytest.approx(mistake_bound(mistakes, served)):  # noqa: ASYNC110 - soon
                await asyncio.sleep(0.005)

        await ask(ASKED)
        await stored(service, text=ASKED, max_tokens=4000)
        first = await stored(service, text=DRESSED, max_tokens=4000)
        hits = [first, *[await ask(DRESSED) for _ in range(8)]]
        assert {hit.cache_outcome for hit in hits} == {v1.CACHE_OUTCOME_NEAR_IDENTICAL}
        await shown(0, 9)
        await reported(service, hits[0])
        await shown(1, 9)
        assert (await ask(DRESSED)).cache_outcome == MISS
        await stored(service, text=DRESSED, max_tokens=4000)
        tenth = await stored(service, text=again, max_tokens=4000)
        assert tenth.cache_outcome == v1.CACHE_OUTCOME_NEAR_IDENTICAL
        await shown(1, 10)
        assert not service.lines("near_identical_switched_off")
        await reported(service, tenth)
        await shown(2, 10)
        [off] = service.lines("near_identical_switched_off")
        assert (off["mistakes"], off["served"]) == (2, 10)
        assert (await ask(again)).cache_outcome == MISS
        assert (await ask("What is capital of France")).cache_outcome == MISS
        assert (await ask(ASKED)).cache_outcome == HIT


async def test_a_mistake_among_identical_questions_removes_the_answer(cached: Any) -> None:
    """It is asked for again."""
    await cached.complete(task="faq")
    await stored(cached)
    await reported(cached, await cached.complete(task="faq"))
    assert (await cached.complete(task="faq")).cache_outcome == MISS


async def test_a_shadow_only_compares(serve: Any, store: Redis, tmp_path: Path) -> None:
    """Every question is paid, and whether the stored answer would have said the same is counted."""
    async with serve(policy=policy(tmp_path, NEAR.replace('"on"', '"shadow"'))) as service:
        await service.complete(ASKED, task="faq", max_tokens=4000)
        while not await store.keys("cache:*:near"):  # noqa: ASYNC110 - a store has no event
            await asyncio.sleep(0.005)
        assert (await service.complete(DRESSED, task="faq", max_tokens=4000)).cache_outcome == MISS
        text = service.running.parts.calls.metrics.text().decode()
        assert 'costsvc_cache_shadow_total{namespace="help",outcome="unclear"} 1.0' in text
        assert len(service.sim.bill.lines()) == 2
