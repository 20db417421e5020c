"""Tests of what a tenant has beside entries: money at risk in reports, and contents that can be erased."""

from __future__ import annotations

import grpc
import pytest

from costsvc import v1
from costsvc.core.response_key import Scope
from costsvc.store import keys


def of_tenant(tenant: str) -> dict[str, tuple[tuple[str, str], ...]]:
    """Return the options of a call for a tenant."""
    return {"metadata": (("costsvc-tenant", tenant),)}


async def test_what_is_at_risk_stands_apart_in_a_report(service):
    """Its bounds are in no sum, belong to the tenant, and go when the risk is resolved."""
    service.sim.faults.add("cut_mid_stream")
    with pytest.raises(grpc.aio.AioRpcError):
        await service.stream(model="claude-haiku-5-5", options=of_tenant("acme"))
    [risk] = (await service.admin.ListAtRisk(v1.ListAtRiskRequest())).attempts
    report = await service.report(tenant="acme")
    assert report.at_risk.attempt_count == 1
    assert report.at_risk.lower_nano_usd == risk.lower_nano_usd
    assert report.at_risk.upper_nano_usd == risk.upper_nano_usd > 0
    assert report.totals.bill.cost_nano_usd == 0
    assert (await service.report(tenant="other")).at_risk == v1.AtRiskTotals()
    await service.admin.ResolveAtRisk(v1.ResolveAtRiskRequest(attempt_id=risk.attempt_id, not_spent=True))
    assert (await service.report(tenant="acme")).at_risk == v1.AtRiskTotals()


async def erase(service, tenant: str) -> dict[str, int]:
    """Erase a tenant's contents, and return how many of each kind there were."""
    response = await service.admin.DeleteTenantData(v1.DeleteTenantDataRequest(tenant=tenant))
    return {content.kind: content.erased_count for content in response.contents}


async def test_contents_are_erased_and_money_stays(service, store):
    """Every kind of content goes, also of many, nobody else's, and doing it again finds nothing."""
    await service.complete(options=of_tenant("acme"), labels={"team": "a"})
    [entry] = await service.booked()
    before = await service.report(tenant="acme")
    kinds = keys.contents("acme")
    found = {}
    for kind, patterns in kinds.items():
        names = {pattern.replace("*", f"n:1:{number}") for pattern in patterns for number in range(1_500)}
        await store.mset(dict.fromkeys(names, "x"))
        found[kind] = len(names)
    others = [
        keys.stored_answer(Scope(tenant=name, namespace="n", epoch=1).prefix, "f")
        for name in ("acme2", "b.acme", "acm")
    ]
    await store.mset(dict.fromkeys(others, "x"))
    assert await erase(service, "acme") == found | {"answered_prompts": 0}
    assert not any((await erase(service, "acme")).values())
    assert await store.exists(*others) == len(others)
    assert await service.entries() == [entry]
    assert await service.report(tenant="acme") == before


async def test_a_tenant_needs_a_name_that_can_be_one(service, refused):
    """A pattern's characters are in no name, so no erasure reaches further than it says."""
    for name in ("", "*", "a*", "a b", "A"):
        found = await refused(service.admin.DeleteTenantData(v1.DeleteTenantDataRequest(tenant=name)))
        assert (found.reason, list(found.violations)) == ("INVALID_FIELD", ["tenant"])
