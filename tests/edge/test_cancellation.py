"""Callers who leave a stream: its rest is read where that is cheap or wanted, and closed otherwise."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta

import grpc
import pytest

from costsvc import v1
from costsvc.app.audience import Audience
from costsvc.core.budget import Budget, Kind, Scope
from costsvc.core.holds import Balance
from costsvc.core.windows import Calendar, Unit
from costsvc.store.budgets import BudgetBook
from tests.policies import uncached

DEAR = {"model": "claude-opus-5-5", "task": "analysis"}  # 4,096 tokens at $20 a million: $0.08


async def leave_after(service, deltas: int, **fields) -> None:
    """Begin a stream, read some pieces of it, and go."""
    request = v1.StreamCompleteRequest(request=service.request(**fields))
    call = service.stub.StreamComplete(request)
    assert (await call.read()).WhichOneof("event") == "started"
    while deltas:
        deltas -= (await call.read()).WhichOneof("event") == "text_delta"
    call.cancel()
    assert (await service.line())["outcome"] == "cancelled"


async def ended(service) -> None:
    """Wait until nothing is in flight."""
    while len(service.running.parts.in_flight):  # noqa: ASYNC110 - the set has no event
        await asyncio.sleep(0.002)


async def billed(service) -> int:
    """Wait until the provider has noticed, and return the bill of the one call."""
    while True:
        [before] = service.bill().values()
        await asyncio.sleep(0.05)  # several tokens' time
        if service.bill() == {next(iter(service.bill())): before}:
            return before


async def risks(service) -> list[v1.AtRisk]:
    """Return what is at risk."""
    return list((await service.admin.ListAtRisk(v1.ListAtRiskRequest())).attempts)


@pytest.mark.parametrize("pieces", [1, 8])
async def test_a_dear_stream_is_closed_and_its_bill_lies_within_the_bounds(service, store, pieces):
    """The provider stops soon, the budget counts the upper bound, and the hold is gone."""
    book = BudgetBook(store)
    day = Budget(id="b", scope=Scope(Kind.EVERYTHING), window=Calendar(Unit.DAY, "UTC"), limit_nano_usd=10**9)
    await book.put(day, created_at=datetime.now(UTC) - timedelta(days=2))
    service.sim.settings.token_s = 0.005
    await leave_after(service, pieces, **DEAR)
    await ended(service)
    [risk] = await risks(service)
    assert risk.reason == "caller_gone"
    [charged] = service.sim.bill.lines()
    assert 0 < risk.lower_nano_usd <= await billed(service) <= risk.upper_nano_usd
    assert not charged.complete
    assert service.bill().keys() == {risk.attempt_id}
    [(_, _, balance)] = await book.balances("b", datetime.now(UTC))
    assert balance == Balance(at_risk_nano_usd=risk.upper_nano_usd)
    assert not await service.entries()
    assert len(service.sim.requests) == 1
    assert (await service.line("attempt_unsettled"))["failure"] == "caller_gone"


async def test_a_stream_that_has_only_begun_lies_within_the_bounds(service):
    """Before there is output nothing is certain to be billed; at most it is what max_tokens allows."""
    body = {
        "model": "claude-opus-5-5",
        "max_tokens": 20_000,
        "messages": [{"role": "user", "content": "How does a bicycle stay upright? " * 50}],
    }
    service.sim.faults.add("hang", after_events=2)
    await leave_after(service, 0, body=body)
    await ended(service)
    [risk] = await risks(service)
    assert risk.lower_nano_usd <= max(service.bill().values()) <= risk.upper_nano_usd


async def test_a_cheap_rest_is_read_and_booked(service):
    """The same stream on the smallest model, whose end costs less than it is worth knowing."""
    service.sim.settings.token_s = 0.001
    await leave_after(service, 2, task="faq")
    [entry] = await service.booked()
    assert {entry.attempt_id: entry.cost_nano_usd} == service.bill()
    assert not await risks(service)


@pytest.mark.parametrize(("limit", "closes"), [("0", True), ("0.1", False)])
async def test_the_policy_says_what_is_cheap(serve, tmp_path, limit, closes):
    """With 0 every stream is closed, with 10 cents none of these."""
    policy = tmp_path / "policy.toml"
    policy.write_text(uncached().replace('"0.05"', f'"{limit}"'))
    async with serve(policy=policy) as service:
        service.sim.settings.token_s = 0.001
        await leave_after(service, 2, **(DEAR if not closes else {"task": "faq"}))
        await ended(service)
        assert (len(await risks(service)), len(await service.entries())) == (closes, not closes)


async def test_a_silent_stream_is_closed_at_once(service):
    """Closing does not wait for the provider's next word."""
    service.sim.faults.add("hang", after_events=2)
    await leave_after(service, 0, **DEAR)
    async with asyncio.timeout(2):
        await ended(service)
    assert [risk.reason for risk in await risks(service)] == ["caller_gone"]


