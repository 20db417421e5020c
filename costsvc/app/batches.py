"""Batches for callers: creating one, seeing how far it is, ending it, reading its results."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from costsvc.app.batch_holds import BatchHolds
from costsvc.app.batch_intake import Given, Intake
from costsvc.app.batch_poll import BatchPoller
from costsvc.app.batch_results import (
    ItemResult,
    Unreadable,
    index_in,
    read_result,
    refused_result,
    unsent_result,
)
from costsvc.app.batch_settle import Listener, Review
from costsvc.app.batch_submit import BatchSubmitter
from costsvc.app.definitions import InForce
from costsvc.app.ids import new_id
from costsvc.app.planner import Planner
from costsvc.core.batch import UNSENT, Batch, BatchOptions, Kind, Part, PartState
from costsvc.core.batch_errors import (
    BatchItemsRefused,
    BatchNotEnded,
    BatchResultsGone,
    Refused,
    UnknownBatch,
)
from costsvc.core.errors import (
    CostsvcError,
    Failure,
    JournalFailed,
    ProviderError,
    RequestIdReused,
    StoreUnavailable,
)
from costsvc.ports import BatchUpstream, Clock
from costsvc.store import batch_codec
from costsvc.store.batches import BatchBook
from costsvc.store.spool import Spool

RESULTS_AT_ONCE = 100

Page = tuple[Sequence[ItemResult], str]
"""Some results, and the cursor from which a reader goes on after them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Created:
    """A batch as it begins, and the first of its items that are not sent."""

    batch: Batch
    refused: tuple[Refused, ...] = ()


class Batches:
    """The use cases behind BatchService. `listeners` are told of results, as `BatchSettlement` has them."""

    def __init__(
        self,
        *,
        planner: Planner,
        in_force: InForce,
        spool: Spool,
        book: BatchBook,
        holds: BatchHolds,
        submitter: BatchSubmitter,
        poller: BatchPoller,
        upstream: BatchUpstream,
        clock: Clock,
        listeners: list[Listener],
        reviews: list[Review],
    ) -> None:
        self.submitter = submitter
        self.poller = poller
        self.listeners = listeners
        self.reviews = reviews
        self._planner = planner
        self._in_force = in_force
        self._spool = spool
        self._book = book
        self._holds = holds
        self._upstream = upstream
        self._clock = clock

    async def create(
        self,
        tenant: str,
        items: AsyncIterable[Iterable[Given]],
        options: BatchOptions,
        *,
        batch_id: str = "",
    ) -> Created:
        """Take in a batch: when this returns it is on the disk and in the store, and will be sent.

        `batch_id` is for callers of our own who must know it before; each is used once.

        Raises:
            BatchItemsRefused, BatchTooLarge, RequestIdReused: nothing was done.
            BudgetExceeded, TooManyBudgets, StoreUnavailable: nothing is held, and nothing will be sent.
            JournalFailed: the disk does not take it.
        """
        started_at = self._clock.now()
        intake = Intake(self._planner, self._in_force, self._spool, tenant, started_at)
        names: set[str] = set()
        try:
            async for some in items:
                await intake.add(some)
                names |= set(intake.names)
                self.submitter.writing |= names
            return await self._accept(
                await self._batch(intake, tenant, options, started_at, batch_id or new_id()), intake
            )
        except BaseException as error:
            await intake.drop()
            if isinstance(error, OSError):
                raise JournalFailed(f"items cannot be kept: {error}") from error
            raise
        finally:
            self.submitter.writing -= names

    async def get(self, tenant: str, batch_id: str) -> Batch:
        """Return a batch as it is now.

        Raises:
            UnknownBatch, StoreUnavailable.
        """
        found = await self._book.read(tenant, batch_id)
        if found is None or not found.accepted:
            raise UnknownBatch(batch_id)
        return found

    async def page(self, tenant: str, *, after: str, count: int) -> tuple[list[Batch], str]:
        """Return some batches, newest first, and where to go on, "" at the end."""
        found = await self._book.page(tenant, after=after, count=count)
        accepted = [batch for batch in found if batch.accepted]
        return accepted, found[-1].id if len(found) == count else ""

    async def cancel(self, tenant: str, batch_id: str) -> Batch:
        """Ask a batch to end.

        Raises:
            UnknownBatch, StoreUnavailable.
        """
        batch = await self.get(tenant, batch_id)
        if batch.ended_at is not None:
            return batch
        await self._book.cancel(batch)
        for part in batch.parts:
            if part.state is PartState.RUNNING:
                with suppress(ProviderError):  # whoever looks after it asks again
                    await self._upstream.cancel(part.provider_id)
        self.submitter.wake()
        return await self.get(tenant, batch_id)

    async def results(self, tenant: str, batch_id: str, cursor: str = "") -> AsyncIterator[Page]:
        """Yield the results of an ended batch, from where a cursor says.

        Raises:
            UnknownBatch, BatchNotEnded, BatchResultsGone, StoreUnavailable, ProviderError.
        """
        batch = await self.get(tenant, batch_id)
        if batch.ended_at is None:
            raise BatchNotEnded(batch_id)
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

    async def _batch(
        self, intake: Intake, tenant: str, options: BatchOptions, created_at: datetime, batch_id: str
    ) -> Batch:
        count, refused_count = intake.item_count, intake.refused_count
        if refused_count and (options.all_or_nothing or refused_count == count):
            raise BatchItemsRefused(intake.refused, refused_count)
        return Batch(
            id=batch_id,
            tenant=tenant,
            options=options,
            fingerprint=intake.fingerprint,
            created_at=created_at,
            item_count=count,
            refused_count=refused_count,
            hit_count=0,
            same_count=0,
            expected_nano_usd=intake.expected_nano_usd,
            hits_nano_usd=0,
            parts=await intake.parts(),
        )

    async def _accept(self, batch: Batch, intake: Intake) -> Created:
        """Record the batch, hold its money, and only then let it be sent."""
        known = await self._book.open(batch, intake.packed, {})
        if known != batch.id:
            await intake.drop()
            return await self._known(batch, known)
        try:
            await self._holds.hold(batch, batch.parts)
        except CostsvcError:
            await self._book.forget(batch)
            raise
        if not await self._book.accept(batch):
            for part in batch.parts:
                await self._holds.release(part)
            raise StoreUnavailable("the batch took too long to be accepted")
        self.submitter.wake()
        return Created(batch=await self.get(batch.tenant, batch.id), refused=tuple(intake.refused))

    async def _known(self, batch: Batch, known: str) -> Created:
        """Return the batch that has the request id already."""
        first = await self._book.read(batch.tenant, known)
        if first is None or not first.accepted:
            raise StoreUnavailable("another call creates this batch")
        if first.fingerprint != batch.fingerprint:
            raise RequestIdReused
        return Created(batch=first)

    async def _of_rows(
        self, batch: Batch, number: int, start: int, rows: Sequence[bytes]
    ) -> AsyncIterator[Page]:
        """Yield what is known without the provider: of refused items (0), or of a part that was not sent."""
        page: list[ItemResult] = []
        part = batch.parts[number - 1] if number else None
        if part is not None and part.replaced_by:
            return
        for index in range(start, len(rows)):
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
        end = start
        try:
            at_provider = await self._upstream.retrieve(part.provider_id)
            async for line in self._upstream.results(at_provider, start=start):
                end = line.end
                with suppress(Unreadable, IndexError):  # settling has said so
                    index, told = index_in(line.data, part)
                    item = batch_codec.read_item(rows[index])
                    page.append(read_result(line.data, told, item, part, self._planner.catalog))
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
