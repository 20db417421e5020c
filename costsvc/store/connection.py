"""How this process reaches the store: bounded, never re-sent, and with errors that callers understand.

A write whose reply was lost may have happened, so nothing here retries; scripts are idempotent on an id, and
whoever calls decides. Every use of a client stands in `async with translated()`, which both limits the wait
and maps the driver's errors: one deadline around a whole exchange (pool, connect, write, read) costs a third
of what the driver's own per-operation timeouts cost in CPU, and is the promise that callers want.

A client that has a `Presence` tells it when the store is away, and then fails at once until it is back.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from hashlib import sha1
from importlib import resources
from types import TracebackType
from typing import Any

import hiredis
from redis import exceptions as driver
from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection, Connection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig

from costsvc.core.errors import StoreUnavailable
from costsvc.store.presence import STORE_BUDGET_S, Presence, trip

_LATE_S = 0.025
_AWAY = (
    driver.ConnectionError,  # also loading, authentication, pool
    driver.TimeoutError,
    driver.ReadOnlyError,
    driver.OutOfMemoryError,
    driver.ClusterError,
    driver.AskError,  # also MOVED
    driver.TryAgainError,
    TimeoutError,
    OSError,
)
_INCLUDE = re.compile(rb"^-- include: (\w+)$", re.MULTILINE)
_AWAY_CODES = ("BUSY", "MISCONF", "NOREPLICAS", "UNBLOCKED", "CLUSTERDOWN", "MASTERDOWN", "LOADING")


class StoreRefused(Exception):
    """The store cannot be used as configured; the message says in one sentence what to do."""


@dataclass(slots=True)
class _Exchange:
    """What happens inside one `translated()`: the pool notes here whose store it is that is used."""

    presence: Presence | None = None

    def counts(self) -> bool:
        """Tell whether a call that waited here may wait the less elsewhere."""
        return self.presence is None or not self.presence.is_apart


_exchange: ContextVar[_Exchange | None] = ContextVar("exchange", default=None)


class _KnownAway(driver.ConnectionError):
    """Nothing was sent: the store is known to be away."""


class _CPacking:
    """Packs commands in C, as the driver's blocking half does: a script with 25 arguments in 3 us, not 25."""

    @staticmethod
    def pack_command(name: str, *args: str | bytes | float) -> list[bytes]:
        words: tuple[Any, ...] = (*name.split(), *args)  # such as CONFIG GET: two words to the server
        return [hiredis.pack_command(words)]


class _WaitingPool(ConnectionPool):
    """A bounded pool whose callers wait for a connection, as long as their own deadline lasts.

    While the store is known to be away, they do not wait at all. What the driver's own pool counts and
    announces at each use is left out: it costs more than the exchange of a small command.
    """

    def __init__(
        self,
        *,
        presence: Presence | None = None,
        connection_class: type[AbstractConnection] = Connection,
        **options: Any,
    ) -> None:
        packing = type(connection_class.__name__, (_CPacking, connection_class), {})
        super().__init__(connection_class=packing, **options)
        self._presence = presence
        self._free = asyncio.Semaphore(self.max_connections)

    async def get_connection(self, *_: Any, **__: Any) -> AbstractConnection:
        if self._presence is not None:
            if self._presence.is_closed:
                raise _KnownAway(f"known to be away: {self._presence.problem}")
            if exchange := _exchange.get():
                exchange.presence = self._presence
        await self._free.acquire()
        try:
            connection: AbstractConnection = self.get_available_connection()  # type: ignore[no-untyped-call]
        except BaseException:
            self._free.release()
            raise
        try:
            await self.ensure_connection(connection)
        except BaseException:
            await self.release(connection)
            raise
        return connection

    async def release(self, connection: AbstractConnection) -> None:
        self._in_use_connections.remove(connection)
        self._available_connections.append(connection)
        self._free.release()


def open_store(
    url: str,
    presence: Presence | None = None,
    *,
    max_connections: int = 64,
    connect_timeout_s: float = STORE_BUDGET_S,
) -> Redis:
    """Return a client for `redis://`, `rediss://` or `unix://`; nothing is sent before its first use.

    RESP2 without client info needs no handshake, so a new connection costs no extra round trip. Close it with
    `await client.aclose()`. With a `presence`, somebody has to look for the store when it is away.

    Raises:
        StoreRefused: not a URL of a known kind.
    """
    try:
        pool = _WaitingPool.from_url(
            url,
            presence=presence,
            protocol=2,
            max_connections=max_connections,
            socket_timeout=None,  # `translated` bounds the whole exchange
            socket_connect_timeout=connect_timeout_s,
            retry=Retry(NoBackoff(), 0),
            health_check_interval=0,
            decode_responses=False,
            driver_info=None,
            maint_notifications_config=MaintNotificationsConfig(enabled=False),
        )
    except ValueError as error:
        raise StoreRefused(
            f"the store's URL must start with redis://, rediss:// or unix://: {error}"
        ) from error
    return Redis.from_pool(pool)


