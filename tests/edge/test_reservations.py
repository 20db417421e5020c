"""Callers that reserve, call the provider themselves, and record: money is held as for Complete."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from costsvc import v1
from costsvc.core.budget import Budget, Kind, Mode, Scope
from costsvc.core.holds import Balance
from costsvc.core.request import Tier
from costsvc.core.windows import Calendar, Unit
from costsvc.edge import wiring
from costsvc.store import keys
from costsvc.store.budgets import BudgetBook
from costsvc.store.holds import Holds

Code = grpc.StatusCode
USAGE = b'{"input_tokens":20,"output_tokens":50}'
LONG_AGO = timedelta(days=2)


@pytest.fixture
def book(store) -> BudgetBook:
    """The definitions of the service's store."""
    return BudgetBook(store)


async def define(book: BudgetBook, **fields: Any) -> None:
    """Define a budget for a day, by default of a tenant each."""
    given = {"id": "b", "scope": Scope(Kind.EACH_TENANT), "window": Calendar(Unit.DAY, "UTC"), **fields}
    await book.put(Budget(**given), created_at=datetime.now(UTC) - LONG_AGO)


async def reserve(service, seconds: float = 60, *, tenant: str = "shop", **fields: Any) -> v1.RouteResponse:
    """Reserve for a small call."""
    duration = Duration()
    duration.FromTimedelta(timedelta(seconds=seconds))
    request = v1.RouteRequest(
        request=service.request("Why?", task="faq", **fields), include_body=True, reserve=duration
    )
    return await service.stub.Route(request, metadata=(("costsvc-tenant", tenant),))


async def record(service, hold_id: str, *, tenant: str = "shop", **fields: Any) -> v1.RecordResponse:
    """Record what a reservation was for."""
    given = {"model": "claude-haiku-5-5", "usage_json": USAGE, **fields}
    request = v1.RecordRequest(hold_id=hold_id, **given)
    return await service.stub.Record(request, metadata=(("costsvc-tenant", tenant),))


async def release(service, hold_id: str, *, tenant: str = "shop") -> v1.ReleaseResponse:
    """Free a reservation."""
    return await service.stub.Release(
        v1.ReleaseRequest(hold_id=hold_id), metadata=(("costsvc-tenant", tenant),)
    )


async def balance(book: BudgetBook) -> Balance:
    """Return what the one instance counts."""
    [(_, _, found)] = await book.balances("b", datetime.now(UTC))
    return found


async def expired(store, book: BudgetBook, at: datetime) -> None:
    """Let another process find, at a time, what has expired."""
    await Holds(store, owner="other").sweep(at)
    assert await balance(book)


async def test_a_reservation_is_held_recorded_and_counted_once(service, book, refused):
    """Its cost replaces the hold; the entry is the reservation's; a second Record names the entry."""
    await define(book, limit_nano_usd=10**9)
    routed = await reserve(service, labels={"team": "a"}, request_id="r-1", conversation_id="c-1")
    left = routed.hold_expire_time.ToDatetime(UTC) - datetime.now(UTC)
    assert timedelta(seconds=58) < left <= timedelta(seconds=61)
    assert routed.decision.model == "claude-haiku-5-5"
    assert routed.messages_json
    held = await balance(book)
    assert held.sum_w_nano_usd >= held.sum_q_nano_usd > 0
    booked = await record(service, routed.hold_id)
    assert await balance(book) == Balance(spent_nano_usd=booked.bill.cost_nano_usd)
    found = await refused(record(service, routed.hold_id))
    assert (found.code, found.reason) == (Code.ALREADY_EXISTS, "ALREADY_RECORDED")
    assert found.metadata == {"entry_id": booked.entry_id}
    [entry] = await service.booked()
    assert entry.attempt_id == routed.hold_id
    assert (entry.tenant, entry.labels, entry.task) == ("shop", {"team": "a"}, "faq")
    assert (entry.request_id, entry.conversation_id) == ("r-1", "c-1")
    assert entry.cost_nano_usd == booked.bill.cost_nano_usd > 0
    assert not service.sim.requests


