"""Calls that costsvc makes on its own account: held for, settled and booked like answers, but never answers.

What they cost counts against the savings of routing, which they serve.
"""

from __future__ import annotations

from dataclasses import replace

from costsvc.app.attempt import Attempt, Completed, complete, entry_of
from costsvc.app.holding import Holding
from costsvc.app.planner import Planner
from costsvc.app.reserved import Reserved
from costsvc.app.settle import Settlement
from costsvc.core.breaker import Breakers
from costsvc.core.entry import Entry
from costsvc.core.errors import ProviderError
from costsvc.core.savings import spent_in_vain
from costsvc.ports import Clock, Upstream


class SideCalls:
    """Makes them, one attempt each: none is worth a second one."""

    def __init__(
        self,
        *,
        planner: Planner,
        upstream: Upstream,
        holding: Holding,
        settlement: Settlement,
        clock: Clock,
    ) -> None:
        self._planner = planner
        self._upstream = upstream
        self._holding = holding
        self._settlement = settlement
        self._clock = clock
        self._breakers = Breakers()

    async def hold(self, attempt: Attempt) -> Reserved:
        """Hold what a call may cost; `make` it then.

        Raises:
            CostsvcError: nothing was sent, and nothing is held.
        """
        self._breakers.check(attempt.plan.decision.model.id, self._clock.monotonic())
        return await self._holding.hold(attempt)

    async def make(self, attempt: Attempt, reserved: Reserved) -> tuple[Completed, Entry]:
        """Make a call that is held for, and book it.

        Raises:
            ProviderError: what it cost is released, or at risk.
        """
        model = attempt.plan.decision.model.id
        async with self._holding.ending(reserved):
            try:
                completed = await self._answer(attempt)
            except ProviderError as error:
                self._breakers.failed(model, error, self._clock.monotonic())
                raise
            self._breakers.succeeded(model)
            entry = self._entry(completed, reserved)
            await self._settlement.book(entry, reserved.version, reserved.trace)
        return completed, entry

    async def _answer(self, attempt: Attempt) -> Completed:
        answer = await self._upstream.send(attempt.upstream_request(stream=False))
        completed = complete(
            attempt,
            answer.message,
            answer.message_json,
            answer.provider_request_id,
            self._planner.catalog,
        )
        return replace(completed, account=spent_in_vain(completed.account.cost_nano_usd))

    def _entry(self, completed: Completed, reserved: Reserved) -> Entry:
        total_ms = round((self._clock.monotonic() - completed.attempt.started_s) * 1000)
        return entry_of(
            completed,
            self._planner.catalog,
            charges=reserved.charges,
            settled_at=self._clock.now(),
            first_byte_ms=total_ms,
            total_ms=total_ms,
        )
