"""How long to wait between two looks at what another process does."""

from __future__ import annotations

import random

SHORTEST_WAIT_S, LONGEST_WAIT_S, WAIT_SHARE = 0.01, 0.5, 0.25


def wait_s(waited_s: float) -> float:
    """Return how long to wait before the next look, as a share of the time that it has been waited for.

    By chance it is a little more or less, so that looks spread.
    """
    wait_s = min(max(waited_s * WAIT_SHARE, SHORTEST_WAIT_S), LONGEST_WAIT_S)
    return wait_s * random.uniform(0.8, 1.2)  # noqa: S311 - keeps no secret
