"""Creating batches at the provider: by the replica that has their items on its disk, one at a time.

A create has no id that the provider would know again. So what was the workspace's newest batch is written
down before, and a lease lets nobody else create one meanwhile: after a crash at most one batch of ours is
newer than that and unknown.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import timedelta

import structlog

from costsvc.app.batch_holds import BatchHolds
from costsvc.app.in_flight import InFlight
from costsvc.core.batch import LONGEST, Batch, Part, PartEnd, PartState
from costsvc.core.errors import BudgetExceeded, Failure, ProviderError, StoreUnavailable, TooManyBudgets
from costsvc.ports import BatchBody, BatchUpstream, Clock, ProviderBatch
from costsvc.store.batches import BatchBook
from costsvc.store.job_lease import JobLease
from costsvc.store.spool import Spool

_RENEW_S = 5.0
_SLOWEST_BYTES_S = 500_000
_AGAIN = timedelta(seconds=10)
_LATER = timedelta(minutes=5)
_TELL_AGAIN_S, _TELLINGS = 1.0, 60

_HOPELESS = frozenset({Failure.INVALID, Failure.NOT_FOUND, Failure.MALFORMED})
_OPERATORS = frozenset({Failure.UNAUTHORIZED, Failure.SPEND_LIMITED})

log = structlog.get_logger()


class BatchSubmitter:
    """Sends what is on this replica's disk; `keep_submitting` runs beside it, in a task of its own."""

    def __init__(
        self,
        *,
        book: BatchBook,
        spool: Spool,
        upstream: BatchUpstream,
        holds: BatchHolds,
        lease: JobLease,
        in_flight: InFlight,
        clock: Clock,
        every_s: float,
    ) -> None:
        self._book = book
        self._spool = spool
        self._upstream = upstream
        self._holds = holds
        self._lease = lease
        self._in_flight = in_flight
        self._clock = clock
        self._every_s = every_s
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Look at once for what is to be sent."""
        self._woken.set()

    async def keep_submitting(self) -> None:
        """Send what is accepted, for as long as the process lives: run this once, in a task of its own."""
        while True:
            try:
                await self._in_flight.run(self.submit())
            except StoreUnavailable:
                pass  # the watch says when the store goes and comes
            except Exception:
                log.exception("submitting_batches_failed")  # tried again: nothing here may end this task
            with suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), self._every_s)
            self._woken.clear()

    async def submit(self) -> None:
        """Send once what can be sent now.

        Raises:
            StoreUnavailable: the rest is left for the next time.
        """
        await self._book.note_spool(self._spool.id, self._clock.now())
        left, needed = await self._spool.left(), set[str]()
        for tenant, batch_id in await self._book.open_ones():
            files = await self._submit_one(tenant, batch_id)
            left, needed = (left, needed | files) if files is not None else (set(), needed)
        await self._spool.remove(left - needed)

    async def _submit_one(self, tenant: str, batch_id: str) -> set[str] | None:
        """Send what can be sent of a batch, and return the files that it still needs.

        None where nobody can say: then no file is removed, and other batches do not wait for this one.
        """
        needed = set[str]()
        try:
            batch = await self._book.read(tenant, batch_id)
            for part in batch.parts if batch else ():
                if batch and part.spool == self._spool.id:
                    needed |= await self._look_after(batch, part)
        except StoreUnavailable:
            raise
        except Exception:
            log.exception("batch_not_submitted", tenant=tenant, batch_id=batch_id)
            return None
        return needed

    async def _look_after(self, batch: Batch, part: Part) -> set[str]:
        """Send a part where it is time to; return the file that is still needed."""
        if part.state in {PartState.RUNNING, PartState.DONE, PartState.DOUBTFUL}:
            return set()
        is_due = part.retry_at is None or part.retry_at <= self._clock.now()
        if batch.accepted and is_due and part.state in {PartState.WAITING, PartState.ACCEPTED}:
            await self._send(batch, part)
        return {part.file}

    async def _send(self, batch: Batch, part: Part) -> None:
        now = self._clock.now()
        if batch.canceled:
            await self._end(batch, part, PartEnd.CANCELED)
        elif not self._spool.has(part.file):
            await self._end(batch, part, PartEnd.LOST, "its items are no longer on the disk")
        elif now - part.started_at > LONGEST:
            await self._end(batch, part, PartEnd.LOST, "it could not be sent within a day")
        elif part.state is PartState.WAITING:
            await self._hold(batch, part)
        elif await self._lease.take(now):
            try:
                async with self._renewing():
                    await self._create(batch, part)
            finally:
                await self._lease.give_back(self._clock.now())
        else:
            self._in_flight.start(self._wake_soon())

    async def _hold(self, batch: Batch, part: Part) -> None:
        """Hold anew for a part that is sent again; where there is no room, later."""
        try:
            await self._holds.hold(batch, (part,))
        except (BudgetExceeded, TooManyBudgets) as error:
            log.warning("batch_waits_for_budget", part_id=part.id, problem=str(error))
            await self._book.move(batch, part, replace(part, retry_at=self._clock.now() + _LATER))
            return
        await self._book.move(batch, part, replace(part, state=PartState.ACCEPTED, retry_at=None))
        self.wake()

    async def _create(self, batch: Batch, part: Part) -> None:
        try:
            page = await self._upstream.page(count=1)
        except ProviderError as error:
            await self._put_off(batch, part, error)
            return
        creating = await self._book.move(
            batch,
            part,
            replace(
                part,
                state=PartState.CREATING,
                head=page.batches[0].id if page.batches else "",
                creator=self._lease.owner,
                creating_at=self._clock.now(),
                retry_at=None,
            ),
        )
        if creating is None:  # another has changed it meanwhile
            return
        try:
            created = await self._upstream.create(self._body(creating))
        except ProviderError as error:
            await self._failed(batch, creating, error)
        else:
            await self._created(batch, creating, created)

    def _body(self, part: Part) -> BatchBody:
        return BatchBody(
            attempt_id=part.id,
            byte_count=part.byte_count,
            pieces=lambda: self._spool.pieces(part.file, part.id),
            headers=part.headers,
            timeout_s=60 + part.byte_count / _SLOWEST_BYTES_S,
        )

    async def _created(self, batch: Batch, part: Part, created: ProviderBatch) -> None:
        """Tell the store; where it stays away, whoever looks after batches finds this one again."""
        for _ in range(_TELLINGS):
            try:
                await self._book.note_ours(created.id, created.created_at)
                if await self._ran(batch, part, created):
                    return
            except StoreUnavailable:
                await asyncio.sleep(_TELL_AGAIN_S)
        log.error("batch_created_untold", part_id=part.id, provider_batch_id=created.id)

    async def _ran(self, batch: Batch, part: Part, created: ProviderBatch) -> bool:
        running = replace(part, state=PartState.RUNNING, provider_id=created.id)
        if await self._book.move(batch, part, running):
            log.info("batch_created", part_id=part.id, provider_batch_id=created.id, items=part.item_count)
            return True
        found = await self._book.read(batch.tenant, batch.id)
        now = found.part(part.id) if found else None
        if found is None or now is None or now.provider_id == created.id or now.state is PartState.DONE:
            return True
        return await self._book.move(found, now, replace(running, version=now.version)) is not None

    async def _failed(self, batch: Batch, part: Part, error: ProviderError) -> None:
        if error.may_have_spent:
            log.error("batch_unknown", part_id=part.id, problem=str(error))
            await self._book.move(batch, part, replace(part, state=PartState.UNKNOWN))
        elif error.failure in _HOPELESS:
            await self._end(batch, part, PartEnd.REJECTED, f"{error.error_type}: {error.message}"[:500])
        else:
            await self._put_off(batch, part, error)

    async def _put_off(self, batch: Batch, part: Part, error: ProviderError) -> None:
        """Try again in a while: nothing was created."""
        log.warning("batch_put_off", part_id=part.id, problem=str(error))
        asked = timedelta(seconds=error.retry_after_s or 0)
        wait = _LATER if error.failure in _OPERATORS else max(asked, _AGAIN)
        later = replace(part, state=PartState.ACCEPTED, retry_at=self._clock.now() + wait)
        await self._book.move(batch, part, later)

    async def _end(self, batch: Batch, part: Part, end: PartEnd, problem: str = "") -> None:
        """End a part that the provider does not have, and free what it holds."""
        if await self._book.move(batch, part, replace(part, state=PartState.DONE, end=end, problem=problem)):
            await self._holds.release(part)

    @asynccontextmanager
    async def _renewing(self) -> AsyncIterator[None]:
        """Keep the lease while a body is on its way."""

        async def renew() -> None:
            while True:
                await asyncio.sleep(_RENEW_S)
                with suppress(StoreUnavailable):
                    await self._lease.take(self._clock.now())

        task = asyncio.ensure_future(renew())
        try:
            yield
        finally:
            task.cancel()

    async def _wake_soon(self) -> None:
        await asyncio.sleep(1.0)
        self.wake()
