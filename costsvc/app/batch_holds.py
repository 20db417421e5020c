"""The money of batches: held a part at a time, on each set of budgets that applies to some of its items."""

from __future__ import annotations

from datetime import timedelta

from costsvc.app.admitting import Admitting
from costsvc.app.definitions import InForce
from costsvc.core.batch import Batch, Part, PartHold
from costsvc.core.budget import Application
from costsvc.core.errors import CostsvcError
from costsvc.core.holds import Hold
from costsvc.core.opening import Opening
from costsvc.store.holds import Holds

HELD_FOR = timedelta(days=3)
"""A batch ends within a day; what is not settled by then is at risk, whoever has died."""


class BatchHolds:
    """Holds of parts. They are nobody's lease: they end with their part, or after `HELD_FOR`."""

    def __init__(self, holds: Holds, admitting: Admitting, in_force: InForce) -> None:
        self._holds = holds
        self._admitting = admitting
        self._in_force = in_force

    async def hold(self, batch: Batch, parts: tuple[Part, ...]) -> None:
        """Hold for some parts, or for none.

        Raises:
            BudgetExceeded, TooManyBudgets: nothing is held.
            StoreUnavailable: the store cannot be asked; what is held is to be released.
        """
        try:
            for part in parts:
                for number, held in enumerate(part.holds):
                    await self._hold(batch, part, number, held)
        except CostsvcError:
            for part in parts:
                await self.release(part)
            raise

    async def release(self, part: Part) -> None:
        """Free what is held, or at risk, for a part.

        Raises:
            StoreUnavailable: repeat it.
        """
        for number in range(len(part.holds)):
            if not await self._holds.release(part.hold_id(number), part.started_at):
                await self._holds.resolve(part.hold_id(number), part.started_at)

    async def lose(self, part: Part, reason: str) -> None:
        """Turn what is held for a part into a risk.

        Raises:
            StoreUnavailable: repeat it.
        """
        for number in range(len(part.holds)):
            await self._holds.lose(part.hold_id(number), part.started_at, reason=reason)

    async def _hold(self, batch: Batch, part: Part, number: int, held: PartHold) -> None:
        def applying() -> list[Application]:
            return self._in_force.applying(
                tenant=batch.tenant, labels=held.labels, model=held.model, at=part.started_at
            )

        opening = Opening(
            attempt_id=part.hold_id(number),
            response_id=part.id,
            request_id="",
            tenant=batch.tenant,
            labels=held.labels,
            task=held.task,
            requested_model=held.requested_model,
            model=held.model,
            baseline_model=held.baseline_model,
            tier=held.tier,
            started_at=part.started_at,
        )
        hold = Hold(q_nano_usd=held.q_nano_usd, w_nano_usd=held.w_nano_usd)
        until = part.started_at.replace(microsecond=0) + HELD_FOR
        await self._admitting.admit(opening, hold, applying, until)
