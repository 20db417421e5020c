"""Tests of learning by outcomes: what is kept, what is told, and what comes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grpc
import pytest

from costsvc import v1
from costsvc.store import keys
from tests.policies import uncached

Code = grpc.StatusCode
UNKNOWN = "0" * 32


@pytest.fixture
def learning(tmp_path: Path) -> Path:
    """Give a policy that has the task `support` learned."""
    shipped = uncached()
    path = tmp_path / "policy.toml"
    path.write_text(f'{shipped}\n[router.support]\nquality_floor = "0.97"\n')
    return path


async def tell(service: Any, response_id: str, outcome: int | Mapping[int, int]) -> Any:
    """Say how good an answer was, or how good several tiers' answers were."""
    request = v1.RecordOutcomeRequest(response_id=response_id)
    if isinstance(outcome, Mapping):
        scores = [v1.TierScore(tier=tier, score_permille=score) for tier, score in outcome.items()]
        request.scores.scores.extend(scores)
    else:
        request.score_permille = outcome
    return await service.admin.RecordOutcome(request)


async def status(service: Any, **fields: Any) -> list[Any]:
    """Return what is learned."""
    return list((await service.admin.GetRouterStatus(v1.GetRouterStatusRequest(**fields))).tasks)


async def test_an_outcome_is_told_by_the_id_of_the_answer(serve, learning):
    """At once after the answer; it counts for the tenant's task, and several add up."""
    async with serve(policy=learning) as service:
        first = await service.complete(task="support")
        assert (await tell(service, first.response_id, 500)).complete_count == 0
        told = await tell(service, first.response_id, {v1.TIER_MEDIUM: 1000, v1.TIER_COMPLEX: 0})
        assert (told.tenant, told.task) == ("default", "support")
        assert (told.outcome_count, told.complete_count) == (1, 1)
        metadata = (("costsvc-tenant", "acme"),)
        other = await service.complete(task="support", options={"metadata": metadata})
        assert (await tell(service, other.response_id, 1000)).tenant == "acme"
        found = await status(service)
        assert [(row.tenant, row.outcome_count) for row in found] == [("acme", 1), ("default", 1)]
        assert {row.state for row in found} == {v1.ROUTER_STATE_LEARNING}
        assert {row.why_not for row in found} == {"not fitted yet, or not for a month"}
        assert [row.tenant for row in await status(service, tenant="acme")] == ["acme"]
        line = next(line for line in service.lines() if line["method"] == "RecordOutcome")
        assert (line["response_id"], line["of_tenant"], line["task"]) == (
            first.response_id,
            "default",
            "support",
        )


async def test_streams_are_learned_from_like_answers(serve, learning):
    """The id in the first event is good for the outcome."""
    async with serve(policy=learning) as service:
        events = await service.stream(task="support")
        assert (await tell(service, events[0].started.response_id, 1000)).outcome_count == 1


async def test_only_routed_calls_of_learned_tasks_are_kept(serve, learning, store, refused):
    """A pinned model, the baseline, another task: nothing is written, and nothing can be told."""
    async with serve(policy=learning) as service:
        calls = [
            await service.complete(task="faq"),
            await service.complete(),
            await service.complete(task="support", model="claude-haiku-5-5"),
            await service.complete(task="support", routing_mode=v1.ROUTING_MODE_BASELINE),
        ]
        kept = await service.complete(task="support")
        await tell(service, kept.response_id, 1000)
        assert await store.keys("router:seen:*") == [keys.seen(kept.response_id).encode()]
        for response_id in (*(call.response_id for call in calls), UNKNOWN):
            found = await refused(tell(service, response_id, 1000))
            assert (found.code, found.reason) == (Code.NOT_FOUND, "UNKNOWN_RESPONSE")
            assert found.metadata == {"response_id": response_id}
            assert found.resource == response_id


async def test_no_word_of_a_prompt_is_kept(serve, learning, store):
    """Neither with the answer nor with its outcome."""
    async with serve(policy=learning) as service:
        answer = await service.complete("Zebracrossing marmalade?", task="support")
        await tell(service, answer.response_id, 1000)
    for key in await store.keys("router:*"):
        data = await store.dump(key)
        assert b"zebracrossing" not in data.lower()
        assert b"marmalade" not in data.lower()


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"response_id": "not-an-id", "score_permille": 1}, "response_id"),
        ({"response_id": UNKNOWN}, "outcome"),
        ({"response_id": UNKNOWN, "score_permille": 1001}, "score_permille"),
        ({"response_id": UNKNOWN, "score_permille": -1}, "score_permille"),
        ({"response_id": UNKNOWN, "scores": {"scores": []}}, "scores.scores"),
        (
            {"response_id": UNKNOWN, "scores": {"scores": [{"tier": 0, "score_permille": 1}]}},
            "scores.scores[0].tier",
        ),
        (
            {"response_id": UNKNOWN, "scores": {"scores": [{"tier": 1, "score_permille": 1}] * 2}},
            "scores.scores[1].tier",
        ),
    ],
)
async def test_an_odd_outcome_names_its_field(service, refused, fields, place):
    """Scores are from 0 to 1, each tier is said once, and the id is one of ours."""
    found = await refused(service.admin.RecordOutcome(v1.RecordOutcomeRequest(**fields)))
    assert (found.code, found.reason) == (Code.INVALID_ARGUMENT, "INVALID_FIELD")
    assert list(found.violations) == [place]


async def test_status_comes_in_pages(serve, learning, refused):
    """Each task once, in order; a token is good for its query only."""
    async with serve(policy=learning) as service:
        for tenant in ("c", "a", "b"):
            options = {"metadata": (("costsvc-tenant", tenant),)}
            answer = await service.complete(task="support", options=options)
            await tell(service, answer.response_id, 1000)
        seen, token = [], ""
        while True:
            request = v1.GetRouterStatusRequest(page_size=1, page_token=token)
            page = await service.admin.GetRouterStatus(request)
            seen += [row.tenant for row in page.tasks]
            if not (token := page.next_page_token):
                break
            other = v1.GetRouterStatusRequest(tenant="a", page_token=token)
            assert (await refused(service.admin.GetRouterStatus(other))).violations
        assert seen == ["a", "b", "c"]


async def test_a_task_that_is_learned_no_more_says_so(serve, learning):
    """Its outcomes stay until their time, and its score decides nothing."""
    async with serve(policy=learning) as service:
        await tell(service, (await service.complete(task="support")).response_id, 1000)
    async with serve() as service:
        [row] = await status(service)
        assert row.why_not == "the policy does not have it learned"


async def test_a_stopping_service_waits_for_nothing(serve, learning):
    """What is not written yet may be lost; the answers are not held up."""
    async with serve(policy=learning) as service:
        await asyncio.gather(*(service.complete(f"{n}?", task="support") for n in range(20)))
