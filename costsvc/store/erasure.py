"""Erasing what is kept of a tenant's contents: all that `keys.contents` lists, and what says whose it is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping
from fnmatch import fnmatchcase

from redis.asyncio import Redis

from costsvc.store import keys, seen_codec
from costsvc.store.connection import ask, translated

_SCAN_COUNT = 1_000  # some tenths of a millisecond for everybody else
_BUDGET_S = 1.0


class Erasure:
    """The contents of all tenants, on the store and where stored answers are; money is no content."""

    def __init__(self, client: Redis, answers: Redis | None = None) -> None:
        """Use the store, and the server of stored answers where that is another."""
        self._client = client
        self._servers = (client,) if answers is None or answers is client else (client, answers)

    async def erase(self, tenant: str) -> Mapping[str, int]:
        """Remove a tenant's contents; return how many of each kind there were.

        What is stored while it runs may stay: repeat it when the tenant's calls have ended.

        Raises:
            StoreUnavailable: some is removed; repeat it.
        """
        erased = dict.fromkeys(keys.contents(tenant), 0)
        for server in self._servers:  # both: answers that were kept before they got a server of their own
            async for names in _pages(server, f"*{tenant}*"):  # one walk for all kinds: it takes the time
                for kind, mine in _by_kind(names, tenant).items():
                    async with translated(_BUDGET_S):
                        erased[kind] += await ask(server, "UNLINK", *mine)
        erased["answered_prompts"] = await self._erase_prompts(tenant)
        await self._forget_tasks(tenant)
        return erased

    async def _erase_prompts(self, tenant: str) -> int:
        """Remove the records of answered prompts, which say themselves whose they are."""
        erased = 0
        async for names in _pages(self._client, keys.seen("*")):
            async with translated(_BUDGET_S):
                records: list[bytes | None] = await ask(self._client, "MGET", *names)
                mine = [
                    name
                    for name, record in zip(names, records, strict=True)
                    if record is not None and _belongs(record, tenant)
                ]
                if mine:
                    erased += await ask(self._client, "UNLINK", *mine)
        return erased

    async def _forget_tasks(self, tenant: str) -> None:
        async with translated(_BUDGET_S):
            members: list[bytes] = await ask(self._client, "ZRANGE", keys.ROUTER_TASKS, 0, -1)
            mine = [member for member in members if member.startswith(f"{tenant}:".encode())]
            if mine:
                await ask(self._client, "ZREM", keys.ROUTER_TASKS, *mine)


def _by_kind(names: Iterable[bytes], tenant: str) -> Mapping[str, list[bytes]]:
    """Return those names that are a tenant's contents, by their kind."""
    kinds = keys.contents(tenant).items()
    found: dict[str, list[bytes]] = defaultdict(list)
    for name in names:
        key = name.decode(errors="replace")
        for kind, patterns in kinds:
            if any(fnmatchcase(key, pattern) for pattern in patterns):
                found[kind].append(name)
    return found


async def _pages(server: Redis, pattern: str) -> AsyncIterator[list[bytes]]:
    """Yield the names of keys, some hundred at a time, and perhaps one of them twice."""
    cursor = b"0"
    while True:
        async with translated(_BUDGET_S):
            cursor, names = await ask(server, "SCAN", cursor, "MATCH", pattern, "COUNT", _SCAN_COUNT)
        if names:
            yield names
        if int(cursor) == 0:
            return


def _belongs(record: bytes, tenant: str) -> bool:
    """Tell whether a record is a tenant's; what cannot be read is of no use to anybody, and goes, too."""
    try:
        return seen_codec.owner(record) == tenant
    except ValueError:
        return True
