"""Long work on the event loop, in which others have their turn."""

from __future__ import annotations

import asyncio
from time import monotonic

TURN_S = 0.005
"""How long others wait at most."""


class Turns:
    """The turns of one piece of work."""

    def __init__(self) -> None:
        self._ends_s = monotonic() + TURN_S

    async def give(self) -> None:
        """Let others run, where this has run long enough."""
        if monotonic() >= self._ends_s:
            await asyncio.sleep(0)
            self._ends_s = monotonic() + TURN_S
