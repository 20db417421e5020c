"""The fitted scores of this process: held in memory, so that a decision waits for nothing.

A tenant's task that is asked for and not here is read at once, and until then has no score.
What is here is compared with the store every half a minute; while that is away, scores stay as they are.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass

from costsvc.core.errors import StoreUnavailable
from costsvc.core.local_score import Fit, Score, score_of
from costsvc.core.policy import Policy
from costsvc.core.request import ModelRequest
from costsvc.core.rules import last_user_text
from costsvc.core.scoring import Scale
from costsvc.store.fits import FitBook

REFRESH_S = 30.0
_SPACING_S = 0.2
MOST_TASKS = 256
"""How many fits a process holds, of about 20 KB each: those used last."""


@dataclass(frozen=True, slots=True)
class _Held:
    """A fit by its name, None where there is none; the name is None until the store was asked."""

    name: str | None = None
    fit: Fit | None = None


class LocalScores:
    """Scores requests. `keep_fresh` runs beside it, in a task of its own."""

    def __init__(self, fits: FitBook, scale: Scale) -> None:
        self._fits = fits
        self._scale = scale
        self._held: OrderedDict[tuple[str, str], _Held] = OrderedDict()
        self._missing = asyncio.Event()

    def score(self, request: ModelRequest, tenant: str, policy: Policy) -> Score | None:
        """Return what the score of a tenant's learned task says of a request, None where there is none."""
        place = tenant, request.task
        held = self._held.get(place)
        if held is None:
            self._ask_for(place)
            return None
        self._held.move_to_end(place)
        if held.fit is None:
            return None
        return score_of(last_user_text(request), held.fit, self._scale, models=policy.first_models)

    async def keep_fresh(self) -> None:
        """Read what is missing at once, and what has changed now and then, while the process lives."""
        while True:
            with suppress(StoreUnavailable):
                await self.refresh()
            await asyncio.sleep(_SPACING_S)  # however many tasks take turns
            with suppress(TimeoutError):
                async with asyncio.timeout(REFRESH_S):
                    await self._missing.wait()

    async def refresh(self) -> None:
        """Bring what is held up to date.

        Raises:
            StoreUnavailable: what was not read yet stays as it is.
        """
        self._missing.clear()
        places = list(self._held)
        if not places:
            return
        names = await self._fits.names(places)
        for place, name in zip(places, names, strict=True):
            held = self._held.get(place)
            if held is not None and held.name != name:
                self._held[place] = _Held(*await self._fits.get(*place))

    def _ask_for(self, place: tuple[str, str]) -> None:
        self._held[place] = _Held()
        while len(self._held) > MOST_TASKS:
            self._held.popitem(last=False)
        self._missing.set()


def is_learned(request: ModelRequest, tenant: str, policy: Policy) -> bool:
    """Tell whether routing chooses the model of a request, and learns its task."""
    if not policy.learned or request.model or request.baseline_only:
        return False
    return policy.learning(tenant, request.task) is not None
