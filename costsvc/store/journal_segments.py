"""What is known of each segment of the journal: a byte for all in it that the store is told of.

A segment of 4 MB holds some three thousand such records, so an hour without the store costs kilobytes of
memory; the records themselves stay on the disk.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from struct import Struct

import structlog

from costsvc.store.journal_file import SUFFIX, TOLD, Kind, Record, Scan, cut, read

OWNED = 0  # a running call will book it and say so
ACKED = 1  # the store has it
WAITING = 2  # nobody is booking it: the store was away
AGAIN = 3  # the store had it, before the store changed
REFUSED = 4  # it cannot be booked, and people must look at it
SUPERSEDED = 5  # an opening whose attempt has ended: its end has a record of its own

_LOST_ACKS = bytes.maketrans(bytes([ACKED]), bytes([AGAIN]))
_PLACE = Struct("<QI")

log = structlog.get_logger()


@dataclass(slots=True, kw_only=True, eq=False)
class Segment:
    """One file: its number, how much of it is records, and the state of what is told, in its order."""

    number: int
    path: Path
    size_bytes: int = 0
    states: bytearray = field(default_factory=bytearray)
    durable_count: int = 0  # how many of this run's records, the first ones, are known to be on the disk
    sync_problem: str | None = None  # why it is not known, and will not be, whether the others are
    ends_of: set[int] = field(default_factory=set)  # older segments with openings that something here ends
    is_damaged: bool = False
    settled_at_s: float | None = None  # when it was first seen with nothing left to do

    @classmethod
    def at(cls, directory: Path, number: int) -> Segment:
        """Return the segment of a number, which sorts as text."""
        return cls(number=number, path=directory / f"{number:016}{SUFFIX}")

    @property
    def is_settled(self) -> bool:
        """Whether the store has all of it."""
        return self.states.count(ACKED) + self.states.count(SUPERSEDED) == len(self.states)

    @property
    def waiting_count(self) -> int:
        """How much has to be told from here."""
        return self.states.count(WAITING) + self.states.count(AGAIN)

    def forget_acks(self) -> None:
        """What the store has acknowledged is to be booked again: it is another store now."""
        self.states[:] = self.states.translate(_LOST_ACKS)
        self.settled_at_s = None


@dataclass(frozen=True, slots=True)
class Loaded:
    """What earlier runs left: segments by number, and the store whose acknowledgements count."""

    segments: list[Segment]
    store_id: str


def place(segment: Segment, index: int) -> bytes:
    """Return a record's place as an ACK record has it."""
    return _PLACE.pack(segment.number, index)


def supersede(segment: Segment, index: int, *, by: Segment) -> None:
    """Note that a record in another segment, or the same, says how the attempt of an opening ended.

    That one goes later: an opening without an end would be taken for a loss.
    """
    segment.states[index] = SUPERSEDED
    if by is not segment:
        by.ends_of.add(segment.number)


def load(directory: Path) -> Loaded:
    """Read what earlier runs left; what cannot be read is reported, once, and costs nothing else.

    The end of the last segment may be torn by a crash: what nobody was told to be durable is cut off. In
    another segment the rest behind a bad record is not believed, and the file is set aside in the end.
    """
    paths = sorted(path for path in directory.glob(f"*{SUFFIX}") if path.stem.isdigit())
    segments: dict[int, Segment] = {}
    openings: dict[bytes, tuple[Segment, int]] = {}
    store_id = ""
    for path in paths:
        segment = Segment(number=int(path.stem), path=path)
        scan = _read(segment, is_last=path is paths[-1])
        if not segment.is_damaged and all(record.kind is Kind.STORE for record in scan.records):
            with suppress(OSError):
                path.unlink()
            continue
        segments[segment.number] = segment
        for record in scan.records:
            if record.kind in TOLD:
                _take_in(record, segment, openings)
        store_id = _replay(scan, segments, store_id)
    return Loaded(list(segments.values()), store_id)


def _read(segment: Segment, *, is_last: bool) -> Scan:
    """Scan a file, and see to it that it ends behind its last good record."""
    try:
        scan, length = read(segment.path), segment.path.stat().st_size
    except OSError as error:
        log.error("journal_segment_unreadable", path=str(segment.path), problem=str(error))  # noqa: TRY400
        segment.is_damaged = True
        return Scan(records=[], size_bytes=0, is_whole=False)
    segment.size_bytes = scan.size_bytes
    if not scan.is_whole and not is_last:
        segment.is_damaged = True
        log.error("journal_segment_damaged", path=str(segment.path), good_bytes=scan.size_bytes)
        return scan
    if not scan.is_whole:
        log.warning("journal_tail_cut", path=str(segment.path), good_bytes=scan.size_bytes)
    if length > scan.size_bytes:
        with suppress(OSError):  # a disk that cannot be written is found out when a segment is begun
            cut(segment.path, scan.size_bytes)
    return scan


def _take_in(record: Record, segment: Segment, openings: dict[bytes, tuple[Segment, int]]) -> None:
    """Note what the store is to be told; an opening only as long as nothing says how its attempt ended."""
    if record.kind is Kind.OPENING:
        openings[record.id] = segment, len(segment.states)
    elif opening := openings.pop(record.id, None):
        supersede(*opening, by=segment)
    segment.states.append(WAITING)


def _replay(scan: Scan, segments: dict[int, Segment], store_id: str) -> str:
    """Take in what stores have acknowledged; return the store that counts after it."""
    for record in scan.records:
        if record.kind is Kind.ACK:
            _acknowledge(segments, record.data)
        elif record.kind is Kind.STORE and (found := record.data.decode()) != store_id:
            store_id = found
            _forget_acks(segments.values())
    return store_id


def _acknowledge(segments: dict[int, Segment], data: bytes) -> None:
    number, index = _PLACE.unpack(data)
    segment = segments.get(number)
    if segment is not None and index < len(segment.states):
        segment.states[index] = ACKED


def _forget_acks(segments: Iterable[Segment]) -> None:
    for segment in segments:
        segment.forget_acks()
