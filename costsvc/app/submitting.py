"""Putting deferred requests into batches.

A batch is named, and noted with its requests, before it is created. So whoever leads next asks for it by its
name, and puts its requests back where it never came to be.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from costsvc.app.deferred_view import Batch, View
from costsvc.app.deferred_words import Words
from costsvc.app.ending_deferred import EndingDeferred
from costsvc.app.ids import new_id
from costsvc.app.in_flight import InFlight
from costsvc.core.deferred_errors import UnknownDeferred
from costsvc.core.errors import BudgetExceeded, CostsvcError, StoreUnavailable
from costsvc.core.request import ModelRequest
from costsvc.ports import Clock
from costsvc.store.deferred import DeferredBook
from costsvc.store.deferred_items import Item
from costsvc.store.deferred_queue import DeferredQueue

UNBORN = timedelta(seconds=20)
"""How long a batch that nobody knows may still be on its way from a process that led before."""

_BODIES_AT_ONCE, _BACK_AT_ONCE = 20, 50

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Found:
    """A batch as it stands; when it has ended, all its results were brought."""

    began_at: datetime
    has_ended: bool


class Batching(Protocol):
    """What deferring wants of batches; `batch` is the id that it gives them."""

    async def create(
        self, tenant: str, batch: str, requests: AsyncIterator[tuple[str, ModelRequest]]
    ) -> Mapping[str, CostsvcError]:
        """Create a batch; return which requests are not part of it, and why. A repetition changes nothing.

        Raises:
            CostsvcError: there is no such batch; BudgetExceeded where it has no room as a whole.
            StoreUnavailable: there may be one.
        """

    async def find(self, tenant: str, batch: str) -> Found | None:
        """Return how a batch stands, None where there is none."""

    async def cancel(self, tenant: str, batch: str) -> bool:
        """Ask a batch to end; return whether there is one."""


class Submitting:
    """The batches of deferred requests, as far as this process leads."""

    def __init__(
        self,
        *,
        view: View,
        queue: DeferredQueue,
        book: DeferredBook,
        batching: Batching,
        ending: EndingDeferred,
        words: Words,
        in_flight: InFlight,
        clock: Clock,
    ) -> None:
        self._view = view
        self._queue = queue
        self._book = book
        self._batching = batching
        self._ending = ending
        self._words = words
        self._in_flight = in_flight
        self._clock = clock
        self._creating: set[str] = set()
        self._unborn: dict[str, datetime] = {}

    async def submit(self, items: Sequence[Item]) -> None:
        """Put requests of a pool into a batch, which is created beside what goes on.

        Raises:
            StoreUnavailable: some may be noted as in the batch, which is not created; `tend` puts them back.
        """
        batch = new_id()
        self._creating.add(batch)
        try:
            members = frozenset(await self._queue.submit([item.member for item in items], batch))
        except BaseException:
            self._creating.discard(batch)
            raise
        submitted = [item for item in items if item.member in members]
        if not submitted:
            self._creating.discard(batch)
            return
        self._view.batches[batch] = Batch(items[0].tenant, self._clock.now())
        self._in_flight.start(self._create(batch, submitted))

    async def cancel(self, batch: str) -> None:
        """Ask for the end of a batch that takes too long, or that nobody waits for.

        Where there is none, its requests are put back.

        Raises:
            StoreUnavailable: some are not put back; repeat it.
        """
        known = self._view.batches[batch]
        if batch in self._creating:
            return
        try:
            exists = await self._batching.cancel(known.tenant, batch)
        except CostsvcError as error:  # asked again at the next look
            log.warning("batch_not_canceled", batch_id=batch, error=type(error).__name__)
            return
        known.is_canceled = True
        items = self._view.of_batches().get(batch, [])
        if not exists or not items:
            await self._put_back(batch, items)

    async def tend(self) -> None:
        """Know again the batches of who led before; put back what is in none, or in one that has ended.

        A batch ends without results where the provider did not take it, or its replica is gone.

        Raises:
            StoreUnavailable: it is not done for some.
        """
        for batch, items in self._view.of_batches().items():
            if batch not in self._creating:
                await self._tend(batch, items)

    async def _tend(self, batch: str, items: Sequence[Item]) -> None:
        now, found = self._clock.now(), await self._batching.find(items[0].tenant, batch)
        if found is None:
            if now - self._unborn.setdefault(batch, now) >= UNBORN:
                del self._unborn[batch]
                await self._put_back(batch, items)
            return
        self._unborn.pop(batch, None)
        self._view.batches.setdefault(batch, Batch(items[0].tenant, found.began_at))
        if found.has_ended:
            await self._put_back(batch, items)

    async def _create(self, batch: str, items: Sequence[Item]) -> None:
        """Create a batch; what it does not take is ended, or put back into the queue."""
        try:
            refused = await self._batching.create(items[0].tenant, batch, self._requests(items))
            for item in items:
                if item.id in refused:
                    await self._ending.failed(item, refused[item.id])
        except BudgetExceeded:
            await self._split(batch, items)
        except StoreUnavailable:  # `tend` finds it, or puts its requests back
            log.warning("deferred_batch_unknown", batch_id=batch)
        except Exception as error:
            log.exception("deferred_batch_failed", batch_id=batch, error=type(error).__name__)
            await self._rest(batch, items)
        finally:
            self._creating.discard(batch)

    async def _split(self, batch: str, items: Sequence[Item]) -> None:
        """Put back what budgets have no room for as a whole; halves of it may fit."""
        half = len(items) // 2
        if not half:
            await self._rest(batch, items)
            return
        with suppress(StoreUnavailable):  # `tend` puts back the rest
            await self._put_back(batch, items)
            await self.submit(items[:half])
            await self.submit(items[half:])

    async def _rest(self, batch: str, items: Sequence[Item]) -> None:
        """Put back what was refused for something that may pass; it is tried again in a while."""
        for item in items:
            self._view.rest(item, self._clock.now())
        with suppress(StoreUnavailable):  # `tend` puts back the rest
            await self._put_back(batch, items)

    async def _put_back(self, batch: str, items: Sequence[Item]) -> None:
        for at in range(0, len(items), _BACK_AT_ONCE):
            some = items[at : at + _BACK_AT_ONCE]
            await asyncio.gather(*(self._queue.give_back(item.member, batch) for item in some))
        self._view.batches.pop(batch, None)

    async def _requests(self, items: Sequence[Item]) -> AsyncIterator[tuple[str, ModelRequest]]:
        """Yield requests by their ids, read from the store some at a time; those that are erased end."""
        for at in range(0, len(items), _BODIES_AT_ONCE):
            some = items[at : at + _BODIES_AT_ONCE]
            bodies = await self._book.requests([item.member for item in some])
            for item, body in zip(some, bodies, strict=True):
                if body is None:
                    await self._ending.failed(item, UnknownDeferred(item.id))
                    continue
                try:
                    request = self._words.read(body)
                except CostsvcError as error:
                    await self._ending.failed(item, error)
                    continue
                yield item.id, replace(request, request_id=item.request_id or item.id)
