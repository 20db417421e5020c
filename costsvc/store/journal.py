"""The process's own journal: the attempts that begin and how they end, before the store hears of it.

Every append ends in a ticket, and every ticket in `ack` (the store has it) or `leave` (tell it from here,
later). That of an opening ends in `supersede` (the attempt's end is here too), or with the process, whose
next start then knows that the attempt is lost. From `append` on a crash of the process does not lose it; from
`durable` on one of the machine does not either, which is worth waiting for where the store does not have it.

An acknowledgement is worth what the store is worth that gave it: when the store turns out to be another one
(`follow`), all that is kept is booked again.

Files go 15 minutes after the store has all of them, because a fail-over may lose the store's last moments.
When they exceed `max_bytes`, those that the store has go earlier; if that is not enough, or the disk cannot
be written, `check` refuses: a call whose cost could be lost is not begun. Settlements of calls that run are
taken all the same, as long as the disk takes them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

import structlog

from costsvc.core.errors import JournalFailed
from costsvc.store.journal_commit import GroupCommit
from costsvc.store.journal_file import TOLD, Kind, Record, encode, lock, read, remove
from costsvc.store.journal_segments import (
    ACKED,
    AGAIN,
    REFUSED,
    WAITING,
    Segment,
    load,
    place,
    supersede,
)

_MB = 1_048_576
_ROOM = 0.9  # of max_bytes: beyond it, what the store has goes before its time

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much is kept, and for how long."""

    segment_bytes: int = 4 * _MB
    segment_s: float = 300.0
    max_bytes: int = 1_024 * _MB
    keep_s: float = 900.0


class Ticket(NamedTuple):
    """A record that the store is told of: where it is, and the era of the store in which it was written."""

    segment: Segment
    at: int
    era: int


class Waiting(NamedTuple):
    """What is to be told from the journal; `is_again` when a store has acknowledged it before."""

    ticket: Ticket
    kind: Kind
    attempt_id: str
    data: bytes
    is_again: bool


