"""Tests of comparing with the baseline model: what is compared, what it costs, what is kept and learned."""

from __future__ import annotations

import asyncio
import json
from base64 import urlsafe_b64encode
from typing import Any

import pytest

from costsvc import v1
from costsvc.app import shadow
from costsvc.config import POLICY
from costsvc.data import read_text
from costsvc.provider_sim import RunningSim

SIMPLE, MEDIUM, COMPLEX = "claude-haiku-5-5", "claude-sonnet-5-5", "claude-opus-5-5"
ALL = '[shadow]\nprice = "standard"\n[shadow.shares]\n"*" = "1"\n'
JUDGE = f'[shadow.judge]\nmodel = "{MEDIUM}"\nrubric = "Which is right?"\n'
LEARNED = "[router.support]\n"


@pytest.fixture
def policy(tmp_path):
    """Give the way to write a policy with more tables."""

    def write(tables: str) -> str:
        path = tmp_path / "policy.toml"
        path.write_text(f"{read_text(POLICY)}\n{tables}")
        return str(path)

    return write


def known(sim: RunningSim, text: str, *rates: float, **fields: Any) -> str:
    """Let models answer a question rightly at these rates, and return it."""
    said = {"text": text, "difficulty": "complex", "right": "yes", "wrong": ["no"], "rates": rates}
    sim.questions.add(**{**said, **fields})
    return text


def prefers(sim: RunningSim, right: str) -> None:
    """Let the judge say which answer is right, wherever it stands."""
    sim.questions.add(
        text=f'"answer_a": "{right}"', difficulty="simple", right="a", wrong=["b"], rates=(1, 1, 1)
    )
    sim.questions.add(
        text=f'"answer_b": "{right}"', difficulty="simple", right="b", wrong=["a"], rates=(1, 1, 1)
    )


async def listed(service: Any, count: int = 1, tenant: str = "default") -> list[v1.AnswerPair]:
    """Wait until a tenant has so many pairs, and return them."""
    request = v1.ListPairsRequest(tenant=tenant)
    while len(found := (await service.admin.ListPairs(request)).pairs) < count:  # noqa: ASYNC110 - no event
        await asyncio.sleep(0.01)
    assert len(found) == count
    return list(found)


async def quiet(service: Any) -> None:
    """Wait until nothing runs in the service."""
    while len(service.running.parts.in_flight):  # noqa: ASYNC110 - nothing says so
        await asyncio.sleep(0.01)


async def test_nothing_is_compared_as_shipped(service):
    """Whatever the task."""
    await service.complete(task="support")
    await quiet(service)
    assert len(service.sim.bill.lines()) == 1


async def test_a_slow_provider_is_not_asked_for_more_and_more(serve, policy, monkeypatch):
    """Only so many comparisons run at once; callers are answered all the same."""
    monkeypatch.setattr(shadow, "MOST_AT_ONCE", 2)
    async with serve(policy=policy(ALL)) as service:
        service.sim.faults.add("slow", delay_s=2, match={"model": COMPLEX}, count=9)
        for n in range(4):
            await service.complete(f"Is it {n}?", task="support")
        text = service.running.parts.calls.metrics.text().decode()
        assert 'costsvc_shadow_comparisons_total{outcome="too_many"} 2.0' in text


async def test_a_routed_call_is_also_answered_by_the_baseline_model(serve, policy):
    """Both answers are kept; the second has an entry of its own that is no part of the call's bill."""
    async with serve(policy=policy(ALL)) as service:
        text = known(service.sim, "Is it so?", 1, 1, 0)
        answer = await service.complete(text, task="support", labels={"team": "web"})
        (pair,) = await listed(service)
        assert (pair.task, pair.response_id, pair.asked) == ("support", answer.response_id, text)
        assert (pair.answered.text, pair.baseline.text) == ("no", "yes")
        assert (pair.answered.model, pair.baseline.model) == (SIMPLE, COMPLEX)
        assert pair.preference == v1.PREFERENCE_UNSPECIFIED
        entries = {entry.attempt_id: entry for entry in await service.booked(2)}
        assert {name: entry.cost_nano_usd for name, entry in entries.items()} == service.bill()
        own, shadow = entries[pair.answered.attempt_id], entries[pair.baseline.attempt_id]
        assert answer.bill.cost_nano_usd == own.cost_nano_usd == pair.answered.cost_nano_usd
        assert answer.bill.savings.total_nano_usd == own.savings.total_nano_usd > 0
        assert shadow.cost_nano_usd == pair.baseline.cost_nano_usd
        assert (shadow.task, shadow.labels) == ("costsvc.shadow", {"team": "web"})
        assert shadow.response_id != answer.response_id
        assert (shadow.baseline_nano_usd, shadow.savings.routing_nano_usd) == (0, -shadow.cost_nano_usd)
        report = await service.report(group_by=v1.GROUP_BY_TASK)
        costs = {row.group: row.totals.bill.cost_nano_usd for row in report.rows}
        assert costs == {"support": own.cost_nano_usd, "costsvc.shadow": shadow.cost_nano_usd}


async def test_the_baseline_model_is_asked_the_same(serve, policy):
    """The whole body, with the max_tokens in effect, and not streamed."""
    async with serve(policy=policy(ALL)) as service:
        body = {"system": "Be brief.", "messages": [{"role": "user", "content": "Hello"}], "stream": True}
        await service.stream(body=body, task="support")
        await listed(service)
        first, second = [json.loads(each.body) for each in service.sim.requests]
        assert {**first, "model": COMPLEX, "stream": None} == {**second, "stream": None}
        assert not second.get("stream")
        assert second["max_tokens"] == 1024


