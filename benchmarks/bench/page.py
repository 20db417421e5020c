"""The measured part of docs/benchmarks.md."""

from __future__ import annotations

from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"
BEGIN = "<!-- measured: written by `python -m benchmarks.bench --write` -->"
END = "<!-- end of measured -->"


def write(about: str, table: str) -> None:
    """Replace what stands between the marks."""
    before, rest = PAGE.read_text().split(BEGIN)
    _, after = rest.split(END)
    PAGE.write_text(f"{before}{BEGIN}\n{about}\n\n{table}\n{END}{after}")
