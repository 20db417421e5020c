"""Recorded outcomes: prompts with the quality of a cheap, a middle and a strong model's answer.

The file is a Parquet table with the columns source, prompt, cheap, mid, strong; qualities are from 0 to 1,
and mid may be missing. It is not part of the project, because its prompts may not be passed on.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from costsvc.core.features import features
from costsvc.fitting.ridge import Example

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The outcomes of one benchmark, in their order."""

    name: str
    prompts: list[str]
    examples: list[Example]

    @property
    def cheap(self) -> Floats:
        """The quality of the cheap model's answers."""
        return np.array([each.qualities[0] for each in self.examples], dtype=float)

    @property
    def strong(self) -> Floats:
        """The quality of the strong model's answers."""
        return np.array([each.qualities[2] for each in self.examples], dtype=float)


def read_outcomes(path: Path) -> list[Source]:
    """Return the sources of a file, by name."""
    columns = ["source", "prompt", "cheap", "mid", "strong"]
    rows = pq.read_table(path, columns=columns).to_pylist()
    by_source: dict[str, list[dict[str, object]]] = {}
    for row in rows:
        by_source.setdefault(str(row["source"]), []).append(row)
    return [_source(name, found) for name, found in sorted(by_source.items())]


def _source(name: str, rows: list[dict[str, object]]) -> Source:
    prompts = [str(row["prompt"]) for row in rows]
    qualities = [tuple(_quality(row[column]) for column in ("cheap", "mid", "strong")) for row in rows]
    examples = [
        Example(features=features(prompt), qualities=known)
        for prompt, known in zip(prompts, qualities, strict=True)
    ]
    return Source(name=name, prompts=prompts, examples=examples)


def _quality(value: object) -> float | None:
    return None if not isinstance(value, int | float) or isnan(value) else float(value)
