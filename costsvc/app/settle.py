"""Booking what was spent: one entry an attempt, now or as soon as the store is back."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress

import structlog

from costsvc.core.entry import Entry
from costsvc.core.errors import StoreUnavailable
from costsvc.metrics import Metrics
from costsvc.store.ledger import Ledger

MAX_PENDING = 100_000
"""Entries that may wait for the store in memory, about 1 KB each; beyond, new calls are refused."""

_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.1, 5.0

log = structlog.get_logger()


class Settlement:
    """Books entries; those that the store does not take wait here and are tried again, in order.

    Repeating is safe, the ledger books an attempt once. The state of the store is logged when it changes,
    not once a call.
    """

    def __init__(self, ledger: Ledger, label_keys: frozenset[str], metrics: Metrics) -> None:
        self._ledger = ledger
        self._label_keys = label_keys
        self._metrics = metrics
        self._pending: deque[Entry] = deque()
        self._waiting = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()

    def check_room(self) -> None:
        """Raise StoreUnavailable when too many entries wait already: a call must be booked or not made."""
        if len(self._pending) >= MAX_PENDING:
            raise StoreUnavailable(f"{len(self._pending)} settlements wait for the store")

    async def book(self, entry: Entry) -> None:
        """Book an entry, or keep it until the store takes it."""
        self._metrics.settled(entry.answering_model, entry.cost_nano_usd, entry.savings, entry.usage)
        if not self._pending:
            try:
                await self._ledger.settle(entry, label_keys=self._label_keys)
            except StoreUnavailable as error:
                log.warning("store_away", problem=str(error))
                self._metrics.store_available(available=False)
            else:
                return
        self._pending.append(entry)
        self._metrics.pending_settlements(len(self._pending))
        self._empty.clear()
        self._waiting.set()

    async def keep_trying(self) -> None:
        """Book what waits, for as long as the process lives: run this once, in a task of its own."""
        wait_s = _FIRST_WAIT_S
        while True:
            await self._waiting.wait()
            if await self._book_pending():
                wait_s = _FIRST_WAIT_S
            else:
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, _LONGEST_WAIT_S)

    async def drain(self, timeout_s: float) -> int:
        """Wait for what is not booked yet; return how many entries could not be, each logged."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._empty.wait()
        for entry in self._pending:
            log.error("entry_not_booked", attempt_id=entry.attempt_id, cost_nano_usd=entry.cost_nano_usd)
        return len(self._pending)

    async def _book_pending(self) -> bool:
        """Book all that waits, oldest first; return whether that worked."""
        booked = 0
        while self._pending:
            try:
                await self._ledger.settle(self._pending[0], label_keys=self._label_keys)
            except StoreUnavailable:
                return False
            self._pending.popleft()
            booked += 1
            self._metrics.pending_settlements(len(self._pending))
        self._waiting.clear()
        self._empty.set()
        self._metrics.store_available(available=True)
        log.info("store_back", booked=booked)
        return True
