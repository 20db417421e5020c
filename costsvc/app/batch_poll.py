"""Looking after batches at the provider: finding lost ones, booking results, ending what is done.

One process does it at a time, by a lease, and any other takes over.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import structlog

from costsvc.app.batch_find import find
from costsvc.app.batch_holds import BatchHolds
from costsvc.app.batch_settle import BatchSettlement
from costsvc.app.ids import new_id
from costsvc.core.batch import LONGEST, Batch, Part, PartEnd, PartState
from costsvc.core.errors import Failure, ProviderError, StoreUnavailable
from costsvc.ports import BatchUpstream, Clock, ProviderBatch
from costsvc.store.batches import REMEMBERED, BatchBook
from costsvc.store.job_lease import JobLease

ABANDONED = timedelta(minutes=5)
"""After this long a batch is not going to be accepted any more: its creator is gone."""

SPOOL_LOST = timedelta(hours=1)
"""How long the replica with the only copy of a part's items may be away."""

_SEARCHED = LONGEST + timedelta(hours=1)
_MISSED = 2 * LONGEST  # a part may be sent a day late, and take another
_SEARCH_AGAIN = timedelta(minutes=10)
_FORGET_EVERY = timedelta(hours=1)
_RENEW_S = 5.0

log = structlog.get_logger()


