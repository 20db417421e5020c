"""Whether a store, as it is set up, can lose money: asked once, at the start."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from redis import exceptions as driver
from redis.asyncio import Redis

from costsvc.store.connection import translated

_ASKED = ("appendonly", "appendfsync", "save", "maxmemory-policy")


async def dangers(client: Redis, *, budget_s: float = 5.0) -> tuple[str, ...] | None:
    """Return in one sentence each how the store can lose money, None where it does not let us look.

    Raises:
        StoreUnavailable: no answer.
    """
    async with translated(budget_s):
        try:
            reply: Mapping[Any, Any] = await client.config_get(*_ASKED)
        except driver.ResponseError:  # not permitted, or, at a managed store, not known
            return None
    return tuple(_dangers(reply)) if reply else None


def _dangers(found: Mapping[str, str]) -> Iterator[str]:
    if found.get("appendonly") == "no":
        if not found.get("save"):
            yield "it keeps nothing on a disk: a restart loses the ledger; set appendonly yes"
        else:
            yield "a restart loses what came after its last snapshot; set appendonly yes"
    elif found.get("appendfsync") == "no":
        yield "a failing machine loses half a minute or more; set appendfsync everysec"
    policy = found.get("maxmemory-policy", "")
    if policy.startswith("allkeys-"):
        yield f"maxmemory-policy {policy} evicts money when memory is short; set volatile-lru or noeviction"
