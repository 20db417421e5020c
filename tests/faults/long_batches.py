"""`make faults-batch`: batches through kills at random moments, and the largest that the provider takes.

Ten batches, each with one `kill -9` of the service somewhere between its first item and its last result,
beside foreign batches of the same size; then 100,000 small items, and 256 MB of large ones.
"""

from __future__ import annotations

import random

import pytest

from tests.faults.batch_trial import Installation, findings, large_items, run, small_items

KILLS = 10
KILLED_ITEMS = 2_000
MOST_MB = 300


@pytest.mark.timeout(1800)
async def test_ten_kills_at_random_moments(tmp_path):
    """Nothing is lost or doubled, and every entry is what the provider billed."""
    seed = random.randrange(10**6)
    dice = random.Random(seed)
    async with Installation(tmp_path) as there:
        whole = await run(there, small_items(KILLED_ITEMS), kill_after_s=None)
        assert whole.problems == ()
        print(f"\nundisturbed: {whole.seconds:.1f} s; seed {seed}")  # noqa: T201 - what it is run for
        for number in range(KILLS):
            after_s = dice.uniform(0, whole.seconds)
            outcome = await run(there, small_items(KILLED_ITEMS), kill_after_s=after_s)
            print(f"kill {number + 1} after {after_s:.2f} s: {outcome.events}, {outcome.seconds:.0f} s")  # noqa: T201 - what it is run for
            assert outcome.problems == ()
        assert await findings(there) == []
        assert there.peak_kb < MOST_MB * 1024


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    "items", [small_items(100_000), large_items(256)], ids=["100,000 small items", "256 MB"]
)
async def test_the_largest_batches(tmp_path, items):
    """They go through whole, and the service stays small."""
    async with Installation(tmp_path) as there:
        outcome = await run(there, items, kill_after_s=None)
        print(f"\n{outcome.results} results in {outcome.seconds:.0f} s, at most {outcome.peak_mb:.0f} MB")  # noqa: T201 - what it is run for
        assert outcome.problems == ()
        assert outcome.peak_mb < MOST_MB
        assert await findings(there) == []
