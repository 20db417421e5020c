"""Tests of what Route tells callers who call the provider themselves."""

from __future__ import annotations

import json

from costsvc import v1

LONG = "You know bicycles. " * 600


async def test_alternatives_are_said_on_request(service):
    """Every other model of the policy, cheapest first, and those that cannot answer last, with the reason."""
    body = {
        "messages": [{"role": "user", "content": "x"}],
        "tools": [{"name": "look", "input_schema": {"type": "object"}}],
        "tool_choice": {"type": "any"},
    }
    request = v1.RouteRequest(request=service.request(body=body), include_alternatives=True)
    response = await service.stub.Route(request)
    assert response.decision.model == "claude-sonnet-5"
    assert [(each.model, bool(each.ruled_out)) for each in response.alternatives] == [
        ("claude-haiku-5-5", False),
        ("claude-opus-5", False),
        ("claude-sonnet-5-5", True),
        ("claude-opus-5-5", True),
    ]
    costs = [each.expected_cost_nano_usd for each in response.alternatives]
    assert 0 < costs[0] < response.decision.expected_cost_nano_usd < costs[1]
    assert not (await service.route()).alternatives


async def test_the_breakpoint_is_said(service):
    """What is placed in the body is named; or why nothing is."""
    said = {"task": "support", "include_body": True}
    body = {"system": LONG, "messages": [{"role": "user", "content": "x"}]}
    response = await service.route(body=body, **said)
    [placed] = response.prompt_cache.breakpoints
    assert (placed.member, placed.ttl, placed.is_callers) == ("system", "5m", False)
    assert placed.prefix_tokens > 1_000
    assert 200 < placed.reuse_permille < 600
    assert json.loads(response.messages_json)["system"][-1]["cache_control"] == {"type": "ephemeral"}
    assert not response.prompt_cache.reasons
    short = (await service.route(**said)).prompt_cache
    assert not short.breakpoints
    assert [reason.startswith("too short by about ") for reason in short.reasons] == [True]


async def test_a_batch_is_half_the_price_of_what_stands_alone(service):
    """A conversation has no price in a batch, because it does not belong into one."""
    alone = await service.route()
    full = alone.decision.expected_cost_nano_usd
    assert abs(2 * alone.expected_batch_cost_nano_usd - full) <= 1
    assert not (await service.route(conversation_id="c")).HasField("expected_batch_cost_nano_usd")
    batch = v1.BatchRouteRequest(requests=[v1.RouteRequest(request=service.request())] * 2)
    results = (await service.stub.BatchRoute(batch)).results
    assert [each.response for each in results] == [alone] * 2


async def test_a_bound_on_the_cost_is_kept(service, refused):
    """A call that may cost more is refused unspent, and every model's reason is named."""
    cheap = await service.complete(task="faq", max_cost_nano_usd=10_000_000)
    assert cheap.model == "claude-haiku-5-5"
    refusal = await refused(service.complete(task="analysis", max_cost_nano_usd=10_000_000))
    assert refusal.reason == "NO_MODEL_FITS"
    assert refusal.models["claude-opus-5-5"].startswith("may cost $")
    assert len(service.sim.bill.lines()) == 1
