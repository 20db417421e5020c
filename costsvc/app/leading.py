"""Asking the provider once for many that miss the same answer: of all callers with one question one leads.

The others of its process wait for it in memory; of every other process one waits at the store, for all of its
own. They get the leader's answer, or an error that they would have got as well; where the leader failed
for reasons of its own, the next one leads. A leader that dies leads no longer than its lease.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum

from costsvc.app.attempt import Attempt, Completed
from costsvc.app.in_flight import InFlight
from costsvc.app.waiting import wait_s
from costsvc.core.errors import DeadlineTooShort, Failure, ProviderError, StoreUnavailable
from costsvc.ports import Clock
from costsvc.store.presence import one_call
from costsvc.store.response_codec import StoredAnswer
from costsvc.store.responses import LEAD, Place, Responses, Turn

RENEW_EVERY_S = LEAD.total_seconds() / 3


class Ended(Enum):
    """A leader's end that is no answer for others."""

    ALONE = "alone"  # the answer is the leader's only: each asks for itself
    NEXT = "next"  # the leader failed for reasons of its own: the next leads


End = StoredAnswer | ProviderError | Ended


@dataclass(slots=True)
class Flight:
    """A question that is being asked, here or elsewhere."""

    end: asyncio.Future[End] = field(default_factory=asyncio.Future)
    waiting_count: int = 0

    async def ended(self) -> End:
        """Return how it ends."""
        self.waiting_count += 1
        try:
            return await asyncio.shield(self.end)
        finally:
            self.waiting_count -= 1


class Leading:
    """The questions that this process asks, or waits for."""

    def __init__(self, responses: Responses, in_flight: InFlight, clock: Clock) -> None:
        self._responses = responses
        self._in_flight = in_flight
        self._clock = clock
        self._flights: dict[Place, Flight] = {}

    def flight(self, place: Place) -> Flight | None:
        """Return the question for this place that runs, if one does."""
        return self._flights.get(place)

    async def lead(
        self,
        place: Place,
        token: str,
        ask: Callable[[], Awaitable[Completed]],
        *,
        share: Callable[[Completed], End],
        tell: Callable[[End], Awaitable[None]],
    ) -> Completed:
        """Return what `ask` answers, for all who wait: they get what `share` makes of it.

        `tell` is then told the end, in a task of its own. What is asked goes on when its caller leaves.
        """
        flight = self._flights[place] = Flight()

        async def work() -> Completed:
            renewing = asyncio.ensure_future(self._keep_leading(place, token))
            end: End = Ended.NEXT
            try:
                completed = await ask()
                end = share(completed)
            except ProviderError as error:
                if not error.may_have_spent and error.failure is not Failure.TIMED_OUT:
                    end = error
                raise
            else:
                return completed
            finally:
                renewing.cancel()
                self._land(place, flight, end)
                self._in_flight.start(self._tell(tell, end))

        return await self._in_flight.run(work())

    def follow_elsewhere(self, place: Place) -> Flight:
        """Wait at the store, for all callers of this process, for the leader of another."""
        flight = self._flights[place] = Flight()
        self._in_flight.start(self._watch(place, flight))
        return flight

    async def joined(self, flight: Flight, attempt: Attempt) -> StoredAnswer | Ended:
        """Return how another's question ended.

        Raises:
            ProviderError: an error that everybody would get.
            DeadlineTooShort: the time of the one who waits is over.
        """
        try:
            async with asyncio.timeout(attempt.left_s(self._clock.monotonic())):
                end = await flight.ended()
        except TimeoutError:
            raise DeadlineTooShort from None
        if isinstance(end, ProviderError):
            raise _as_ours(end) from end
        return end

    async def _watch(self, place: Place, flight: Flight) -> None:
        end: End = Ended.NEXT
        began_s = self._clock.monotonic()
        try:
            found: StoredAnswer | Turn = Turn.FOLLOW
            while found is Turn.FOLLOW and flight.waiting_count:
                await asyncio.sleep(wait_s(self._clock.monotonic() - began_s))
                with one_call():  # a look of its own each time, for as long as somebody waits
                    found = await self._responses.look_up(place)
            if isinstance(found, StoredAnswer):
                end = found
        except StoreUnavailable:
            pass
        finally:
            self._land(place, flight, end)

    async def _keep_leading(self, place: Place, token: str) -> None:
        while True:
            await asyncio.sleep(RENEW_EVERY_S)
            with suppress(StoreUnavailable), one_call(math.inf):  # no caller waits for this
                await self._responses.lead_on(place, token)

    async def _tell(self, tell: Callable[[End], Awaitable[None]], end: End) -> None:
        with one_call(math.inf):  # nor for this
            await tell(end)

    def _land(self, place: Place, flight: Flight, end: End) -> None:
        flight.end.set_result(end)
        if self._flights.get(place) is flight:
            del self._flights[place]


def _as_ours(error: ProviderError) -> ProviderError:
    """Return the leader's error as the one of a call that has made no attempt."""
    return ProviderError(
        error.failure,
        http_status=error.http_status,
        error_type=error.error_type,
        code=error.code,
        message=error.message,
        provider_request_id=error.provider_request_id,
        retry_after_s=error.retry_after_s,
    )
