"""Webhooks of deferred requests that have ended, until they are taken; one process at a time claims each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from redis.asyncio import Redis

from costsvc.store import deferred_keys as keys
from costsvc.store.connection import Script, translated

CLAIM = timedelta(seconds=30)
"""How long a claim lasts: some times what posting takes at most."""

_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Due:
    """A webhook as it stands in the queue: how often it has failed, and the request that it is about."""

    record: bytes

    @property
    def failures(self) -> int:
        """How often posting it has failed."""
        return int(self.record.split(b"\n", 1)[0])

    @property
    def member(self) -> str:
        """The request, as the queue of requests has it."""
        return self.record.split(b"\n", 1)[1].decode()

    @property
    def failed(self) -> Due:
        """The same, failed once more."""
        return Due(f"{self.failures + 1}\n{self.member}".encode())


class WebhookQueue:
    """The queue of all processes; its times are the server's, so that clocks of processes need not agree."""

    def __init__(self, client: Redis, *, claim: timedelta = CLAIM) -> None:
        self._client = client
        self._claim_ms = claim // _MILLISECOND
        self._claim = Script.load("claim_alerts")
        self._move = Script.load("move_alert")

    async def claim(self, count: int) -> Sequence[Due]:
        """Claim up to `count` that are due.

        Raises:
            StoreUnavailable: what was claimed is due again after the claim's time.
        """
        async with translated():
            records = await self._claim.run(self._client, [keys.WEBHOOKS], [count, self._claim_ms])
        return [Due(record) for record in records]

    async def again(self, due: Due, after: timedelta) -> None:
        """Note that posting it has failed, and make it due later; raises what `done` raises."""
        await self._put(due, due.failed.record, after // _MILLISECOND)

    async def done(self, due: Due) -> None:
        """Take it out.

        Raises:
            StoreUnavailable: it may be out, or is due again when the claim ends.
        """
        await self._put(due, b"", 0)

    async def _put(self, due: Due, record: bytes, due_ms: int) -> None:
        async with translated():
            await self._move.run(self._client, [keys.WEBHOOKS], [due.record, record, due_ms])
