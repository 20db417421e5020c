"""One trip to the store for the questions of several books.

    exchange = Exchange()
    pin = conversations.ask(exchange, tenant, conversation_id)      # a Pending; nothing is sent yet
    found = responses.ask(exchange, place, token=token)
    await exchange.send()
    pin.result(), found.result()

A book that wants to be asked along with others has one method that adds its commands, with `exchange.ask` or
`exchange.run`, and says how to read their replies; it knows on which client. What is for one server goes in
one write and is done there in the order in which it was added; several servers are asked at the same time. A
server that is away fails its own questions only: their `result` raises StoreUnavailable.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from redis import exceptions as driver
from redis.asyncio import Redis

from costsvc.core.errors import StoreUnavailable
from costsvc.store.connection import Script, exchanged, says_away, translated

T = TypeVar("T")

Word = str | bytes | int


class Pending(Generic[T]):
    """What a book was asked, and, once its exchange was sent, what it says."""

    __slots__ = ("_error", "_read", "_reply", "script", "words")

    def __init__(
        self, words: tuple[Word, ...], read: Callable[[Any], T], script: Script | None = None
    ) -> None:
        self.words = words
        self.script = script
        self._read = read
        self._reply: Any = None
        self._error: Exception | None = _NOT_SENT

    def result(self) -> T:
        """Return what the book says.

        Raises:
            StoreUnavailable: no answer in time; what was asked may have happened or not.
        """
        if self._error is not None:
            raise self._error
        return self._read(self._reply)

    def fail(self, error: Exception) -> None:
        """Note that there is no reply, unless there was one."""
        if self._error is _NOT_SENT:
            self._error = error

    def take(self, reply: Any) -> None:
        """Note the reply; one that says that the question was wrong is a defect of the book."""
        if isinstance(reply, Exception):
            self._error = reply
        else:
            self._reply, self._error = reply, None


_NOT_SENT = StoreUnavailable("the exchange was not sent")


class Exchange:
    """Questions that are asked together, once."""

    def __init__(self) -> None:
        self._asked: dict[Redis, list[Pending[Any]]] = {}

    def ask(self, client: Redis, *command: Word, read: Callable[[Any], T]) -> Pending[T]:
        """Add a command."""
        return self._add(client, Pending(command, read))

    def run(
        self,
        client: Redis,
        script: Script,
        script_keys: Sequence[str],
        args: Sequence[Word],
        *,
        read: Callable[[Any], T],
    ) -> Pending[T]:
        """Add a run of a script."""
        words = ("EVALSHA", script.sha, len(script_keys), *script_keys, *args)
        return self._add(client, Pending(words, read, script))

    async def send(self) -> None:
        """Ask all servers, and wait until each has answered or is taken for away.

        Nothing is raised: each question's `result` says what came of it.
        """
        trips = [_trip(client, asked) for client, asked in self._asked.items()]
        if len(trips) == 1:
            await trips[0]
        elif trips:
            await asyncio.gather(*trips)

    def _add(self, client: Redis, pending: Pending[T]) -> Pending[T]:
        self._asked.setdefault(client, []).append(pending)
        return pending


async def ask_alone(exchange: Exchange, pending: Pending[T]) -> T:
    """Send an exchange with one question, and return what the book says; raise what `result` raises."""
    await exchange.send()
    return pending.result()


async def _trip(client: Redis, asked: Sequence[Pending[Any]]) -> None:
    try:
        async with translated():
            replies = await exchanged(client, [each.words for each in asked])
            for each, reply in zip(asked, replies, strict=True):
                each.take(await _known(client, each, reply))
    except StoreUnavailable as error:
        for each in asked:
            each.fail(error)


async def _known(client: Redis, pending: Pending[Any], reply: Any) -> Any:
    """Return the reply of a server that knows the script: one that does not has not run it.

    Raises:
        ResponseError: the server says that it is away.
    """
    if isinstance(reply, driver.NoScriptError) and pending.script is not None:
        [reply] = await exchanged(client, [("EVAL", pending.script.source, *pending.words[2:])])
    if isinstance(reply, driver.ResponseError) and says_away(reply):
        raise reply
    return reply
