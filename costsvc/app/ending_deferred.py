"""Ending deferred requests: answered or failed, each once, whoever brings it."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from costsvc.app.policies import PolicyInForce
from costsvc.core.errors import CostsvcError
from costsvc.metrics import Metrics
from costsvc.ports import Clock
from costsvc.store.deferred import DeferredBook
from costsvc.store.deferred_items import Item, State

log = structlog.get_logger()


class EndingDeferred:
    """How deferred requests end, on any replica."""

    def __init__(
        self,
        book: DeferredBook,
        write_error: Callable[[CostsvcError], bytes],
        policy_in_force: PolicyInForce,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._book = book
        self._write_error = write_error
        self._policy_in_force = policy_in_force
        self._metrics = metrics
        self._clock = clock

    async def answered(self, item: Item, answer: bytes) -> None:
        """Give a request its answer, unless it has one.

        Raises:
            StoreUnavailable: it may have it or not; repeat it.
        """
        if await self._end(item, State.ANSWERED, answer) and self._clock.now() > item.deadline:
            self._metrics.deferred("late")

    async def failed(self, item: Item, error: CostsvcError) -> None:
        """Say of a request why it has no answer, unless it has one; raise what `answered` raises."""
        await self._end(item, State.FAILED, self._write_error(error))

    async def canceled(self, item: Item) -> State | None:
        """Take a request back; return the state that it was in, None where it had ended."""
        return await self._end(item, State.CANCELED, b"")

    async def _end(self, item: Item, state: State, answer: bytes) -> State | None:
        keep, now = self._policy_in_force.policy.defer.keep_answers, self._clock.now()
        before = await self._book.finish(item.member, state, answer, at=now, keep=keep)
        if before is not None:
            self._metrics.deferred(state.value)
            took_s = round((now - item.asked_at).total_seconds(), 3)
            log.info(
                "deferred_ended",
                deferred_id=item.id,
                tenant=item.tenant,
                request_id=item.request_id,
                task=item.task,
                state=state.value,
                before=before.value,
                took_s=took_s,
                is_late=now > item.deadline,
            )
        return before
