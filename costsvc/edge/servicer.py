"""CostService on the use cases: translates, decides nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any, TypeVar

from grpc.aio import ServicerContext

from costsvc import v1
from costsvc.app.advice import advise
from costsvc.app.adviser import Adviser
from costsvc.app.attempt import Completed, Started
from costsvc.app.complete import Completions
from costsvc.app.estimate import Estimator
from costsvc.app.foretelling import Asked, Foretelling
from costsvc.app.plan import Plan
from costsvc.app.planner import Planner
from costsvc.app.record import Recorder
from costsvc.app.report import Reporter
from costsvc.app.reserve import Held, Reserving
from costsvc.core.errors import CostsvcError, InvalidRequest, StreamUnread, Violation
from costsvc.core.request import ModelRequest
from costsvc.edge import from_proto, to_proto
from costsvc.edge.advice_proto import proposal
from costsvc.edge.calls import Call, Calls
from costsvc.ports import Clock
from costsvc.store.exchange import Exchange

LARGE_BYTES = 256 * 1024
"""Larger bodies are read in a thread, so that other callers do not wait for them."""

UNREAD_S = 0.5
"""How long after the end of a call's time a write may still wait for a caller who does not read."""

Context = ServicerContext[Any, Any]
Item = TypeVar("Item", v1.RouteRequest, v1.EstimateRequest)
R = TypeVar("R")


