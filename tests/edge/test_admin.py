"""Tests of AdminService: budgets, money at risk, and who may administer them."""

from __future__ import annotations

import socket
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest

from costsvc import v1
from costsvc.core.money import NANO_PER_USD
from costsvc.edge.peers import is_local

Code = grpc.StatusCode
EVERYTHING = {"kind": "BUDGET_KIND_EVERYTHING"}
DAY = {"calendar": {"unit": "CALENDAR_UNIT_DAY"}}
HAIKU = "claude-haiku-5-5"


def budget(**fields: Any) -> v1.Budget:
    """Return a definition: everything, by day, $5, unless said otherwise."""
    return v1.Budget(**{"id": "b", "scope": EVERYTHING, "window": DAY, "limit_nano_usd": 5 * 10**9, **fields})


async def put(service: Any, **fields: Any) -> v1.Budget:
    """Set a budget, and return it as it is kept."""
    return (await service.admin.SetBudget(v1.SetBudgetRequest(budget=budget(**fields)))).budget


async def get(service: Any, budget_id: str = "b", **fields: Any) -> Any:
    """Return a budget's status."""
    return (await service.admin.GetBudget(v1.GetBudgetRequest(id=budget_id, **fields))).status


async def lose_one(service: Any, **fields: Any) -> v1.AtRisk:
    """Let the provider cut a stream off, and return the attempt as it is at risk then."""
    service.sim.faults.add("cut_mid_stream")
    with pytest.raises(grpc.aio.AioRpcError):
        await service.stream(model=HAIKU, **fields)
    [risk] = (await service.admin.ListAtRisk(v1.ListAtRiskRequest())).attempts
    return risk


async def test_a_budget_is_kept_with_its_defaults_written_out(service):
    """What is kept is what was said, and what was not said is shown."""
    kept = await put(service)
    assert kept.mode == v1.BUDGET_MODE_HARD
    assert kept.overshoot_permille == 50
    assert list(kept.thresholds_permille) == [500, 800, 950, 1000]
    assert kept.window.calendar.zone == "UTC"
    assert (await get(service)).budget == kept


@pytest.mark.parametrize(
    "fields",
    [
        {"scope": {"kind": "BUDGET_KIND_TENANT", "value": "acme"}, "strict": True},
        {"scope": {"kind": "BUDGET_KIND_LABEL", "key": "team", "value": "Größe 1"}, "overshoot_permille": 0},
        {"scope": {"kind": "BUDGET_KIND_MODEL", "value": HAIKU}, "mode": "BUDGET_MODE_SHADOW"},
        {"scope": {"kind": "BUDGET_KIND_EACH_TENANT"}, "mode": "BUDGET_MODE_SOFT", "cap_tier": "TIER_SIMPLE"},
        {"scope": {"kind": "BUDGET_KIND_EACH_LABEL", "key": "team"}, "thresholds_permille": [1, 10_000]},
        {"window": {"calendar": {"unit": "CALENDAR_UNIT_MONTH", "zone": "Europe/Berlin"}}},
        {"window": {"duration": timedelta(hours=36)}, "limit_nano_usd": 9_000_000 * NANO_PER_USD},
    ],
)
async def test_every_kind_of_budget_comes_back_as_it_was_set(service, fields):
    """Scope, window, mode, bounds and thresholds survive the store."""
    given = budget(**fields)
    kept = await put(service, **fields)
    for name in fields:
        assert getattr(kept, name) == getattr(given, name)
    assert (await get(service)).budget == kept


