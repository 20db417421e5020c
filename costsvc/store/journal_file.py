"""The journal's files: checksummed records in segments, and the lock of the directory that holds them.

A record is `crc32 | bytes of id and data | kind | bytes of id | id | data`, numbers little endian; the
checksum covers all that follows it. A segment is made full of zeros and filled from its front: a write into
space that the disk has already given needs no change of the file's metadata, which halves the time that it
takes to be durable, and it does not fail because the disk has become full. A segment that gets more than was
planned grows. Its records end at the first zeros, at the end of the file, or, after a crash, at the first
record whose checksum is wrong.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from struct import Struct
from typing import IO, NamedTuple
from zlib import crc32

from costsvc.store.connection import StoreRefused

SUFFIX = ".journal"
DAMAGED = ".damaged"
"""Added to the name of a segment that could not be read to its end; nothing here reads it again."""

_CHECKSUM = Struct("<I")
_REST = Struct("<IBB")
_HEAD_BYTES = _CHECKSUM.size + _REST.size
_pack_checksum, _pack_rest = _CHECKSUM.pack, _REST.pack
_ZEROS = bytes(65_536)


class Kind(IntEnum):
    """What a record says; a number never changes its meaning."""

    SETTLEMENT = 1  # id: the attempt; data: the entry as the store keeps it
    ACK = 2  # data: the segment and the index of what the store has been told
    STORE = 3  # data: which store the acknowledgements are from that follow
    OPENING = 4  # id: the attempt; data: what is known before its answer, as the store keeps it
    RELEASE = 5  # id: an attempt that spent nothing; data: when it began
    LOSS = 6  # id: an attempt whose cost is not known; data: why, bounds, and what its opening has


TOLD = frozenset({Kind.SETTLEMENT, Kind.OPENING, Kind.RELEASE, Kind.LOSS})
"""What the store is told of, and so has a state; of an opening only when nothing says how it ended."""

_KINDS = {int(kind): kind for kind in Kind}


class Record(NamedTuple):
    """One record as it was appended."""

    kind: Kind
    id: bytes
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """What a segment holds: its records, the bytes that they take, and whether nothing follows them."""

    records: list[Record]
    size_bytes: int
    is_whole: bool


def encode(kind: int, record_id: bytes, data: bytes) -> bytes:
    """Return a record's bytes; the id has at most 255."""
    rest = _pack_rest(len(record_id) + len(data), kind, len(record_id)) + record_id + data
    return _pack_checksum(crc32(rest)) + rest


def scan(data: bytes) -> Scan:
    """Return the records before the first that is not whole; never raises."""
    records, at = [], 0
    while (found := _record(data, at)) is not None:
        record, at = found
        records.append(record)
    return Scan(records=records, size_bytes=at, is_whole=not data[at:].strip(b"\0"))


def read(path: Path, size_bytes: int = -1) -> Scan:
    """Scan the first `size_bytes` of a segment, or all of it.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return scan(file.read(size_bytes))


def _record(data: bytes, at: int) -> tuple[Record, int] | None:
    start = at + _HEAD_BYTES
    if start > len(data):
        return None
    (checksum,) = _CHECKSUM.unpack_from(data, at)
    length, kind, id_length = _REST.unpack_from(data, at + _CHECKSUM.size)
    end = start + length
    if end > len(data) or id_length > length or crc32(data[at + _CHECKSUM.size : end]) != checksum:
        return None
    if kind not in _KINDS:  # a newer version's: better kept and reported than misread
        return None
    return Record(_KINDS[kind], data[start : start + id_length], data[start + id_length : end]), end


class SegmentFile:
    """A segment that is written to. All but `write` wait for the disk, so they are for a thread."""

    def __init__(self, path: Path, size_bytes: int, data: bytes) -> None:
        """Make a file of about `size_bytes` that begins with `data`, durably.

        Raises:
            OSError: there is no room for all of it, or no right to write; then nothing is left of it.
        """
        with _nothing_left(path):
            _fill(path, size_bytes, data)
            self._file = os.open(path, os.O_WRONLY)
        self._at = len(data)

    def write(self, data: bytes) -> None:
        """Write at the end of what is there; when it returns, a crash of the process does not lose it.

        Raises:
            OSError: none, some or all of it is there: use another segment.
        """
        view, at = memoryview(data), self._at
        while view:
            written = os.pwrite(self._file, view, at)
            view, at = view[written:], at + written
        self._at = at

    def sync(self) -> None:
        """Return when all that was written before the call is on the disk.

        Raises:
            OSError: nobody can say what is; trying again would not tell.
        """
        os.fdatasync(self._file)

    def end(self) -> None:
        """Give back the room behind the records, or behind those before a write that failed; then close.

        Raises:
            OSError: as from `sync`.
        """
        try:
            with suppress(OSError):  # zeros, or half a record, stay: reading copes with both
                os.ftruncate(self._file, self._at)
            os.fsync(self._file)
        finally:
            os.close(self._file)


@contextmanager
def _nothing_left(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError:
        with suppress(OSError):
            path.unlink()
        raise


def _fill(path: Path, size_bytes: int, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        for start in range(len(data), size_bytes, len(_ZEROS)):
            file.write(_ZEROS[: size_bytes - start])
        file.flush()
        os.fsync(file.fileno())
    sync_directory(path.parent)


def cut(path: Path, size_bytes: int) -> None:
    """End a file after so many bytes, durably.

    Raises:
        OSError: the disk does not take it.
    """
    with path.open("r+b") as file:
        file.truncate(size_bytes)
        os.fsync(file.fileno())


def remove(path: Path, *, damaged: bool) -> None:
    """Remove a segment that is not needed any more; a damaged one is set aside for people to look at."""
    with suppress(OSError):  # the next start finds it again
        if damaged:
            path.rename(path.with_name(path.name + DAMAGED))
        else:
            path.unlink()


def sync_directory(directory: Path) -> None:
    """Make names in a directory durable.

    Raises:
        OSError: the disk does not take it.
    """
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def lock(directory: Path) -> IO[str]:
    """Take a journal's directory for this process, until the returned file is closed.

    Raises:
        StoreRefused: another process has it, or it cannot be used; the message says what to do.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = (directory / "owner.lock").open("a+")
        sync_directory(directory.parent)
    except OSError as error:
        raise StoreRefused(
            f"the journal in {directory} cannot be used ({error.strerror}): "
            "make it writable, or name another --data-dir"
        ) from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        owner = file.read().strip() or "unknown"
        file.close()
        raise StoreRefused(
            f"the journal in {directory} is used by process {owner}: stop it, or name another --data-dir"
        ) from None
    with suppress(OSError):  # a full disk: whose lock it is can then not be told
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
    return file
