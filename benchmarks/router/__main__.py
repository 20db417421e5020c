"""`make bench-router DATA=outcomes.parquet`: the local score, as shipped and after calibration.

Z is the shipped way without a label of the source: the prior is fitted to all other sources. C-N calibrates
with N labels of the source, as the service does, and scores the rest; the mean over some draws is shown.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median, quantiles
from time import thread_time

import numpy as np

from benchmarks.router.gap import apgr, apgr_range, mix_saving, saving, strong_share
from benchmarks.router.outcomes import Floats, Source, read_outcomes
from costsvc.core.features import NAMES, VERSION, features
from costsvc.core.scoring import Scale, Weights, gains
from costsvc.fitting.ridge import Example, fit, fit_prior, scale_of

DRAWS = 5
LABELS = (100, 300, 1_000)
RATIOS = (5, 40)
KEPT = 0.99
ZERO_SHOT_ONLY = {"arena": 0.45}
"""Sources too small to calibrate, and the least APGR that they may have."""

WORST_Z, MACRO_Z, MACRO_C300 = 0.48, 0.56, 0.63
MEDIAN_US, P99_US, ANY_US = 100.0, 500.0, 1_000.0
SHORT_CHARS = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table: a protocol on a source."""

    protocol: str
    source: str
    test_count: int
    apgr: float
    low: float
    high: float
    cpt50: float
    cpt80: float
    savings: tuple[float, ...]
    mixes: tuple[float, ...]


