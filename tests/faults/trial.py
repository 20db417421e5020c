"""Playing a scenario in a test: it says what happened, and keeps everything where something is wrong."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from random import SystemRandom
from time import monotonic

import pytest

from tests.faults.scenario import Scenario, Verdict, play

_SHOWN = 20


def any_seed() -> int:
    """Return another seed each time, or FAULTS_SEED to see a failure again."""
    return int(os.environ.get("FAULTS_SEED", SystemRandom().randrange(10**6)))


async def judged(scenario: Scenario, path: Path, say: Callable[[str], None]) -> Verdict:
    """Play a scenario, and fail where the books are wrong."""
    say(f"\nseed {scenario.seed}: {scenario.call_count} calls on {scenario.server_count} servers")
    began_s = monotonic()
    try:
        verdict = await play(scenario, path)
    except BaseException:
        say(f"FAULTS_SEED={scenario.seed}, logs in {_keep(path, scenario)}")
        raise
    books = verdict.books
    say(f"  {monotonic() - began_s:.0f} s; " + "; ".join(verdict.done))
    say(f"  {len(books.lines)} billed, {len(books.entries)} booked, {len(books.risks)} at risk")
    say("  " + ", ".join(f"{code} {count}" for code, count in verdict.codes().most_common()))
    if verdict.problems:
        where = f"FAULTS_SEED={scenario.seed}, logs in {_keep(path, scenario)}"
        count = f"{len(verdict.problems)} problems"
        pytest.fail("\n".join([where, count, *verdict.problems[:_SHOWN]]), pytrace=False)
    return verdict


def _keep(path: Path, scenario: Scenario) -> Path:
    kept = Path(tempfile.mkdtemp(prefix=f"costsvc-faults-{scenario.seed}-"))
    shutil.copytree(path, kept, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.sock"))
    return kept
