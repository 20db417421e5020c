"""Tests of reaching the store, and of what happens when it cannot be reached."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from time import monotonic

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from costsvc.core.errors import StoreUnavailable
from costsvc.store import keys
from costsvc.store.acceptance import SCHEMA_VERSION, check_store
from costsvc.store.connection import (
    Script,
    StoreRefused,
    ask,
    open_store,
    translated,
)
from costsvc.store.embedded import EmbeddedValkey


async def test_an_empty_store_gets_the_schema_mark_and_is_accepted_again(store: Redis) -> None:
    """The first start marks the data, and the second finds its own mark."""
    await check_store(store)
    await check_store(store)
    assert await store.get(keys.SCHEMA) == str(SCHEMA_VERSION).encode()


async def test_data_of_a_newer_schema_is_refused_and_left_alone(store: Redis) -> None:
    """An older service does not touch data that it does not understand."""
    await store.set(keys.SCHEMA, SCHEMA_VERSION + 1)
    with pytest.raises(StoreRefused, match="start the newer version"):
        await check_store(store)
    assert await store.get(keys.SCHEMA) == str(SCHEMA_VERSION + 1).encode()


@pytest.mark.parametrize(
    ("version", "accepted"), [("6.2.14", False), ("7.0.0", True), ("7.2.4", True), ("255.255.255", True)]
)
async def test_servers_before_seven_are_refused(version: str, accepted: bool) -> None:
    """The server's own statement of its version decides."""
    async with _answering(f"redis_version:{version}\r\n") as url:
        client = open_store(url)
        try:
            if accepted:
                await check_store(client)
            else:
                with pytest.raises(StoreRefused, match=r"use Redis 7\.0 or newer"):
                    await check_store(client)
        finally:
            await client.aclose()


async def test_an_unknown_kind_of_url_is_refused() -> None:
    """The sentence names the kinds that work."""
    with pytest.raises(StoreRefused, match="unix://"):
        open_store("http://localhost")


async def test_nobody_listening_is_unavailable_at_once(tmp_path: Path) -> None:
    """A connection that is refused is neither retried nor waited for."""
    client = open_store(f"unix://{tmp_path}/none.sock")
    with pytest.raises(StoreUnavailable):
        async with translated():
            await ask(client, "PING")
    await client.aclose()


async def test_a_frozen_server_costs_the_budget_and_no_more_and_is_used_again(tmp_path: Path) -> None:
    """With the server stopped by a signal, calls end within their budget; once it runs on, they work."""
    async with EmbeddedValkey(tmp_path) as server:
        client = open_store(server.url, max_connections=2)
        await ask(client, "SET", "n", 1)
        os.kill(server.pid, signal.SIGSTOP)
        began = monotonic()
        try:
            calls = [_incremented(client) for _ in range(8)]
            results = await asyncio.gather(*calls, return_exceptions=True)
        finally:
            os.kill(server.pid, signal.SIGCONT)
        assert {type(result) for result in results} == {StoreUnavailable}
        assert monotonic() - began < 2
        async with translated(5):
            assert int(await ask(client, "GET", "n")) <= 1 + 8
        await client.aclose()


async def _incremented(client: Redis) -> int:
    async with translated():
        return int(await ask(client, "INCR", "n"))


async def test_callers_wait_for_a_connection_when_all_are_in_use(valkey: str, store: Redis) -> None:
    """More callers than connections is no error; all are served."""
    client = open_store(valkey, max_connections=3)
    assert sorted(await asyncio.gather(*(_incremented(client) for _ in range(50)))) == list(range(1, 51))
    assert len(await store.client_list()) <= 3 + 1
    await client.aclose()


async def test_a_cancelled_call_does_not_leave_its_reply_to_the_next(valkey: str, store: Redis) -> None:
    """A connection whose exchange was cut is not used again, and is not lost to the pool."""
    await ask(store, "SET", "a", "wrong")
    client = open_store(valkey, max_connections=1)
    for _ in range(3):
        call = asyncio.ensure_future(ask(client, "BLPOP", "nothing", 0))
        while b"blpop" not in await ask(store, "CLIENT", "LIST"):
            pass  # the reply of the other connection is the wait
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert await ask(client, "ECHO", "right") == b"right"
    await client.aclose()


async def test_a_script_runs_where_the_server_does_not_know_it(store: Redis) -> None:
    """After a flush or a fail-over the source is sent once; SCRIPT is never needed."""
    script = Script.load("settle")
    await ask(store, "SCRIPT", "FLUSH")
    one = Script(b"return tonumber(ARGV[1])", "0" * 40)
    assert await one.run(store, [], [7]) == 7
    assert await ask(store, "SCRIPT", "EXISTS", script.sha) == [0]


async def test_the_digest_of_a_script_is_the_servers(store: Redis) -> None:
    """The digest computed here is the one under which the server keeps the source."""
    script = Script.load("settle")
    assert await ask(store, "SCRIPT", "LOAD", script.source) == script.sha.encode()


async def test_a_full_server_is_unavailable_and_a_wrong_command_is_our_defect(store: Redis) -> None:
    """What an operator can cure is translated; what only we can cure is not hidden."""
    await store.config_set("maxmemory", 1)
    try:
        with pytest.raises(StoreUnavailable):
            async with translated():
                await ask(store, "SET", "a", 1)
    finally:
        await store.config_set("maxmemory", 0)
    with pytest.raises(ResponseError):
        async with translated():
            await ask(store, "NOSUCHCOMMAND")


async def test_a_busy_script_is_unavailable(valkey: str, store: Redis) -> None:
    """While a runaway script blocks the server, others are told to come back later."""
    other = open_store(valkey)
    await store.config_set("busy-reply-threshold", 1)
    runaway = asyncio.ensure_future(ask(store, "EVAL", "while true do end", 0))
    try:
        with pytest.raises(StoreUnavailable, match="BUSY"):
            await _asked_forever(other)
    finally:
        await ask(other, "SCRIPT", "KILL")
        with pytest.raises(ResponseError):
            await runaway
        await store.config_set("busy-reply-threshold", 5000)
        await other.aclose()


async def _asked_forever(client: Redis) -> None:
    while True:
        async with translated(5):
            await ask(client, "GET", "a")


class _answering:  # noqa: N801 - reads as a phrase
    """A server that gives one text to INFO and nothing to anything else, as old as the text says."""

    def __init__(self, info: str) -> None:
        self._info = info.encode()

    async def __aenter__(self) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        return f"redis://127.0.0.1:{port}"

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while command := await reader.read(4096):
            reply = b"$%d\r\n%s\r\n" % (len(self._info), self._info) if b"INFO" in command else b"$-1\r\n"
            writer.write(reply)
        writer.close()