async def test_the_alias_of_a_model_is_kept_as_its_id(service):
    """Calls have ids, so a budget has one too."""
    kept = await put(service, scope={"kind": "BUDGET_KIND_MODEL", "value": "claude-haiku-5-5"})
    assert kept.scope.value == HAIKU


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"id": "No Id"}, "budget.id"),
        ({"scope": None}, "budget.scope"),
        ({"scope": {}}, "budget.scope.kind"),
        ({"scope": {"kind": "BUDGET_KIND_TENANT", "value": "No Tenant"}}, "budget.scope.value"),
        ({"scope": {"kind": "BUDGET_KIND_MODEL", "value": "claude-none"}}, "budget.scope.value"),
        ({"scope": {**EVERYTHING, "value": "x"}}, "budget.scope.value"),
        ({"scope": {**EVERYTHING, "key": "team"}}, "budget.scope.key"),
        ({"scope": {"kind": "BUDGET_KIND_EACH_LABEL", "key": "No Key"}}, "budget.scope.key"),
        ({"window": None}, "budget.window"),
        ({"window": {}}, "budget.window.window"),
        ({"window": {"calendar": {}}}, "budget.window.calendar.unit"),
        (
            {"window": {"calendar": {"unit": "CALENDAR_UNIT_DAY", "zone": "Mars/Phobos"}}},
            "budget.window.calendar.zone",
        ),
        ({"window": {"duration": timedelta(seconds=59)}}, "budget.window.duration"),
        ({"window": {"duration": timedelta(seconds=61)}}, "budget.window.duration"),
        ({"window": {"duration": timedelta(days=367)}}, "budget.window.duration"),
        ({"limit_nano_usd": 0}, "budget.limit_nano_usd"),
        ({"limit_nano_usd": 9_000_000 * NANO_PER_USD + 1}, "budget.limit_nano_usd"),
        ({"mode": 9}, "budget.mode"),
        ({"overshoot_permille": 1001}, "budget.overshoot_permille"),
        ({"thresholds_permille": [0]}, "budget.thresholds_permille[0]"),
        ({"thresholds_permille": [800, 500]}, "budget.thresholds_permille"),
        ({"cap_tier": "TIER_SIMPLE"}, "budget.cap_tier"),
        ({"cap_tier": 9}, "budget.cap_tier"),
    ],
)
async def test_what_is_wrong_with_a_budget_is_named_by_field(service, refused, fields, field):
    """The path is the message's, whoever found the mistake; nothing is kept."""
    found = await refused(put(service, **fields))
    assert (found.code, found.reason) == (Code.INVALID_ARGUMENT, "INVALID_FIELD")
    assert field in found.violations
    assert not (await service.admin.ListBudgets(v1.ListBudgetsRequest())).budgets


async def test_replacing_a_budget_keeps_what_is_spent(service):
    """A new limit applies to the money that is spent already, at once."""
    await put(service)
    cost = (await service.complete()).bill.cost_nano_usd
    await put(service, limit_nano_usd=cost, mode="BUDGET_MODE_SOFT")
    [balance] = (await get(service)).balances
    assert (balance.spent_nano_usd, balance.remaining_nano_usd) == (cost, 0)


async def test_a_budget_shows_its_window_and_what_is_left(service):
    """Before the first call everything is left; afterwards, what the call cost is not."""
    await put(service)
    [before] = (await get(service)).balances
    assert before.remaining_nano_usd == 5 * NANO_PER_USD
    cost = (await service.complete()).bill.cost_nano_usd
    [after] = (await get(service)).balances
    assert (after.spent_nano_usd, after.remaining_nano_usd) == (cost, 5 * NANO_PER_USD - cost)
    assert (after.held_nano_usd, after.held_worst_nano_usd, after.at_risk_nano_usd) == (0, 0, 0)
    start, end = after.window_start_time.ToDatetime(UTC), after.window_end_time.ToDatetime(UTC)
    assert start <= datetime.now(UTC) < end == start + timedelta(days=1)


async def test_a_template_shows_a_page_of_those_that_called(service):
    """Each tenant that called has its balance, by name; nobody else has one."""
    await put(service, scope={"kind": "BUDGET_KIND_EACH_TENANT"})
    assert not (await get(service)).balances
    for tenant in ("c", "a", "b"):
        await service.complete(options={"metadata": (("costsvc-tenant", tenant),)})
    request = v1.GetBudgetRequest(id="b", page_size=2)
    first = await service.admin.GetBudget(request)
    request.page_token = first.next_page_token
    second = await service.admin.GetBudget(request)
    pages = [[balance.instance for balance in page.status.balances] for page in (first, second)]
    assert pages == [["a", "b"], ["c"]]
    assert not second.next_page_token


