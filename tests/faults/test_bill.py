"""Whatever fails, every billed call is booked once, exactly, or at risk between bounds that hold."""

from __future__ import annotations

import pytest

from tests.faults.scenario import Scenario
from tests.faults.trial import any_seed, judged
from tests.faults.trouble import Trouble


@pytest.mark.timeout(150)
async def test_the_books_agree_with_the_bill_whatever_fails(tmp_path, say):
    """Hundreds of calls on two servers, and a kill or a freeze of everything."""
    trouble = Trouble(server_kills=1, store_freezes=1, store_kills=1, fail_overs=1)
    scenario = Scenario(seed=any_seed(), call_count=600, server_count=2, trouble=trouble, at_once=12)
    verdict = await judged(scenario, tmp_path, say)
    assert len(verdict.books.lines) > 200
    assert verdict.books.risks
    assert verdict.codes()["RESOURCE_EXHAUSTED BUDGET_EXCEEDED"]
