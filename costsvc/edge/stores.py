"""Opens what a service keeps its data in: the store, which may be its own, and that of stored answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine
from contextlib import AsyncExitStack, suppress
from typing import Any, TypeVar

import structlog
from redis.asyncio import Redis

from costsvc.core.errors import StoreUnavailable
from costsvc.edge.wiring_cache import CacheStore
from costsvc.settings import Settings
from costsvc.store import connection
from costsvc.store.acceptance import check_store
from costsvc.store.durability import dangers
from costsvc.store.embedded import EmbeddedValkey
from costsvc.store.presence import Presence
from costsvc.store.responses import cache_secret
from costsvc.store.supervise import keep_running

T = TypeVar("T")

log = structlog.get_logger()


class CannotStart(Exception):
    """The service cannot start; the message says in one sentence what to do."""


async def open_store(settings: Settings, presence: Presence, stack: AsyncExitStack) -> Redis:
    """Return a client of the store, which is started first where none is named."""
    url = settings.redis_url
    if url is None:
        embedded = await stack.enter_async_context(EmbeddedValkey(settings.data_dir))
        in_background(stack, keep_running(embedded))
        url = embedded.url
    client = connection.open_store(url, presence)
    stack.push_async_callback(client.aclose)
    with presence.searching():
        await answered(check_store(client))
        if settings.redis_url is not None:
            await answered(_warn_of_losses(client))
    return client


async def _warn_of_losses(client: Redis) -> None:
    """Say at the start how a store that others set up can lose money."""
    found = await dangers(client)
    if found is None:
        log.warning("store_not_verified", why="it does not let us read its settings with CONFIG GET")
    for problem in found or ():
        log.warning("store_can_lose_money", problem=problem)


async def open_cache(
    settings: Settings, client: Redis, presence: Presence, stack: AsyncExitStack
) -> CacheStore:
    """Return where stored answers are, and the secret of all replicas."""
    if settings.cache_secret:
        secret = settings.cache_secret.get_secret_value().encode()
    else:
        with presence.searching():
            secret = await answered(cache_secret(client))
    if settings.cache_redis_url is None:
        return CacheStore(client=client, presence=None, secret=secret)
    own = Presence(is_apart=True)
    separate = connection.open_store(settings.cache_redis_url, own)
    stack.push_async_callback(separate.aclose)
    return CacheStore(client=separate, presence=own, secret=secret)


async def answered(asked: Awaitable[T]) -> T:
    """Ask the store something without which the service cannot start."""
    try:
        return await asked
    except StoreUnavailable as error:
        raise CannotStart(f"the store does not answer ({error}): start it, or correct --redis-url") from error


def in_background(stack: AsyncExitStack, work: Coroutine[Any, Any, None]) -> None:
    """Run work for as long as the stack is open."""
    task = asyncio.ensure_future(work)

    async def end() -> None:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    stack.push_async_callback(end)
