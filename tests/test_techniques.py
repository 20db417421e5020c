"""Tests of docs/techniques.md: every command on that page gives what stands below it."""

from __future__ import annotations

import json
import os
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from costsvc.cli.commands import costsvc

PAGE = Path(__file__).parents[1] / "docs/techniques.md"
EXAMPLE = re.compile(r"```console\n\$ costsvc ([^\n]+)\n(.*?)```", re.DOTALL)
EXAMPLES = EXAMPLE.findall(PAGE.read_text())
QUOTED_AND_CALCULATED = {
    "--calls 10000 --input-tokens 2000": "$135.00",
    "--calls 1000 --input-tokens 4000": "$1.2138",
    "--calls 500 --input-tokens 10000": "$1.5345",
    "--calls 2000 --input-tokens 2000": "$1.2069",
    "--batch --model claude-3-5-haiku-latest": "$8.00",
    "--batch --model claude-sonnet-4-0": "$75.00",
    "--batch --model claude-opus-4-0": "$450.00",
    "claude-3-5-haiku-latest=70,claude-sonnet-4-0=20": "$2,659.979",
    "claude-3-5-haiku-latest=50,claude-sonnet-4-0=30": "$4,300.0041",
    "claude-3-5-haiku-latest=30,claude-sonnet-4-0=40": "$5,939.9872",
}


def run(command: str) -> str:
    """Return what a command prints."""
    result = CliRunner().invoke(costsvc, shlex.split(command), prog_name="costsvc")
    assert result.exit_code == 0, result.output
    return result.output


def test_the_page_is_up_to_date() -> None:
    """Its examples are what the program prints; UPDATE_GOLDEN=1 writes them."""
    page = PAGE.read_text()
    if os.environ.get("UPDATE_GOLDEN"):
        page = EXAMPLE.sub(lambda found: f"```console\n$ costsvc {found[1]}\n{run(found[1])}```", page)
        PAGE.write_text(page)
    assert len(EXAMPLES) == page.count("```console")
    for command, printed in EXAMPLE.findall(page):
        assert run(command) == printed


@pytest.mark.parametrize(("command", "amount"), QUOTED_AND_CALCULATED.items())
def test_the_page_has_the_figures_of_the_time(command: str, amount: str) -> None:
    """What the formula gives at the prices of 2025, whatever the page is rewritten to."""
    [printed] = [
        out
        for given, out in EXAMPLES
        if command in given and given.endswith("--at 2025-06-01") and "--cache-uses 3" not in given
    ]
    assert printed.splitlines()[-1].split()[-4 if "%" in printed else -1] == amount


def test_every_figure_of_the_overview_is_calculated() -> None:
    """What the table says, to the cent or rounded to dollars, stands in some example."""
    shown = {amount for _, printed in EXAMPLES for amount in re.findall(r"\$[\d,.]+", printed)}
    rounded = {f"${round(float(amount[1:].replace(',', ''))):,}" for amount in shown}
    rows = [line.split("|") for line in PAGE.read_text().splitlines() if line.startswith("| ")][1:]
    figures = [amount for row in rows for amount in re.findall(r"\$[\d,.]*\d", row[4] + row[5])]
    assert len(figures) > 20
    assert set(figures) <= shown | rounded


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--calls 10", "give --input-tokens, --output-tokens"),
        ("--mix simple=100", "give --calls, --input-tokens, --output-tokens"),
        ("--calls 10 --input-tokens 1 --output-tokens 1", "either --mix or --model"),
        ("--calls 10 --input-tokens 1 --output-tokens 1 --model m --mix a=1", "either --mix or --model"),
        ("hello --calls 10 --input-tokens 1 --output-tokens 1 --model m", "without TEXT"),
        (
            "--calls 10 --input-tokens 1 --output-tokens 1 --model m --baseline m",
            "--baseline goes with --mix",
        ),
        ("--calls 10 --input-tokens 1 --output-tokens 1 --mix simple", "is not NAME=PERCENT"),
        ("--calls 10 --input-tokens 1 --output-tokens 1 --mix simple=x", "is not a share"),
        ("--calls 10 --input-tokens 1 --output-tokens 1 --mix simple=99", "do not add up to 100"),
        (
            "--calls 10 --input-tokens 1 --output-tokens 1 --mix gpt-4o=100",
            "gpt-4o is neither a tier nor",
        ),
        (
            "--calls 10 --input-tokens 1 --output-tokens 1 --model gpt-4o",
            "gpt-4o is neither a tier nor",
        ),
        (
            "--calls 10 --input-tokens 1 --output-tokens 1 --model claude-sonnet-4-0 --at 2026-11-22",
            "claude-sonnet-4-20250514 was retired on 2026-06-15",
        ),
        (
            "--calls 1 --input-tokens 1 --output-tokens 1 --model m --cached-tokens 2",
            "a part of --input-tokens",
        ),
        ("--calls 1 --input-tokens 1 --output-tokens 1 --model m --hit-share 101%", "at most 100%"),
        ("--calls 1 --input-tokens 1 --output-tokens 1 --model m --policy /none.toml", "/none.toml"),
    ],
)
def test_what_cannot_be_calculated_is_refused(options: str, words: str) -> None:
    """In one sentence that says what is wrong, before any service is asked."""
    result = CliRunner().invoke(costsvc, ["estimate", *shlex.split(options)], prog_name="costsvc")
    assert result.exit_code == 2
    assert words in result.output


def test_programs_get_whole_nano_dollars() -> None:
    """--json has the same figures, each in its place."""
    [(command, _)] = [each for each in EXAMPLES if each[0].startswith("estimate --mix claude-sonnet-4-0=80")]
    found = json.loads(run(f"{command} --json"))
    assert found["cost_nano_usd"] == sum(part["cost_nano_usd"] for part in found["parts"]) == 818_100_000_000
    assert found["baseline_nano_usd"] == 5_400_000_000_000
    assert [step["technique"] for step in found["steps"]] == ["routing", "prompt cache"]
    assert [part["call_count"] for part in found["parts"]] == [14_400, 3_600]
