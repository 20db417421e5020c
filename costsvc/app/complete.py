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

from costsvc.app.attempt import Attempt, Caller, Completed, Started
from costsvc.app.audience import Audience
from costsvc.app.cached import Cached
from costsvc.app.cascade import Cascade
from costsvc.app.classifier import Classifier
from costsvc.app.conversations import Conversations
from costsvc.app.learner import Learner
from costsvc.app.looking import Look, Looking
from costsvc.app.making import Making
from costsvc.app.once import Once, Run
from costsvc.app.planner import Planner
from costsvc.app.relay import Relay
from costsvc.app.saying_again import said_again
from costsvc.app.settle import Settlement
from costsvc.app.shadow import Shadows
from costsvc.core.deferred_errors import MustDefer
from costsvc.core.errors import DeadlineTooShort
from costsvc.core.request import ModelRequest
from costsvc.metrics import Metrics
from costsvc.ports import Clock
from costsvc.store.presence import one_call

STALL_SHARE = 0.5
"""How much of its time a caller may leave its stream unread: the other half is for reading on to the bill."""


class Completions:
    """The use case behind Complete and StreamComplete."""

    def __init__(
        self,
        *,
        planner: Planner,
        settlement: Settlement,
        once: Once,
        looking: Looking,
        conversations: Conversations,
        cached: Cached,
        classifier: Classifier,
        shadows: Shadows,
        making: Making,
        learner: Learner,
        metrics: Metrics,
        clock: Clock,
        new_id: Callable[[], str],
        max_call_s: float,
    ) -> None:
        self._planner = planner
        self._settlement = settlement
        self._once = once
        self._looking = looking
        self._conversations = conversations
        self._cached = cached
        self._classifier = classifier
        self._shadows = shadows
        self._making = making
        self._learner = learner
        self._metrics = metrics
        self._clock = clock
        self._new_id = new_id
        self._max_call_s = max_call_s

    def begin(
        self, request: ModelRequest, caller: Caller, *, streams: bool = False, deferred: bool = False
    ) -> Attempt:
        """Plan the first attempt; what can be refused without the store is refused here.

        Raises:
            DeadlineTooShort, JournalFailed, MustDefer: nothing was spent.
            InvalidRequest, UnknownModel, NoModelFits: as planning raises them.
        """
        self._settlement.check_room()
        self._looking.check(request)
        if request.task in self._planner.policy.defer.tasks and not deferred:
            raise MustDefer(request.task)
        now, now_s = self._clock.now(), self._clock.monotonic()
        if caller.deadline_s <= now_s:
            raise DeadlineTooShort
        if streams and request.checks and not self._planner.policy.cascade.buffer_streams:
            request = replace(request, is_shown_early=True)
        return Attempt(
            response_id=self._new_id(),
            number=1,
            tenant=caller.tenant,
            plan=self._planner.unscored(request, caller.tenant, now),
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
            return await self._cached.answer(attempt, await self._looking.look(attempt), audience, run)

        async def answer(attempt: Attempt, look: Look, audience: Audience) -> Completed:
            completed = await self._cached.answer(attempt, look, audience, run)
            if completed.origin is not None:
                self._once.keep_soon(completed, self._cached.entry(completed))
            return completed

        return await self._once.answer(attempt, answer)

    async def _answer(
        self, first: Attempt, look: Look, audience: Audience, relay: Relay[Started] | None = None
    ) -> Completed:
        """Answer on tier after tier until the checks are met; nothing is shown while another may follow."""
        try:
            attempt = await self._classifier.classified(self._continued(first, look))
            cascade = Cascade(attempt, audience, self._planner, self._metrics, self._clock)
            shown = None if attempt.plan.ladder else relay
            make = partial(self._making.answered, cascade=cascade, relay=shown)
            completed, entry = await cascade.answer(attempt, make)
            if entry.request_id and cascade.is_under_way:
                await self._once.keep(completed, entry)
            self._learner.note(completed, self._planner.policy)
            self._shadows.consider(completed)
            return completed
        finally:
            if relay is not None:
                relay.end()

    def _continued(self, attempt: Attempt, look: Look) -> Attempt:
        """Take all else into account: a score, where the conversation is, and how often prefixes come."""
        plan = self._conversations.continued(self._planner.scored(attempt.plan), look.pin)
        return replace(attempt, plan=replace(plan, prompt=look.prompt.result() if look.prompt else None))
