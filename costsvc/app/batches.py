"""Batches for callers: creating one, seeing how far it is, ending it, reading its results."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from costsvc.app.attempt import Caller
from costsvc.app.batch_holds import BatchHolds
from costsvc.app.batch_intake import Given, Intake
from costsvc.app.batch_poll import BatchPoller
from costsvc.app.batch_reader import BatchReader, Page
from costsvc.app.batch_settle import Listener, Review
from costsvc.app.batch_submit import BatchSubmitter
from costsvc.app.complete import Completions
from costsvc.app.definitions import InForce
from costsvc.app.ids import new_id
from costsvc.app.planner import Planner
from costsvc.app.prompt_caching import PromptCaching
from costsvc.core.batch import Batch, BatchOptions, PartState
from costsvc.core.batch_errors import (
    BatchItemsRefused,
    BatchNotEnded,
    Refused,
    UnknownBatch,
)
from costsvc.core.errors import (
    CostsvcError,
    JournalFailed,
    ProviderError,
    RequestIdReused,
    StoreUnavailable,
)
from costsvc.ports import BatchUpstream, Clock
from costsvc.store.batches import BatchBook
from costsvc.store.spool import Spool

DRY_RUN_S = 120.0
"""How long the dry run of an item may take."""


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
        completions: Completions,
        prompt_caching: PromptCaching,
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
        self._completions = completions
        self._prompt_caching = prompt_caching
        self._reader = BatchReader(book, upstream, planner.catalog)

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
            ProviderError: the dry run failed; its message says why.
        """
        started_at = self._clock.now()
        intake = Intake(
            planner=self._planner,
            prompt_caching=self._prompt_caching,
            in_force=self._in_force,
            spool=self._spool,
            tenant=tenant,
            started_at=started_at,
        )
        try:
            async for some in items:
                await intake.add(some)
            batch = await self._batch(intake, tenant, options, started_at, batch_id or new_id())
            if options.dry_run:
                await self._try_one(intake, tenant)
        except BaseException as error:
            await intake.drop()
            self._spool.written(intake.names)
            if isinstance(error, OSError):
                raise JournalFailed(f"items cannot be kept: {error}") from error
            raise
        try:  # from here on the files may be those of a batch: whoever submits knows, and removes the others
            return await self._accept(batch, intake)
        finally:
            self._spool.written(intake.names)

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
        async for page in self._reader.pages(batch, cursor):
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
            expected_nano_usd=intake.expected_nano_usd,
            parts=await intake.parts(),
        )

    async def _try_one(self, intake: Intake, tenant: str) -> None:
        """Have the first good item answered by the standard API, or raise what comes of it."""
        if intake.first is not None:
            deadline_s = self._clock.monotonic() + DRY_RUN_S
            request = replace(intake.first, request_id="", conversation_id="")
            attempt = self._completions.begin(request, Caller(tenant=tenant, deadline_s=deadline_s))
            await self._completions.answer(attempt)

    async def _accept(self, batch: Batch, intake: Intake) -> Created:
        """Record the batch, hold its money, and only then let it be sent."""
        known = await self._book.open(batch, intake.packed)
        if known != batch.id:
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