class Journal:
    """The journal in a directory; `open` it in the event loop that uses it, and `close` it there."""

    def __init__(self, directory: Path, limits: Limits | None = None) -> None:
        self._directory = directory
        self._limits = limits or Limits()
        self._segments: list[Segment] = []
        self._commits: GroupCommit
        self._lock: IO[str]
        self._store_id = ""
        self._era = 0
        self._excess: str | None = None

    @property
    def problem(self) -> str | None:
        """Why calls are refused, or None."""
        return self._commits.problem or self._excess

    @property
    def size_bytes(self) -> int:
        """How much all records take."""
        return sum(segment.size_bytes for segment in self._segments)

    @property
    def waiting_count(self) -> int:
        """How much has to be told from here."""
        return sum(segment.waiting_count for segment in self._segments)

    def check(self) -> None:
        """Raise JournalFailed where the next settlement could be lost."""
        if (problem := self.problem) is not None:
            raise JournalFailed(problem)

    async def open(self) -> None:
        """Take the directory, and in what earlier runs left; a disk that cannot be written is not the end.

        Raises:
            StoreRefused: another process has the directory, or it cannot be used.
        """
        self._lock = lock(self._directory)
        loaded = await asyncio.to_thread(load, self._directory)
        self._segments, self._store_id = loaded.segments, loaded.store_id
        self._commits = GroupCommit(
            self._segments,
            directory=self._directory,
            segment_bytes=self._limits.segment_bytes,
            segment_s=self._limits.segment_s,
            header=self._store_record,
        )
        await self._commits.begin()

    async def close(self) -> None:
        """Write the acknowledgements that are not written yet, make all durable, and let the directory go."""
        await self._commits.close()
        self._lock.close()

    def append(self, attempt_id: str, data: bytes, kind: Kind = Kind.SETTLEMENT) -> Ticket:
        """Write what the store is told of; then `ack` it, or `leave` it and wait until it is `durable`.

        Raises:
            JournalFailed: it is not written.
        """
        segment, at = self._commits.write(encode(kind, attempt_id.encode(), data))
        return Ticket(segment, at, self._era)

    async def durable(self, ticket: Ticket) -> None:
        """Return when the record is on the disk.

        Raises:
            JournalFailed: it is not known to be.
        """
        await self._commits.durable(ticket.segment, ticket.at)

    def ack(self, ticket: Ticket) -> None:
        """The store has it. This is written with the next settlements: what it loses is booked again."""
        segment, at, era = ticket
        if era == self._era:
            segment.states[at] = ACKED
            self._commits.note(encode(Kind.ACK, b"", place(segment, at)))
        else:  # said by the store before
            segment.states[at] = AGAIN

    def supersede(self, opening: Ticket, *, by: Ticket) -> None:
        """The attempt of an opening has ended, as another record says."""
        supersede(opening.segment, opening.at, by=by.segment)

    def leave(self, ticket: Ticket) -> None:
        """It is to be told from here."""
        ticket.segment.states[ticket.at] = WAITING

    def refuse(self, ticket: Ticket) -> None:
        """It cannot be booked: it stays on the disk, and the next start tries again."""
        ticket.segment.states[ticket.at] = REFUSED

    def follow(self, store_id: str) -> bool:
        """Note which store answers; return whether it is another: then all that is kept is booked again."""
        if store_id == self._store_id:
            return False
        self._store_id = store_id
        self._era += 1
        for segment in self._segments:
            segment.forget_acks()
        self._commits.note(self._store_record())
        return True

    async def next_waiting(self) -> Sequence[Waiting]:
        """Return some of what is to be told from here, oldest first; nothing when there is nothing."""
        for segment in list(self._segments):
            if segment.waiting_count and (found := await self._read(segment)):
                return found
        return ()

    async def tend(self) -> None:
        """Do once a second what time asks for: write acknowledgements, remove files, try a failed disk."""
        await self._commits.tend()
        await self._remove_settled()
        self._note_excess()

    async def _read(self, segment: Segment) -> list[Waiting]:
        """Return what waits in a segment; what cannot be read any more is refused.

        What is written while the disk reads is left for the next time.
        """
        count = len(segment.states)
        found = await asyncio.to_thread(_told, segment.path, segment.size_bytes)
        for index in range(len(found), count):
            if segment.states[index] in (WAITING, AGAIN):
                log.error("journal_record_unreadable", path=str(segment.path), index=index)
                segment.states[index] = REFUSED
        return [
            Waiting(
                Ticket(segment, at, self._era), record.kind, record.id.decode(), record.data, state == AGAIN
            )
            for at, (record, state) in enumerate(zip(found, segment.states, strict=False))
            if state in (WAITING, AGAIN)
        ]

    async def _remove_settled(self) -> None:
        """Remove what the store has had for long enough, or, where room is short, what it has."""
        now_s, size_bytes = time.monotonic(), self.size_bytes
        for segment in [s for s in self._segments if s is not self._commits.current and s.is_settled]:
            if any(other.number in segment.ends_of for other in self._segments):
                continue
            segment.settled_at_s = segment.settled_at_s or now_s
            is_short = size_bytes > _ROOM * self._limits.max_bytes
            if is_short or now_s - segment.settled_at_s >= self._limits.keep_s:
                self._segments.remove(segment)
                size_bytes -= segment.size_bytes
                await asyncio.to_thread(remove, segment.path, damaged=segment.is_damaged)

    def _note_excess(self) -> None:
        size_bytes, was = self.size_bytes, self._excess
        is_over = size_bytes > self._limits.max_bytes
        self._excess = f"more than {self._limits.max_bytes} bytes wait for the store" if is_over else None
        if self._excess != was:
            log.warning("journal_bound", problem=self._excess, size_bytes=size_bytes)

    def _store_record(self) -> bytes:
        return encode(Kind.STORE, b"", self._store_id.encode())


def _told(path: Path, size_bytes: int) -> list[Record]:
    try:
        return [record for record in read(path, size_bytes).records if record.kind in TOLD]
    except OSError:
        return []
