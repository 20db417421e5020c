"""The items of batches on this process's disk, until the provider has them.

A file has a line an item, its index and its params as they are sent; a part's body is made of it when it is
sent, because a part that is sent again has other ids. What is here is this disk's alone: `id` names it.
"""

from __future__ import annotations

import asyncio
import errno
import os
import secrets
from collections.abc import AsyncIterator, Collection
from pathlib import Path
from typing import IO

from costsvc.core.batch import attempt_id, line_bytes

_WRITE_BYTES = 1 << 20
_READ_BYTES = 1 << 18

LEAST_FREE_BYTES = 256 << 20
"""What batches leave free of the disk: the journal is on it, too, without which nothing is answered."""

_BEGINNING, _END = b'{"requests":[', b"]}"
_SUFFIX = ".items"


class SpoolFile:
    """A file that is being written; `count` and `body_bytes` are those of the body that it makes."""

    def __init__(self, path: Path, least_free_bytes: int = LEAST_FREE_BYTES) -> None:
        self.name = path.name.removesuffix(_SUFFIX)
        self.count = 0
        self.body_bytes = len(_BEGINNING) + len(_END) - 1
        self._path = path
        self._least_free_bytes = least_free_bytes
        self._file: IO[bytes] = path.open("wb", buffering=0)
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0

    def takes(self, index: int, params: bytes, most_bytes: int) -> bool:
        """Tell whether there is room for an item."""
        return self.body_bytes + line_bytes(index, len(params)) <= most_bytes

    async def add(self, index: int, params: bytes) -> None:
        """Add an item; a line's end inside JSON is white space.

        Raises:
            OSError: the disk does not take it.
        """
        self.count += 1
        self.body_bytes += line_bytes(index, len(params))
        line = b"%d\t%s\n" % (index, params.replace(b"\n", b" "))
        self._waiting.append(line)
        self._waiting_bytes += len(line)
        if self._waiting_bytes >= _WRITE_BYTES:
            await self._flush()

    async def close(self) -> None:
        """Make the file durable."""
        await self._flush()
        await asyncio.to_thread(os.fsync, self._file.fileno())
        self._file.close()

    async def drop(self) -> None:
        """Remove the file."""
        self._file.close()
        await asyncio.to_thread(self._path.unlink, missing_ok=True)

    async def _flush(self) -> None:
        data = b"".join(self._waiting)
        self._waiting.clear()
        self._waiting_bytes = 0
        await asyncio.to_thread(_write, self._file, data, self._least_free_bytes)


class Spool:
    """The directory of such files; its journal's lock keeps other processes out of it."""

    def __init__(self, directory: Path, *, least_free_bytes: int = LEAST_FREE_BYTES) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._least_free_bytes = least_free_bytes
        self._writing: set[str] = set()
        self.id = _identity(directory / "id")

    def begin(self, name: str) -> SpoolFile:
        """Begin a file, which is not left over until it is `written`."""
        self._writing.add(name)
        return SpoolFile(self._path(name), self._least_free_bytes)

    def has(self, name: str) -> bool:
        """Tell whether a file is here."""
        return self._path(name).exists()

    async def pieces(self, name: str, part_id: str) -> AsyncIterator[bytes]:
        """Yield the body of a part.

        Raises:
            OSError: the file cannot be read.
        """
        yield _BEGINNING
        separator = b""
        with self._path(name).open("rb") as file:
            while lines := await asyncio.to_thread(file.readlines, _READ_BYTES):
                yield separator + b",".join(_envelope(part_id, line) for line in lines)
                separator = b","
        yield _END

    async def left(self) -> set[str]:
        """Return the names of the files that nobody writes."""
        return await asyncio.to_thread(self._listed) - self._writing

    async def remove(self, names: Collection[str]) -> None:
        """Remove files."""
        for name in names:
            await asyncio.to_thread(self._path(name).unlink, missing_ok=True)

    def written(self, names: Collection[str]) -> None:
        """Note that files belong to a batch by now, or to none."""
        self._writing -= set(names)

    def _listed(self) -> set[str]:
        return {path.name.removesuffix(_SUFFIX) for path in self._directory.glob(f"*{_SUFFIX}")}

    def _path(self, name: str) -> Path:
        return self._directory / f"{name}{_SUFFIX}"


def _envelope(part_id: str, line: bytes) -> bytes:
    index, _, params = line.rstrip(b"\n").partition(b"\t")
    return b'{"custom_id":"%s","params":%s}' % (attempt_id(part_id, int(index)).encode(), params)


def _write(file: IO[bytes], data: bytes, least_free_bytes: int) -> None:
    disk = os.fstatvfs(file.fileno())
    if disk.f_bavail * disk.f_frsize - len(data) < least_free_bytes:
        raise OSError(errno.ENOSPC, f"less than {least_free_bytes} bytes would be left free")
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def _identity(path: Path) -> str:
    """Return the name of a disk, which its first use makes."""
    if not path.exists():
        path.write_text(secrets.token_hex(8))
    return path.read_text().strip()
