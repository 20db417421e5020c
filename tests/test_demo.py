"""The demo end to end: real processes, a real store, and books that agree to the pico-dollar."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from costsvc.core.entry import Entry
from costsvc.core.savings import Savings
from costsvc.core.usage import Usage

ROOT = Path(__file__).parent.parent
AT = datetime(2026, 11, 20, 8, tzinfo=UTC)


@pytest.fixture
def audit(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """Give the module that compares the books; the benchmarks are programs beside the package."""
    monkeypatch.syspath_prepend(ROOT)
    from benchmarks import audit

    return audit


@pytest.fixture
def workload(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Give the module that loads the workload."""
    monkeypatch.syspath_prepend(ROOT)
    from benchmarks import workload

    return workload


async def run_demo(*options: str) -> tuple[int, str, str]:
    """Run the demo as a user does; return its exit code and what it printed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.demo", *options,
        cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        out, err = await asyncio.wait_for(process.communicate(), 50)
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_each_entry_is_the_bill_of_its_attempt_rounded_up() -> None:
    """A short demo finds one equal entry for each billed call, and only the rounding in the totals."""
    code, out, err = await run_demo("--calls", "40", "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    books = found["books"]
    assert found["problems"] == []
    assert found["call_count"] == books["entry_count"] >= 40
    assert books["entry_count"] - books["hit_count"] == books["line_count"] == books["equal_count"]
    rounding = books["ledger_nano_usd"] * 1000 - books["provider_pico_usd"]
    assert 0 <= rounding < 1000 * books["entry_count"]
    assert books["ledger_nano_usd"] == found["cost_nano_usd"] > 0


async def test_a_price_that_the_provider_does_not_charge_is_found(tmp_path: Path) -> None:
    """With a discount in our catalogue only, every call on that model is named, and the exit code is 1."""
    discounts = tmp_path / "discounts.toml"
    discounts.write_text(
        'schema = "costsvc/catalog/1"\n[[discount]]\nmodels = ["claude-haiku-5-5"]\npercent = "10"\n'
    )
    code, out, _ = await run_demo("--calls", "13", "--json", "--catalog", str(discounts))
    found = json.loads(out)
    assert code == 1
    wrong = [problem for problem in found["problems"] if ": booked " in problem]
    assert len(wrong) == found["calls_by_model"]["claude-haiku-5-5"]
    assert found["books"]["line_count"] - found["books"]["equal_count"] == len(wrong)


async def test_the_demo_prints_what_was_saved_and_how() -> None:
    """The tables have each scenario and model; routing and both kinds of breakpoints saved money."""
    code, out, _ = await run_demo("--calls", "60")
    assert code == 0
    for expected in ("By scenario", "By model", "claude-haiku-4-5-20251001", "own calls", "rounding only"):
        assert expected in out
    saved = {
        line.split("  ")[1]: line.split("$")[1].split(" ")[0]
        for line in out.split("Savings by technique")[1].split("The books")[0].splitlines()
        if "$" in line
    }
    assert all(float(saved[technique]) > 0 for technique in ("routing", "caller", "prompt cache", "total"))


def test_the_workload_is_what_it_says(workload: ModuleType) -> None:
    """The workload has a few hundred calls, a third of them streamed, with hardly a text twice."""
    jobs = workload.load()
    calls = sum(job.call_count for job in jobs)
    assert 290 <= calls <= 320
    assert 0.3 < sum(sum(job.streams) for job in jobs) / calls < 0.4
    texts = [text for job in jobs for text in job.turns]
    assert len(texts) - len(set(texts)) <= 3
    assert len({job.job_id for job in jobs}) == len(jobs)
    assert workload.load() == jobs


def test_a_small_workload_has_every_scenario(workload: ModuleType) -> None:
    """About as many calls as asked for are taken from all scenarios in turn."""
    jobs = workload.load(40)
    assert {job.scenario for job in jobs} == {job.scenario for job in workload.load()}
    assert 40 <= sum(job.call_count for job in jobs) < 45


def entry(**changes: Any) -> Entry:
    """Return an entry that agrees with `line()`."""
    values: dict[str, Any] = {
        "entry_id": "e",
        "attempt_id": "a.1",
        "response_id": "a",
        "request_id": "",
        "provider_request_id": "req_1",
        "tenant": "t",
        "requested_model": "auto",
        "answering_model": "m",
        "baseline_model": "m",
        "tier": "simple",
        "usage": Usage(input_tokens=3, output_tokens=5),
        "cost_nano_usd": 2,
        "baseline_nano_usd": 2,
        "savings": Savings(),
        "catalog_hash": "c",
        "started_at": AT,
        "settled_at": AT,
    }
    return Entry(**values | changes)


def line(**changes: Any) -> dict[str, Any]:
    """Return a line of the provider's bill."""
    usage = dict.fromkeys(
        ("cache_creation_5m_input_tokens", "cache_creation_1h_input_tokens", "cache_read_input_tokens"), 0
    )
    usage |= {"input_tokens": 3, "output_tokens": 5, "web_search_requests": 0}
    base = {"attempt": "a.1", "request_id": "req_1", "model": "m", "pico_usd": "1001", "usage": usage}
    return base | changes