def main() -> int:
    """Print the table and the gates; return 1 where one is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--write-prior", type=Path, help="fit the prior to everything and write it here")
    options = parser.parse_args()
    sources = read_outcomes(options.data)
    if options.write_prior:
        options.write_prior.write_text(_prior_text([source.examples for source in sources]))
        return 0
    rows = list(_rows(sources))
    print(_table(rows))
    times = _decision_times(sources)
    print(
        f"\na decision, us: median {median(times):.0f}, p99 {quantiles(times, n=100)[98]:.0f}; "
        f"of 1,000,000 characters {_long_time():.0f}"
    )
    missed = list(_missed(rows, times))
    print("\n" + ("\n".join(f"MISSED {each}" for each in missed) or "every gate is met"))
    return 1 if missed else 0


def _rows(sources: Sequence[Source]) -> Iterator[Row]:
    for source in sources:
        others = [other.examples for other in sources if other is not source]
        scale = scale_of(others)
        prior = fit_prior(scale, others)
        yield _row("Z", source, [(np.arange(len(source.examples)), prior)], scale)
        if source.name in ZERO_SHOT_ONLY:
            continue
        for count in LABELS:
            if len(source.examples) >= 2 * count:
                yield _row(f"C-{count}", source, list(_draws(source, count, scale, prior)), scale)


def _draws(source: Source, count: int, scale: Scale, prior: Weights) -> Iterator[tuple[Floats, Weights]]:
    """Yield for each draw the rows to test, and weights that were fitted to `count` others."""
    for seed in range(DRAWS):
        order = np.random.default_rng(seed).permutation(len(source.examples))
        yield order[count:], fit(scale, prior, [source.examples[n] for n in order[:count]])


def _row(protocol: str, source: Source, draws: Sequence[tuple[Floats, Weights]], scale: Scale) -> Row:
    found = []
    for tested, weights in draws:
        cheap, strong = source.cheap[tested], source.strong[tested]
        score = _scores([source.examples[n] for n in tested], weights, scale)
        found.append(
            (
                apgr(cheap, strong, score),
                *apgr_range(cheap, strong, score),
                strong_share(cheap, strong, score, 0.5),
                strong_share(cheap, strong, score, 0.8),
                *(saving(cheap, strong, score, ratio=ratio, kept=KEPT) for ratio in RATIOS),
                *(mix_saving(cheap, strong, ratio=ratio, kept=KEPT) for ratio in RATIOS),
            )
        )
    means = [fmean(column) for column in zip(*found, strict=True)]
    return Row(
        protocol=protocol,
        source=source.name,
        test_count=len(draws[0][0]),
        apgr=means[0],
        low=means[1],
        high=means[2],
        cpt50=means[3],
        cpt80=means[4],
        savings=tuple(means[5:7]),
        mixes=tuple(means[7:9]),
    )


def _scores(examples: Sequence[Example], weights: Weights, scale: Scale) -> Floats:
    return np.array([sum(gain.total for gain in gains(weights, scale, each.features)) for each in examples])


def _table(rows: Sequence[Row]) -> str:
    head = "protocol  source      n     APGR   95 %         CPT50  CPT80 " + "".join(
        f"  saved@{ratio}:1  mix@{ratio}:1" for ratio in RATIOS
    )
    lines = [
        f"{row.protocol:8}  {row.source:10}{row.test_count:6}  {row.apgr:.3f}  {row.low:.3f}-{row.high:.3f}"
        f"  {row.cpt50:5.1%}  {row.cpt80:5.1%} "
        + "".join(
            f"  {saved:9.1%}  {mixed:7.1%}" for saved, mixed in zip(row.savings, row.mixes, strict=True)
        )
        for row in sorted(rows, key=lambda row: (row.protocol != "Z", len(row.protocol), row.protocol))
    ]
    macros = [f"macro {name}: {value:.3f}, worst {worst:.3f}" for name, value, worst in _macros(rows)]
    return "\n".join([head, *lines, *macros, f"saved and mix: at {KEPT:.0%} of the strong model's quality"])


def _macros(rows: Sequence[Row]) -> Iterator[tuple[str, float, float]]:
    for protocol in dict.fromkeys(row.protocol for row in rows):
        found = [row.apgr for row in rows if row.protocol == protocol]
        yield protocol, fmean(found), min(found)


def _missed(rows: Sequence[Row], times: Sequence[float]) -> Iterator[str]:
    macros = {name: (macro, worst) for name, macro, worst in _macros(rows)}
    if macros["Z"][0] < MACRO_Z:
        yield f"Z macro {macros['Z'][0]:.3f} < {MACRO_Z}"
    for row in rows:
        if row.protocol == "Z" and row.apgr < (least := ZERO_SHOT_ONLY.get(row.source, WORST_Z)):
            yield f"Z {row.source} {row.apgr:.3f} < {least}"
        if row.protocol == "C-300" and row.low < 0.5:
            yield f"C-300 {row.source}: its lower bound {row.low:.3f} < 0.500"
        if row.protocol == "C-300":
            for ratio, saved, mixed in zip(RATIOS, row.savings, row.mixes, strict=True):
                if saved < mixed - 0.01:
                    yield f"C-300 {row.source}: saves {saved:.1%} at {ratio}:1, the mix {mixed:.1%}"
    if macros["C-300"][0] < MACRO_C300:
        yield f"C-300 macro {macros['C-300'][0]:.3f} < {MACRO_C300}"
    if median(times) > MEDIAN_US or quantiles(times, n=100)[98] > P99_US or _long_time() > ANY_US:
        yield "the time of a decision"


def _decision_times(sources: Sequence[Source]) -> list[float]:
    """Return what features and gains take for short prompts, in microseconds of CPU: the least of three."""
    scale = scale_of([source.examples for source in sources])
    weights = fit(scale, fit_prior(scale, [sources[0].examples]), sources[0].examples[:300])
    prompts = [prompt for source in sources for prompt in source.prompts[:600] if len(prompt) <= SHORT_CHARS]
    return [min(_time_us(prompt, weights, scale) for _ in range(3)) for prompt in prompts]


def _long_time() -> float:
    scale = Scale(means=(0.0,) * len(NAMES), deviations=(1.0,) * len(NAMES))
    weights = fit_prior(scale, [])
    return min(_time_us("word, 12 = x! " * 71_429, weights, scale) for _ in range(5))


def _time_us(prompt: str, weights: Weights, scale: Scale) -> float:
    began = thread_time()
    gains(weights, scale, features(prompt))
    return (thread_time() - began) * 1e6


def _prior_text(groups: Sequence[Sequence[Example]]) -> str:
    """Return the prior as it is shipped: numbers of four digits, one gain a boundary."""
    scale = scale_of(groups)
    prior = fit_prior(scale, groups)
    data = {
        "features": VERSION,
        "names": NAMES,
        "means": [_rounded(value) for value in scale.means],
        "deviations": [_rounded(value) for value in scale.deviations],
        "gains": [
            {"intercept": _rounded(gain.intercept), "counts": [_rounded(value) for value in gain.counts]}
            for gain in prior.gains
        ],
    }
    return json.dumps(data, indent=1) + "\n"


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


if __name__ == "__main__":
    sys.exit(main())
