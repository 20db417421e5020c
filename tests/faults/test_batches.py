from __future__ import annotations

import pytest

from tests.faults.batch_trial import Installation, findings, run, small_items


@pytest.mark.parametrize("kill_after_s", [0.3, 1.5], ids=["while it comes in", "about its create"])
async def test_a_killed_service_loses_and_doubles_nothing(tmp_path, kill_after_s):
    """Killed in the middle of a batch, and started again: each item is billed, booked and answered once."""
    async with Installation(tmp_path) as there:
        outcome = await run(there, small_items(400), kill_after_s=kill_after_s)
        assert outcome.problems == ()
        assert await findings(there) == []
