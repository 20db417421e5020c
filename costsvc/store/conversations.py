"""Where each tenant's conversations are, so that every replica goes on where the last turn was.

Nothing here is money: it has a time to live, and a conversation that is forgotten begins anew.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from redis.asyncio import Redis

from costsvc.core.conversation import Pin
from costsvc.store import keys
from costsvc.store.connection import ask, translated
from costsvc.store.exchange import Exchange, Pending, ask_alone

KEPT = timedelta(hours=24)
"""How long after its last turn a conversation is known: no prompt cache lives longer than an hour."""


class ConversationBook:
    """The conversations of all tenants."""

    def __init__(self, client: Redis) -> None:
        self._client = client

    def ask(self, exchange: Exchange, tenant: str, conversation_id: str) -> Pending[Pin | None]:
        """Ask where a conversation is; the answer is None where nothing is known of it."""
        return exchange.ask(self._client, "GET", keys.conversation(tenant, conversation_id), read=_read)

    async def find(self, tenant: str, conversation_id: str) -> Pin | None:
        """Return where a conversation is, None where nothing is known of it.

        Raises:
            StoreUnavailable: no answer in time.
        """
        exchange = Exchange()
        return await ask_alone(exchange, self.ask(exchange, tenant, conversation_id))

    async def note(self, tenant: str, conversation_id: str, pin: Pin) -> None:
        """Remember where a conversation is.

        Raises:
            StoreUnavailable: it may be remembered or not.
        """
        key, ttl_s = keys.conversation(tenant, conversation_id), KEPT // timedelta(seconds=1)
        async with translated():
            await ask(self._client, "SET", key, _written(pin), "EX", ttl_s)


def _written(pin: Pin) -> str:
    return f"{pin.model} {pin.turns} {pin.cached_tokens} {int(pin.cached_until.timestamp())}"


def _read(packed: bytes | None) -> Pin | None:
    """Return what was written; what another version wrote differently is not known."""
    if packed is None:
        return None
    try:
        model, turns, cached_tokens, until_s = packed.decode().split()
        cached_until = datetime.fromtimestamp(int(until_s), UTC)
        return Pin(model=model, turns=int(turns), cached_tokens=int(cached_tokens), cached_until=cached_until)
    except (ValueError, OverflowError, OSError):
        return None
