"""Whether a server may be the store: its version, its role, and what data it has."""

from __future__ import annotations

from redis import exceptions as driver
from redis.asyncio import Redis

from costsvc.store import keys
from costsvc.store.connection import StoreRefused, translated

SCHEMA_VERSION = 1
OLDEST_SERVER = (7, 0)  # script flags, SET NX GET, multi-part append-only files


async def check_store(client: Redis, *, budget_s: float = 5.0) -> None:
    """Accept the server and the schema of its data, or say why not; an empty store gets this version's mark.

    Raises:
        StoreRefused: an old server, a replica, wrong credentials, or data of a newer version.
        StoreUnavailable: no answer.
    """
    async with translated(budget_s):
        try:
            await _check_server(client)
            await _check_schema(client)
        except (driver.AuthenticationError, driver.AuthorizationError, driver.NoPermissionError) as error:
            raise StoreRefused(f"the store refused its URL's credentials ({error}): correct them") from error


async def _check_server(client: Redis) -> None:
    version = str((await client.info("server"))["redis_version"])
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_SERVER:
        raise StoreRefused(f"the store's server is version {version}: use Redis 7.0 or newer, or Valkey")
    if (await client.info("replication")).get("role") == "slave":
        raise StoreRefused("the store is a replica, which takes no writes: name its primary")


async def _check_schema(client: Redis) -> None:
    kept = await client.get(keys.SCHEMA)  # first, because one whose memory is full refuses to write
    found = kept or await client.set(keys.SCHEMA, SCHEMA_VERSION, nx=True, get=True)
    if found is None or int(found) <= SCHEMA_VERSION:
        return
    raise StoreRefused(
        f"the store's data has schema {int(found)} and this version of costsvc knows {SCHEMA_VERSION}: "
        "start the newer version, or name another store"
    )
