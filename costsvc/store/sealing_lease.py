"""A lease in the store: a job that one process does at a time, and any other takes over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from redis.asyncio import Redis

from costsvc.store import keys
from costsvc.store.connection import Script, translated

LEASE = timedelta(seconds=30)
"""How long it lasts unless it is taken again; every step of the job takes it again."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class SealingLease:
    """The right to seal hours, or to have nobody else seal any."""

    def __init__(self, client: Redis, owner: str) -> None:
        self._client = client
        self._owner = owner
        self._script = Script.load("lease")

    async def take(self, now: datetime) -> bool:
        """Take the lease, or renew it; return False where another process has it.

        Raises:
            StoreUnavailable: it may be taken or not.
        """
        return await self._ask(now, (now + LEASE - _EPOCH) // _MILLISECOND)

    async def give_back(self, now: datetime) -> None:
        """Let others take it; nothing happens where it is not ours."""
        await self._ask(now, 0)

    async def _ask(self, now: datetime, ends_ms: int) -> bool:
        args: list[str | bytes | int] = [self._owner, (now - _EPOCH) // _MILLISECOND, ends_ms]
        async with translated():
            return bool(await self._script.run(self._client, [keys.SEALING], args))