class CostServicer(v1.CostServiceServicer):
    """The RPCs of CostService."""

    def __init__(
        self,
        *,
        calls: Calls,
        planner: Planner,
        foretelling: Foretelling,
        completions: Completions,
        estimator: Estimator,
        adviser: Adviser,
        reserving: Reserving,
        recorder: Recorder,
        reporter: Reporter,
        clock: Clock,
    ) -> None:
        self._calls = calls
        self._planner = planner
        self._foretelling = foretelling
        self._completions = completions
        self._estimator = estimator
        self._adviser = adviser
        self._reserving = reserving
        self._recorder = recorder
        self._reporter = reporter
        self._clock = clock

    async def Route(self, request: v1.RouteRequest, context: Context) -> v1.RouteResponse:
        """Decide."""
        return await self._calls.run("Route", request, context, self._route)

    async def BatchRoute(self, request: v1.BatchRouteRequest, context: Context) -> v1.BatchRouteResponse:
        """Decide each; one bad request does not fail the others."""
        return await self._calls.run("BatchRoute", request, context, self._batch_route)

    async def Complete(self, request: v1.CompleteRequest, context: Context) -> v1.CompleteResponse:
        """Answer."""
        return await self._calls.run("Complete", request, context, self._complete)

    async def StreamComplete(self, request: v1.StreamCompleteRequest, context: Context) -> None:  # type: ignore[override]
        """Answer as a stream.

        Written with `context.write`, so that a cancellation meets this coroutine wherever it waits; gRPC
        would leave a generator unfinished.
        """
        write = partial(self._stream, write=context.write)
        await self._calls.run("StreamComplete", request, context, write)

    async def Estimate(self, request: v1.EstimateRequest, context: Context) -> v1.EstimateResponse:
        """Estimate."""
        return await self._calls.run("Estimate", request, context, self._estimate)

    async def BatchEstimate(
        self, request: v1.BatchEstimateRequest, context: Context
    ) -> v1.BatchEstimateResponse:
        """Estimate each; one bad request does not fail the others."""
        return await self._calls.run("BatchEstimate", request, context, self._batch_estimate)

    async def Record(self, request: v1.RecordRequest, context: Context) -> v1.RecordResponse:
        """Book."""
        return await self._calls.run("Record", request, context, self._record)

    async def Release(self, request: v1.ReleaseRequest, context: Context) -> v1.ReleaseResponse:
        """Free."""
        return await self._calls.run("Release", request, context, self._release)

    async def Report(self, request: v1.ReportRequest, context: Context) -> v1.ReportResponse:
        """Add up."""
        return await self._calls.run("Report", request, context, self._report)

    async def _route(self, request: v1.RouteRequest, call: Call) -> v1.RouteResponse:
        plan = await self._plan(request.request, call)
        held = None
        if request.HasField("reserve"):
            held = await self._reserving.reserve(plan, call.caller.tenant, request.reserve.ToTimedelta())
            plan = held.plan
            call.note(hold_id=held.hold_id)
        _note_plan(call, plan)
        return self._route_response(request, plan, held, call)

    def _route_response(
        self, request: v1.RouteRequest, plan: Plan, held: Held | None, call: Call
    ) -> v1.RouteResponse:
        tenant, now = call.caller.tenant, self._clock.now()
        advice = advise(self._planner, plan, tenant, now, with_alternatives=request.include_alternatives)
        return to_proto.route_response(plan, held, advice, include_body=request.include_body)

    async def _batch_route(self, request: v1.BatchRouteRequest, call: Call) -> v1.BatchRouteResponse:
        def route(item: v1.RouteRequest, plan: Plan) -> v1.RouteResponse:
            if item.HasField("reserve"):
                raise InvalidRequest(Violation("reserve", "is not for batches: call Route for each"))
            return self._route_response(item, plan, None, call)

        response = v1.BatchRouteResponse()
        for answer in await self._planned_each(request.requests, route, call):
            if isinstance(answer, CostsvcError):
                response.results.add(error=call.outcome_of(answer).status())
            else:
                response.results.add(response=answer)
        return response

    async def _complete(self, request: v1.CompleteRequest, call: Call) -> v1.CompleteResponse:
        call.note(request_id=request.request.request_id)
        read = await read_request(request.request)
        with from_proto.within("request"):
            attempt = self._completions.begin(read, call.caller)
        completed = await self._completions.answer(attempt)
        _note_completed(call, completed)
        return to_proto.complete_response(completed)

    async def _stream(
        self,
        request: v1.StreamCompleteRequest,
        call: Call,
        *,
        write: Callable[[v1.StreamCompleteResponse], Awaitable[None]],
    ) -> None:
        call.note(request_id=request.request.request_id)
        read = await read_request(request.request)
        provider_events = request.format == v1.STREAM_FORMAT_PROVIDER_EVENTS
        with from_proto.within("request"):
            attempt = self._completions.begin(read, call.caller, streams=True)
        events = self._completions.stream(attempt, provider_events=provider_events)
        try:
            async with asyncio.timeout_at(call.caller.deadline_s + UNREAD_S), aclosing(events):
                async for event in events:
                    if isinstance(event, Started):
                        _note_plan(call, event.attempt.plan)
                    elif isinstance(event, Completed):
                        _note_completed(call, event)
                    await write(to_proto.stream_event(event, provider_events=provider_events))
        except TimeoutError:
            raise StreamUnread from None

    async def _batch_estimate(self, request: v1.BatchEstimateRequest, call: Call) -> v1.BatchEstimateResponse:
        def estimate(item: v1.EstimateRequest, plan: Plan) -> v1.EstimateResponse:
            if item.include_advice:
                problem = "is not for batches: call Estimate for each"
                raise InvalidRequest(Violation("include_advice", problem))
            return self._estimate_response(item, plan, call)

        response = v1.BatchEstimateResponse()
        for answer in await self._planned_each(request.requests, estimate, call):
            if isinstance(answer, CostsvcError):
                response.results.add(error=call.outcome_of(answer).status())
            else:
                response.results.add(response=answer)
        return response

    async def _planned_each(
        self, items: Sequence[Item], answer: Callable[[Item, Plan], R], call: Call
    ) -> list[R | CostsvcError]:
        """Return an answer or an error for each item, in their order.

        What the store knows of them is asked for in one trip, between two walks over the items.
        """
        call.note(item_count=len(items))
        tenant, now, exchange = call.caller.tenant, self._clock.now(), Exchange()

        async def plan(index: int) -> Asked:
            call.check_item(index)
            request = await read_request(items[index].request)
            with from_proto.within("request"):
                planned = self._planner.plan(request, tenant, now)
            return self._foretelling.ask(exchange, planned, tenant)

        planned = await self._calls.each(len(items), plan)
        await exchange.send()

        async def finish(index: int) -> R:
            known = planned[index]
            if isinstance(known, CostsvcError):
                raise known
            with from_proto.within("request"):
                foretold = await self._foretelling.foretold(known, tenant, now)
            return answer(items[index], foretold)

        return await self._calls.each(len(items), finish)

    async def _record(self, request: v1.RecordRequest, call: Call) -> v1.RecordResponse:
        call.note(request_id=request.request_id, model=request.model)
        if request.hold_id:
            call.note(hold_id=request.hold_id)
        recorded = await self._recorder.record(from_proto.recording(request), call.caller.tenant)
        call.note(cost_nano_usd=recorded.account.cost_nano_usd)
        return to_proto.record_response(recorded)

    async def _release(self, request: v1.ReleaseRequest, call: Call) -> v1.ReleaseResponse:
        call.note(hold_id=request.hold_id)
        await self._reserving.release(request.hold_id, call.caller.tenant)
        return v1.ReleaseResponse()

    async def _report(self, request: v1.ReportRequest, call: Call) -> v1.ReportResponse:
        report = await self._reporter.report(from_proto.report_query(request, call.caller.tenant))
        return to_proto.report_response(report)

    async def _plan(self, message: v1.Request, call: Call) -> Plan:
        request, tenant, now = await read_request(message), call.caller.tenant, self._clock.now()
        with from_proto.within("request"):
            plan = self._planner.plan(request, tenant, now)
            return await self._foretelling.look(plan, tenant, now)

    async def _estimate(self, message: v1.EstimateRequest, call: Call) -> v1.EstimateResponse:
        plan = await self._plan(message.request, call)
        response = self._estimate_response(message, plan, call)
        if message.include_advice:
            proposals = await self._adviser.advise(plan, call.caller.tenant, self._clock.now())
            response.advice.extend(map(proposal, proposals))
        return response

    def _estimate_response(self, message: v1.EstimateRequest, plan: Plan, call: Call) -> v1.EstimateResponse:
        tenant, now = call.caller.tenant, self._clock.now()
        with from_proto.within("request"):
            estimate = self._estimator.estimate(plan, tenant, all_candidates=message.all_candidates, at=now)
        return to_proto.estimate_response(estimate)


