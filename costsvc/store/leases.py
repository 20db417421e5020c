"""Who is alive: a process has a lease in the store, renews it, and is taken for gone when it has ended."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from redis.asyncio import Redis

from costsvc.core.errors import StoreUnavailable
from costsvc.store import keys
from costsvc.store.connection import Script, translated

LEASE = timedelta(seconds=10)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class Lease:
    """The lease of this process. `owner` is the process's own name, another after every start."""

    def __init__(self, client: Redis, *, owner: str) -> None:
        self.owner = owner
        self._client = client
        self._renew = Script.load("renew")
        self._judges_after: datetime | None = None

    async def renew(self, now: datetime) -> None:
        """Renew the lease: call it every few seconds.

        Raises:
            StoreUnavailable: the lease is as it was.
        """
        try:
            async with translated():
                await self._renew.run(self._client, [keys.LEASES], [lease_end_ms(now), self.owner])
        except StoreUnavailable:
            self.spare(now)
            raise

    def spare(self, now: datetime) -> None:
        """Take nobody for gone for the time of a lease: who lives will show it by then."""
        self._judges_after = now + LEASE

    def judges(self, now: datetime) -> bool:
        """Tell whether an ended lease means that its owner is gone.

        It does not for a while after this process could not renew its own: then others could not either.
        """
        return self._judges_after is None or now >= self._judges_after


def lease_end_ms(now: datetime) -> int:
    """Return when a lease that is renewed now ends."""
    return milliseconds(now + LEASE)


def milliseconds(at: datetime) -> int:
    """Return an instant as milliseconds since 1970."""
    return (at - _EPOCH) // _MILLISECOND
