"""Booking what was spent: written to the journal first, then to the ledger, once an attempt.

A settlement that the store does not take stays in the journal, on the disk, and is booked from there when the
store is back. So is all that the journal still has when another store answers, or this one after a restart:
it may lack its last moments, and repeating is safe, because the ledger books an attempt once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from datetime import timedelta

import structlog

from costsvc.app.booking import Booking
from costsvc.core.entry import Entry
from costsvc.core.errors import JournalFailed, StoreUnavailable
from costsvc.metrics import Metrics
from costsvc.ports import Clock
from costsvc.store import entry_codec
from costsvc.store.journal import Journal, Ticket, Waiting
from costsvc.store.ledger import REMEMBERED_DAYS
from costsvc.store.presence import Presence

TEND_EVERY_S = 1.0
"""How often the journal is looked after, and what could not be booked is tried again."""

_REPEATABLE = timedelta(days=REMEMBERED_DAYS - 1)

log = structlog.get_logger()


class Settlement:
    """Books entries. `keep_trying` and `keep_journal` run beside it, each in a task of its own."""

    def __init__(
        self,
        journal: Journal,
        booking: Booking,
        metrics: Metrics,
        clock: Clock,
        *,
        presence: Presence,
    ) -> None:
        self._presence = presence
        self._journal = journal
        self._booking = booking
        self._metrics = metrics
        self._clock = clock
        self._unjournaled: deque[Entry] = deque()  # only of calls that ran when the journal failed
        self._left = asyncio.Event()
        self._caught_up = asyncio.Event()
        self._note_left()  # what earlier runs left

    def check_room(self) -> None:
        """Raise JournalFailed when what a call costs could be lost: a call must be booked or not made."""
        self._journal.check()

    async def book(self, entry: Entry, version: int | None = None) -> None:
        """Book an entry, now or as soon as the store takes it; where it is in one of them, it is durable.

        `version` is that of the budgets' definitions that its charges follow, None where it is not known.
        """
        self._metrics.settled(entry.answering_model, entry.cost_nano_usd, entry.savings, entry.usage)
        encoded = entry_codec.encode(entry)
        try:
            ticket = self._journal.append(entry.attempt_id, encoded)
        except JournalFailed:
            await self._book_unjournaled(entry, version)
            return
        is_booked = False
        try:
            is_booked = await self._settle(entry, encoded, version)
        finally:  # also when something is wrong with the entry, which the journal keeps
            if is_booked:
                self._journal.ack(ticket)
            else:
                self._journal.leave(ticket)
                self._note_left()
        if not is_booked:
            await self._make_durable(ticket, entry)

    async def confirm(self, entry: Entry) -> None:
        """Book an entry that another process may have died before booking; what is booked stays as it is."""
        await self._settle(entry, b"", None)

    async def keep_journal(self) -> None:
        """Look after the journal, for as long as the process lives: run this once, in a task of its own."""
        while True:
            await self._journal.tend()
            self._metrics.journal(ok=self._journal.problem is None, size_bytes=self._journal.size_bytes)
            self._metrics.pending_settlements(self._journal.waiting_count + len(self._unjournaled))
            await asyncio.sleep(TEND_EVERY_S)

    async def recover(self, store_id: str, *, is_another: bool) -> None:
        """Tell another store, before calls use it, what the one before had: budgets count by that.

        At a process's start only the journal knows whether the store is another; calls do not wait then.

        Raises:
            StoreUnavailable: some is booked.
        """
        if self._journal.follow(store_id):
            self._note_left()
            if self._journal.waiting_count:
                log.warning("store_changed", booking_again=self._journal.waiting_count)
        if is_another:
            await self._book_left()

    async def keep_trying(self) -> None:
        """Book what is left, for as long as the process lives: run this once, in a task of its own."""
        while True:
            await self._left.wait()
            await self._presence.until_here()
            self._left.clear()
            if not await self._catch_up():
                self._left.set()
                await asyncio.sleep(TEND_EVERY_S)

    async def drain(self, timeout_s: float) -> int:
        """Wait for what is not booked yet; return how many entries are not, each kept or logged."""
        self._note_left()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._caught_up.wait()
        for entry in self._unjournaled:
            log.error("entry_not_booked", attempt_id=entry.attempt_id, cost_nano_usd=entry.cost_nano_usd)
        if waiting := self._journal.waiting_count:
            log.warning("entries_left_in_journal", count=waiting)
        return waiting + len(self._unjournaled)

    async def _settle(self, entry: Entry, encoded: bytes, version: int | None) -> bool:
        """Book an entry; return whether the store answered."""
        try:
            await self._booking.book(entry, encoded=encoded, version=version)
        except StoreUnavailable:
            return False
        return True

    async def _make_durable(self, ticket: Ticket, entry: Entry) -> None:
        """Wait for the disk, which alone has it; where that fails, memory keeps it as well."""
        try:
            await self._journal.durable(ticket)
        except JournalFailed:
            self._unjournaled.append(entry)
            self._note_left()

    async def _book_unjournaled(self, entry: Entry, version: int | None) -> None:
        """Book an entry of a call that ran when the journal failed; only memory can keep it now."""
        if not await self._settle(entry, b"", version):
            self._unjournaled.append(entry)
            self._note_left()

    async def _catch_up(self) -> bool:
        """Book all that is left; return whether the store answered throughout."""
        try:
            booked = await self._book_left()
        except StoreUnavailable:
            return False
        except Exception:
            log.exception("catching_up_failed")  # tried again: nothing here may end this task
            return False
        if booked:
            log.info("journal_booked", booked=booked)
        if not self._left.is_set():
            self._caught_up.set()
        return True

    async def _book_left(self) -> int:
        """Book what is in the journal, then what only memory has; return how many those were."""
        booked = 0
        while waiting := await self._journal.next_waiting():
            for one in waiting:
                await self._book_waiting(one)
                booked += 1
        while self._unjournaled:
            await self._booking.book(self._unjournaled[0])
            self._unjournaled.popleft()
            booked += 1
        return booked

    async def _book_waiting(self, waiting: Waiting) -> None:
        """Book one settlement from the journal, with the label keys and budgets of now.

        One that was never acknowledged and is too old for the ledger to know it is left to people: booking it
        could book it twice. So is one that the ledger cannot take.
        """
        ticket, data, is_again = waiting
        try:
            entry = entry_codec.decode(data)
            if entry.started_at > self._clock.now() - _REPEATABLE:
                await self._booking.book(entry, encoded=data)
            elif not is_again:
                self._refuse(ticket, f"attempt {entry.attempt_id} is too old")
                return
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - one bad entry must not hold up those behind it
            self._refuse(ticket, f"{type(error).__name__}: {error}")
        else:
            self._journal.ack(ticket)

    def _refuse(self, ticket: Ticket, problem: str) -> None:
        log.error("journal_entry_refused", path=str(ticket.segment.path), index=ticket.at, problem=problem)
        self._journal.refuse(ticket)

    def _note_left(self) -> None:
        self._caught_up.clear()
        self._left.set()
