"""Erasing what is kept of a tenant's contents; which kinds there are, `keys.contents` alone says."""

from __future__ import annotations

from collections.abc import Mapping

from redis.asyncio import Redis

from costsvc.store import keys
from costsvc.store.connection import ask, translated

_SCAN_COUNT = 1_000  # some tenths of a millisecond for everybody else
_BUDGET_S = 1.0


class Erasure:
    """The contents of all tenants; money is no content."""

    def __init__(self, client: Redis) -> None:
        self._client = client

    async def erase(self, tenant: str) -> Mapping[str, int]:
        """Remove a tenant's contents; return how many of each kind there were.

        What is stored while it runs may stay: repeat it when the tenant's calls have ended.

        Raises:
            StoreUnavailable: some is removed; repeat it.
        """
        return {kind: await self._erase(pattern) for kind, pattern in keys.contents(tenant).items()}

    async def _erase(self, pattern: str) -> int:
        erased, cursor = 0, b"0"
        while True:
            async with translated(_BUDGET_S):
                cursor, names = await ask(
                    self._client, "SCAN", cursor, "MATCH", pattern, "COUNT", _SCAN_COUNT
                )
                if names:
                    erased += await ask(self._client, "UNLINK", *names)
            if int(cursor) == 0:
                return erased