async def test_budgets_are_listed_by_id_in_pages(service, refused):
    """Every budget once; a token is good for its own list only."""
    for name in ("b", "a", "c"):
        await put(service, id=name)
    first = await service.admin.ListBudgets(v1.ListBudgetsRequest(page_size=2))
    rest = v1.ListBudgetsRequest(page_size=2, page_token=first.next_page_token)
    second = await service.admin.ListBudgets(rest)
    assert [each.id for each in (*first.budgets, *second.budgets)] == ["a", "b", "c"]
    assert not second.next_page_token
    foreign = v1.ListAtRiskRequest(page_token=first.next_page_token)
    assert list((await refused(service.admin.ListAtRisk(foreign))).violations) == ["page_token"]
    for token in ("x", "bnVsbA==", "W10="):
        request = v1.ListBudgetsRequest(page_token=token)
        assert list((await refused(service.admin.ListBudgets(request))).violations) == ["page_token"]


async def test_a_deleted_budget_refuses_nothing(service, refused):
    """It is gone for the next call, and a second time it is not there."""
    await put(service, limit_nano_usd=1)
    assert (await refused(service.complete())).reason == "BUDGET_EXCEEDED"
    await service.admin.DeleteBudget(v1.DeleteBudgetRequest(id="b"))
    await service.complete()
    for call in (
        service.admin.DeleteBudget(v1.DeleteBudgetRequest(id="b")),
        service.admin.GetBudget(v1.GetBudgetRequest(id="b")),
    ):
        found = await refused(call)
        assert (found.code, found.reason, found.resource) == (Code.NOT_FOUND, "UNKNOWN_BUDGET", "b")
        assert found.metadata == {"budget_id": "b"}


async def test_a_refusal_has_every_number_it_rests_on(service, refused):
    """The sums pass the bound; RetryInfo says when the window ends, and nothing tells gRPC to wait."""
    await put(service, limit_nano_usd=1, scope={"kind": "BUDGET_KIND_EACH_TENANT"})
    found = await refused(service.complete())
    assert (found.code, found.reason) == (Code.RESOURCE_EXHAUSTED, "BUDGET_EXCEEDED")
    amounts = {name: int(value) for name, value in found.metadata.items() if name.endswith("_nano_usd")}
    bound = amounts.pop("bound_nano_usd")
    assert (amounts.pop("limit_nano_usd"), bound) == (1, 1)
    assert sum(amounts.values()) > bound
    assert amounts.keys() == {"spent_nano_usd", "at_risk_nano_usd", "held_nano_usd", "asked_nano_usd"}
    assert (found.metadata["budget_id"], found.metadata["scope"]) == ("b", "tenant=default")
    assert found.metadata["worst_case"] == "false"
    assert list(found.quotas) == ["budget:b"]
    [balance] = (await get(service)).balances or [None]
    resets_at = datetime.fromisoformat(found.metadata["resets_at"])
    assert balance is None or resets_at == balance.window_end_time.ToDatetime(UTC)
    assert found.retry_s == pytest.approx((resets_at - datetime.now(UTC)).total_seconds(), abs=5)
    assert found.pushback is None
    assert await service.untouched()


async def test_more_budgets_than_a_call_can_hold_are_refused(service, refused):
    """17 of them apply: the operator must delete one, and hears which they are."""
    names = [f"b{number:02}" for number in range(17)]
    for name in names:
        await put(service, id=name)
    found = await refused(service.complete())
    assert (found.code, found.reason) == (Code.FAILED_PRECONDITION, "TOO_MANY_BUDGETS")
    assert found.metadata == {"budget_ids": ",".join(names), "most": "16"}
    assert found.pushback is None
    assert await service.untouched()


