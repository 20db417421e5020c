"""Answering a request: plan, call the provider, book the cost, answer.

What runs at the provider has a task of its own: when the caller goes away, the rest of the answer is read
within the caller's deadline all the same, because its end has the bill, unless it is a stream whose rest is
dear. A unary call is generated and billed to its end whether or not anybody waits, so its end is always
waited for.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from functools import partial

import structlog

from costsvc.app.attempt import Attempt, Caller, Completed, Started, complete, entry_of
from costsvc.app.audience import Audience
from costsvc.app.cached import Cached
from costsvc.app.capping import hold_capped
from costsvc.app.cascade import Booked, CappedByBudget, Cascade
from costsvc.app.conversations import Conversations
from costsvc.app.holding import Holding
from costsvc.app.in_flight import InFlight
from costsvc.app.learner import Learner
from costsvc.app.once import Once, Run
from costsvc.app.planner import Planner
from costsvc.app.reading import Reading
from costsvc.app.relay import Relay
from costsvc.app.reserved import Reserved
from costsvc.app.saying_again import said_again
from costsvc.app.settle import Settlement
from costsvc.app.tries import Tries
from costsvc.core.breaker import Breakers
from costsvc.core.errors import DeadlineTooShort, ProviderError
from costsvc.core.request import ModelRequest
from costsvc.metrics import Metrics
from costsvc.ports import Clock, Upstream
from costsvc.store.presence import one_call

LONGEST_UNARY_MAX_TOKENS = 21_333
"""Longer answers are streamed from the provider, whose unary calls end after ten minutes."""

STALL_SHARE = 0.5
"""How much of its time a caller may leave its stream unread: the other half is for reading on to the bill."""

log = structlog.get_logger()


class Completions:
    """The use case behind Complete and StreamComplete."""

    def __init__(
        self,
        *,
        planner: Planner,
        upstream: Upstream,
        settlement: Settlement,
        in_flight: InFlight,
        once: Once,
        conversations: Conversations,
        cached: Cached,
        holding: Holding,
        learner: Learner,
        metrics: Metrics,
        clock: Clock,
        new_id: Callable[[], str],
        max_call_s: float,
    ) -> None:
        self._planner = planner
        self._upstream = upstream
        self._settlement = settlement
        self._in_flight = in_flight
        self._once = once
        self._conversations = conversations
        self._cached = cached
        self._holding = holding
        self._learner = learner
        self._breakers = Breakers()
        self._metrics = metrics
        self._clock = clock
        self._new_id = new_id
        self._max_call_s = max_call_s

    def begin(self, request: ModelRequest, caller: Caller, *, streams: bool = False) -> Attempt:
        """Plan the first attempt; what can be refused without the store is refused here.

        Raises:
            DeadlineTooShort, JournalFailed: nothing was spent.
            InvalidRequest, UnknownModel, NoModelFits: as planning raises them.
        """
        self._settlement.check_room()
        self._cached.check(request)
        now, now_s = self._clock.now(), self._clock.monotonic()
        if caller.deadline_s <= now_s:
            raise DeadlineTooShort
        if streams and request.checks and not self._planner.policy.cascade.buffer_streams:
            request = replace(request, is_shown_early=True)
        return Attempt(
            response_id=self._new_id(),
            number=1,
            tenant=caller.tenant,
            plan=self._planner.plan(request, caller.tenant, now),
            started_at=now,
            started_s=now_s,
            timeout_s=min(caller.deadline_s - now_s, self._max_call_s),
        )

    async def answer(self, attempt: Attempt) -> Completed:
        """Return the complete answer, booked.

        Raises:
            BudgetExceeded, BudgetUnbounded, TooManyBudgets, StoreUnavailable: nothing was spent.
            ProviderError: `may_have_spent` says whether something may have been.
            RequestIdReused, AlreadyAnswered, OutcomeUnknown, StillRunning: nothing was spent by this call.
            CacheMiss: the caller wants a stored answer only.
        """
        audience = Audience()
        with one_call(), audience.member():
            return await self._answer_once(attempt, audience, self._answer)

    async def stream(
        self, attempt: Attempt, *, provider_events: bool
    ) -> AsyncGenerator[Started | list[str] | Completed, None]:
        """Yield `Started`, then pieces (texts, or the JSON of provider events), then `Completed`.

        Raises what `answer` raises, and StreamUnread.
        """
        relay = Relay[Started](provider_events=provider_events, stall_s=attempt.timeout_s * STALL_SHARE)
        audience = Audience()
        with audience.member():
            with one_call():
                pump = self._start(attempt, audience, relay)
            try:
                started = await relay.opened()
                if started is not None:
                    yield started
                async for pieces in relay.batches():
                    yield pieces
                completed = await asyncio.shield(pump)
                if started is None:
                    for piece in said_again(completed, provider_events=provider_events):
                        yield piece
                yield completed
            finally:
                relay.abandon()
                pump.cancel()  # only its waiting: what runs has a task of its own

    def _start(self, attempt: Attempt, audience: Audience, relay: Relay[Started]) -> asyncio.Task[Completed]:
        """Let the answer come through the relay, or, where it is another call's, as a whole."""

        def ended(pump: asyncio.Task[Completed]) -> None:
            relay.end()
            if not pump.cancelled():
                pump.exception()  # also seen where the stream has been given up

        answer = partial(self._answer, relay=relay)
        pump = asyncio.ensure_future(self._answer_once(attempt, audience, answer))
        pump.add_done_callback(ended)
        return pump

    async def _answer_once(self, attempt: Attempt, audience: Audience, run: Run) -> Completed:
        """Answer a request id once, and a question from the cache, on the model of its conversation."""
        if not attempt.plan.request.request_id:
            return await self._cached.answer(await self._continued(attempt), audience, run)

        async def answer(attempt: Attempt, audience: Audience) -> Completed:
            completed = await self._cached.answer(await self._continued(attempt), audience, run)
            if completed.origin is not None:
                await self._once.keep(completed, self._cached.entry(completed))
            return completed

        return await self._once.answer(attempt, answer)

    async def _answer(
        self, first: Attempt, audience: Audience, relay: Relay[Started] | None = None
    ) -> Completed:
        """Answer on tier after tier until the checks are met; nothing is shown while another may follow."""
        try:
            attempt = first
            cascade = Cascade(attempt, audience, self._planner, self._metrics, self._clock)
            shown = None if attempt.plan.ladder else relay
            make = partial(self._attempts, cascade=cascade, relay=shown)
            completed, entry = await cascade.answer(attempt, make)
            if entry.request_id and cascade.is_under_way:
                await self._once.keep(completed, entry)
            self._learner.note(completed, self._planner.policy)
            return completed
        finally:
            if relay is not None:
                relay.end()

    async def _continued(self, attempt: Attempt) -> Attempt:
        """Let a turn of a conversation be answered where the conversation is."""
        plan = await self._conversations.continued(attempt.plan, attempt.tenant, attempt.started_at)
        return replace(attempt, plan=plan)

    async def _attempts(self, first: Attempt, *, cascade: Cascade, relay: Relay[Started] | None) -> Booked:
        """Make attempts until one is answered, or until no further one would help."""
        attempt, tries, audience = first, Tries(first, self._planner, self._clock), cascade.audience
        while True:
            try:
                self._breakers.check(attempt.plan.decision.model.id, self._clock.monotonic())
                attempt, reserved = await self._hold(attempt, cascade)
                async with self._holding.ending(reserved):
                    return await self._try(attempt, reserved, cascade, relay)
            except ProviderError as error:
                self._note_failure(attempt, error)
                is_final = audience.is_gone or (relay is not None and relay.is_open)
                following = None if is_final else await tries.after(attempt, error)
                if following is None or audience.is_gone:
                    raise
                attempt = following

    async def _hold(self, attempt: Attempt, cascade: Cascade) -> tuple[Attempt, Reserved]:
        """Hold money for an attempt; a full soft budget may change its tier, but takes no call down again."""
        held_for, reserved = await hold_capped(self._holding, self._planner, self._new_id, attempt)
        if cascade.is_under_way and held_for is not attempt:
            await self._holding.release(reserved)
            raise CappedByBudget
        return held_for, reserved

    async def _try(
        self, attempt: Attempt, reserved: Reserved, cascade: Cascade, relay: Relay[Started] | None
    ) -> Booked:
        """Make one attempt and book it."""
        if relay is None and attempt.plan.needs.max_tokens <= LONGEST_UNARY_MAX_TOKENS:
            answer = await self._upstream.send(attempt.upstream_request(stream=False))
            first_byte_ms = self._elapsed_ms(attempt)
        else:
            stream = await self._upstream.open_stream(attempt.upstream_request(stream=True))
            first_byte_ms = self._elapsed_ms(attempt)
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
        work = [self._settlement.book(entry, reserved.version, reserved.trace)]
        if not cascade.is_under_way:
            work += [self._conversations.answered(attempt.plan, attempt.tenant, totals, attempt.started_at)]
        try:
            if entry.request_id and not cascade.is_under_way:
                await self._once.keep(completed, entry)
        finally:  # a bill that is known is booked, whatever is wrong with the answer
            await asyncio.gather(*work)
        self._metrics.held(reserved.hold.q_nano_usd, entry.cost_nano_usd)
        self._planner.learn(attempt.plan, attempt.tenant, totals)
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