@pytest.mark.parametrize(
    "fields",
    [
        {"model": SIMPLE},
        {"routing_mode": v1.ROUTING_MODE_BASELINE},
        {"task": "analysis"},
        {"task": "support", "conversation_id": "c"},
        {"task": "support", "max_tokens": 1},
    ],
)
async def test_what_cannot_be_compared_is_not(serve, policy, fields):
    """No choice of routing, the baseline model itself, a turn of a conversation, an answer that was cut."""
    async with serve(policy=policy(ALL)) as service:
        await service.complete(**fields)
        await quiet(service)
        assert len(service.sim.bill.lines()) == 1


async def test_only_listed_tasks_are_compared(serve, policy):
    """A share of their calls; others by the share of all, if there is one."""
    shares = ALL.replace('"*" = "1"', 'support = "1"\nfaq = "0"')
    async with serve(policy=policy(shares)) as service:
        for task in ("faq", "summary", "support"):
            await service.complete(task=task)
        await quiet(service)
        assert [pair.task for pair in await listed(service)] == ["support"]


async def test_the_budget_of_a_day_ends_comparing(serve, policy):
    """What is likely to pass it is not sent; the call itself is answered all the same."""
    async with serve(policy=policy(ALL.replace("[shadow]", '[shadow]\ndaily_usd = "0.0001"'))) as service:
        assert (await service.complete(task="support")).text
        await quiet(service)
        assert len(service.sim.bill.lines()) == 1
        assert [line["error"] for line in service.lines("shadow_failed")] == ["BudgetSpent"]


async def test_a_provider_that_fails_costs_no_call(serve, policy):
    """There is no pair, and what may have been spent is at risk."""
    async with serve(policy=policy(ALL)) as service:
        service.sim.faults.add("malformed", match={"model": COMPLEX})
        assert (await service.complete(task="support")).model == SIMPLE
        await quiet(service)
        assert not await listed(service, 0)
        assert (await service.report()).at_risk.attempt_count == 1


@pytest.mark.parametrize(
    ("right", "preference"), [("yes", v1.PREFERENCE_BASELINE), ("no", v1.PREFERENCE_ANSWERED)]
)
async def test_a_judge_that_holds_its_opinion_teaches_the_local_score(serve, policy, right, preference):
    """It is asked in both orders; its cost has entries of its own, and both tiers get an outcome."""
    async with serve(policy=policy(ALL + JUDGE + LEARNED)) as service:
        text = known(service.sim, "Is it so?", 1, 1, 0)
        service.sim.questions.clear()
        prefers(service.sim, right)
        known(service.sim, text, 1, 1, 0)
        await service.complete(text, task="support")
        (pair,) = await listed(service)
        assert pair.preference == preference
        await quiet(service)
        entries = await service.booked(4)
        assert [entry.task for entry in entries].count("costsvc.judge") == 2
        judged = [json.loads(each.body) for each in service.sim.requests[2:]]
        shown = [json.loads(each["messages"][0]["content"]) for each in judged]
        assert [each["answer_a"] for each in shown] == ["no", "yes"]
        assert all("Which is right?" in each["system"] for each in judged)
        status = await service.admin.GetRouterStatus(v1.GetRouterStatusRequest())
        assert [(each.task, each.outcome_count) for each in status.tasks] == [("support", 1)]


@pytest.mark.parametrize("said", ["a", "Well, both."])
async def test_a_judge_that_goes_by_the_order_or_says_anything_else_teaches_nothing(serve, policy, said):
    """The pair is kept without an opinion."""
    async with serve(policy=policy(ALL + JUDGE + LEARNED)) as service:
        always = {"difficulty": "simple", "right": said, "wrong": [said], "rates": (1, 1, 1)}
        service.sim.questions.add(text="answer_a", **always)
        await service.complete(known(service.sim, "Is it so?", 1, 1, 0), task="support")
        (pair,) = await listed(service)
        await quiet(service)
        assert pair.preference == v1.PREFERENCE_UNSPECIFIED
        status = await service.admin.GetRouterStatus(v1.GetRouterStatusRequest())
        assert not status.tasks


async def test_pairs_belong_to_their_tenant_and_are_erased_with_it(serve, policy, refused):
    """Nobody else's list has them; pages follow each other."""
    async with serve(policy=policy(ALL)) as service:
        for n in range(3):
            await service.complete(f"Question {n}", task="support")
            await listed(service, n + 1)
        assert not await listed(service, 0, tenant="acme")
        request, asked = v1.ListPairsRequest(tenant="default", page_size=2), []
        while True:
            page = await service.admin.ListPairs(request)
            asked += [pair.asked for pair in page.pairs]
            if not page.next_page_token:
                break
            request.page_token = page.next_page_token
        assert asked == ["Question 0", "Question 1", "Question 2"]
        for last in ("", "yesterday", "2026-11-22T12:00:00"):
            token = urlsafe_b64encode(json.dumps(["pairs default", last]).encode()).decode()
            request.page_token = token
            if last:
                assert (await refused(service.admin.ListPairs(request))).violations.keys() == {"page_token"}
            else:
                assert len((await service.admin.ListPairs(request)).pairs) == 2
        erased = await service.admin.DeleteTenantData(v1.DeleteTenantDataRequest(tenant="default"))
        assert {each.kind: each.erased_count for each in erased.contents}["shadow_pairs"] == 1
        assert not await listed(service, 0)
