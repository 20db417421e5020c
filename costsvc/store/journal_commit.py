"""Writes records at once, and has the disk keep them a little later, many at a time.

Writing is a copy into the kernel's memory, some microseconds on the event loop; from then on a crash of the
process does not lose the record. What waits for the disk is done in a thread: syncing, at most every
`SYNC_EVERY_S` unless somebody waits for it, and making and ending segments. When the disk does not take
something, or takes too long, nothing is taken until a new segment could be begun.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

import structlog

from costsvc.core.errors import JournalFailed
from costsvc.store.journal_file import SegmentFile
from costsvc.store.journal_segments import OWNED, Segment
from costsvc.store.worker import Job, T, Worker

SYNC_EVERY_S = 0.05
"""How long what nobody waits for may be in the kernel's memory only."""

STALL_S = 1.0
"""How long the disk may take before it counts as failed."""

_FULL = 0.75  # of a segment: the rest is for what comes while the next one is made

log = structlog.get_logger()


class _Current(NamedTuple):
    """The segment that is written to, its file, and when it is old."""

    segment: Segment
    file: SegmentFile
    until_s: float


class GroupCommit:
    """Writes records into segments, which it adds to `segments`; each begins with what `header` returns.

    `problem` says why nothing is taken, or is None.
    """

    def __init__(
        self,
        segments: list[Segment],
        *,
        directory: Path,
        segment_bytes: int,
        segment_s: float,
        header: Callable[[], bytes],
    ) -> None:
        self.problem: str | None = "not open"
        self._segments = segments
        self._directory = directory
        self._segment_bytes = segment_bytes
        self._segment_s = segment_s
        self._header = header
        self._current: _Current | None = None
        self._noted: list[bytes] = []
        self._waiters: list[asyncio.Future[None]] = []
        self._sync_timer: asyncio.TimerHandle | None = None
        self._is_syncing = False
        self._is_beginning = False
        self._jobs_since_s: deque[float] = deque()
        self._worker = Worker("costsvc-journal")

    @property
    def current(self) -> Segment | None:
        """The segment that is written to."""
        return self._current.segment if self._current else None

    def write(self, record: bytes) -> tuple[Segment, int]:
        """Write a record that the store is told of; return its segment, and its index there.

        Raises:
            JournalFailed: it is not written.
        """
        if self._current is None:
            raise JournalFailed(self.problem or "")
        segment = self._current.segment
        self._write(self._current, record)
        segment.states.append(OWNED)
        self._sync_soon()
        return segment, len(segment.states) - 1

    def note(self, record: bytes) -> None:
        """Write a record with the next settlement, or at the next `tend`; it may be lost."""
        if self.problem is None:
            self._noted.append(record)

    async def durable(self, segment: Segment, index: int) -> None:
        """Return when a record is on the disk.

        Raises:
            JournalFailed: it is not known to be.
        """
        while segment.durable_count <= index:
            if segment.sync_problem is not None:
                raise JournalFailed(segment.sync_problem)
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            self._sync()
            await waiter

    async def tend(self) -> None:
        """Write what is noted, find out that the disk hangs, or that it works again."""
        if self._jobs_since_s:
            if self.problem is None and time.monotonic() - self._jobs_since_s[0] > STALL_S:
                self._give_up(f"the disk takes longer than {STALL_S:g} s")
        elif self._current is None:
            await self.begin()
        elif self._noted:
            self._write_noted(self._current)

    async def begin(self) -> None:
        """Begin a segment; from then on records are taken."""
        self._begin()
        await self._worker.run(_nothing)

    async def close(self) -> None:
        """Make durable what is written, and end the thread; a disk that hangs does not hold this up."""
        if self._sync_timer is not None:
            self._sync_timer.cancel()
        if self._current is not None:
            self._write_noted(self._current)
        current, self._current, self.problem = self._current, None, self.problem or "closed"
        if current is not None:
            self._end(current)
        await self._worker.end(STALL_S)

    def _write(self, current: _Current, record: bytes = b"") -> None:
        """Write what is noted and a record; where the segment gets full or old, see to the next one."""
        data = b"".join((*self._noted, record))
        self._noted.clear()
        try:
            current.file.write(data)
        except OSError as error:
            self._fail(str(error))
            raise JournalFailed(str(error)) from error
        current.segment.size_bytes += len(data)
        is_full = current.segment.size_bytes > _FULL * self._segment_bytes
        if is_full or time.monotonic() >= current.until_s:
            self._begin()

    def _write_noted(self, current: _Current) -> None:
        with suppress(JournalFailed):  # it is the journal's state from now on
            self._write(current)

    def _sync_soon(self) -> None:
        if self._sync_timer is None and not self._is_syncing:
            self._sync_timer = asyncio.get_running_loop().call_later(SYNC_EVERY_S, self._sync)

    def _sync(self) -> None:
        """Have the disk keep what is written so far."""
        if self._sync_timer is not None:
            self._sync_timer.cancel()
            self._sync_timer = None
        if self._is_syncing or self._current is None:
            return
        self._is_syncing = True
        segment, file, _ = self._current
        self._submit(file.sync, partial(self._synced, segment, len(segment.states)))

    def _synced(self, segment: Segment, count: int, outcome: OSError | None) -> None:
        self._is_syncing = False
        self._note_durable(segment, count, outcome)
        current = self.current
        if current is not None and current.durable_count < len(current.states):
            self._sync_soon()

    def _begin(self) -> None:
        """Make the next segment; until it is there the current one, which may grow, takes everything."""
        if self._is_beginning:
            return
        self._is_beginning = True
        segment, header = self._next_segment(), self._header()
        segment.size_bytes = len(header)
        job = partial(SegmentFile, segment.path, self._segment_bytes, header)
        self._submit(job, partial(self._begun, segment, header))

    def _begun(self, segment: Segment, header: bytes, outcome: SegmentFile | OSError) -> None:
        self._is_beginning = False
        if isinstance(outcome, OSError):
            self._fail(str(outcome))
            return
        if self._current is not None:
            self._end(self._current)
        self._current = _Current(segment, outcome, time.monotonic() + self._segment_s)
        self._segments.append(segment)
        if self._header() != header:  # it changed meanwhile
            self._noted.insert(0, self._header())
        if self.problem is not None:
            log.info("journal_begun", path=str(segment.path))
        self.problem = None

    def _end(self, current: _Current) -> None:
        segment, file, _ = current
        self._submit(file.end, partial(self._note_durable, segment, len(segment.states)))

    def _note_durable(self, segment: Segment, count: int, outcome: OSError | None) -> None:
        """Note what is on the disk, or that nobody can say any more: to sync again would not tell."""
        if isinstance(outcome, OSError):
            segment.sync_problem = segment.sync_problem or str(outcome)
            self._fail(str(outcome))
        elif segment.sync_problem is None:
            segment.durable_count = max(segment.durable_count, count)
        self._wake()

    def _give_up(self, problem: str) -> None:
        """Tell those who wait for the disk that it does not answer."""
        for segment in self._segments:
            if segment.durable_count < len(segment.states):
                segment.sync_problem = problem
        self._fail(problem)
        self._wake()

    def _fail(self, problem: str) -> None:
        """Take nothing from now on, until a segment could be begun."""
        if problem != self.problem:
            log.error("journal_failed", problem=problem)
        self.problem = problem
        current, self._current = self._current, None
        if current is not None:
            self._end(current)

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _submit(self, job: Job[T], done: Callable[[T | OSError], None]) -> None:
        """Run a job in the thread; `tend` looks at how long it takes."""

        def ended(outcome: T | OSError) -> None:
            self._jobs_since_s.popleft()
            done(outcome)

        self._jobs_since_s.append(time.monotonic())
        self._worker.submit(job, ended)

    def _next_segment(self) -> Segment:
        """Return a segment with a number that was never used here: the milliseconds since 1970, or more."""
        last = self._segments[-1].number if self._segments else 0
        return Segment.at(self._directory, max(last + 1, time.time_ns() // 1_000_000))


def _nothing() -> None:
    """Do nothing, in its turn."""
