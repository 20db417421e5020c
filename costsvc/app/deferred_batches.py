"""Deferred requests as items of batches: how they are sent, what their results cost, and whom they answer.

Results come to whichever replica looks after batches. Which of a batch and a call of its own counts as what
answered a request is said once, in the store: the other one's cost is a loss of batching.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import replace

from costsvc.app.batch_intake import Given
from costsvc.app.batch_results import ItemResult
from costsvc.app.batches import Batches
from costsvc.app.deferred_words import Words
from costsvc.app.ending_deferred import EndingDeferred
from costsvc.app.submitting import Found
from costsvc.core.batch import Batch, BatchOptions, Outcome
from costsvc.core.batch_errors import BatchItemsRefused, UnknownBatch
from costsvc.core.batch_times import Ran
from costsvc.core.errors import CostsvcError, Failure, ProviderError
from costsvc.core.request import ModelRequest
from costsvc.core.savings import spent_on_batch_in_vain
from costsvc.ports import Clock
from costsvc.store.deferred_items import Item
from costsvc.store.deferred_queue import DeferredQueue

ORIGIN = "deferred"

_FINAL = frozenset({"invalid_request_error", "not_found_error", "request_too_large"})
"""What the provider says of a request that it would say again."""


class DeferredBatches:
    """Sends deferred requests as batches, each under the id that it is given."""

    def __init__(self, batches: Batches) -> None:
        self._batches = batches

    async def create(
        self, tenant: str, batch: str, requests: AsyncIterator[tuple[str, ModelRequest]]
    ) -> Mapping[str, CostsvcError]:
        """Create a batch; return which requests are not part of it, and why.

        Raises:
            BudgetExceeded, JournalFailed: there is no such batch.
            StoreUnavailable: there may be one.
        """

        async def items() -> AsyncIterator[Iterable[Given]]:
            async for id_, request in requests:
                yield (Given(custom_id=id_, request=request, source=b""),)

        try:
            created = await self._batches.create(tenant, items(), BatchOptions(origin=ORIGIN), batch_id=batch)
        except BatchItemsRefused as error:
            return {each.custom_id: each.error for each in error.refused}
        return {each.custom_id: each.error for each in created.refused}

    async def find(self, tenant: str, batch: str) -> Found | None:
        """Return how a batch stands, None where there is none."""
        try:
            found = await self._batches.get(tenant, batch)
        except UnknownBatch:
            return None
        return Found(found.created_at, has_ended=found.ended_at is not None)

    async def cancel(self, tenant: str, batch: str) -> bool:
        """Ask a batch to end; return whether there is one."""
        try:
            await self._batches.cancel(tenant, batch)
        except UnknownBatch:
            return False
        return True


class DeferredResults:
    """Takes the results of batches, on the replica that looks after them."""

    def __init__(self, queue: DeferredQueue, ending: EndingDeferred, words: Words, clock: Clock) -> None:
        self._queue = queue
        self._ending = ending
        self._words = words
        self._clock = clock
        self._noted: set[str] = set()

    async def review(self, batch: Batch, results: Sequence[ItemResult]) -> Sequence[ItemResult]:
        """Return results with what they cost as a loss, where their requests were sent otherwise before.

        Raises:
            StoreUnavailable: repeat it.
        """
        billed = [result for result in results if result.account.cost_nano_usd]
        if batch.options.origin != ORIGIN or not billed:
            return results
        members = [_member(batch, result) for result in billed]
        counts = await self._queue.batch_answers(members, batch.id)
        late = {member for member, first in zip(members, counts, strict=True) if not first}
        return [_in_vain(result) if _member(batch, result) in late else result for result in results]

    async def listen(self, batch: Batch, results: Sequence[ItemResult]) -> None:
        """Answer requests, end those that the provider refuses, and put back the others.

        Raises:
            StoreUnavailable: repeat it.
        """
        if batch.options.origin != ORIGIN:
            return
        if batch.id not in self._noted:
            took = self._clock.now() - batch.created_at
            await self._queue.note_ran(Ran(took, has_ended=not batch.canceled))
            self._noted.add(batch.id)
        items = await self._queue.items([_member(batch, result) for result in results])
        pairs = [(items[member], result) for result in results if (member := _member(batch, result)) in items]
        await asyncio.gather(*(self._take(batch, item, result) for item, result in pairs))

    async def _take(self, batch: Batch, item: Item, result: ItemResult) -> None:
        if item.state.has_ended:
            return
        if result.outcome is Outcome.SUCCEEDED:
            await self._ending.answered(item, self._words.write_result(batch, result))
        elif result.outcome is Outcome.ERRORED and result.error_type in _FINAL:
            error = ProviderError(
                Failure.NOT_FOUND if result.error_type == "not_found_error" else Failure.INVALID,
                error_type=result.error_type,
                message=result.problem,
            )
            await self._ending.failed(item, error)
        else:
            await self._queue.give_back(item.member, batch.id)


def _member(batch: Batch, result: ItemResult) -> str:
    return f"{batch.tenant}:{result.item.custom_id}"


def _in_vain(result: ItemResult) -> ItemResult:
    return replace(result, account=spent_on_batch_in_vain(result.account.cost_nano_usd))