def test_an_equal_bill_has_no_mismatch(audit: ModuleType) -> None:
    """1,001 pico-USD are two nano-USD, and the difference is the rounding."""
    found = audit.compare_bill([entry()], [line()])
    assert found.mismatches == ()
    assert (found.equal_count, found.difference_pico_usd) == (1, 999)


def test_a_stored_answer_has_no_line_and_costs_nothing(audit: ModuleType) -> None:
    """Two of them are no attempt that is booked twice; one that costs is named."""
    hits = [
        entry(attempt_id=f"{name}.0", provider_request_id="", cost_nano_usd=0, cache_outcome="hit")
        for name in "bc"
    ]
    found = audit.compare_bill([entry(), *hits], [line()])
    assert (found.mismatches, found.hit_count, found.equal_count) == ((), 2, 1)
    assert audit.compare_bill([replace(hits[0], cost_nano_usd=1)], []).mismatches


def test_a_call_of_the_caller_is_joined_on_the_providers_id(audit: ModuleType) -> None:
    """A recorded call has no attempt of ours on the bill."""
    assert audit.compare_bill([entry(attempt_id="rec_1")], [line(attempt=None)]).mismatches == ()


@pytest.mark.parametrize(
    ("entries", "lines", "said"),
    [
        ([entry(cost_nano_usd=1)], [line()], "a.1: booked 1 nano-USD, billed 1001 pico-USD = 2"),
        ([entry(cost_nano_usd=3)], [line()], "a.1: booked 3 nano-USD"),
        ([entry()], [line(model="n")], "a.1: booked on m, billed on n"),
        ([entry(usage=Usage(input_tokens=3))], [line()], "a.1: output_tokens: booked 0, metered 5"),
        ([entry()], [], "a.1: 0 lines on the bill"),
        ([entry()], [line(), line()], "a.1: 2 lines on the bill"),
        ([], [line()], "a.1: billed 1001 pico-USD, no entry"),
        ([entry(), entry(entry_id="f")], [line()], "a.1: 2 entries for one attempt"),
    ],
)
def test_every_disagreement_names_its_attempt(
    audit: ModuleType, entries: list[Entry], lines: list[dict[str, Any]], said: str
) -> None:
    """Whatever differs between ledger and bill is found, and says where."""
    assert any(text.startswith(said) for text in audit.compare_bill(entries, lines).mismatches)


def test_an_entry_that_no_answer_has_is_found(audit: ModuleType) -> None:
    """Money that was booked without being answered is a disagreement."""
    assert audit.compare_answers([], [replace(entry(), response_id="lost")]) == [
        "lost: booked, but never answered"
    ]