class BatchPoller:
    """Looks after all batches; `keep_polling` runs beside the service, in a task of its own."""

    def __init__(
        self,
        *,
        book: BatchBook,
        upstream: BatchUpstream,
        settlement: BatchSettlement,
        holds: BatchHolds,
        lease: JobLease,
        creating: JobLease,
        clock: Clock,
        every_s: float,
        adopt_s: float,
    ) -> None:
        self._book = book
        self._upstream = upstream
        self._settlement = settlement
        self._holds = holds
        self._lease = lease
        self._creating = creating
        self._clock = clock
        self._every_s = every_s
        self._adopted_within = timedelta(seconds=adopt_s)
        self._forgot_at = datetime.min.replace(tzinfo=UTC)
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Look at once."""
        self._woken.set()

    async def keep_polling(self) -> None:
        """Look after batches, for as long as the process lives: run this once, in a task of its own."""
        while True:
            try:
                await self.poll()
            except StoreUnavailable:
                pass  # the watch says when the store goes and comes
            except Exception:
                log.exception("polling_batches_failed")  # tried again: nothing here may end this task
            with suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), self._every_s)
            self._woken.clear()

    async def poll(self) -> None:
        """Look after every batch once, where it is this process's turn.

        Raises:
            StoreUnavailable: the rest is left for the next time.
        """
        now = self._clock.now()
        if not await self._lease.take(now):
            return
        for tenant, batch_id in await self._book.open_ones():
            await self._tend_one(tenant, batch_id)
        if now - self._forgot_at > _FORGET_EVERY:
            self._forgot_at = now
            await self._book.forget_before(now - REMEMBERED)

    async def _tend_one(self, tenant: str, batch_id: str) -> None:
        """Look after a batch; one that nobody can look after must not keep the others waiting."""
        try:
            batch = await self._book.read(tenant, batch_id)
            if batch is not None:
                await self._tend(batch)
        except StoreUnavailable:
            raise
        except Exception:
            log.exception("batch_not_tended", tenant=tenant, batch_id=batch_id)

    async def _tend(self, batch: Batch) -> None:
        if not batch.accepted:
            await self._abandon(batch)
            return
        for part in batch.parts:
            await self._lease.take(self._clock.now())
            try:
                await self._look_at(batch, part)
            except ProviderError as error:
                log.warning("batch_not_seen", part_id=part.id, problem=str(error))
        now = await self._book.read(batch.tenant, batch.id)
        if now is not None and now.is_settled:
            await self._end(now)

    async def _abandon(self, batch: Batch) -> None:
        """Remove a batch whose creator has died; from then on nobody can accept it."""
        if self._clock.now() - batch.created_at > ABANDONED:
            await self._book.forget(batch)
            for part in batch.parts:
                await self._holds.release(part)

    async def _look_at(self, batch: Batch, part: Part) -> None:
        match part.state:
            case PartState.WAITING | PartState.ACCEPTED:
                await self._miss(batch, part)
            case PartState.CREATING:
                if await self._creating.holder(self._clock.now()) != part.creator:
                    await self._book.move(batch, part, replace(part, state=PartState.UNKNOWN))
            case PartState.UNKNOWN | PartState.DOUBTFUL:
                await self._search(batch, part)
            case PartState.RUNNING:
                if part.retry_at is None or part.retry_at <= self._clock.now():
                    await self._follow(batch, part)
            case PartState.DONE:
                pass

    async def _miss(self, batch: Batch, part: Part) -> None:
        """End a part whose replica is gone."""
        now = self._clock.now()
        if now - part.started_at < SPOOL_LOST:
            return
        if part.spool not in await self._book.spools_since(now - SPOOL_LOST):
            await self._finish(batch, part, PartEnd.LOST, "the replica that had it is gone")

    async def _search(self, batch: Batch, part: Part) -> None:
        now = self._clock.now()
        if part.state is PartState.DOUBTFUL:
            await self._holds.lose(part, "batch_unknown")
            if part.retry_at is not None and now < part.retry_at:
                return
        found = await find(part, self._book, self._upstream)
        age = now - (part.creating_at or part.started_at)
        if found.own is not None:
            await self._adopt(batch, part, found.own)
        elif found.running:
            only = found.running[0].id if len(found.running) == 1 else ""
            if found.part != part or part.provider_id != only:
                await self._book.move(batch, part, replace(found.part, provider_id=only))
        elif part.state is PartState.UNKNOWN and age > self._adopted_within:
            await self._send_again(batch, found.part)
        elif part.state is PartState.DOUBTFUL and age > _SEARCHED:
            await self._finish(batch, part, PartEnd.ABSENT)
        elif found.part != part or part.state is PartState.DOUBTFUL:
            await self._book.move(batch, part, replace(found.part, retry_at=now + _SEARCH_AGAIN))

    async def _adopt(self, batch: Batch, part: Part, own: ProviderBatch) -> None:
        await self._book.note_ours(own.id, own.created_at)
        running = replace(part, state=PartState.RUNNING, provider_id=own.id, retry_at=None)
        if await self._book.move(batch, part, running):
            log.info("batch_adopted", part_id=part.id, provider_batch_id=own.id)
            self.wake()

    async def _send_again(self, batch: Batch, part: Part) -> None:
        """Let a part be sent under another id; what the first may have cost is at risk until it is known."""
        further = replace(
            part,
            id=new_id(),
            version=0,
            state=PartState.WAITING,
            started_at=self._clock.now(),
            creating_at=None,
            provider_id="",
            rejected=(),
        )
        doubtful = replace(part, state=PartState.DOUBTFUL, replaced_by=further.id, provider_id="")
        if await self._book.move(batch, part, doubtful, further=further):
            log.error("batch_sent_again", part_id=part.id, as_part_id=further.id)
            await self._holds.lose(part, "batch_unknown")

    async def _follow(self, batch: Batch, part: Part) -> None:
        """See how far a part is, and book its results when it has ended."""
        try:
            at_provider = await self._upstream.retrieve(part.provider_id)
            if batch.canceled and not at_provider.has_ended:
                at_provider = await self._upstream.cancel(part.provider_id)
            if not at_provider.has_ended:
                return
            await self._settle(batch, part, at_provider)
        except ProviderError as error:
            if error.failure is not Failure.NOT_FOUND:
                raise
            log.error("batch_gone", part_id=part.id, provider_batch_id=part.provider_id)  # noqa: TRY400
            await self._finish(batch, part, PartEnd.GONE, "the provider has no such batch any more")
            return
        now = await self._book.read(batch.tenant, batch.id)
        if now is None:
            return
        missing = part.item_count - now.tally(part).item_count
        if missing <= 0:
            await self._finish(now, part, PartEnd.SETTLED)
            return
        log.error("batch_results_missing", part_id=part.id, missing=missing)
        at = self._clock.now()
        if at - part.started_at > _MISSED:
            await self._finish(now, part, PartEnd.GONE, f"{missing} results cannot be read")
        else:  # all of them are read again, which may be much
            await self._book.move(batch, part, replace(part, retry_at=at + _SEARCH_AGAIN))

    async def _settle(self, batch: Batch, part: Part, at_provider: ProviderBatch) -> None:
        renewed_s = self._clock.monotonic()
        async with aclosing(self._settlement.settle(batch, part, at_provider)) as progress:
            async for _ in progress:
                if self._clock.monotonic() - renewed_s > _RENEW_S:
                    renewed_s = self._clock.monotonic()
                    await self._lease.take(self._clock.now())

    async def _finish(self, batch: Batch, part: Part, end: PartEnd, problem: str = "") -> None:
        done = replace(part, state=PartState.DONE, end=end, problem=problem)
        if await self._book.move(batch, part, done):
            await self._free(batch, done)

    async def _free(self, batch: Batch, part: Part) -> None:
        """Free what a part that is done still holds, or have it at risk where its bill cannot be known."""
        if part.end is PartEnd.GONE or batch.tally(part).unpriced_count:
            await self._holds.lose(part, "batch_unpriced")
        else:
            await self._holds.release(part)

    async def _end(self, batch: Batch) -> None:
        """End a batch; where a crash came between a part's end and its money, that is made good here."""
        for part in batch.parts:
            if part.state is PartState.DONE:
                await self._free(batch, part)
        if batch.ended_at is None:
            log.info("batch_ended", batch_id=batch.id, tenant=batch.tenant, items=batch.item_count)
        is_closed = all(part.state is PartState.DONE for part in batch.parts)
        await self._book.end(batch, batch.ended_at or self._clock.now(), is_closed=is_closed)