async def read_request(message: v1.Request) -> ModelRequest:
    """Return a request; a large one is read in a thread."""
    if message.ByteSize() <= LARGE_BYTES:
        return from_proto.model_request(message)
    return await asyncio.to_thread(from_proto.model_request, message)


def _note_plan(call: Call, plan: Plan) -> None:
    decision = plan.decision
    call.note(
        request_id=plan.request.request_id,
        model=decision.model.id,
        tier=decision.tier.label if decision.tier else "",
        decision=decision.reasons[0].code,
    )
    if plan.score is not None:
        call.note(score=plan.score.state)


def _note_completed(call: Call, completed: Completed) -> None:
    """Note an answer. A repeat's cost and savings are in the line of the call that paid them."""
    _note_plan(call, completed.attempt.plan)
    if completed.is_replay:
        call.note(replayed=True, cost_nano_usd=0, saved_nano_usd=0)
    else:
        bill = completed.bill
        call.note(cost_nano_usd=bill.cost_nano_usd, saved_nano_usd=bill.savings.total_nano_usd)
    if completed.checked is not None:
        call.note(accepted=completed.is_accepted)
    call.note(
        response_id=completed.attempt.response_id,
        cache=completed.attempt.cache_outcome.value,
        stop_reason=completed.stop_reason,
    )
