"""Booking hits, which cost nothing: many at once, a moment after the answer.

They go to the ledger in one trip every few milliseconds and not through the journal: a process that is killed
may lose some rows, but never a dollar.
"""

from __future__ import annotations

import asyncio
from collections import deque
from itertools import islice

import structlog

from costsvc.app.policies import PolicyInForce
from costsvc.core.entry import Entry
from costsvc.core.errors import StoreUnavailable
from costsvc.metrics import Metrics
from costsvc.store.ledger import Ledger

FLUSH_S = 0.007
AGAIN_S = 0.5
AT_ONCE = 100
MOST_WAITING = 20_000
"""How many hits wait for the store at most; further ones are only counted."""

log = structlog.get_logger()


class Hits:
    """Hits that are still to be booked. `keep_booking` runs beside it, in a task of its own."""

    def __init__(self, ledger: Ledger, policy_in_force: PolicyInForce, metrics: Metrics) -> None:
        self._ledger = ledger
        self._policy_in_force = policy_in_force
        self._metrics = metrics
        self._waiting: deque[Entry] = deque()
        self._filled = asyncio.Event()
        self._flushing = asyncio.Lock()
        self._lost = 0

    def book(self, entry: Entry) -> None:
        """Book a hit soon."""
        self._metrics.settled(entry.answering_model, 0, entry.savings, entry.usage)
        if len(self._waiting) >= MOST_WAITING:
            self._lost += 1
            return
        self._waiting.append(entry)
        self._filled.set()

    async def keep_booking(self) -> None:
        """Book what waits, for as long as the process lives: run this once, in a task of its own."""
        while True:
            await self._filled.wait()
            await asyncio.sleep(FLUSH_S)  # what comes together is booked together
            if not await self.flush():
                await asyncio.sleep(AGAIN_S)

    async def flush(self) -> bool:
        """Book what waits now; return whether the store took it."""
        async with self._flushing:
            left_count = len(self._waiting)
            while left_count > 0:
                some = list(islice(self._waiting, min(AT_ONCE, left_count)))
                if not await self._book(some):
                    return False
                left_count -= len(some)
            if not self._waiting:
                self._filled.clear()
        if self._lost:
            log.warning("hits_lost", count=self._lost)
            self._lost = 0
        return True

    async def _book(self, entries: list[Entry]) -> bool:
        try:
            await self._ledger.settle_all(entries, label_keys=self._policy_in_force.policy.report_labels)
        except StoreUnavailable:
            return False
        except Exception:
            log.exception("hits_not_booked", count=len(entries))  # nothing here may end this task
        for _ in entries:
            self._waiting.popleft()
        return True