async def test_reservations_are_refused_like_calls(service, book, refused):
    """A burst gets what there is room for, a refusal has its numbers; released money is free again."""
    estimate = await service.stub.Estimate(v1.EstimateRequest(request=service.request("Why?", task="faq")))
    worst = estimate.estimates[0].standard_cold.worst_nano_usd
    await define(book, limit_nano_usd=3 * worst, strict=True)
    outcomes = await asyncio.gather(*(reserve(service) for _ in range(8)), return_exceptions=True)
    holds = [each.hold_id for each in outcomes if isinstance(each, v1.RouteResponse)]
    assert len(set(holds)) == 3
    found = await refused(reserve(service))
    assert (found.code, found.reason) == (Code.RESOURCE_EXHAUSTED, "BUDGET_EXCEEDED")
    assert int(found.metadata["held_nano_usd"]) > 0
    for hold_id in holds:
        await release(service, hold_id)
    assert await balance(book) == Balance()
    assert (await reserve(service)).hold_id


async def test_a_full_soft_budget_caps_reservations_too(service, book):
    """The decision that comes back is the one that is held for."""
    await define(book, limit_nano_usd=1, mode=Mode.SOFT, cap_tier=Tier.SIMPLE)
    request = v1.RouteRequest(request=service.request(task="analysis"), reserve=Duration(seconds=5))
    routed = await service.stub.Route(request)
    assert (routed.decision.model, routed.messages_json) == ("claude-haiku-5-5", b"")
    assert (await release(service, routed.hold_id, tenant="default")) == v1.ReleaseResponse()


async def test_a_reservation_outlives_its_process_and_not_its_time(service, book, store):
    """A lease that ends changes nothing; past its time it is at risk, and a late bill settles it once."""
    await define(book, limit_nano_usd=10**9)
    routed = await reserve(service, 120)
    worst = (await balance(book)).sum_w_nano_usd
    ends = routed.hold_expire_time.ToDatetime(UTC)
    await expired(store, book, ends - timedelta(seconds=1))
    assert (await balance(book)).sum_w_nano_usd == worst
    await expired(store, book, ends + timedelta(seconds=1))
    assert await balance(book) == Balance(at_risk_nano_usd=worst)
    [risk] = (await service.admin.ListAtRisk(v1.ListAtRiskRequest())).attempts
    assert (risk.attempt_id, risk.reason) == (routed.hold_id, "reservation_expired")
    outcomes = await asyncio.gather(
        *(record(service, routed.hold_id) for _ in range(5)), return_exceptions=True
    )
    [booked] = [each for each in outcomes if isinstance(each, v1.RecordResponse)]
    assert await balance(book) == Balance(spent_nano_usd=booked.bill.cost_nano_usd)
    assert not (await service.admin.ListAtRisk(v1.ListAtRiskRequest())).attempts
    assert not await store.exists(keys.AT_RISK)


async def test_an_expired_reservation_can_be_released(service, book, store, refused):
    """Its caller knows that nothing was spent; a repetition finds nothing."""
    await define(book, limit_nano_usd=10**9)
    routed = await reserve(service, 1)
    await expired(store, book, datetime.now(UTC) + timedelta(seconds=5))
    await release(service, routed.hold_id)
    assert await balance(book) == Balance()
    fresh = await reserve(service)
    await release(service, fresh.hold_id)
    found = await refused(release(service, fresh.hold_id))
    assert (found.code, found.reason) == (Code.NOT_FOUND, "UNKNOWN_HOLD")
    assert (found.metadata, found.resource) == ({"hold_id": fresh.hold_id}, fresh.hold_id)
    found = await refused(record(service, fresh.hold_id))
    assert found.reason == "UNKNOWN_HOLD"


@pytest.mark.parametrize("said", [{"not_spent": True}, {"usage": {"model": "claude-opus-5-5"}}])
async def test_a_record_after_a_resolution_has_the_last_word(service, book, store, said):
    """Whatever an operator has said of an expired reservation, its bill is what counts in the end."""
    await define(book, limit_nano_usd=10**9)
    routed = await reserve(service, 1)
    await expired(store, book, datetime.now(UTC) + timedelta(seconds=5))
    if "usage" in said:
        said = {"usage": v1.AttemptUsage(model="claude-opus-5-5", usage_json=USAGE)}
    await service.admin.ResolveAtRisk(v1.ResolveAtRiskRequest(attempt_id=routed.hold_id, **said))
    booked = await record(service, routed.hold_id)
    assert await balance(book) == Balance(spent_nano_usd=booked.bill.cost_nano_usd)
    report = await service.report(tenant="shop")
    assert report.totals.bill.cost_nano_usd == booked.bill.cost_nano_usd
    assert report.totals.call_count == 1


