"""Deciding about deferred requests, on the one process that has the lease: what shares a batch, what is sent.

What it does is noted in the store first, so that the next leader goes on from there.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import datetime, timedelta

import structlog

from costsvc.app.deferred_view import View
from costsvc.app.policies import PolicyInForce
from costsvc.app.sending_alone import SendingAlone
from costsvc.app.submitting import Submitting
from costsvc.core.deferral import Limits, Moves, decide
from costsvc.core.errors import StoreUnavailable
from costsvc.ports import Clock
from costsvc.store.job_lease import JobLease

LOOK_EVERY_S = 0.5
"""How often the queue is looked at: one short read where nothing has changed."""

LEASE = timedelta(seconds=10)
"""How long the queue waits for a leader who is gone; `call_time` leaves more than that to spare."""

MOST_REQUESTS, MOST_BYTES = 10_000, 64_000_000
"""How large a batch becomes; the provider takes more, but a batch ends with its last request."""

_CANCEL_LEAD = timedelta(minutes=1)
_AT_LEAST_EVERY = timedelta(seconds=5)
_MANY = 500

log = structlog.get_logger()


class Batcher:
    """The leader of the queue, or who would be it. `keep_deciding` runs beside everything else."""

    def __init__(
        self,
        *,
        view: View,
        lease: JobLease,
        submitting: Submitting,
        sending: SendingAlone,
        policy_in_force: PolicyInForce,
        clock: Clock,
    ) -> None:
        self.view = view
        self._lease = lease
        self._submitting = submitting
        self._sending = sending
        self._policy_in_force = policy_in_force
        self._clock = clock
        self._next_at: datetime | None = None
        self._looking = asyncio.Lock()
        self._is_leaving = False
        self.due_at: datetime | None = None
        """When there is more to do, without news."""

    async def keep_deciding(self) -> None:
        """Look at the queue again and again, for as long as the process lives."""
        while True:
            try:
                await self.look()
            except StoreUnavailable:
                self.view.forget()  # the watch says when the store goes and comes
            except Exception:
                self.view.forget()
                log.exception("deferring_failed")  # tried again: nothing here may end this task
            await asyncio.sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        """Do what is due, if this process leads.

        Raises:
            StoreUnavailable: some is done.
        """
        async with self._looking:
            await self._look(self._clock.now())

    async def leave(self) -> None:
        """Let another process lead at once: this one is about to end."""
        self._is_leaving = True
        self._sending.leave()
        async with self._looking:
            with suppress(StoreUnavailable):  # it ends by itself
                await self._lease.give_back(self._clock.now())

    async def _look(self, now: datetime) -> None:
        if self._is_leaving:
            return
        if not await self._lease.take(now):
            self.view.forget()
            return
        changed = await self.view.look()
        is_due = self._next_at is None or now >= self._next_at
        if is_due:
            await self._submitting.tend()
        if changed or is_due:
            await self._act(await self._decide(now), now)

    async def _decide(self, now: datetime) -> Moves:
        """Return what is to do; of many requests in a thread, so that other callers do not wait."""
        rules = self._policy_in_force.policy.defer
        limits = Limits(
            most_requests=MOST_REQUESTS,
            most_bytes=MOST_BYTES,
            longest_wait=rules.longest_wait,
            cancel_lead=_CANCEL_LEAD,
            lanes=rules.lanes,
        )
        view = self.view
        args = now, view.queued(now), view.running(), view.ran, limits
        if len(view.items) < _MANY:
            return decide(*args)
        return await asyncio.to_thread(decide, *args)

    async def _act(self, moves: Moves, now: datetime) -> None:
        items = self.view.items
        self.due_at = moves.next_at
        self._next_at = min(moves.next_at or now + _AT_LEAST_EVERY, now + _AT_LEAST_EVERY)
        left = [item for item in self.view.sent_alone() if not self._sending.knows(item)]
        alone = [items[member] for member in (*moves.again, *moves.alone) if member in items]
        self._sending.want((*left, *alone))
        for batch in moves.cancel:
            await self._submitting.cancel(batch)
        for group in moves.batches:
            await self._submitting.submit([items[member] for member in group if member in items])
