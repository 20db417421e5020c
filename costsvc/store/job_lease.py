"""A lease in the store: a job that one process does at a time, and any other takes over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from redis.asyncio import Redis

from costsvc.store.connection import Script, ask, translated

LEASE = timedelta(seconds=30)
"""How long it lasts unless it is taken again, where nothing else is said; every step takes it again."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class JobLease:
    """The right to do the job of a key, or to have nobody else do it."""

    def __init__(self, client: Redis, owner: str, key: str, *, lasts: timedelta = LEASE) -> None:
        self.owner = owner
        self._lasts = lasts
        self._client = client
        self._key = key
        self._script = Script.load("lease")

    async def take(self, now: datetime) -> bool:
        """Take the lease, or renew it; return False where another process has it.

        Raises:
            StoreUnavailable: it may be taken or not.
        """
        return await self._ask(now, (now + self._lasts - _EPOCH) // _MILLISECOND)

    async def give_back(self, now: datetime) -> None:
        """Let others take it; nothing happens where it is not ours."""
        await self._ask(now, 0)

    async def holder(self, now: datetime) -> str:
        """Return who has it, "" where nobody does.

        Raises:
            StoreUnavailable: no answer in time.
        """
        async with translated():
            kept: bytes | None = await ask(self._client, "GET", self._key)
        ends_ms, _, owner = (kept or b"0 ").decode().partition(" ")
        return owner if int(ends_ms) > (now - _EPOCH) // _MILLISECOND else ""

    async def _ask(self, now: datetime, ends_ms: int) -> bool:
        args: list[str | bytes | int] = [self.owner, (now - _EPOCH) // _MILLISECOND, ends_ms]
        async with translated():
            return bool(await self._script.run(self._client, [self._key], args))
