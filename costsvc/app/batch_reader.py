"""Reading the results of an ended batch: what is known here, then each part from the provider."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import suppress

from costsvc.app.batch_results import (
    ItemResult,
    Unreadable,
    index_in,
    read_result,
    refused_result,
    unsent_result,
)
from costsvc.app.turns import Turns
from costsvc.core.batch import UNSENT, Batch, Kind, Part
from costsvc.core.batch_errors import BatchResultsGone
from costsvc.core.catalog import Catalog
from costsvc.core.errors import Failure, ProviderError
from costsvc.ports import BatchUpstream
from costsvc.store import batch_codec
from costsvc.store.batches import BatchBook

RESULTS_AT_ONCE = 100

Page = tuple[Sequence[ItemResult], str]
"""Some results, and the cursor from which a reader goes on after them."""


class BatchReader:
    """Reads results. A cursor is `<part, counted from 1; 0 before them>:<how far>`."""

    def __init__(self, book: BatchBook, upstream: BatchUpstream, catalog: Catalog) -> None:
        self._book = book
        self._upstream = upstream
        self._catalog = catalog

    async def pages(self, batch: Batch, cursor: str) -> AsyncIterator[Page]:
        """Yield the results from where a cursor says, "" from the beginning.

        Raises:
            BatchResultsGone, StoreUnavailable, ProviderError.
        """
        rows = await self._book.rows(batch)
        stage, _, offset = (cursor or "0:0").partition(":")
        for number in range(int(stage), len(batch.parts) + 1):
            start = int(offset) if number == int(stage) else 0
            pages = (
                self._at_provider(batch, number, start, rows)
                if number and batch.parts[number - 1].end not in UNSENT
                else self._of_rows(batch, number, start, rows)
            )
            async for page in pages:
                yield page

    async def _of_rows(
        self, batch: Batch, number: int, start: int, rows: Sequence[bytes]
    ) -> AsyncIterator[Page]:
        """Yield what is known without the provider: of refused items (0), or of a part that was not sent."""
        page: list[ItemResult] = []
        part = batch.parts[number - 1] if number else None
        if part is not None and part.replaced_by:
            return
        turns = Turns()
        for index in range(start, len(rows)):
            await turns.give()
            item = batch_codec.read_item(rows[index])
            if part is None and item.kind is Kind.REFUSED:
                page.append(refused_result(item))
            elif part is not None and item.kind is Kind.SENT and _final(batch, item.part) is part:
                page.append(unsent_result(item, part))
            if len(page) >= RESULTS_AT_ONCE:
                yield page, f"{number}:{index + 1}"
                page = []
        if page:
            yield page, f"{number + 1}:0"

    async def _at_provider(
        self, batch: Batch, number: int, start: int, rows: Sequence[bytes]
    ) -> AsyncIterator[Page]:
        """Yield the results of a part, read from the provider."""
        part = batch.parts[number - 1]
        if part.replaced_by:
            return
        page: list[ItemResult] = []
        end, turns = start, Turns()
        try:
            at_provider = await self._upstream.retrieve(part.provider_id)
            async for line in self._upstream.results(at_provider, start=start):
                end = line.end
                await turns.give()
                with suppress(Unreadable, IndexError):  # settling has said so
                    index, told = index_in(line.data, part)
                    item = batch_codec.read_item(rows[index])
                    page.append(read_result(line.data, told, item, part, self._catalog))
                if len(page) >= RESULTS_AT_ONCE:
                    yield page, f"{number}:{end}"
                    page = []
        except ProviderError as error:
            if error.failure is Failure.NOT_FOUND:
                raise BatchResultsGone(batch.id) from error
            raise
        if page:
            yield page, f"{number}:{end}"


def _final(batch: Batch, number: int) -> Part:
    """Return the part that an item was sent in last."""
    part = batch.parts[number]
    while part.replaced_by and (following := batch.part(part.replaced_by)):
        part = following
    return part
