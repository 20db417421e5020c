"""Advice on what would make calls like one request cheaper, at the rate at which its task is called."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from costsvc.app.plan import Plan
from costsvc.app.planner import Planner
from costsvc.core.batchable import is_batchable
from costsvc.core.characters import count_kinds
from costsvc.core.entry import MEASURES
from costsvc.core.errors import CostsvcError, StoreUnavailable
from costsvc.core.fillers import fillers
from costsvc.core.model import Model
from costsvc.core.namespace import namespace_of
from costsvc.core.prompt_cache import may_have_breakpoints
from costsvc.core.proposals import Case, Proposal, Traffic, propose
from costsvc.core.request import ModelRequest, Tier
from costsvc.core.rules import last_user_text
from costsvc.core.shaping import has_tools
from costsvc.core.tidying import tidied
from costsvc.core.tokens import estimate_input, measure
from costsvc.store.rollups import Cell, Rollups

LOOK_BACK = timedelta(days=7)
"""How far back calls are counted."""

_CALL_COUNT = MEASURES.index("call_count")
_SHORTEST_SPAN = timedelta(hours=1)


class Adviser:
    """The use case behind Estimate's advice."""

    def __init__(self, planner: Planner, rollups: Rollups) -> None:
        self._planner = planner
        self._rollups = rollups

    async def advise(self, plan: Plan, tenant: str, at: datetime) -> tuple[Proposal, ...]:
        """Return what would save something; while the store is away, nothing is known of the traffic."""
        traffic = await self._traffic(plan, tenant, at)
        return propose(self._planner.catalog, self._case(plan, tenant, at, traffic))

    async def _traffic(self, plan: Plan, tenant: str, at: datetime) -> Traffic | None:
        task = plan.request.task
        if not task:
            return None
        try:
            cells = await self._rollups.read(tenant, at - LOOK_BACK, at, "task")
        except StoreUnavailable:
            return None
        return _traffic([cell for cell in cells if cell.value == task], at)

    def _case(self, plan: Plan, tenant: str, at: datetime, traffic: Traffic | None) -> Case:
        request, model, policy = plan.request, plan.decision.model, self._planner.policy
        prospect = self._planner.foresee(plan, tenant)
        routed = self._routed(plan, tenant, at)
        clean = None if plan.levers.tidied else tidied(request, plan.needs, model)
        named, task = request.cache_namespace, request.task
        return Case(
            model=model,
            at=at,
            fast=prospect.fast,
            geo_us=prospect.inference_geo == "us",
            task=task,
            prompt_tokens=prospect.reads.expected,
            output_tokens=prospect.writes.expected,
            longest_tokens=prospect.writes.upper,
            max_tokens=plan.max_tokens,
            has_max_tokens=request.get("max_tokens") is not None or plan.levers.limits,
            fixed_tokens=min(_fixed_tokens(request, model), prospect.reads.expected),
            filler_tokens=_filler_tokens(request, model),
            tidy_tokens=clean.token_count if clean else 0,
            is_cached=prospect.prefix.tokens > 0 or may_have_breakpoints(request),
            may_be_json=_may_be_json(plan, policy.tasks[task].tier if task in policy.tasks else None),
            may_wait=is_batchable(request),
            is_kept=namespace_of(policy.namespaces, named=named, task=task) is not None,
            routed=routed.decision.model.id if routed else "",
            routed_nano_usd=routed.decision.expected_cost_nano_usd if routed else None,
            traffic=traffic,
        )

    def _routed(self, plan: Plan, tenant: str, at: datetime) -> Plan | None:
        """Return the plan for a request whose caller lets the policy choose, None where it does already."""
        request = plan.request
        if not (request.model or request.baseline_only):
            return None
        try:
            return self._planner.plan(replace(request, model="", baseline_only=False), tenant, at)
        except CostsvcError:  # nothing else can answer it
            return None


def _traffic(cells: list[Cell], at: datetime) -> Traffic | None:
    """Return the calls in some cells, over the time since the first of them."""
    call_count = sum(cell.measures[_CALL_COUNT] for cell in cells)
    if call_count <= 0:
        return None
    since = max(min(cell.start for cell in cells), at - LOOK_BACK)
    return Traffic(call_count, max(at - since, _SHORTEST_SPAN))


def _fixed_tokens(request: ModelRequest, model: Model) -> int:
    """Return about how many tokens the parts have that are the same in each call."""
    fixed = {name: request.get(name) for name in ("tools", "system") if request.get(name)}
    return estimate_input(measure(fixed), model).expected if fixed else 0


def _filler_tokens(request: ModelRequest, model: Model) -> int:
    system = request.get("system") or ""
    texts = [system] if isinstance(system, str) else [block.get("text", "") for block in system]
    counts = count_kinds(fillers([*texts, last_user_text(request)]))
    rates = model.tokenizer.tokens_per_1000_chars
    return sum(count * rate for count, rate in zip(counts, rates, strict=True)) // 1_000


def _may_be_json(plan: Plan, tier: Tier | None) -> bool:
    """Tell whether a short structured answer would do: of simple work, and of one of some values."""
    request = plan.request
    has_values = request.checks is not None and bool(request.checks.values)
    is_structured = plan.needs.structured_output or plan.levers.content.structured_output
    can = plan.decision.model.capabilities.structured_output
    return can and not is_structured and not has_tools(request) and (has_values or tier is Tier.SIMPLE)
