"""Answering a request: plan, call the provider, book the cost, answer.

What runs at the provider has a task of its own: when the caller goes away, the rest of the answer is read
within the caller's deadline all the same, because its end has the bill.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import structlog

from costsvc.app.attempt import Attempt, Caller, Completed, complete, entry_of
from costsvc.app.in_flight import InFlight
from costsvc.app.plan import Planner
from costsvc.app.relay import Relay
from costsvc.app.settle import Settlement
from costsvc.core.errors import DeadlineTooShort, ProviderError
from costsvc.core.json_text import to_json
from costsvc.core.message_stream import MessageAssembler
from costsvc.core.request import ModelRequest
from costsvc.metrics import Metrics
from costsvc.ports import Clock, ProviderStream, Upstream, UpstreamAnswer

LONGEST_UNARY_MAX_TOKENS = 21_333
"""Longer answers are streamed from the provider, whose unary calls end after ten minutes."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """The provider has begun to answer."""

    attempt: Attempt
    provider_request_id: str


class Completions:
    """The use case behind Complete and StreamComplete."""

    def __init__(
        self,
        *,
        planner: Planner,
        upstream: Upstream,
        settlement: Settlement,
        in_flight: InFlight,
        metrics: Metrics,
        clock: Clock,
        new_id: Callable[[], str],
        max_call_s: float,
    ) -> None:
        self._planner = planner
        self._upstream = upstream
        self._settlement = settlement
        self._in_flight = in_flight
        self._metrics = metrics
        self._clock = clock
        self._new_id = new_id
        self._max_call_s = max_call_s

    async def answer(self, request: ModelRequest, caller: Caller) -> Completed:
        """Return the complete answer, booked.

        Raises:
            DeadlineTooShort, JournalFailed: nothing was spent.
            ProviderError: `may_have_spent` says whether something may have been.
            InvalidRequest, UnknownModel, NoModelFits: as planning raises them.
        """
        return await self._in_flight.run(self._answer(self._begin(request, caller)))

    async def stream(
        self, request: ModelRequest, caller: Caller, *, provider_events: bool
    ) -> AsyncGenerator[Started | list[str] | Completed, None]:
        """Yield `Started`, then pieces (texts, or the JSON of provider events), then `Completed`."""
        attempt, relay = self._begin(request, caller), Relay()
        pump = self._in_flight.start(self._pump(attempt, relay, provider_events=provider_events))
        try:
            provider_request_id = await relay.opened()
            if provider_request_id is not None:
                yield Started(attempt=attempt, provider_request_id=provider_request_id)
            async for pieces in relay.batches():
                yield pieces
            yield await asyncio.shield(pump)
        finally:
            relay.abandon()

    def _begin(self, request: ModelRequest, caller: Caller) -> Attempt:
        """Plan an attempt; everything that can be refused is refused here, before any spend."""
        self._settlement.check_room()
        now, now_s = self._clock.now(), self._clock.monotonic()
        if caller.deadline_s <= now_s:
            raise DeadlineTooShort
        response_id = self._new_id()
        return Attempt(
            response_id=response_id,
            attempt_id=f"{response_id}.1",
            tenant=caller.tenant,
            plan=self._planner.plan(request, caller.tenant, now),
            started_at=now,
            started_s=now_s,
            timeout_s=min(caller.deadline_s - now_s, self._max_call_s),
        )

    async def _answer(self, attempt: Attempt) -> Completed:
        if attempt.plan.needs.max_tokens > LONGEST_UNARY_MAX_TOKENS:
            return await self._pump(attempt, None, provider_events=False)
        with self._noting_failures(attempt):
            answer = await self._upstream.send(attempt.upstream_request(stream=False))
            return await self._settle(attempt, answer, self._elapsed_ms(attempt))

    async def _pump(self, attempt: Attempt, relay: Relay | None, *, provider_events: bool) -> Completed:
        """Read a stream to its end and book it; what it says on the way goes into the relay."""
        try:
            with self._noting_failures(attempt):
                stream = await self._upstream.open_stream(attempt.upstream_request(stream=True))
                first_byte_ms = self._elapsed_ms(attempt)
                try:
                    answer = await _read(stream, relay, provider_events=provider_events)
                finally:
                    await stream.close()
                return await self._settle(attempt, answer, first_byte_ms)
        finally:
            if relay is not None:
                relay.end()

    async def _settle(self, attempt: Attempt, answer: UpstreamAnswer, first_byte_ms: int) -> Completed:
        catalog = self._planner.catalog
        completed = complete(
            attempt, answer.message, answer.message_json, answer.provider_request_id, catalog
        )
        entry = entry_of(
            completed,
            catalog,
            settled_at=self._clock.now(),
            first_byte_ms=first_byte_ms,
            total_ms=self._elapsed_ms(attempt),
        )
        await self._settlement.book(entry)
        self._planner.learn(attempt.plan, attempt.tenant, completed.reported.totals)
        return completed

    def _elapsed_ms(self, attempt: Attempt) -> int:
        return round((self._clock.monotonic() - attempt.started_s) * 1000)

    @contextmanager
    def _noting_failures(self, attempt: Attempt) -> Iterator[None]:
        """An attempt that may have spent and has no bill must not go unnoticed."""
        try:
            yield
        except ProviderError as error:
            error.attempt_id = attempt.attempt_id
            if error.may_have_spent:
                self._metrics.unsettled(error.failure.value)
                log.error(  # noqa: TRY400 - the failure is the provider's; a traceback of ours says nothing
                    "attempt_unsettled",
                    attempt_id=attempt.attempt_id,
                    tenant=attempt.tenant,
                    model=attempt.plan.decision.model.id,
                    failure=error.failure.value,
                    provider_request_id=error.provider_request_id,
                )
            raise


async def _read(stream: ProviderStream, relay: Relay | None, *, provider_events: bool) -> UpstreamAnswer:
    """Read a stream to its end into the relay, and return the message that it adds up to."""
    assembler = MessageAssembler()
    if relay is not None:
        relay.open(stream.provider_request_id)
    async for event in stream:
        text = assembler.feed(event.type, event.data)
        piece = event.raw if provider_events else text
        if relay is not None and piece:
            await relay.put(piece)
    message = assembler.message()
    return UpstreamAnswer(
        message_json=to_json(message).encode(),
        message=message,
        provider_request_id=stream.provider_request_id,
    )