async def test_who_else_wants_the_answer_keeps_it_coming(service, monkeypatch):
    """One of two leaves, and the stream is read to its end for the other."""
    both: list[Audience] = []
    original = Audience.__init__

    def joined(audience: Audience) -> None:
        original(audience)
        member = audience.member()
        member.__enter__()
        both.append(audience)
        audience.kept = member

    monkeypatch.setattr(Audience, "__init__", joined)
    service.sim.settings.token_s = 0.001
    await leave_after(service, 2, **DEAR)
    [entry] = await service.booked()
    assert {entry.attempt_id: entry.cost_nano_usd} == service.bill()
    assert not both[0].is_gone


async def test_a_long_unary_call_is_closed_like_a_stream(service):
    """Above the longest unary answer the provider is asked for a stream, so it can be closed."""
    service.sim.settings.token_s = 0.005
    body = {
        "model": "claude-opus-5-5",
        "max_tokens": 30_000,
        "messages": [{"role": "user", "content": "How does a bicycle stay upright?"}],
    }
    request = v1.CompleteRequest(request=v1.Request(messages_json=json.dumps(body).encode()))
    call = service.stub.Complete(request)
    while not service.sim.bill.lines():  # noqa: ASYNC110 - the bill has no event
        await asyncio.sleep(0.002)
    call.cancel()
    await ended(service)
    [risk] = await risks(service)
    assert risk.lower_nano_usd <= await billed(service) <= risk.upper_nano_usd


async def test_nobody_gone_is_tried_again_for(service):
    """A failure after the caller has gone ends the call: a further attempt would be for nobody."""
    service.sim.settings.first_byte_s = 0.2
    service.sim.faults.add("error", status=529, count=None)
    call = service.stub.Complete(v1.CompleteRequest(request=service.request(task="faq")))
    while not service.sim.requests:  # noqa: ASYNC110 - nor have requests
        await asyncio.sleep(0.002)
    call.cancel()
    assert (await service.line())["outcome"] == "cancelled"
    await ended(service)
    assert len(service.sim.requests) == 1


async def test_leaving_the_service_waits_for_a_rest_that_is_read(serve):
    """A stop comes while a stream is drained for nobody: its bill is booked all the same."""
    async with serve() as service:
        service.sim.settings.token_s = 0.002
        await leave_after(service, 1, task="faq")
        assert len(service.running.parts.in_flight) == 1
    [entry] = await service.entries()
    assert {entry.attempt_id: entry.cost_nano_usd} == service.bill()
    assert [line["unfinished_calls"] for line in service.lines("stopped")] == [0]


async def test_a_broken_stream_is_at_risk_within_what_was_seen(service):
    """A stream that breaks off has bounds too: its prompt is known, and its answer had a limit."""
    service.sim.faults.add("cut_mid_stream", after_events=8)
    with pytest.raises(grpc.aio.AioRpcError):
        await service.stream(**DEAR)
    [risk] = await risks(service)
    [cost] = service.bill().values()
    assert 0 < risk.lower_nano_usd <= cost <= risk.upper_nano_usd
