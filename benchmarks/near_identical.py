"""`make bench-cache PAIRS=pairs.parquet`: how often near-identical questions are recognised, and falsely.

The file has a row a pair: source, kind, text_a, text_b, and label, 1 where both ask the same. With it go the
pairs that the tests hold, which ask for different things. It ends with 1 where a gate is missed: no false hit
on adversarial sources, at most 0.2 % elsewhere, none among the tests' own pairs, and 200 us a key.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from costsvc.core.near_identical import near_key

NEAR_MISSES = Path(__file__).parent.parent / "tests/core/near_misses.txt"
ADVERSARIAL = ("checklist", "banking")
MOST_FALSE, LONGEST_US, SHORT_CHARS = 0.002, 200.0, 300
_PAIR = re.compile(r"(.*)\{(.*)\|(.*)\}(.*)")


def is_hit(one: str, other: str) -> bool:
    if one == other:
        return True
    first, second = near_key(one), near_key(other)
    return first is not None and second is not None and first.text == second.text


def near_misses() -> list[tuple[str, str]]:
    found = []
    for line in NEAR_MISSES.read_text().splitlines():
        if match := _PAIR.fullmatch(line.split(": ", 1)[-1]):
            before, one, other, after = match.groups()
            found.append((f"{before}{one}{after}", f"{before}{other}{after}"))
    return found


def p99_us(texts: list[str]) -> float:
    taken = []
    for text in texts:
        if len(text) <= SHORT_CHARS:
            began = perf_counter()
            near_key(text)
            taken.append(perf_counter() - began)
    return sorted(taken)[int(len(taken) * 0.99)] * 1e6


def judge(rows: Sequence[Mapping[str, Any]]) -> int:
    by_source: dict[str, list[tuple[int, bool]]] = defaultdict(list)
    for row in rows:
        by_source[row["source"]].append((row["label"], is_hit(row["text_a"], row["text_b"])))
    missed = []
    print(f"{'source':16}{'pairs':>8}{'recall':>9}{'false':>8}{'rate':>9}")
    for source, pairs in by_source.items():
        same = [hit for label, hit in pairs if label]
        different = [hit for label, hit in pairs if not label]
        rate = sum(different) / max(len(different), 1)
        recall = sum(same) / max(len(same), 1)
        print(f"{source:16}{len(pairs):8}{recall:9.2%}{sum(different):8}{rate:9.3%}")
        if rate > (0 if source.startswith(ADVERSARIAL) else MOST_FALSE):
            missed.append(source)
    pairs = near_misses()
    false = sum(is_hit(*pair) for pair in pairs)
    print(f"{'near misses':16}{len(pairs):8}{'':9}{false:8}{false / len(pairs):9.3%}")
    longest_us = p99_us([row["text_a"] for row in rows])
    print(f"a key: p99 {longest_us:.0f} us at up to {SHORT_CHARS} characters")
    missed += ["near misses"] * (false > 0) + ["time"] * (longest_us > LONGEST_US)
    print(f"gates missed: {', '.join(missed) or 'none'}")
    return 1 if missed else 0


def main(path: str) -> int:
    if not Path(path).is_file():
        print("name the pairs: make bench-cache PAIRS=file.parquet", file=sys.stderr)
        return 2
    import pyarrow.parquet as pq  # noqa: PLC0415 - large, and only for the file

    return judge(pq.read_table(path).to_pylist())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