async def test_a_record_that_contradicts_its_reservation_is_refused(service, book, refused):
    """Each field is named, and nothing is booked; the same values again are fine."""
    await define(book, limit_nano_usd=10**9)
    own = {"labels": {"team": "a"}, "request_id": "r-1", "conversation_id": "c-1"}
    routed = await reserve(service, model="claude-haiku-5-5", **own)
    for field, value in (
        ("labels", {"team": "b"}),
        ("labels", {"team": "a", "floor": "3"}),
        ("task", "summary"),
        ("conversation_id", "c-2"),
        ("request_id", "r-2"),
        ("requested_model", "claude-opus-5-5"),
        ("start_time", Timestamp(seconds=1)),
    ):
        found = await refused(record(service, routed.hold_id, **{field: value}))
        assert (found.code, found.reason) == (Code.INVALID_ARGUMENT, "HOLD_MISMATCH")
        assert list(found.violations) == [field]
    early = Timestamp(seconds=1)
    assert list((await refused(record(service, routed.hold_id, end_time=early))).violations) == ["end_time"]
    assert not await service.entries()
    await record(service, routed.hold_id, requested_model="claude-haiku-5-5", task="faq", **own)
    assert len(await service.booked()) == 1


async def test_a_reservation_is_its_tenants_own(service, refused):
    """Nobody else can end it, or learn of it; nor can an attempt of the service's own be recorded."""
    routed = await reserve(service)
    made = routed.hold_id.partition(".")[0]
    for hold_id, tenant in (
        (routed.hold_id, "other"),
        (f"{made}.1", "shop"),
        ("nonsense", "shop"),
        (f"zz{made[2:]}.0", "shop"),
        ("ffffffffffff.0", "shop"),
        (f"{'0' * 32}.0", "shop"),
    ):
        for call in (record, release):
            found = await refused(call(service, hold_id, tenant=tenant))
            assert (found.code, found.reason) == (Code.NOT_FOUND, "UNKNOWN_HOLD")
    await release(service, routed.hold_id)


@pytest.mark.parametrize("seconds", [0, 0.5, 3601, -1])
async def test_a_reservation_is_from_a_second_to_an_hour_long(service, refused, seconds):
    """Other times are refused by field."""
    found = await refused(reserve(service, seconds))
    assert (found.code, list(found.violations)) == (Code.INVALID_ARGUMENT, ["reserve"])


async def test_what_makes_no_sense_is_refused(service, refused):
    """A Record without any id, and a reservation in a batch, whose other items are decided."""
    request = v1.RecordRequest(model="claude-haiku-5-5", usage_json=USAGE)
    assert (await refused(service.stub.Record(request))).reason == "INVALID_FIELD"
    assert list((await refused(service.stub.Release(v1.ReleaseRequest()))).violations) == ["hold_id"]
    good = v1.RouteRequest(request=service.request())
    bad = v1.RouteRequest(request=service.request(), reserve=Duration(seconds=5))
    batch = await service.stub.BatchRoute(v1.BatchRouteRequest(requests=[good, bad]))
    assert batch.results[0].response.decision.model
    assert "reserve" in batch.results[1].error.message


async def test_ids_that_are_made_around_midnight_are_found(service, monkeypatch):
    """An id is a little younger than its reservation, which may lie on another day."""
    original = wiring.new_id
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)

    class Eve:
        def now(self) -> datetime:
            return midnight - timedelta(milliseconds=5)

        def monotonic(self) -> float:
            return 0.0

    reserving = service.running.parts.servicer._reserving
    monkeypatch.setattr(reserving, "_clock", Eve())
    monkeypatch.setattr(
        reserving,
        "_new_id",
        lambda: f"{int(midnight.timestamp() * 1000):012x}{original()[12:]}",
    )
    routed = await reserve(service, 3600)
    monkeypatch.undo()
    await record(service, routed.hold_id)
