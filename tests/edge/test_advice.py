"""Tests of advice in Estimate, at the rate of the tenant's own traffic."""

from __future__ import annotations

from typing import Any

import grpc

from costsvc import v1

SYSTEM = "I would like you to please be really kind. " + "Sort the ticket into bug, wish or praise. " * 120


async def advice(service: Any, **fields: Any) -> dict[str, Any]:
    """Return the proposals for a request, by code."""
    request = v1.EstimateRequest(request=service.request(**fields), include_advice=True)
    return {proposal.code: proposal for proposal in (await service.stub.Estimate(request)).advice}


async def test_advice_is_worth_what_the_tasks_calls_of_a_month_would_save(service: Any) -> None:
    """By the calls in the ledger; without any it says what a thousand would save."""
    asked = {"task": "classification", "system": SYSTEM, "marker_mode": v1.MARKER_MODE_CALLER_ONLY}
    before = await advice(service, **asked)
    assert {
        "shorten_fixed_part",
        "drop_fillers",
        "cache_prompt",
        "use_batches",
        "keep_answers",
    } <= before.keys()
    assert all(proposal.monthly_call_count == 0 for proposal in before.values())
    for _ in range(5):
        await service.complete(**asked, options={"metadata": (("costsvc-tenant", "default"),)})
    await service.complete(task="faq")
    await service.booked(6)
    after = await advice(service, **asked)
    for code in ("shorten_fixed_part", "keep_answers"):
        proposal = after[code]
        assert 5 * 30 * 24 // 2 < proposal.monthly_call_count <= 5 * 30 * 24  # in an hour, or in two
        expected = proposal.thousand_calls_saving_nano_usd * proposal.monthly_call_count / 1_000
        assert abs(proposal.monthly_saving_nano_usd - expected) <= proposal.monthly_call_count
        assert "; 5 calls of classification in 0.0" in proposal.assumption


async def test_advice_follows_what_the_request_says(service: Any) -> None:
    """A pinned model could be routed; whoever asks nothing gets no advice."""
    pinned = await advice(service, task="faq", model="claude-opus-5-5")
    assert "claude-haiku-5-5 instead of claude-opus-5-5" in pinned["let_route"].text
    assert "let_route" not in await advice(service, task="faq")
    conversation = await advice(service, task="support", conversation_id="c", system=SYSTEM, max_tokens=9)
    assert not {"cache_prompt", "use_batches", "set_max_tokens"} & conversation.keys()
    assert "read from the prompt cache" in conversation["shorten_fixed_part"].assumption
    plain = await service.stub.Estimate(v1.EstimateRequest(request=service.request(task="faq")))
    assert not plain.advice


async def test_advice_is_not_for_batches(service: Any) -> None:
    """Each would read the ledger."""
    item = v1.EstimateRequest(request=service.request(), include_advice=True)
    response = await service.stub.BatchEstimate(v1.BatchEstimateRequest(requests=[item]))
    assert response.results[0].error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
