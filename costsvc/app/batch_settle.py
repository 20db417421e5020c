"""Booking the results of a part as they stream in: entries first, then the marks that free what was held.

What the provider keeps is the journal: after a crash its results are read again, and what is booked already
is not booked twice. Several processes may do it at once.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog

from costsvc.app.batch_results import ItemResult, Unreadable, entry_of, index_in, read_result
from costsvc.app.booking import Booking
from costsvc.app.turns import Turns
from costsvc.core.batch import Batch, Item, Kind, Part
from costsvc.core.catalog import Catalog
from costsvc.metrics import Metrics
from costsvc.ports import BatchUpstream, Clock, ProviderBatch
from costsvc.store import batch_codec
from costsvc.store.batches import BatchBook, Mark

AT_ONCE = 25
"""Results that are booked together: some milliseconds of the store's time, for which others wait."""

UNPRICED = "unpriced"
"""What an answer counts as that may be billed and cannot be priced: what it holds is at risk in the end."""

Listener = Callable[[Batch, Sequence[ItemResult]], Awaitable[None]]
"""Whoever wants to know results; told of each at least once, before it is marked."""

Review = Callable[[Batch, Sequence[ItemResult]], Awaitable[Sequence[ItemResult]]]
"""Whoever knows more about the account of results, and returns them as they are to be booked; repeatable."""

log = structlog.get_logger()


@dataclass(slots=True)
class _Reading:
    """A part whose results are being read: what is kept of its items, and which are booked."""

    batch: Batch
    part: Part
    rows: Sequence[bytes]
    marked: bytearray

    def is_marked(self, index: int) -> bool:
        """Tell whether an item is booked."""
        byte, bit = divmod(index, 8)
        return byte < len(self.marked) and bool(self.marked[byte] & (128 >> bit))

    def item(self, index: int) -> Item:
        """Return what is kept of an item."""
        if index >= len(self.rows):
            raise Unreadable("there is no such item")
        item = batch_codec.read_item(self.rows[index])
        if item.kind is not Kind.SENT:
            raise Unreadable("the item was not sent")
        return item


class BatchSettlement:
    """Books results of batches that have ended at the provider."""

    def __init__(
        self,
        *,
        book: BatchBook,
        upstream: BatchUpstream,
        booking: Booking,
        catalog: Catalog,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self.listeners: list[Listener] = []
        self.reviews: list[Review] = []
        self._book = book
        self._upstream = upstream
        self._booking = booking
        self._catalog = catalog
        self._metrics = metrics
        self._clock = clock

    async def settle(self, batch: Batch, part: Part, at_provider: ProviderBatch) -> AsyncGenerator[int, None]:
        """Book all results that are not booked yet; yield after each trip how many there are by now.

        Raises:
            ProviderError, StoreUnavailable: some are booked; repeat it.
        """
        reading = _Reading(
            batch=batch,
            part=part,
            rows=await self._book.rows(batch),
            marked=bytearray(await self._book.marked(batch, part)),
        )
        count = sum(byte.bit_count() for byte in reading.marked)
        start = batch.tally(part).read_bytes
        async for booked in self._read_from(reading, at_provider, start):
            count += booked
            yield count
        if start and count < part.item_count:  # where it was left is not where it is now
            async for booked in self._read_from(reading, at_provider, 0):
                count += booked
                yield count

    async def _read_from(
        self, reading: _Reading, at_provider: ProviderBatch, start: int
    ) -> AsyncIterator[int]:
        results: list[ItemResult] = []
        end, turns = start, Turns()
        async for line in self._upstream.results(at_provider, start=start):
            end = line.end
            result = self._result(reading, line.data)
            if result is not None:
                results.append(result)
            if len(results) >= AT_ONCE:
                yield await self._settle(reading, results, end)
                results = []
            await turns.give()
        if results:
            yield await self._settle(reading, results, end)

    def _result(self, reading: _Reading, line: bytes) -> ItemResult | None:
        """Return a result that is not booked yet."""
        if not line.strip():
            return None
        try:
            index, told = index_in(line, reading.part)
            if reading.is_marked(index):
                return None
            return read_result(line, told, reading.item(index), reading.part, self._catalog)
        except Unreadable as error:
            log.error("batch_result_unreadable", part_id=reading.part.id, problem=str(error))  # noqa: TRY400
            return None

    async def _settle(self, reading: _Reading, results: Sequence[ItemResult], read_bytes: int) -> int:
        """Book some results; return how many were not booked before."""
        batch, part, now = reading.batch, reading.part, self._clock.now()
        for review in self.reviews:
            results = await review(batch, results)
        priced = [result for result in results if result.reported is not None]
        entries = [entry_of(result, batch, part, self._catalog, now) for result in priced]
        outcomes = await self._booking.book_all(entries) if entries else []
        for entry, outcome in zip(entries, outcomes, strict=True):
            if not outcome.duplicate:
                self._metrics.settled(entry.answering_model, entry.cost_nano_usd, entry.savings, entry.usage)
        for listener in self.listeners:
            await listener(batch, results)
        return await self._book.mark(batch, part, [_mark(result) for result in results], read_bytes)


def _mark(result: ItemResult) -> Mark:
    if result.unpriced:
        log.error("batch_answer_unpriced", entry=result.item.custom_id, problem=result.unpriced)
        return Mark(item=result.item, counts_as=UNPRICED, frees=False)
    accounted = result.account
    return Mark(
        item=result.item,
        counts_as=result.outcome.value,
        cost_nano_usd=accounted.cost_nano_usd,
        standard_nano_usd=accounted.cost_nano_usd + accounted.savings.batch_nano_usd,
    )
