"""Sealed entries as files: a JSON object a line, with whole numbers and full names, for people and programs.

`archive/<yyyymmdd>/<hh>-<number>.jsonl.gz` has entries of an hour from that number on, in the order of their
settlement. A file is there whole or not at all. Writing it again, after a crash, replaces it by one with the
same entries, and perhaps more behind them.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from costsvc.core.entry import Entry
from costsvc.core.savings import LeverSaving, Savings
from costsvc.core.usage import Usage

_ENCODE = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


class Archive:
    """Files of sealed entries in a directory, which is made when it is needed."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def write(self, hour: str, first: int, entries: Sequence[Entry]) -> Path:
        """Write the entries of an hour from number `first` on; return where, when they are on the disk.

        Raises:
            OSError: nothing is written.
        """
        folder = self._directory / hour[:8]
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{hour[8:]}-{first:08}.jsonl.gz"
        data = gzip.compress("".join(f"{_line(entry)}\n" for entry in entries).encode(), 6, mtime=0)
        half = path.with_suffix(".part")
        with half.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        half.replace(path)
        for each in (folder, self._directory, self._directory.parent):
            _sync(each)
        return path


def read_archive(path: Path) -> list[Entry]:
    """Return the entries of a file."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [_entry(line) for line in lines]


def _line(entry: Entry) -> str:
    values = asdict(entry)
    values["labels"] = dict(entry.labels)
    for name in ("started_at", "settled_at"):
        values[name] = getattr(entry, name).astimezone(UTC).isoformat()
    return _ENCODE(values)


def _entry(line: str) -> Entry:
    values = json.loads(line)
    for name in ("started_at", "settled_at"):
        values[name] = datetime.fromisoformat(values[name])
    values["usage"], values["avoided"] = Usage(**values["usage"]), Usage(**values.get("avoided", {}))
    values["savings"] = Savings(**values["savings"])
    values["charges"] = tuple(values["charges"])
    values["levers"] = tuple(LeverSaving(**lever) for lever in values.get("levers", ()))
    return Entry(**{name: value for name, value in values.items() if name in Entry.__dataclass_fields__})


def _sync(folder: Path) -> None:
    """Make what a folder names durable."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
