"""Finding one attempt at risk by its id; `Holds` lists and ends risks."""

from __future__ import annotations

from redis.asyncio import Redis

from costsvc.store import keys
from costsvc.store.attempts import AtRisk, read_at_risk
from costsvc.store.connection import ask, translated


class Risks:
    """Attempts at risk, of every process."""

    def __init__(self, client: Redis) -> None:
        self._client = client

    async def find(self, attempt_id: str) -> AtRisk | None:
        """Return an attempt at risk, None where it is not, or no longer."""
        async with translated():
            record: bytes | None = await ask(self._client, "HGET", keys.AT_RISK, attempt_id)
        return read_at_risk(record) if record is not None else None
