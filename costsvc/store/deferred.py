"""Deferred requests in the store: what is asked until it is answered, and the answers for a while.

Any process takes requests in, brings answers, and cancels. What is sent when, its leader decides.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from redis.asyncio import Redis

from costsvc.store import deferred_keys as keys
from costsvc.store.attempts import microseconds
from costsvc.store.connection import Script, ask, translated
from costsvc.store.deferred_items import Item, State, read_item, write_item
from costsvc.store.leases import milliseconds

BUDGET_S = 1.0
"""Requests and answers may be large, and nobody waits for each of these trips."""

_FAST = 1  # of zlib's levels: half the size for a tenth of the time
_MILLISECOND = timedelta(milliseconds=1)


class Taken(Enum):
    """What became of a request that should be deferred."""

    NEW = b"new"
    KNOWN = b"known"
    REUSED = b"reused"  # its id stands for another request
    FULL = b"full"


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """How many requests, and how many bytes of them, may wait for their answers."""

    most_requests: int
    most_bytes: int


class DeferredBook:
    """The deferred requests of all tenants."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._defer = Script.load("defer")
        self._finish = Script.load("finish_deferred")

    async def defer(self, item: Item, print_: str, request: bytes, limits: QueueLimits) -> Taken:
        """Take a request in, once per id.

        Raises:
            StoreUnavailable: it may be taken in or not; repeat it.
        """
        member = item.member
        script_keys = [
            keys.item(member),
            keys.request(member),
            keys.OPEN,
            keys.CHANGES,
            keys.NUMBER,
            keys.BYTES,
        ]
        args: list[str | bytes | int] = [
            member,
            print_,
            milliseconds(item.deadline),
            zlib.compress(request, _FAST),
            limits.most_requests,
            limits.most_bytes,
        ]
        async with translated(BUDGET_S):
            return Taken(await self._defer.run(self._client, script_keys, [*args, *write_item(item)]))

    async def find(self, tenant: str, id_: str) -> tuple[Item, bytes] | None:
        """Return a request with its answer, or why there is none, b"" before its end; None of an unknown one.

        Raises:
            StoreUnavailable: no answer in time.
        """
        member = f"{tenant}:{id_}"
        async with translated(BUDGET_S), self._client.pipeline(transaction=True) as pipe:
            pipe.hgetall(keys.item(member))
            pipe.get(keys.answer(member))
            fields, answer = await pipe.execute()
        item = read_item(member, fields)
        return None if item is None else (item, zlib.decompress(answer) if answer else b"")

    async def finish(
        self, member: str, state: State, answer: bytes, *, at: datetime, keep: timedelta
    ) -> State | None:
        """End a request; return the state that it was in, None where it has ended before.

        Raises:
            StoreUnavailable: it may have ended or not; repeat it.
        """
        script_keys = [
            keys.item(member),
            keys.request(member),
            keys.answer(member),
            keys.OPEN,
            keys.CHANGES,
            keys.NUMBER,
            keys.BYTES,
            keys.WEBHOOKS,
        ]
        packed = zlib.compress(answer, _FAST) if answer else b""
        args: list[str | bytes | int] = [
            member,
            state.value,
            microseconds(at),
            packed,
            keep // _MILLISECOND,
        ]
        async with translated(BUDGET_S):
            before: bytes = await self._finish.run(self._client, script_keys, args)
        return State(before.decode()) if before else None

    async def requests(self, members: Sequence[str]) -> list[bytes | None]:
        """Return the bodies of requests, None where there is none any more.

        Raises:
            StoreUnavailable: no answer in time.
        """
        async with translated(BUDGET_S):
            packed = await ask(self._client, "MGET", *map(keys.request, members))
        return [None if each is None else zlib.decompress(each) for each in packed]
