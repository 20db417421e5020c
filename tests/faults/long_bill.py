"""The long form of test_bill, which `make faults` runs: about two minutes a seed."""

from __future__ import annotations

import os

import pytest

from tests.faults.scenario import Scenario
from tests.faults.trial import any_seed, judged
from tests.faults.trouble import Trouble

SEEDS = [any_seed() for _ in range(1 if "FAULTS_SEED" in os.environ else 5)]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", SEEDS)
async def test_the_books_agree_with_the_bill_after_ten_thousand_calls(tmp_path, seed, say):
    """Three servers under everything that can happen to them, their store and their provider."""
    trouble = Trouble(server_kills=5, store_freezes=3, store_kills=2, fail_overs=1)
    scenario = Scenario(seed=seed, call_count=10_000, server_count=3, trouble=trouble, at_once=32)
    verdict = await judged(scenario, tmp_path, say)
    assert len(verdict.books.lines) > 5_000
    assert verdict.codes()["RESOURCE_EXHAUSTED BUDGET_EXCEEDED"]