async def test_what_is_at_risk_is_listed_with_its_bounds(service):
    """The bill lies between them, and the budget counts the upper one."""
    await put(service)
    risk = await lose_one(service, labels={"team": "search"})
    [(attempt_id, billed)] = service.bill().items()
    assert risk.attempt_id == attempt_id
    assert risk.lower_nano_usd <= billed <= risk.upper_nano_usd
    assert (risk.tenant, risk.model, dict(risk.labels)) == ("default", HAIKU, {"team": "search"})
    assert risk.reason
    assert service.started_at <= risk.start_time.ToDatetime(UTC) <= risk.at_risk_time.ToDatetime(UTC)
    [balance] = (await get(service)).balances
    assert balance.at_risk_nano_usd == risk.upper_nano_usd
    listed = [
        len((await service.admin.ListAtRisk(v1.ListAtRiskRequest(tenant=tenant))).attempts)
        for tenant in ("default", "other")
    ]
    assert listed == [1, 0]


async def test_a_risk_is_resolved_by_what_the_provider_says(service, refused):
    """It becomes an entry like any other, in budget and report, and is at risk no more."""
    await put(service)
    risk = await lose_one(service)
    usage = v1.AttemptUsage(model=HAIKU, usage_json=b'{"input_tokens": 10, "output_tokens": 5}')
    request = v1.ResolveAtRiskRequest(attempt_id=risk.attempt_id, usage=usage)
    resolved = await service.admin.ResolveAtRisk(request)
    assert resolved.cost_nano_usd > 0
    [entry] = await service.entries()
    assert (entry.entry_id, entry.state) == (resolved.entry_id, "resolved")
    assert entry.cost_nano_usd == resolved.cost_nano_usd
    assert entry.started_at == risk.start_time.ToDatetime(UTC)
    [balance] = (await get(service)).balances
    assert (balance.spent_nano_usd, balance.at_risk_nano_usd) == (resolved.cost_nano_usd, 0)
    assert (await service.report()).totals.bill.cost_nano_usd == resolved.cost_nano_usd
    found = await refused(service.admin.ResolveAtRisk(request))
    assert (found.code, found.reason) == (Code.NOT_FOUND, "NOT_AT_RISK")
    assert found.metadata == {"attempt_id": risk.attempt_id}


async def test_a_risk_that_cost_nothing_leaves_no_entry(service):
    """The money is free again."""
    await put(service)
    risk = await lose_one(service)
    request = v1.ResolveAtRiskRequest(attempt_id=risk.attempt_id, not_spent=True)
    assert await service.admin.ResolveAtRisk(request) == v1.ResolveAtRiskResponse()
    [balance] = (await get(service)).balances
    assert balance.remaining_nano_usd == 5 * NANO_PER_USD
    assert not await service.entries()
    assert not (await service.admin.ListAtRisk(v1.ListAtRiskRequest())).attempts


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"attempt_id": ""}, "attempt_id"),
        ({}, "outcome"),
        ({"not_spent": False}, "not_spent"),
        ({"usage": {"usage_json": b"{}"}}, "usage.model"),
        ({"usage": {"model": HAIKU}}, "usage.usage_json"),
        ({"usage": {"model": HAIKU, "usage_json": b"[]"}}, "usage.usage_json"),
        ({"usage": {"model": HAIKU, "usage_json": b'{"input_tokens": -1}'}}, "usage.usage_json.input_tokens"),
    ],
)
async def test_what_is_wrong_with_a_resolution_is_named_by_field(service, refused, fields, field):
    """And the attempt stays at risk."""
    risk = await lose_one(service)
    request = v1.ResolveAtRiskRequest(**{"attempt_id": risk.attempt_id, **fields})
    found = await refused(service.admin.ResolveAtRisk(request))
    assert found.code is Code.INVALID_ARGUMENT
    assert field in found.violations
    assert [risk] == list((await service.admin.ListAtRisk(v1.ListAtRiskRequest())).attempts)


