"""Group commit: records that come while the disk is busy are written together when it is free.

One write is under way at a time; it returns when its data is durable. A write that fails, or takes too long,
fails everybody who waits for it, and nothing is taken until a new segment could be begun.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import structlog

from costsvc.core.errors import JournalFailed
from costsvc.store.journal_file import SegmentFile
from costsvc.store.journal_segments import OWNED, WAITING, Segment
from costsvc.store.worker import Worker

STALL_S = 1.0
"""How long a write may take before the disk counts as failed."""

Place = tuple[Segment, int]

log = structlog.get_logger()


@dataclass(slots=True, eq=False)
class _Batch:
    """Records that are written together, and who waits for them: one for each settlement, in order."""

    parts: list[bytes] = field(default_factory=list)
    waiters: list[asyncio.Future[Place]] = field(default_factory=list)


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
        self.current: Segment | None = None
        self._segments = segments
        self._directory = directory
        self._segment_bytes = segment_bytes
        self._segment_s = segment_s
        self._header = header
        self._until_s = 0.0
        self._file: SegmentFile | None = None
        self._collecting = _Batch()
        self._writing: _Batch | None = None
        self._busy_since_s: float | None = None
        self._worker = Worker("costsvc-journal")

    async def settle(self, record: bytes) -> Place:
        """Return where the record of a settlement is, when it is durable.

        Raises:
            JournalFailed: it is not known to be durable.
        """
        if self.problem is not None:
            raise JournalFailed(self.problem)
        waiter: asyncio.Future[Place] = asyncio.get_running_loop().create_future()
        self._collecting.parts.append(record)
        self._collecting.waiters.append(waiter)
        if self._busy_since_s is None:
            self._write()
        return await waiter

    def note(self, record: bytes) -> None:
        """Write a record with the next settlements, or at the next `tend`; it may be lost."""
        if self.problem is None:
            self._collecting.parts.append(record)

    async def tend(self) -> None:
        """Write what is noted, find out that the disk hangs, or that it works again."""
        if self._busy_since_s is not None:
            if self.problem is None and time.monotonic() - self._busy_since_s > STALL_S:
                self._fail(f"a write takes longer than {STALL_S:g} s")
        elif self.problem is not None:
            await self.begin()
        elif self._collecting.parts:
            self._write()

    async def begin(self) -> None:
        """Begin a segment; from then on records are taken."""
        segment, header = self._next_segment(), self._header()
        outcome = await self._worker.run(
            partial(_begin, segment.path, self._segment_bytes, header, self._file)
        )
        if isinstance(outcome, OSError):
            self._note_problem(str(outcome))
            return
        self._file, self.problem = outcome, None
        self._use(segment, len(header))
        log.info("journal_begun", path=str(segment.path))

    async def close(self) -> None:
        """Write what is noted, and end the thread; a disk that hangs does not hold this up for long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(STALL_S):
                await self._flush()
        await self._worker.end(STALL_S)

    def _write(self) -> None:
        """Hand what has been collected to the disk, in a new segment where the current one is full or old."""
        batch, self._collecting = self._collecting, _Batch()
        data = b"".join(batch.parts)
        self._writing, self._busy_since_s = batch, time.monotonic()
        segment, file = self.current, self._file
        if segment is not None and file is not None and self._fits(segment, file, len(data)):
            job = partial(_append, file, data)
        else:
            segment, data = self._next_segment(), self._header() + data
            job = partial(_begin, segment.path, self._segment_bytes, data, file)
        self._worker.submit(job, partial(self._written, batch, segment, len(data)))

    def _fits(self, segment: Segment, file: SegmentFile, size_bytes: int) -> bool:
        has_room = segment.size_bytes + size_bytes <= file.capacity_bytes
        return has_room and time.monotonic() < self._until_s

    def _written(
        self, batch: _Batch, segment: Segment, size_bytes: int, outcome: SegmentFile | OSError
    ) -> None:
        self._busy_since_s = None
        if isinstance(outcome, SegmentFile):
            self._file = outcome
        if batch is not self._writing:  # given up meanwhile: `begin` ends that file
            return
        if isinstance(outcome, OSError):
            self._fail(str(outcome))
            return
        self._writing = None
        self._use(segment, size_bytes)
        first = len(segment.states)
        segment.states.extend([OWNED] * len(batch.waiters))
        for index, waiter in enumerate(batch.waiters, first):
            if waiter.done():  # cancelled
                segment.states[index] = WAITING
            else:
                waiter.set_result((segment, index))
        if self._collecting.waiters:
            self._write()

    def _use(self, segment: Segment, size_bytes: int) -> None:
        """Count what has been written to a segment, which is the current one from now on."""
        segment.size_bytes += size_bytes
        if segment is not self.current:
            self.current, self._until_s = segment, time.monotonic() + self._segment_s
            self._segments.append(segment)

    def _fail(self, problem: str) -> None:
        """Tell everybody who waits that the disk does not take it, and take nothing from now on."""
        self._note_problem(problem)
        self.current = None
        batches = (self._writing, self._collecting)
        self._writing, self._collecting = None, _Batch()
        for waiter in (waiter for batch in batches if batch is not None for waiter in batch.waiters):
            if not waiter.done():
                waiter.set_exception(JournalFailed(problem))

    def _note_problem(self, problem: str) -> None:
        if problem != self.problem:
            log.error("journal_failed", problem=problem)
        self.problem = problem

    async def _flush(self) -> None:
        while self.problem is None and (self._collecting.parts or self._busy_since_s is not None):
            if self._busy_since_s is None:
                self._write()
            await self._worker.run(_nothing)
        if self._file is not None:
            await self._worker.run(self._file.close)

    def _next_segment(self) -> Segment:
        """Return a segment with a number that was never used here: the milliseconds since 1970, or more."""
        last = self._segments[-1].number if self._segments else 0
        return Segment.at(self._directory, max(last + 1, time.time_ns() // 1_000_000))


def _append(file: SegmentFile, data: bytes) -> SegmentFile:
    file.append(data)
    return file


def _begin(path: Path, capacity_bytes: int, data: bytes, last: SegmentFile | None) -> SegmentFile:
    """Make a segment that begins with `data`, then end the one before."""
    file = SegmentFile(path, capacity_bytes, data)
    if last is not None:
        last.close()
    return file


def _nothing() -> None:
    """Do nothing, in its turn."""