class translated:  # noqa: N801 - reads as a function; a generator would cost as much as what it guards
    """Bound everything inside to `budget_s` and raise StoreUnavailable where the store is away.

    Inside `one_call` it is bounded by what the call has left, too. A reply that says that the request itself
    is wrong passes through: it is a defect here, not an outage.
    """

    __slots__ = ("_budget_s", "_exchange", "_left_s", "_limit", "_token", "_trip")

    def __init__(self, budget_s: float = STORE_BUDGET_S) -> None:
        self._budget_s = budget_s

    async def __aenter__(self) -> None:
        self._exchange = _Exchange()
        self._trip = trip(self._budget_s, self._exchange.counts)
        self._left_s = self._trip.__enter__()
        if self._left_s <= 0:
            self._trip.__exit__(None, None, None)
            raise StoreUnavailable("this call has waited for the store long enough")
        self._token = _exchange.set(self._exchange)
        self._limit = asyncio.timeout(self._left_s)
        await self._limit.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._limit.__aexit__(kind, error, trace)
        except TimeoutError as late:
            self._translate(late)
        else:
            if isinstance(error, (*_AWAY, driver.ResponseError)):
                self._translate(error)
            if error is None and self._exchange.presence is not None:
                self._exchange.presence.note_answer()
        finally:
            self._trip.__exit__(None, None, None)
            _exchange.reset(self._token)

    def _translate(self, error: Exception) -> None:
        """Raise what a failure means, unless it is a defect here."""
        if isinstance(error, driver.ResponseError) and not says_away(error):
            return
        problem, presence = f"{type(error).__name__}: {error}", self._exchange.presence
        is_fair = self._budget_s <= STORE_BUDGET_S <= 2 * self._left_s and not _is_late(self._limit)
        if presence is not None and _is_conclusive(error, presence, is_fair):
            presence.lose(problem)
        raise StoreUnavailable(problem) from error


def says_away(error: driver.ResponseError) -> bool:
    """Tell whether an error that the server replied is about its own state, not about the request."""
    return isinstance(error, _AWAY) or str(error).startswith(_AWAY_CODES)


def _is_late(limit: asyncio.Timeout) -> bool:
    """Tell whether this process was too busy to look at the clock: the answer may well be here."""
    when = limit.when()
    return when is not None and asyncio.get_running_loop().time() - when > _LATE_S


def _is_conclusive(error: Exception, presence: Presence, is_fair: bool) -> bool:
    """Tell whether the store is away for others too, not only too full to grow.

    A wait in vain tells only where it was fair (long enough for what was asked) and others had no answer.
    """
    if isinstance(error, TimeoutError):
        return is_fair and presence.is_silent()
    return not isinstance(error, driver.OutOfMemoryError)


async def ask(client: Redis, *command: str | bytes | int) -> Any:
    """Send one command and return its reply as the server gives it: bytes, int, list or None."""
    return await client.execute_command(*command)  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script by its source; its digest is computed here, so no server needs to allow SCRIPT."""

    source: bytes
    sha: str

    @classmethod
    def load(cls, name: str) -> Script:
        """Return `scripts/<name>.lua` of this package, with the files that it includes."""
        scripts = resources.files(__package__) / "scripts"
        source = _INCLUDE.sub(
            lambda found: (scripts / f"{found[1].decode()}.lua").read_bytes(),
            (scripts / f"{name}.lua").read_bytes(),
        )
        return cls(source, sha1(source, usedforsecurity=False).hexdigest())

    async def run(self, client: Redis, script_keys: Sequence[str], args: Sequence[str | bytes | int]) -> Any:
        """Run by digest; where the server does not know it, nothing ran, so it is sent in full."""
        rest = (len(script_keys), *script_keys, *args)
        [reply] = await exchanged(client, [("EVALSHA", self.sha, *rest)])
        if isinstance(reply, driver.NoScriptError):
            [reply] = await exchanged(client, [("EVAL", self.source, *rest)])
        if isinstance(reply, Exception):
            raise reply
        return reply


async def exchanged(client: Redis, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Send commands in one write, and return their replies; one that is an error is returned as such.

    It is done by a connection itself: the client's layers around it double what a script costs.
    """
    pool = client.connection_pool
    connection = await pool.get_connection()  # type: ignore[no-untyped-call]
    try:
        packed = [hiredis.pack_command(words) for words in commands]
        await connection.send_packed_command(packed, check_health=False)
        return [await _reply(connection) for _ in commands]
    finally:
        await pool.release(connection)


async def _reply(connection: AbstractConnection) -> Any:
    """Return a reply; when there is none, or this is cancelled, the connection disconnects."""
    try:
        return await connection.read_response()
    except driver.ResponseError as error:
        return error
