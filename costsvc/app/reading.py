"""Reading a stream of the provider's to its end, because the end has the bill; or closing it before.

It is closed when everybody who wanted the answer has gone and its rest may cost more than the policy allows
for nobody. Closing stops further cost only from then on, and what was spent is known within bounds.
"""

from __future__ import annotations

import asyncio

from costsvc.app.attempt import Attempt, Started
from costsvc.app.audience import Audience
from costsvc.app.relay import Relay
from costsvc.app.reserved import Reserved
from costsvc.core.catalog import Catalog
from costsvc.core.errors import Bounds, Failure, ProviderError
from costsvc.core.json_text import to_json
from costsvc.core.message_stream import MessageAssembler
from costsvc.core.partial import bounds
from costsvc.ports import ProviderEvent, ProviderStream, UpstreamAnswer


class Reading:
    """One stream on its way into a relay, if there is one, and into a whole message."""

    def __init__(
        self,
        attempt: Attempt,
        reserved: Reserved,
        stream: ProviderStream,
        relay: Relay[Started] | None,
        *,
        audience: Audience,
        catalog: Catalog,
        drain_max_nano_usd: int,
    ) -> None:
        self._attempt = attempt
        self._reserved = reserved
        self._stream = stream
        self._relay = relay
        self._audience = audience
        self._catalog = catalog
        self._drain_max_nano_usd = drain_max_nano_usd
        self._assembler = MessageAssembler()
        self._closing: asyncio.Future[None] | None = None

    async def answer(self) -> UpstreamAnswer:
        """Return the message that the stream adds up to.

        Raises:
            ProviderError: with bounds of the cost; CALLER_GONE where the stream was closed.
        """
        with self._audience.when_gone(self._drain_or_close):
            try:
                async for event in self._stream:
                    await self._take(event)
            except ProviderError as error:
                raise self._bounded(error) from error
        message = self._assembler.message()
        return UpstreamAnswer(
            message_json=to_json(message).encode(),
            message=message,
            provider_request_id=self._stream.provider_request_id,
        )

    async def _take(self, event: ProviderEvent) -> None:
        """Take an event in. The relay opens with the first: until then the attempt can be made again."""
        text = self._assembler.feed(event.type, event.data)
        if event.type == "message_start" and self._audience.is_gone:
            self._drain_or_close()
        relay = self._relay
        if relay is None:
            return
        if not relay.is_open:
            relay.open(Started(attempt=self._attempt, provider_request_id=self._stream.provider_request_id))
        if piece := event.raw if relay.provider_events else text:
            await relay.put(piece)

    def _drain_or_close(self) -> None:
        """Close the stream if its rest may be dear; before it has begun nobody can say, and it is read."""
        if self._closing is not None or self._assembler.complete or not self._assembler.message():
            return
        known = self._bounds()
        if known.upper_nano_usd - known.lower_nano_usd > self._drain_max_nano_usd:
            self._closing = asyncio.ensure_future(self._stream.close())

    def _bounded(self, error: ProviderError) -> ProviderError:
        """Return the failure with what is known of the cost, as our own doing where it is that."""
        if self._closing is not None:
            error = ProviderError(
                Failure.CALLER_GONE,
                provider_request_id=self._stream.provider_request_id,
                may_have_spent=True,
            )
        error.bounds = self._bounds()
        return error

    def _bounds(self) -> Bounds:
        attempt, plan = self._attempt, self._attempt.plan
        return bounds(
            plan.request,
            self._assembler.message(),
            self._assembler.text(),
            self._catalog,
            model=plan.decision.model.id,
            max_tokens=plan.max_tokens,
            hold=self._reserved.hold,
            at=attempt.started_at,
        )
