"""Hard budgets hold for concurrent callers: nothing passes them, and what they refuse spends nothing."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import grpc
import pytest

from costsvc import v1
from costsvc.core.budget import Budget, Kind, Mode, Scope
from costsvc.core.request import Tier
from costsvc.core.windows import Calendar, Rolling, Unit
from costsvc.store.budgets import BudgetBook

DAY = Calendar(Unit.DAY, "UTC")


@pytest.fixture
def book(store) -> BudgetBook:
    """The definitions of the service's store."""
    return BudgetBook(store)


async def define(book: BudgetBook, **fields) -> Budget:
    """Define a budget over everything, by default a strict one for a day."""
    given = {"id": "b", "scope": Scope(Kind.EVERYTHING), "window": DAY, "strict": True, **fields}
    budget = Budget(**given)
    await book.put(budget, created_at=datetime.now(UTC) - timedelta(days=2))
    return budget


async def outcomes(calls) -> list[str]:
    """Return OK or the name of the status of each call."""
    found = await asyncio.gather(*calls, return_exceptions=True)
    for one in found:
        if isinstance(one, BaseException) and not isinstance(one, grpc.aio.AioRpcError):
            raise one
    return [one.code().name if isinstance(one, grpc.aio.AioRpcError) else "OK" for one in found]


async def worst_of(service, text: str) -> int:
    """Return what a call can cost at most."""
    estimate = await service.stub.Estimate(v1.EstimateRequest(request=service.request(text, task="faq")))
    return estimate.estimates[0].standard_cold.worst_nano_usd


async def test_a_burst_gets_what_there_is_room_for(service, book):
    """Of 20 calls at once, with room for exactly 5, 5 reach the provider; the others spend nothing."""
    text = "What is the meaning of this?"
    service.sim.settings.first_byte_s = 0.3
    await define(book, limit_nano_usd=5 * await worst_of(service, text))
    found = await outcomes([service.complete(text, task="faq") for _ in range(20)])
    assert sorted(found) == ["OK"] * 5 + ["RESOURCE_EXHAUSTED"] * 15
    assert len(service.sim.bill.lines()) == 5


async def test_a_refusal_says_what_is_spent_and_when_there_is_room_again(service, book, refused):
    """The details are data: limit, spent, held, at risk, and when the window ends."""
    await define(book, limit_nano_usd=1)
    found = await refused(service.complete(task="faq"))
    assert (found.code.name, found.reason) == ("RESOURCE_EXHAUSTED", "BUDGET_EXCEEDED")
    assert found.metadata["budget_id"] == "b"
    assert found.metadata["limit_nano_usd"] == "1"
    assert not service.sim.requests


async def test_spend_frees_what_it_did_not_need(service, book):
    """A settled call counts by its bill, not by its hold: calls go on until the money is really spent."""
    limit = 2 * await worst_of(service, "Why?")
    await define(book, limit_nano_usd=limit)
    spent = 0
    for _ in range(3):
        spent += (await service.complete("Why?", task="classification")).bill.cost_nano_usd
    assert 0 < spent <= limit
    [(_, _, balance)] = await book.balances("b", datetime.now(UTC))
    assert (balance.spent_nano_usd, balance.sum_q_nano_usd, balance.sum_w_nano_usd) == (spent, 0, 0)


@pytest.mark.parametrize("scope", [Scope(Kind.EACH_TENANT), Scope(Kind.EACH_LABEL, "team")])
async def test_a_template_is_a_budget_of_its_own_for_each(service, book, scope):
    """One tenant, or one team, that has nothing left does not stop the next."""
    await define(
        book, scope=scope, limit_nano_usd=await worst_of(service, "Why?"), window=Rolling(timedelta(hours=1))
    )
    service.sim.settings.first_byte_s = 0.2

    def call(name: str):
        metadata = (("costsvc-tenant", name),)
        return service.complete("Why?", task="faq", labels={"team": name}, options={"metadata": metadata})

    found = await outcomes([call(name) for name in ("a", "b") for _ in range(3)])
    assert found.count("OK") == 2


async def test_a_failed_attempt_frees_its_hold(service, book):
    """Errors of the provider cost nothing, so they take no room."""
    await define(book, limit_nano_usd=await worst_of(service, "Why?"))
    for _ in range(3):
        service.sim.faults.add("error", status=400)
        assert await outcomes([service.complete("Why?", task="faq")]) == ["INVALID_ARGUMENT"]
    assert await outcomes([service.complete("Why?", task="faq")]) == ["OK"]


async def test_a_lost_answer_is_at_risk_until_it_is_known(service, book):
    """Its worst counts against the budget, apart from what was spent."""
    await define(book, limit_nano_usd=100 * await worst_of(service, "Why?"))
    service.sim.faults.add("cut_mid_stream", count=None)
    assert await outcomes([service.complete("Why?", task="faq", model="claude-haiku-5-5")]) == ["UNAVAILABLE"]
    [(_, _, balance)] = await book.balances("b", datetime.now(UTC))
    billed = sum(-(-line.pico_usd // 1000) for line in service.sim.bill.lines())
    assert balance.at_risk_nano_usd >= billed > 0
    assert balance.sum_w_nano_usd == 0


async def test_soft_and_shadow_budgets_let_calls_by(service, book):
    """A soft one caps the tier where it says so; a shadow one only counts."""
    await define(book, id="soft", limit_nano_usd=1, mode=Mode.SOFT, strict=False, cap_tier=Tier.SIMPLE)
    await define(book, id="shadow", limit_nano_usd=1, mode=Mode.SHADOW, strict=False)
    answer = await service.complete(task="analysis")
    assert answer.model == "claude-haiku-5-5"
    assert (await service.complete(task="analysis", model="claude-opus-5-5")).model == "claude-opus-5-5"


async def test_a_cost_without_a_bound_is_refused_under_a_hard_budget(service, book, refused):
    """Server tools without max_uses can cost anything."""
    await define(book, limit_nano_usd=9_000_000 * 10**9)
    body = {
        "max_tokens": 10,
        "messages": [{"role": "user", "content": "hi"}],
        "tools": [{"type": "web_search_20250305", "name": "web_search"}],
    }
    found = await refused(service.complete(body=body))
    assert (found.code.name, found.reason) == ("FAILED_PRECONDITION", "BUDGET_UNBOUNDED")
    assert not service.sim.requests