async def test_an_unknown_model_has_no_price_for_a_resolution(service, refused):
    """Its cost would be a guess."""
    risk = await lose_one(service)
    usage = v1.AttemptUsage(model="claude-none", usage_json=b'{"input_tokens": 1, "output_tokens": 1}')
    request = v1.ResolveAtRiskRequest(attempt_id=risk.attempt_id, usage=usage)
    assert (await refused(service.admin.ResolveAtRisk(request))).reason == "UNKNOWN_MODEL"


async def test_only_callers_on_the_same_machine_administer(serve, refused):
    """Listening to everybody opens the other RPCs alone; bad input makes no difference."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing: the system only says which address it would use
        except OSError:
            pytest.skip("this machine has no address but loopback")
        host = probe.getsockname()[0]
    async with serve(listen="0.0.0.0:0", allow_unauthenticated=True) as service:
        port = service.running.address.rpartition(":")[2]
        async with grpc.aio.insecure_channel(f"{host}:{port}") as channel:
            admin = v1.AdminServiceStub(channel)
            calls = {
                "SetBudget": v1.SetBudgetRequest(budget=budget()),
                "GetBudget": v1.GetBudgetRequest(id="No Id"),
                "ListBudgets": v1.ListBudgetsRequest(),
                "DeleteBudget": v1.DeleteBudgetRequest(id="b"),
                "ListAtRisk": v1.ListAtRiskRequest(),
                "ResolveAtRisk": v1.ResolveAtRiskRequest(),
                "DeleteTenantData": v1.DeleteTenantDataRequest(),
                "InvalidateCache": v1.InvalidateCacheRequest(),
                "ReportCacheMistake": v1.ReportCacheMistakeRequest(),
                "RecordOutcome": v1.RecordOutcomeRequest(),
                "GetRouterStatus": v1.GetRouterStatusRequest(),
                "ListPairs": v1.ListPairsRequest(tenant="acme"),
                "ReportPromptCache": v1.ReportPromptCacheRequest(),
            }
            assert calls.keys() == {method.name for method in _methods()}
            for name, request in calls.items():
                found = await refused(getattr(admin, name)(request))
                assert (found.code, found.reason) == (Code.PERMISSION_DENIED, "ADMIN_LOOPBACK_ONLY"), name
            await v1.CostServiceStub(channel).Route(v1.RouteRequest(request=service.request()))
        assert not (await service.admin.ListBudgets(v1.ListBudgetsRequest())).budgets


@pytest.mark.parametrize(
    ("peer", "local"),
    [
        ("ipv4:127.0.0.1:5000", True),
        ("ipv4:127.9.9.9:5000", True),
        ("ipv6:[::1]:5000", True),
        ("ipv6:%5B::1%5D:5000", True),
        ("ipv6:%5B::ffff:127.0.0.1%5D:5000", True),
        ("unix:", True),
        ("unix:/run/costsvc", True),
        ("ipv4:10.0.0.1:5000", False),
        ("ipv4:0.0.0.0:5000", False),
        ("ipv6:%5B::ffff:10.0.0.1%5D:5000", False),
        ("ipv6:%5Bfe80::1%25eth0%5D:5000", False),
        ("", False),
        ("vsock:1:2", False),
    ],
)
def test_peers_are_told_apart_by_their_address(peer, local):
    """As gRPC names them; what is not understood is not local."""
    assert is_local(peer) is local


async def test_the_log_names_what_was_administered(service):
    """One line an RPC, with the budget and its limit."""
    await put(service)
    line = await service.line()
    assert (line["method"], line["budget_id"], line["limit_nano_usd"]) == ("SetBudget", "b", 5 * NANO_PER_USD)


def _methods() -> Any:
    from costsvc.v1 import admin_service_pb2

    return admin_service_pb2.DESCRIPTOR.services_by_name["AdminService"].methods
