"""Tests of conversations: each stays with its model, on every replica and for callers of their own."""

from __future__ import annotations

import json
from typing import Any

from costsvc import v1

LONG = "You know bicycles. " * 600
OPUS, SONNET, HAIKU = "claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5"


def codes(decision: Any) -> list[str]:
    """Return the codes of a decision's reasons that are about the conversation."""
    return [reason.code for reason in decision.reasons if reason.code.startswith("conversation")]


async def test_a_conversation_stays_with_its_model(service):
    """Later turns go where the first was answered, announced as they are answered; others do not."""
    first = await service.complete(task="analysis", conversation_id="c1")
    assert (first.model, codes(first.decision)) == (OPUS, [])
    for _ in range(2):
        announced = (await service.route(conversation_id="c1")).decision
        answer = await service.complete(conversation_id="c1")
        assert (answer.model, codes(answer.decision)) == (OPUS, ["conversation_pin"])
        assert announced == answer.decision
    estimate = await service.stub.Estimate(v1.EstimateRequest(request=service.request(conversation_id="c1")))
    assert estimate.estimates[0].model == OPUS
    assert (await service.complete(conversation_id="c2")).model == SONNET
    assert (await service.complete()).model == SONNET
    assert {entry.conversation_id: entry.answering_model for entry in await service.booked(5)} == {
        "c1": OPUS,
        "c2": SONNET,
        "": SONNET,
    }


async def test_conversations_belong_to_their_tenant(service):
    """Another tenant's conversation of the same name begins where any begins."""
    await service.complete(task="analysis", conversation_id="c1")
    other = {"metadata": (("costsvc-tenant", "other"),)}
    answer = await service.complete(conversation_id="c1", options=other)
    assert (answer.model, codes(answer.decision)) == (SONNET, [])


async def test_another_replica_goes_on_where_the_last_turn_was(serve, tmp_path):
    """What is known of conversations is in the store."""
    async with serve() as one, serve(data_dir=tmp_path / "two") as two:
        await one.complete(task="analysis", conversation_id="c1")
        assert (await two.complete(conversation_id="c1")).model == OPUS


async def test_a_stream_is_a_turn_like_any_other(service):
    """It is pinned, and it pins."""
    await service.stream(task="analysis", conversation_id="c1")
    started, *_ = await service.stream(conversation_id="c1")
    assert started.started.decision.model == OPUS


async def test_a_conversation_moves_up_and_stays_there(service):
    """A turn that the policy calls complex moves it, and the next goes on where it is."""
    assert (await service.complete(task="faq", conversation_id="c1")).model == HAIKU
    moved = await service.complete(task="analysis", conversation_id="c1")
    assert (moved.model, codes(moved.decision)) == (OPUS, ["conversation_moved"])
    assert (await service.complete(conversation_id="c1")).model == OPUS


async def test_a_cached_prompt_keeps_a_conversation(service):
    """Work of a lower tier stays on the dear model while that reads what another would write."""
    body = {
        "system": [{"type": "text", "text": LONG, "cache_control": {"type": "ephemeral"}}],
        "messages": [{"role": "user", "content": "Why?"}],
        "max_tokens": 5,
    }
    for _ in range(2):
        await service.complete(body=body, task="analysis", conversation_id="c1")
    answer = await service.complete(body=body, task="summary", conversation_id="c1")
    [reason] = [each for each in answer.decision.reasons if each.code == "conversation_pin"]
    assert answer.model == OPUS
    assert reason.detail.startswith("about 2 more turns: $")
    assert answer.bill.usage.cache_read_tokens > 0


async def test_a_fallback_is_for_one_turn(service):
    """When the model is well again, the conversation is where its cache is."""
    await service.complete(task="analysis", conversation_id="c1")
    for _ in range(3):
        service.sim.faults.add("overloaded")
    assert (await service.complete(conversation_id="c1")).model == "claude-opus-5"
    assert (await service.complete(conversation_id="c1")).model == OPUS


async def test_a_named_model_moves_the_conversation(service):
    """The caller's choice is where the next turn goes on."""
    await service.complete(task="faq", conversation_id="c1")
    named = await service.complete(model=OPUS, conversation_id="c1")
    assert (named.model, codes(named.decision)) == (OPUS, [])
    assert (await service.complete(conversation_id="c1")).model == OPUS


async def test_a_recorded_turn_counts(service):
    """Whoever calls the provider itself keeps its conversations with one model, too."""
    usage = json.dumps({"input_tokens": 10, "output_tokens": 5, "cache_read_input_tokens": 7}).encode()
    await service.stub.Record(
        v1.RecordRequest(request_id="r1", model=OPUS, usage_json=usage, conversation_id="c1")
    )
    assert (await service.route(conversation_id="c1")).decision.model == OPUS


async def test_the_turns_of_a_batch_go_each_by_its_own_conversation(service):
    """A bad one among them changes nothing for the others, nor does one that is asked twice."""
    await service.complete(task="analysis", conversation_id="c1")
    said: list[dict[str, Any]] = [
        *({"conversation_id": "c2"}, {"conversation_id": "c1"}, {}),
        *({"conversation_id": "c1", "model": "gpt-4o"}, {"conversation_id": "c1"}),
        {"conversation_id": "c1", "model": HAIKU},
    ]
    requests = [service.request(**each) for each in said]
    routed = await service.stub.BatchRoute(
        v1.BatchRouteRequest(requests=[v1.RouteRequest(request=each) for each in requests])
    )
    models = [result.response.decision.model for result in routed.results]
    assert models == [SONNET, OPUS, SONNET, "", OPUS, HAIKU]
    assert [bool(result.error.code) for result in routed.results] == [not model for model in models]
    estimated = await service.stub.BatchEstimate(
        v1.BatchEstimateRequest(requests=[v1.EstimateRequest(request=each) for each in requests])
    )
    assert [result.response.decision.model for result in estimated.results] == models
