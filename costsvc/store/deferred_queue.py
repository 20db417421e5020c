"""The queue of deferred requests as its leader sees it, and where it notes what it does.

Each change of a request's state holds only where it still is in the state that it is thought to be in, so
that a leader who does not know yet that another one leads does no harm.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from redis.asyncio import Redis

from costsvc.core.batch_times import Ran
from costsvc.store import deferred_keys as keys
from costsvc.store.connection import Script, ask, translated
from costsvc.store.deferred import BUDGET_S
from costsvc.store.deferred_items import Item, State, read_item
from costsvc.store.many import run_all

_AT_ONCE = 500
_KEPT_TIMES = 50
_MILLISECOND = timedelta(milliseconds=1)

_Call = tuple[Sequence[str], Sequence[str | bytes | int]]


class DeferredQueue:
    """What the leader sees, and where it notes what it does."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._move = Script.load("move_deferred")
        self._answers = Script.load("batch_answers")

    async def all(self) -> tuple[int, dict[str, Item]]:
        """Return the number of the last change, and everything that is not answered, by member.

        Raises:
            StoreUnavailable: no answer in time.
        """
        async with translated(BUDGET_S):
            number = int(await ask(self._client, "GET", keys.NUMBER) or 0)
            members = await ask(self._client, "ZRANGE", keys.OPEN, 0, -1)
        return number, {item.member: item for item in await self._items(members)}

    async def changed(self, since: int) -> tuple[int, list[str], list[Item]]:
        """Return the number of the last change, what has changed, and those of it that are known still.

        What was read before is forgotten: there is one reader.

        Raises:
            StoreUnavailable: no answer in time.
        """
        async with translated(BUDGET_S):
            await ask(self._client, "ZREMRANGEBYSCORE", keys.CHANGES, "-inf", since)
            found = await ask(
                self._client, "ZRANGE", keys.CHANGES, f"({since}", "+inf", "BYSCORE", "WITHSCORES"
            )
        members = found[::2]
        number = int(float(found[-1])) if found else since
        return number, [member.decode() for member in members], await self._items(members)

    async def submit(self, members: Sequence[str], batch: str) -> list[str]:
        """Note that queued requests go into a batch of ours; return those that do.

        Raises:
            StoreUnavailable: some may be noted.
        """
        args = ("*", batch, "", "", State.QUEUED.value, State.IN_BATCH.value)
        calls = [(_moving(member), (member, *args)) for member in members]
        moved = await self._run_all(self._move, calls)
        return [member for member, state in zip(members, moved, strict=True) if state]

    async def give_back(self, member: str, batch: str) -> State | None:
        """Note that a batch has not answered a request, which is queued again, or just sent alone.

        Raises:
            StoreUnavailable: it may be noted or not; repeat it.
        """
        states = (State.IN_BATCH.value, State.QUEUED.value, State.AGAIN.value, State.ALONE.value)
        return await self._moved(member, (batch, "", "", "*", *states))

    async def send(self, member: str) -> State | None:
        """Note that a request is sent alone; None where it has ended, or its batch has just answered it.

        Raises:
            StoreUnavailable: it may be noted or not; repeat it.
        """
        states = (State.QUEUED.value, State.ALONE.value, State.IN_BATCH.value, State.AGAIN.value)
        again = (State.ALONE.value, State.ALONE.value, State.AGAIN.value, State.AGAIN.value)
        return await self._moved(member, ("*", "*", "1", "alone", *states, *again))

    async def take_back(self, member: str) -> State | None:
        """Note that sending a request alone has failed, and spent nothing.

        Raises:
            StoreUnavailable: it may be noted or not; repeat it.
        """
        states = (State.ALONE.value, State.QUEUED.value, State.AGAIN.value, State.IN_BATCH.value)
        return await self._moved(member, ("*", "*", "", "", *states))

    async def batch_answers(self, members: Sequence[str], batch: str) -> list[bool]:
        """Say of each request whether a batch counts as what answers it, or was too late.

        Raises:
            StoreUnavailable: some may be said; repeat it.
        """
        calls = [([keys.item(member)], (batch,)) for member in members]
        return [bool(reply) for reply in await self._run_all(self._answers, calls)]

    async def ran(self) -> list[Ran]:
        """Return how long batches of late took.

        Raises:
            StoreUnavailable: no answer in time.
        """
        async with translated():
            found = await ask(self._client, "LRANGE", keys.RAN, 0, -1)
        return [Ran(int(ms) * _MILLISECOND, has_ended=ended == b"1") for ms, ended in map(bytes.split, found)]

    async def note_ran(self, ran: Ran) -> None:
        """Note how long a batch took.

        Raises:
            StoreUnavailable: it may be noted or not.
        """
        text = f"{ran.took // _MILLISECOND} {int(ran.has_ended)}"
        async with translated():
            await ask(self._client, "LPUSH", keys.RAN, text)
            await ask(self._client, "LTRIM", keys.RAN, 0, _KEPT_TIMES - 1)

    async def items(self, members: Sequence[str]) -> dict[str, Item]:
        """Return the requests that are known of some, by member.

        Raises:
            StoreUnavailable: no answer in time.
        """
        found = await self._items([member.encode() for member in members])
        return {item.member: item for item in found}

    async def _moved(self, member: str, args: Sequence[str]) -> State | None:
        async with translated(BUDGET_S):
            state: bytes = await self._move.run(self._client, _moving(member), [member, *args])
        return State(state.decode()) if state else None

    async def _run_all(self, script: Script, calls: Sequence[_Call]) -> list[Any]:
        replies: list[Any] = []
        for at in range(0, len(calls), _AT_ONCE):
            async with translated(BUDGET_S):
                replies += await run_all(self._client, script, calls[at : at + _AT_ONCE])
        return replies

    async def _items(self, members: Sequence[bytes]) -> list[Item]:
        found: list[Item] = []
        for at in range(0, len(members), _AT_ONCE):
            names = [member.decode() for member in members[at : at + _AT_ONCE]]
            async with translated(BUDGET_S), self._client.pipeline(transaction=False) as pipe:
                for name in names:
                    pipe.hgetall(keys.item(name))
                replies = await pipe.execute()
            items = (read_item(name, fields) for name, fields in zip(names, replies, strict=True))
            found += [item for item in items if item is not None]
        return found


def _moving(member: str) -> list[str]:
    return [keys.item(member), keys.CHANGES, keys.NUMBER]
