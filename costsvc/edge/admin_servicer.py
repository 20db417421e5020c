"""AdminService on its use cases: translates, decides nothing, and answers only callers on this machine."""

from __future__ import annotations

from datetime import UTC
from typing import Any

from grpc.aio import ServicerContext

from costsvc import v1
from costsvc.app.admin import Administration
from costsvc.app.cache_admin import CacheAdministration
from costsvc.app.outcomes import Outcomes
from costsvc.app.prompt_report import PromptReporter
from costsvc.edge import admin_proto, from_proto, prompt_cache_proto, router_proto
from costsvc.edge.calls import Call, Calls
from costsvc.edge.peers import check_local

Context = ServicerContext[Any, Any]


class AdminServicer(v1.AdminServiceServicer):
    """The RPCs of AdminService."""

    def __init__(
        self,
        calls: Calls,
        administration: Administration,
        cache: CacheAdministration,
        outcomes: Outcomes,
        prompts: PromptReporter,
    ) -> None:
        self._calls = calls
        self._administration = administration
        self._cache = cache
        self._outcomes = outcomes
        self._prompts = prompts

    async def SetBudget(self, request: v1.SetBudgetRequest, context: Context) -> v1.SetBudgetResponse:
        """Define."""
        return await self._calls.run("SetBudget", request, context, self._set_budget, check=check_local)

    async def GetBudget(self, request: v1.GetBudgetRequest, context: Context) -> v1.GetBudgetResponse:
        """Show."""
        return await self._calls.run("GetBudget", request, context, self._get_budget, check=check_local)

    async def ListBudgets(self, request: v1.ListBudgetsRequest, context: Context) -> v1.ListBudgetsResponse:
        """Show all."""
        return await self._calls.run("ListBudgets", request, context, self._list_budgets, check=check_local)

    async def DeleteBudget(
        self, request: v1.DeleteBudgetRequest, context: Context
    ) -> v1.DeleteBudgetResponse:
        """Delete."""
        return await self._calls.run("DeleteBudget", request, context, self._delete_budget, check=check_local)

    async def ListAtRisk(self, request: v1.ListAtRiskRequest, context: Context) -> v1.ListAtRiskResponse:
        """Show what is at risk."""
        return await self._calls.run("ListAtRisk", request, context, self._list_at_risk, check=check_local)

    async def ResolveAtRisk(
        self, request: v1.ResolveAtRiskRequest, context: Context
    ) -> v1.ResolveAtRiskResponse:
        """Book what is known by now."""
        return await self._calls.run("ResolveAtRisk", request, context, self._resolve, check=check_local)

    async def DeleteTenantData(
        self, request: v1.DeleteTenantDataRequest, context: Context
    ) -> v1.DeleteTenantDataResponse:
        """Erase contents."""
        return await self._calls.run(
            "DeleteTenantData", request, context, self._delete_tenant_data, check=check_local
        )

    async def InvalidateCache(
        self, request: v1.InvalidateCacheRequest, context: Context
    ) -> v1.InvalidateCacheResponse:
        """Serve nothing any more that is stored."""
        return await self._calls.run("InvalidateCache", request, context, self._invalidate, check=check_local)

    async def ReportCacheMistake(
        self, request: v1.ReportCacheMistakeRequest, context: Context
    ) -> v1.ReportCacheMistakeResponse:
        """Never serve that again."""
        return await self._calls.run(
            "ReportCacheMistake", request, context, self._report_mistake, check=check_local
        )

    async def _invalidate(self, request: v1.InvalidateCacheRequest, call: Call) -> v1.InvalidateCacheResponse:
        call.note(invalidated=request.tenant or "*", namespace=request.namespace, label=request.label_key)
        label = (request.label_key, request.label_value) if request.label_key else None
        await self._cache.invalidate(tenant=request.tenant, namespace=request.namespace, label=label)
        return v1.InvalidateCacheResponse()

    async def _report_mistake(
        self, request: v1.ReportCacheMistakeRequest, call: Call
    ) -> v1.ReportCacheMistakeResponse:
        call.note(response_id=request.response_id)
        await self._cache.report_mistake(request.response_id)
        return v1.ReportCacheMistakeResponse()

    async def RecordOutcome(
        self, request: v1.RecordOutcomeRequest, context: Context
    ) -> v1.RecordOutcomeResponse:
        """Learn."""
        return await self._calls.run("RecordOutcome", request, context, self._record, check=check_local)

    async def GetRouterStatus(
        self, request: v1.GetRouterStatusRequest, context: Context
    ) -> v1.GetRouterStatusResponse:
        """Show what is learned."""
        return await self._calls.run(
            "GetRouterStatus", request, context, self._router_status, check=check_local
        )

    async def ListPairs(self, request: v1.ListPairsRequest, context: Context) -> v1.ListPairsResponse:
        """Show pairs of answers."""
        return await self._calls.run("ListPairs", request, context, self._list_pairs, check=check_local)

    async def ReportPromptCache(
        self, request: v1.ReportPromptCacheRequest, context: Context
    ) -> v1.ReportPromptCacheResponse:
        """Add up what the prompt cache did."""
        return await self._calls.run(
            "ReportPromptCache", request, context, self._report_prompt_cache, check=check_local
        )

    async def _set_budget(self, request: v1.SetBudgetRequest, call: Call) -> v1.SetBudgetResponse:
        call.note(budget_id=request.budget.id, limit_nano_usd=request.budget.limit_nano_usd)
        with admin_proto.fields_of_budget():
            kept = await self._administration.set_budget(admin_proto.budget(request.budget))
        return v1.SetBudgetResponse(budget=admin_proto.budget_message(kept))

    async def _get_budget(self, request: v1.GetBudgetRequest, call: Call) -> v1.GetBudgetResponse:
        call.note(budget_id=request.id)
        status = await self._administration.budget(
            request.id, size=request.page_size, token=request.page_token
        )
        return admin_proto.budget_response(status)

    async def _list_budgets(self, request: v1.ListBudgetsRequest, _: Call) -> v1.ListBudgetsResponse:
        page = await self._administration.list_budgets(size=request.page_size, token=request.page_token)
        return v1.ListBudgetsResponse(
            budgets=[admin_proto.budget_message(budget) for budget in page.rows],
            next_page_token=page.next_page_token,
        )

    async def _delete_budget(self, request: v1.DeleteBudgetRequest, call: Call) -> v1.DeleteBudgetResponse:
        call.note(budget_id=request.id)
        await self._administration.delete_budget(request.id)
        return v1.DeleteBudgetResponse()

    async def _list_at_risk(self, request: v1.ListAtRiskRequest, _: Call) -> v1.ListAtRiskResponse:
        page = await self._administration.list_at_risk(
            tenant=request.tenant, size=request.page_size, token=request.page_token
        )
        return v1.ListAtRiskResponse(
            attempts=[admin_proto.at_risk(risk) for risk in page.rows],
            next_page_token=page.next_page_token,
        )

    async def _resolve(self, request: v1.ResolveAtRiskRequest, call: Call) -> v1.ResolveAtRiskResponse:
        call.note(attempt_id=request.attempt_id)
        with from_proto.within("usage"):
            resolved = await self._administration.resolve(admin_proto.resolution(request))
        call.note(cost_nano_usd=resolved.cost_nano_usd)
        return admin_proto.resolved_response(resolved)

    async def _delete_tenant_data(
        self, request: v1.DeleteTenantDataRequest, call: Call
    ) -> v1.DeleteTenantDataResponse:
        erased = await self._administration.delete_tenant_data(request.tenant)
        call.note(erased_tenant=request.tenant, erased=dict(erased))
        return v1.DeleteTenantDataResponse(
            contents=[v1.ErasedContent(kind=kind, erased_count=count) for kind, count in erased.items()]
        )

    async def _record(self, request: v1.RecordOutcomeRequest, call: Call) -> v1.RecordOutcomeResponse:
        call.note(response_id=request.response_id)
        taught = await self._outcomes.record(request.response_id, router_proto.scores(request))
        call.note(of_tenant=taught.seen.tenant, task=taught.seen.task)
        return router_proto.taught_response(taught)

    async def _router_status(self, request: v1.GetRouterStatusRequest, _: Call) -> v1.GetRouterStatusResponse:
        page = await self._outcomes.status(
            tenant=request.tenant, task=request.task, size=request.page_size, token=request.page_token
        )
        return router_proto.status_response(page)

    async def _list_pairs(self, request: v1.ListPairsRequest, call: Call) -> v1.ListPairsResponse:
        call.note(of_tenant=request.tenant)
        page = await self._outcomes.list_pairs(
            tenant=request.tenant, size=request.page_size, token=request.page_token
        )
        return router_proto.pairs_response(page)

    async def _report_prompt_cache(
        self, request: v1.ReportPromptCacheRequest, call: Call
    ) -> v1.ReportPromptCacheResponse:
        call.note(of_tenant=request.tenant)
        start, end = (each.ToDatetime(UTC) for each in (request.start_time, request.end_time))
        return prompt_cache_proto.prompt_report_response(
            await self._prompts.report(request.tenant, start, end)
        )
