"""The RPCs about deferred requests: translates, decides nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import Any

from grpc.aio import ServicerContext

from costsvc import v1
from costsvc.app.deferral import Deferral, Seen
from costsvc.edge import deferred_proto, from_proto
from costsvc.edge.calls import Call, Calls
from costsvc.edge.servicer import read_request

Context = ServicerContext[Any, Any]
Write = Callable[[v1.WatchDeferredResponse], Awaitable[None]]


class DeferredServicer(v1.BatchServiceServicer):
    """Defer and its kin."""

    def __init__(self, calls: Calls, deferral: Deferral) -> None:
        self._calls = calls
        self._deferral = deferral

    async def Defer(self, request: v1.DeferRequest, context: Context) -> v1.DeferResponse:
        """Take in."""
        return await self._calls.run("Defer", request, context, self._defer)

    async def GetDeferred(self, request: v1.GetDeferredRequest, context: Context) -> v1.GetDeferredResponse:
        """Say where it is."""
        return await self._calls.run("GetDeferred", request, context, self._get_deferred)

    async def WatchDeferred(self, request: v1.WatchDeferredRequest, context: Context) -> None:  # type: ignore[override]
        """Say it after each change."""
        watch = partial(self._watch_deferred, write=context.write)
        await self._calls.run("WatchDeferred", request, context, watch)

    async def CancelDeferred(
        self, request: v1.CancelDeferredRequest, context: Context
    ) -> v1.CancelDeferredResponse:
        """Take back."""
        return await self._calls.run("CancelDeferred", request, context, self._cancel_deferred)

    async def _defer(self, request: v1.DeferRequest, call: Call) -> v1.DeferResponse:
        call.note(request_id=request.request.request_id)
        read = await read_request(request.request)
        asked = deferred_proto.asked(request, read)
        self._deferral.check(asked)
        with from_proto.within("request"):
            seen = await self._deferral.defer(asked, call.caller)
        _note(call, seen)
        return v1.DeferResponse(deferred=deferred_proto.deferred(seen))

    async def _get_deferred(self, request: v1.GetDeferredRequest, call: Call) -> v1.GetDeferredResponse:
        seen = await self._deferral.get(call.caller.tenant, request.deferred_id)
        _note(call, seen)
        return v1.GetDeferredResponse(deferred=deferred_proto.deferred(seen))

    async def _watch_deferred(self, request: v1.WatchDeferredRequest, call: Call, *, write: Write) -> None:
        changes = self._deferral.watch(call.caller.tenant, request.deferred_id)
        try:
            async with asyncio.timeout_at(call.caller.deadline_s), aclosing(changes):
                async for seen in changes:
                    _note(call, seen)
                    await write(v1.WatchDeferredResponse(deferred=deferred_proto.deferred(seen)))
        except TimeoutError:  # the longest call is over; its caller's own deadline is gRPC's
            call.note(watch="over")

    async def _cancel_deferred(
        self, request: v1.CancelDeferredRequest, call: Call
    ) -> v1.CancelDeferredResponse:
        seen, may_be_billed = await self._deferral.cancel(call.caller.tenant, request.deferred_id)
        _note(call, seen)
        return v1.CancelDeferredResponse(deferred=deferred_proto.deferred(seen), may_be_billed=may_be_billed)


def _note(call: Call, seen: Seen) -> None:
    call.note(deferred_id=seen.item.id, state=seen.item.state.value, task=seen.item.task)
