"""BatchService on its use cases: translates, decides nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any

from google.protobuf.message import Message
from grpc.aio import ServicerContext

from costsvc import v1
from costsvc.app.batch_intake import Given
from costsvc.app.batches import Batches, Created
from costsvc.app.deferral import Deferral
from costsvc.core.errors import DeadlineTooShort, InvalidRequest, Violation
from costsvc.edge import batch_proto
from costsvc.edge.calls import Call, Calls, check_decoded
from costsvc.edge.deferred_servicer import DeferredServicer

ITEMS_AT_ONCE = 50
"""Of one message: others have their turn in between."""

DEFAULT_PAGE = 20

Context = ServicerContext[Any, Any]


class BatchServicer(DeferredServicer):
    """The RPCs of BatchService."""

    def __init__(self, calls: Calls, batches: Batches, deferral: Deferral) -> None:
        super().__init__(calls, deferral)
        self._batches = batches

    async def CreateBatch(self, request: v1.CreateBatchRequest, context: Context) -> v1.CreateBatchResponse:
        """Take in."""
        return await self._calls.run("CreateBatch", request, context, self._create)

    async def CreateBatchStream(
        self, request_iterator: AsyncIterator[v1.CreateBatchStreamRequest], context: Context
    ) -> v1.CreateBatchStreamResponse:
        """Take in what comes in several messages; the first one is the call's."""
        first = await anext(aiter(request_iterator), v1.CreateBatchStreamRequest())
        answer = partial(self._create_stream, rest=request_iterator)
        return await self._calls.run("CreateBatchStream", first, context, answer)

    async def GetBatch(self, request: v1.GetBatchRequest, context: Context) -> v1.GetBatchResponse:
        """Show."""
        return await self._calls.run("GetBatch", request, context, self._get)

    async def ListBatches(self, request: v1.ListBatchesRequest, context: Context) -> v1.ListBatchesResponse:
        """Show all."""
        return await self._calls.run("ListBatches", request, context, self._list)

    async def CancelBatch(self, request: v1.CancelBatchRequest, context: Context) -> v1.CancelBatchResponse:
        """End early."""
        return await self._calls.run("CancelBatch", request, context, self._cancel)

    async def StreamBatchResults(self, request: v1.StreamBatchResultsRequest, context: Context) -> None:  # type: ignore[override]
        """Read."""
        write = partial(self._results, write=context.write)
        await self._calls.run("StreamBatchResults", request, context, write)

    async def _create(self, request: v1.CreateBatchRequest, call: Call) -> v1.CreateBatchResponse:
        if not request.requests:
            raise InvalidRequest(Violation("requests", "must have at least one"))

        async def items() -> AsyncIterator[Iterable[Given]]:
            for some in _portions(request.requests):
                yield some

        batch, refused = self._made(await self._take_in(request.options, items(), call), call)
        return v1.CreateBatchResponse(batch=batch, refused=refused)

    async def _create_stream(
        self,
        first: v1.CreateBatchStreamRequest,
        call: Call,
        *,
        rest: AsyncIterator[v1.CreateBatchStreamRequest],
    ) -> v1.CreateBatchStreamResponse:
        async def items() -> AsyncIterator[Iterable[Given]]:
            message: v1.CreateBatchStreamRequest | None = first
            while message is not None:
                for some in _portions(message.requests):
                    yield some
                message = await anext(rest, None)
                _check_further(message)

        batch, refused = self._made(await self._take_in(first.options, items(), call), call)
        return v1.CreateBatchStreamResponse(batch=batch, refused=refused)

    async def _take_in(
        self, options: v1.BatchOptions, items: AsyncIterator[Iterable[Given]], call: Call
    ) -> Created:
        call.note(request_id=options.request_id)
        now_s = self._calls.clock.monotonic()
        try:
            async with asyncio.timeout(max(call.caller.deadline_s - now_s, 0)):
                return await self._batches.create(call.caller.tenant, items, batch_proto.options(options))
        except TimeoutError:
            raise DeadlineTooShort from None

    def _made(self, made: Created, call: Call) -> tuple[v1.Batch, list[v1.RefusedItem]]:
        call.note(
            batch_id=made.batch.id, item_count=made.batch.item_count, refused_count=made.batch.refused_count
        )
        return batch_proto.created(made, self._calls.clock.now())

    async def _get(self, request: v1.GetBatchRequest, call: Call) -> v1.GetBatchResponse:
        found = await self._batches.get(call.caller.tenant, request.batch_id)
        return v1.GetBatchResponse(batch=batch_proto.batch(found, self._calls.clock.now()))

    async def _list(self, request: v1.ListBatchesRequest, call: Call) -> v1.ListBatchesResponse:
        count = request.page_size or DEFAULT_PAGE
        found, after = await self._batches.page(call.caller.tenant, after=request.page_token, count=count)
        now = self._calls.clock.now()
        return v1.ListBatchesResponse(
            batches=[batch_proto.batch(each, now) for each in found], next_page_token=after
        )

    async def _cancel(self, request: v1.CancelBatchRequest, call: Call) -> v1.CancelBatchResponse:
        call.note(batch_id=request.batch_id)
        found = await self._batches.cancel(call.caller.tenant, request.batch_id)
        return v1.CancelBatchResponse(batch=batch_proto.batch(found, self._calls.clock.now()))

    async def _results(
        self,
        request: v1.StreamBatchResultsRequest,
        call: Call,
        *,
        write: Callable[[v1.StreamBatchResultsResponse], Awaitable[None]],
    ) -> None:
        call.note(batch_id=request.batch_id)
        pages = self._batches.results(call.caller.tenant, request.batch_id, request.cursor)
        async with aclosing(pages):  # type: ignore[type-var]
            async for results, cursor in pages:
                await write(
                    v1.StreamBatchResultsResponse(results=batch_proto.item_results(results), cursor=cursor)
                )


def _portions(items: Sequence[v1.BatchItem]) -> Iterable[Iterable[Given]]:
    for first in range(0, len(items), ITEMS_AT_ONCE):
        yield batch_proto.given(items[first : first + ITEMS_AT_ONCE])


def _check_further(message: Message | None) -> None:
    """Refuse a message that could not be read, or that says again how the batch is to be treated."""
    if message is None:
        return
    check_decoded(message)
    if isinstance(message, v1.CreateBatchStreamRequest) and message.HasField("options"):
        raise InvalidRequest(Violation("options", "belong into the first message"))
