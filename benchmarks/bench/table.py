"""Rows of figures with their targets beside them, and the machine they were measured on."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import requires, version
from pathlib import Path
from statistics import median, quantiles
from typing import Self

_HEAD = ("what", "figure", "in E", "target", "")
_PACKAGES = ("grpcio", "protobuf", "anthropic", "aiohttp", "redis")


@dataclass(frozen=True, slots=True)
class Row:
    """One figure; `met` is None where nothing is promised."""

    what: str
    figure: str
    units: float | None = None
    target: str = ""
    met: bool | None = None

    @classmethod
    def judged(
        cls, what: str, figure: str, value: float, limit: float, unit: str, *, units: float | None = None
    ) -> Self:
        """Return a row for a value that must not exceed a limit."""
        return cls(what, figure, units, f"<= {limit:g} {unit}", value <= limit)

    @property
    def cells(self) -> tuple[str, ...]:
        """Return what stands in the row's columns."""
        verdict = "" if self.met is None else "ok" if self.met else "MISSED"
        units = "" if self.units is None else f"{self.units:.2f}"
        return (self.what, self.figure, units, self.target, verdict)


def spread(values: Sequence[float], unit: str) -> str:
    """Return the median and, in brackets, the quartiles."""
    middle = median(values)
    form = ",.0f" if middle >= 100 else ",.2f"
    if len(values) < 2:
        return f"{middle:{form}} {unit}"
    low, _, high = quantiles(values, n=4, method="inclusive")
    return f"{middle:{form}} {unit} ({low:{form}}..{high:{form}})"


def as_markdown(rows: Sequence[Row]) -> str:
    """Return the rows as a table that reads well as plain text, too."""
    lines = [_HEAD, *(row.cells for row in rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(_HEAD))]
    lines.insert(1, tuple("-" * width for width in widths))
    return "\n".join(_line(cells, widths) for cells in lines)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return f"| {' | '.join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))} |"


def circumstances(command: str) -> str:
    """Return in a paragraph what was run, when and on what."""
    versions = ", ".join(map(_installed, _PACKAGES))
    system = f"{platform.system()} {platform.release().split('-')[0]}, Python {platform.python_version()}"
    machine = f"{_processor()}, {os.cpu_count()} cores"
    return f"`{command}` on {datetime.now(UTC):%Y-%m-%d}: {machine}, {system}, {versions}."


def _installed(package: str) -> str:
    """Return a package's version, and the one that belongs here where that is another."""
    installed = version(package)
    pins = [line.split(";")[0] for line in requires("costsvc") or [] if line.startswith(f"{package}==")]
    pinned = pins[0].split("==")[1].strip() if pins else installed
    return f"{package} {installed}" + ("" if installed == pinned else f" (NOT the pinned {pinned})")


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()
