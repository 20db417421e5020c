"""Tests of who pays: the tenant of a call, what tenants see of each other, and what one may take."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from costsvc import v1

KEY = "costsvc-tenant"


@pytest.mark.parametrize(
    ("metadata", "tenant"),
    [((), "default"), (((KEY, "a.b-c_9"),), "a.b-c_9"), (((KEY, "x" * 64),), "x" * 64)],
)
async def test_a_caller_names_its_tenant(service, metadata, tenant):
    """Without a name the tenant is `default`; entry and log line have it."""
    await service.complete(options={"metadata": metadata})
    assert [entry.tenant for entry in await service.booked()] == [tenant]
    assert [line["tenant"] for line in service.lines()] == [tenant]


async def test_a_name_that_is_none_is_refused(service, refused):
    """A tenant has one name, of a few harmless characters."""
    for values in (["Upper"], ["a b"], [""], ["x" * 65], ["a/b"], ["a", "a"], ["a", "b"]):
        metadata = tuple((KEY, value) for value in values)
        for call in (service.complete(options={"metadata": metadata}), service.report(tenant="A")):
            found = await refused(call)
            assert (found.reason, list(found.violations)) == ("INVALID_FIELD", [KEY])
    assert await service.untouched()


async def test_tenants_do_not_see_each_other(service):
    """A report has the calling tenant's entries and no other's."""
    for tenant, count in (("a", 1), ("b", 2)):
        for _ in range(count):
            await service.complete(options={"metadata": ((KEY, tenant),)}, labels={"team": tenant})
    fields = {"group_by": v1.GROUP_BY_LABEL, "label_key": "team"}
    reports = [await service.report(tenant=tenant, **fields) for tenant in ("a", "b", "c")]
    assert [report.totals.call_count for report in reports] == [1, 2, 0]
    assert [[row.group for row in report.rows] for report in reports] == [["a"], ["b"], []]


async def running(service, count: int) -> None:
    """Wait until so many calls have reached the provider."""
    while len(service.sim.requests) < count:  # noqa: ASYNC110 - the simulator has no event
        await asyncio.sleep(0.002)


LIMITS = {
    "calls": {"max_calls": 2},
    "calls of this tenant": {"max_calls_per_tenant": 2},
    "bytes": {"max_bytes": 2_500},
    "bytes of this tenant": {"max_bytes_per_tenant": 2_500},
}


@pytest.mark.parametrize(("limit", "admission"), LIMITS.items(), ids=LIMITS)
async def test_a_flood_is_refused_before_it_costs_anything(serve, refused, limit, admission):
    """What is beyond a limit may be tried again elsewhere; health answers, and room comes back."""
    async with serve(admission=admission) as service:
        service.sim.settings.first_byte_s = 0.3
        held = [asyncio.ensure_future(service.complete("x" * 1_000)) for _ in range(2)]
        await running(service, 2)
        found = await refused(service.complete("x" * 1_000))
        assert (found.code, found.reason) == (grpc.StatusCode.UNAVAILABLE, "OVERLOADED")
        assert (found.metadata, found.pushback, found.retry_s) == ({"limit": limit}, "250", 0.25)
        health = health_pb2_grpc.HealthStub(service.channel)
        assert (await health.Check(health_pb2.HealthCheckRequest())).status == 1
        if limit.endswith("tenant"):
            await service.complete("x" * 1_000, options={"metadata": ((KEY, "other"),)})
        await asyncio.gather(*held)
        await service.complete("x" * 1_000)
        assert len(await service.entries()) == (4 if limit.endswith("tenant") else 3)


async def test_reflection_lists_the_services(service):
    """Tools find the API without its files."""
    stub = reflection_pb2_grpc.ServerReflectionStub(service.channel)
    asked = reflection_pb2.ServerReflectionRequest(list_services="")
    call = stub.ServerReflectionInfo(iter([asked]))
    [answer] = [answer async for answer in call]
    assert {found.name for found in answer.list_services_response.service} == {
        "costsvc.v1.CostService",
        "costsvc.v1.AdminService",
        "costsvc.v1.BatchService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }


async def test_a_batch_answers_in_order_each_with_its_own_status(service, unpacked):
    """One bad request does not fail the others."""
    fine = service.request(task="faq")
    requests = [fine, v1.Request(), fine, service.request(body=b'{"x":NaN}'), service.request(model="gpt-4o")]
    routed = await service.stub.BatchRoute(
        v1.BatchRouteRequest(requests=[v1.RouteRequest(request=r, include_body=True) for r in requests])
    )
    estimated = await service.stub.BatchEstimate(
        v1.BatchEstimateRequest(requests=[v1.EstimateRequest(request=r) for r in requests])
    )
    for results in (routed.results, estimated.results):
        kinds = [result.WhichOneof("result") for result in results]
        assert kinds == ["response", "error", "response", "error", "error"]
        errors = [unpacked(result.error) for result in results if result.HasField("error")]
        assert [error["reason"] for error in errors] == ["INVALID_FIELD", "INVALID_FIELD", "UNKNOWN_MODEL"]
        assert [list(error["violations"]) for error in errors] == [["request"], ["request.messages_json"], []]
    assert routed.results[0].response == (await service.route(task="faq", include_body=True))
    assert await service.untouched()


async def test_a_batch_lets_others_pass(service):
    """A call that comes after a long batch is answered before it."""
    turns = [{"role": "user", "content": "hi"}] * 4_000
    item = v1.RouteRequest(request=service.request(body={"messages": turns}))
    answered: list[str] = []
    batch = service.stub.BatchRoute(v1.BatchRouteRequest(requests=[item] * 100))
    batch.add_done_callback(lambda _: answered.append("batch"))
    await service.route()
    answered.append("route")
    await batch
    assert answered == ["route", "batch"]


async def test_a_batch_has_a_size(service, refused):
    """None, or more than 256, are refused as a whole."""
    for count in (0, 257):
        requests = [v1.RouteRequest(request=service.request())] * count
        found = await refused(service.stub.BatchRoute(v1.BatchRouteRequest(requests=requests)))
        assert list(found.violations) == ["requests"]
