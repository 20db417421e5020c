"""Making the attempts of a call: each holds money, asks the provider, and is booked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import structlog

from costsvc.app.attempt import Attempt, Completed, Started, complete, entry_of
from costsvc.app.capping import hold_capped
from costsvc.app.cascade import Booked, CappedByBudget, Cascade
from costsvc.app.conversations import Conversations
from costsvc.app.first_writes import FirstWrites, Turn
from costsvc.app.holding import Holding
from costsvc.app.once import Once
from costsvc.app.planner import Planner
from costsvc.app.prompt_caching import PromptCaching
from costsvc.app.reading import Reading
from costsvc.app.relay import Relay
from costsvc.app.reserved import Reserved
from costsvc.app.settle import Settlement
from costsvc.app.tries import Tries
from costsvc.core.breaker import Breakers
from costsvc.core.errors import ProviderError
from costsvc.metrics import Metrics
from costsvc.ports import Clock, Upstream

LONGEST_UNARY_MAX_TOKENS = 21_333
"""Longer answers are streamed from the provider, whose unary calls end after ten minutes."""

log = structlog.get_logger()


class Making:
    """Attempts at the provider."""

    def __init__(
        self,
        *,
        planner: Planner,
        upstream: Upstream,
        settlement: Settlement,
        once: Once,
        conversations: Conversations,
        prompt_caching: PromptCaching,
        first_writes: FirstWrites,
        holding: Holding,
        metrics: Metrics,
        clock: Clock,
        new_id: Callable[[], str],
    ) -> None:
        self._planner = planner
        self._upstream = upstream
        self._settlement = settlement
        self._once = once
        self._conversations = conversations
        self._prompt_caching = prompt_caching
        self._first_writes = first_writes
        self._holding = holding
        self._breakers = Breakers()
        self._metrics = metrics
        self._clock = clock
        self._new_id = new_id

    async def answered(self, first: Attempt, *, cascade: Cascade, relay: Relay[Started] | None) -> Booked:
        """Make attempts until one is answered, or until no further one would help.

        Raises:
            ProviderError: of the last attempt.
            And what holding money raises.
        """
        attempt, tries, audience = first, Tries(first, self._planner, self._clock), cascade.audience
        while True:
            try:
                self._breakers.check(attempt.plan.decision.model.id, self._clock.monotonic())
                attempt = self._marked(attempt)
                async with self._first_writes.turn(attempt) as turn:
                    attempt, reserved = await self._hold(turn.attempt, cascade)
                    async with self._holding.ending(reserved):
                        return await self._try(attempt, reserved, cascade, relay, turn)
            except ProviderError as error:
                self._note_failure(attempt, error)
                is_final = audience.is_gone or (relay is not None and relay.is_open)
                following = None if is_final else await tries.after(attempt, error)
                if following is None or audience.is_gone:
                    raise
                attempt = following

    def _marked(self, attempt: Attempt) -> Attempt:
        """Place breakpoints for the model of this attempt."""
        plan = self._prompt_caching.marked(attempt.plan, attempt.tenant, attempt.started_at)
        return attempt if plan is attempt.plan else replace(attempt, plan=plan)

    async def _hold(self, attempt: Attempt, cascade: Cascade) -> tuple[Attempt, Reserved]:
        """Hold money for an attempt; a full soft budget may change its tier, but takes no call down again."""
        held_for, reserved = await hold_capped(self._holding, self._planner, self._new_id, attempt)
        if cascade.is_under_way and held_for is not attempt:
            await self._holding.release(reserved)
            raise CappedByBudget
        return held_for, reserved

    async def _try(
        self, attempt: Attempt, reserved: Reserved, cascade: Cascade, relay: Relay[Started] | None, turn: Turn
    ) -> Booked:
        """Make one attempt and book it."""
        is_short = attempt.plan.max_tokens <= LONGEST_UNARY_MAX_TOKENS
        if relay is None and is_short and not turn.writes:
            answer = await self._upstream.send(attempt.upstream_request(stream=False))
            first_byte_ms = self._elapsed_ms(attempt)
        else:
            stream = await self._upstream.open_stream(attempt.upstream_request(stream=True))
            first_byte_ms = self._elapsed_ms(attempt)
            turn.began()
            try:
                answer = await Reading(
                    attempt,
                    reserved,
                    stream,
                    relay,
                    audience=cascade.audience,
                    catalog=self._planner.catalog,
                    drain_max_nano_usd=self._planner.policy.drain_max_nano_usd,
                ).answer()
            finally:
                await stream.close()
        self._breakers.succeeded(attempt.plan.decision.model.id)
        catalog = self._planner.catalog
        completed = complete(
            attempt, answer.message, answer.message_json, answer.provider_request_id, catalog
        )
        return await self._settle(cascade.judge(completed), reserved, cascade, first_byte_ms)

    async def _settle(
        self, completed: Completed, reserved: Reserved, cascade: Cascade, first_byte_ms: int
    ) -> Booked:
        attempt = completed.attempt
        entry = entry_of(
            completed,
            self._planner.catalog,
            charges=reserved.charges,
            settled_at=self._clock.now(),
            first_byte_ms=first_byte_ms,
            total_ms=self._elapsed_ms(attempt),
        )
        totals = completed.reported.totals
        work = [
            self._settlement.book(entry, reserved.version, reserved.trace),
            self._prompt_caching.answered(completed, entry.settled_at),
        ]
        if not cascade.is_under_way:
            work += [self._conversations.answered(attempt.plan, attempt.tenant, totals, attempt.started_at)]
            if entry.request_id:
                work += [self._once.keep(completed, entry)]
        ends = await asyncio.gather(*work, return_exceptions=True)
        for end in ends:  # only now: a bill that is known is booked, whatever is wrong with the answer
            if isinstance(end, BaseException):
                raise end
        self._metrics.held(reserved.hold.q_nano_usd, entry.cost_nano_usd)
        self._planner.learn(attempt.plan, attempt.tenant, totals, completed.stop_reason)
        return completed, entry

    def _elapsed_ms(self, attempt: Attempt) -> int:
        return round((self._clock.monotonic() - attempt.started_s) * 1000)

    def _note_failure(self, attempt: Attempt, error: ProviderError) -> None:
        """Name the attempt; one that may have spent and has no bill must not go unnoticed."""
        model = attempt.plan.decision.model.id
        error.attempt_id, error.attempt_count = attempt.attempt_id, attempt.number
        self._breakers.failed(model, error, self._clock.monotonic())
        self._metrics.attempt_failed(error.failure.value)
        if error.may_have_spent:
            self._metrics.unsettled(error.failure.value)
            log.error(
                "attempt_unsettled",
                attempt_id=attempt.attempt_id,
                tenant=attempt.tenant,
                model=model,
                failure=error.failure.value,
                provider_request_id=error.provider_request_id,
            )
