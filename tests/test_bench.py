import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from benchmarks.bench import page
from benchmarks.bench.neighbour import percentile
from benchmarks.bench.processes import ProcessFailed, Program, python
from benchmarks.bench.table import Row, as_markdown, spread
from benchmarks.deferral import measure as measure_deferral
from benchmarks.near_identical import judge, near_misses
from benchmarks.near_identical import main as score_pairs


@pytest.mark.parametrize(("value", "verdict"), [(4.0, "ok"), (4.01, "MISSED")])
def test_a_judged_row_shows_its_target_and_verdict(value: float, verdict: str) -> None:
    """A figure at its limit meets it; one above does not."""
    row = Row.judged("x", f"{value} E", value, 4.0, "E")
    assert row.cells[3:] == ("<= 4 E", verdict)


def test_a_row_without_a_target_has_no_verdict() -> None:
    """What is shown for information is neither met nor missed."""
    assert Row("x", "1 us").cells == ("x", "1 us", "", "", "")


def test_columns_are_equally_wide() -> None:
    """The table can be read as plain text."""
    lines = as_markdown([Row("short", "1"), Row("much longer", "1,000 us", 2.0)]).split("\n")
    assert len(lines) == 4
    assert len({len(line) for line in lines}) == 1


def test_the_spread_is_the_median_and_the_quartiles() -> None:
    """One outlier moves none of the three."""
    assert spread([1.0, 2.0, 3.0, 4.0, 900.0], "us") == "3.00 us (2.00..4.00)"
    assert spread([1234.0], "us") == "1,234 us"


def test_a_percentile_is_a_latency_that_occurred() -> None:
    """A share of one is the worst."""
    spans = [(0.0, n / 1000) for n in range(1, 101)]
    assert percentile(spans, 0.99) == pytest.approx(100)
    assert percentile(spans, 0.5) == pytest.approx(51)
    assert percentile(spans, 1) == pytest.approx(100)


def test_figures_replace_those_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what stands between the marks changes, however often it is written."""
    file = tmp_path / "page.md"
    file.write_text(f"before\n{page.BEGIN}\nold\n{page.END}\nafter\n")
    monkeypatch.setattr(page, "PAGE", file)
    page.write("about", "table")
    page.write("about", "table")
    assert file.read_text() == f"before\n{page.BEGIN}\nabout\n\ntable\n{page.END}\nafter\n"


def test_the_page_has_its_marks_once() -> None:
    """The real page can be written."""
    text = page.PAGE.read_text()
    assert text.count(page.BEGIN) == text.count(page.END) == 1


async def test_a_program_runs_on_its_core_and_is_measured_from_outside(tmp_path: Path) -> None:
    """CPU and memory are those of the program, and it ends with its context."""
    core, before = min(os.sched_getaffinity(0)), os.sched_getaffinity(0)
    work = "sum(range(int(line))); print(os.sched_getaffinity(0), flush=True)"
    code = f"import os, sys\nfor line in sys.stdin: {work}"
    async with Program(tmp_path / "log", core, *python("-c", code)) as program:
        start_us = program.cpu_us()
        assert await program.ask("1000000") == f"{{{core}}}"
        assert program.cpu_us() - start_us > 1_000
        assert program.rss_mb() > 1
    with pytest.raises(ProcessLookupError):
        os.kill(program.pid, 0)
    assert os.sched_getaffinity(0) == before


async def test_a_program_that_ends_too_early_is_reported_with_its_words(tmp_path: Path) -> None:
    """Whoever runs the benchmarks sees why."""
    code = "import sys; sys.exit('no such thing')"
    async with Program(tmp_path / "log", 0, *python("-c", code)) as program:
        with pytest.raises(ProcessFailed, match="no such thing"):
            await program.said("ready")


async def test_a_termination_ends_what_was_started() -> None:
    """No process outlives a run that is told to stop."""
    bench = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.bench", "--only", "route", cwd=page.PAGE.parents[1]
    )
    try:
        async with asyncio.timeout(30):
            while len(started := _children(bench.pid)) < 3:
                assert bench.returncode is None
                await asyncio.sleep(0.01)
        bench.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(bench.wait(), 30) == 130
    finally:
        if bench.returncode is None:
            bench.kill()
    assert not [pid for pid in started if _runs(pid)]


def _children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def _runs(pid: str) -> bool:
    return Path(f"/proc/{pid}").exists()


SAME = {"source": "banking", "label": 1, "text_a": "What is my limit?", "text_b": "what's my limit"}
OTHER = SAME | {"label": 0, "text_b": "What is my fee?"}


@pytest.mark.parametrize(
    ("rows", "gate"),
    [
        ([SAME, OTHER], ""),
        ([SAME | {"label": 0}], "banking"),
        ([SAME | {"source": "qqp", "label": 0}], "qqp"),
    ],
)
def test_a_false_hit_among_the_pairs_misses_its_gate(
    rows: list[dict[str, str]], gate: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The source is named, and the exit code says it; the pairs of the tests are among those scored."""
    code = judge(rows)
    missed = capsys.readouterr().out.splitlines()[-1].removeprefix("gates missed: ").split(", ")
    assert ("banking" in missed, "qqp" in missed) == (gate == "banking", gate == "qqp")
    assert code == (missed != ["none"])
    assert "near misses" not in missed
    assert len(near_misses()) >= 300


def test_pairs_that_are_not_there_are_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    """In a sentence."""
    assert score_pairs("") == 2
    assert "PAIRS=" in capsys.readouterr().err


async def test_two_days_of_deferred_calls_end_in_time_and_are_paid_once() -> None:
    """A small run of the benchmark: through the whole service, against the provider's own bill."""
    outcome = await measure_deferral(40)
    assert outcome.kept_share == 1
    assert outcome.paid_once_share >= 0.95
    assert outcome.is_exact
