"""What a model has said of how hard requests are, kept a while: the same text is not asked about again.

A verdict stands under a tenant and a keyed hash of what was asked: no tenant gets another's, and nobody can
read the text from it. Nothing here is money, and it has a time to live.
"""

from __future__ import annotations

from datetime import timedelta

from redis.asyncio import Redis

from costsvc.core.request import Tier
from costsvc.store import keys
from costsvc.store.connection import ask, translated

_MILLISECOND = timedelta(milliseconds=1)


class VerdictBook:
    """The verdicts of all tenants' requests."""

    def __init__(self, client: Redis) -> None:
        self._client = client

    async def find(self, tenant: str, fingerprint: str) -> Tier | None:
        """Return the verdict on a question, None where none is kept.

        Raises:
            StoreUnavailable: no answer in time.
        """
        async with translated():
            found: bytes | None = await ask(self._client, "GET", keys.verdict(tenant, fingerprint))
        return _BY_NUMBER.get(found) if found is not None else None

    async def keep(self, tenant: str, fingerprint: str, tier: Tier, ttl: timedelta) -> None:
        """Keep a verdict.

        Raises:
            StoreUnavailable: it may be kept or not.
        """
        async with translated():
            key = keys.verdict(tenant, fingerprint)
            await ask(self._client, "SET", key, int(tier), "PX", ttl // _MILLISECOND)


_BY_NUMBER = {str(int(tier)).encode(): tier for tier in Tier}
