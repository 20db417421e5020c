"""What the store is asked of a call before it holds money, all in one trip.

Whose is the request id (`app/claiming.py`, which adds its question itself), is there a stored answer, or
whose turn is it to ask for one, is there one to a near-identical question, where is the conversation, and how
often do the prompt's prefixes come.
Whoever needs to know more at that moment adds a question in `Looking.begin`, and a field to `Look`.
"""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress
from dataclasses import dataclass

from costsvc.app.asked import Asked, Asking
from costsvc.app.attempt import Attempt
from costsvc.app.conversations import Conversations
from costsvc.app.in_flight import InFlight
from costsvc.app.leading import Leading
from costsvc.app.near import NearIdentical, NearLook
from costsvc.app.prompt_caching import PromptCaching, PromptLook
from costsvc.core.cacheable import CacheOutcome
from costsvc.core.conversation import Pin
from costsvc.core.errors import StoreUnavailable
from costsvc.core.request import CacheMode, ModelRequest
from costsvc.store.exchange import Exchange, Pending
from costsvc.store.presence import one_call
from costsvc.store.response_codec import StoredAnswer
from costsvc.store.responses import Responses, Turn


@dataclass(slots=True, kw_only=True)
class Look:
    """What was asked of the store, and, once it was sent, what it says.

    `asked` is the question to the response cache, or why there is none. None stands for what was not asked.
    """

    asked: Asked | CacheOutcome
    token: str = ""
    found: Pending[StoredAnswer | Turn | None] | None = None
    near: NearLook | None = None
    pin: Pending[Pin | None] | None = None
    prompt: PromptLook | None = None


class Looking:
    """Asks the store about calls."""

    def __init__(
        self,
        *,
        asking: Asking,
        responses: Responses,
        near: NearIdentical,
        leading: Leading,
        conversations: Conversations,
        prompt_caching: PromptCaching,
        in_flight: InFlight,
    ) -> None:
        self._asking = asking
        self._responses = responses
        self._near = near
        self._leading = leading
        self._conversations = conversations
        self._prompt_caching = prompt_caching
        self._in_flight = in_flight

    def check(self, request: ModelRequest) -> None:
        """Raise InvalidRequest where a call names a namespace that there is not."""
        self._asking.check(request)

    async def look(self, attempt: Attempt) -> Look:
        """Return what the store says about a call, which may lead after that."""
        exchange = Exchange()
        return await self._sent(exchange, await self.begin(exchange, attempt))

    async def look_again(self, look: Look, attempt: Attempt) -> Look:
        """Return a look with what the response cache says by now."""
        exchange = Exchange()
        again = Look(asked=look.asked, pin=look.pin, prompt=look.prompt)
        return await self._sent(exchange, self._with_cache(exchange, again, attempt))

    async def begin(self, exchange: Exchange, attempt: Attempt) -> Look:
        """Add what is to be asked about a call; whoever sends it dismisses it where the call is not made."""
        look = Look(
            asked=await self._asked(attempt),
            pin=self._conversations.ask(exchange, attempt.plan.request, attempt.tenant),
            prompt=self._prompt_caching.ask(exchange, attempt.plan, attempt.tenant),
        )
        return self._with_cache(exchange, look, attempt)

    def dismiss(self, look: Look) -> None:
        """Give up the lead that a look has, or may have, taken."""
        if look.found is None:
            return
        with suppress(StoreUnavailable):
            if look.found.result() is not Turn.LEAD:
                return
        self.give_up(look)

    def give_up(self, look: Look) -> None:
        """Let others lead, if this call does; nobody waits for that."""
        if look.token and isinstance(look.asked, Asked):
            self._in_flight.start(self._give_up(look.asked, look.token))

    def _with_cache(self, exchange: Exchange, look: Look, attempt: Attempt) -> Look:
        """Add the questions to the response cache, unless a call of this process asks the same already."""
        asked, mode = look.asked, attempt.plan.request.cache_mode
        if not isinstance(asked, Asked):
            return look
        if mode is CacheMode.DEFAULT and self._leading.flight(asked.place):
            return look
        look.near = self._near.ask(exchange, asked)
        if mode is not CacheMode.REFRESH:
            look.token = attempt.response_id if mode is CacheMode.DEFAULT else ""
            look.found = self._responses.ask(exchange, asked.place, token=look.token)
        return look

    async def _sent(self, exchange: Exchange, look: Look) -> Look:
        try:
            await exchange.send()
        except asyncio.CancelledError:
            self.dismiss(look)
            raise
        return look

    async def _asked(self, attempt: Attempt) -> Asked | CacheOutcome:
        try:
            return await self._asking.ask(attempt)
        except StoreUnavailable:
            return CacheOutcome.MISS

    async def _give_up(self, asked: Asked, token: str) -> None:
        with suppress(StoreUnavailable), one_call(math.inf):  # no caller waits for this
            await self._responses.give_up(asked.place, token)
