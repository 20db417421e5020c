"""Noting what attempts begin and how they end: written to the journal first, then told to the store, once.

What the store does not take stays in the journal, on the disk, and is told from there when the store is back.
So is all that the journal still has when another store answers, or this one after a restart: it may lack its
last moments, and repeating is safe, because the store takes each thing once an attempt.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta

import structlog

from costsvc.app.telling import Bill, News, Teller, opened, settled, started_at
from costsvc.core.entry import Entry
from costsvc.core.errors import JournalFailed, StoreUnavailable
from costsvc.core.holds import Hold
from costsvc.core.opening import Opening
from costsvc.metrics import Metrics
from costsvc.ports import Clock
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
        self, teller: Teller, journal: Journal, metrics: Metrics, clock: Clock, *, presence: Presence
    ) -> None:
        self._teller = teller
        self._presence = presence
        self._journal = journal
        self._metrics = metrics
        self._clock = clock
        self._unjournaled: deque[News] = deque()  # only of calls that ran when the journal failed
        self._booking_left = asyncio.Lock()  # a store that comes back may overlap with what is being tried
        self._left = asyncio.Event()
        self._caught_up = asyncio.Event()
        self._note_left()  # what earlier runs left

    def check_room(self) -> None:
        """Raise JournalFailed when what a call costs could be lost: a call must be booked or not made."""
        self._journal.check()

    def open(self, opening: Opening, hold: Hold, charges: Sequence[str]) -> Ticket:
        """Note that an attempt is about to be made: what is lost with this process is at risk from then on.

        Raises:
            JournalFailed: it is not noted, and must not be made.
        """
        news = opened(opening, hold, charges)
        return self._journal.append(news.attempt_id, news.data, news.kind)

    async def book(self, entry: Entry, version: int | None = None, trace: Ticket | None = None) -> None:
        """Book an entry, now or as soon as the store takes it; where it is in one of them, it is durable.

        `version` is that of the budgets' definitions that its charges follow, None where it is not known.
        `trace` is what `open` returned for the attempt.
        """
        self._metrics.settled(entry.answering_model, entry.cost_nano_usd, entry.savings, entry.usage)
        await self._note(settled(entry), trace, Bill(entry, version))

    async def end(self, news: News, trace: Ticket | None) -> None:
        """Note, in the same way, that an attempt has ended without a bill."""
        await self._note(news, trace)

    async def confirm(self, entry: Entry) -> None:
        """Book an entry that another process may have died before booking; what is booked stays as it is."""
        await self._tell(settled(entry), Bill(entry, None))

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
            async with self._booking_left:
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
        for news in self._unjournaled:
            log.error("entry_not_booked", attempt_id=news.attempt_id, kind=news.kind.name, data=news.data)
        if waiting := self._journal.waiting_count:
            log.warning("entries_left_in_journal", count=waiting)
        return waiting + len(self._unjournaled)

    async def _note(self, news: News, trace: Ticket | None, bill: Bill | None = None) -> None:
        """Write how an attempt ended, and tell the store."""
        try:
            ticket = self._journal.append(news.attempt_id, news.data, news.kind)
        except JournalFailed:  # only memory can keep it now
            if not await self._tell(news, bill):
                self._keep(news)
            return
        if trace is not None:
            self._journal.supersede(trace, by=ticket)
        is_told = False
        try:
            is_told = await self._tell(news, bill)
        finally:  # also when something is wrong with the entry, which the journal keeps
            if is_told:
                self._journal.ack(ticket)
            else:
                self._journal.leave(ticket)
                self._note_left()
        if not is_told:
            await self._make_durable(ticket, news)

    async def _tell(self, news: News, bill: Bill | None) -> bool:
        """Tell the store; return whether it answered."""
        try:
            await self._teller.tell(news, bill)
        except StoreUnavailable:
            return False
        return True

    async def _make_durable(self, ticket: Ticket, news: News) -> None:
        """Wait for the disk, which alone has it; where that fails, memory keeps it as well."""
        try:
            await self._journal.durable(ticket)
        except JournalFailed:
            self._keep(news)

    def _keep(self, news: News) -> None:
        self._unjournaled.append(news)
        self._note_left()

    async def _catch_up(self) -> bool:
        """Book all that is left; return whether the store answered throughout."""
        try:
            async with self._booking_left:
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
            await self._teller.tell(self._unjournaled[0])
            self._unjournaled.popleft()
            booked += 1
        return booked

    async def _book_waiting(self, waiting: Waiting) -> None:
        """Tell the store one thing from the journal, with the label keys and budgets of now.

        What was never acknowledged and is too old for the store to know is left to people: it could count
        twice. So is what the store cannot take.
        """
        news = News(waiting.kind, waiting.attempt_id, waiting.data)
        try:
            if started_at(news) > self._clock.now() - _REPEATABLE:
                await self._teller.tell(news)
            elif not waiting.is_again:
                self._refuse(waiting.ticket, f"attempt {news.attempt_id} is too old")
                return
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - one bad record must not hold up those behind it
            self._refuse(waiting.ticket, f"{type(error).__name__}: {error}")
        else:
            self._journal.ack(waiting.ticket)

    def _refuse(self, ticket: Ticket, problem: str) -> None:
        log.error("journal_entry_refused", path=str(ticket.segment.path), index=ticket.at, problem=problem)
        self._journal.refuse(ticket)

    def _note_left(self) -> None:
        self._caught_up.clear()
        self._left.set()
