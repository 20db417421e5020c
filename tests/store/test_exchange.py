"""Tests of asking several books in one trip."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from costsvc.core.errors import StoreUnavailable
from costsvc.store.connection import Script, open_store
from costsvc.store.embedded import EmbeddedValkey
from costsvc.store.exchange import Exchange


def as_is(reply: Any) -> Any:
    """Return the reply."""
    return reply


async def reads(client: Redis) -> int:
    """Return how often the server has read from a socket."""
    return int((await client.info("stats"))["total_reads_processed"])


async def test_questions_of_several_books_go_in_one_write(store: Redis) -> None:
    """The server reads once, does them in their order, and each book reads its own reply."""
    await store.script_load("return {KEYS[1], ARGV[1]}")
    script = Script(b"return {KEYS[1], ARGV[1]}", "")
    script = Script(script.source, (await store.script_load(script.source.decode())))
    exchange = Exchange()
    written = exchange.ask(store, "SET", "key", "value", read=as_is)
    found = exchange.ask(store, "GET", "key", read=bytes.decode)
    ran = exchange.run(store, script, ["a"], [7], read=as_is)
    before = await reads(store)
    await exchange.send()
    assert await reads(store) - before == 2  # one of them to ask how many
    assert (written.result(), found.result(), ran.result()) == (b"OK", "value", [b"a", b"7"])


async def test_a_script_that_the_server_does_not_know_runs_all_the_same(store: Redis) -> None:
    """Others of the same trip are done once."""
    await store.script_flush()
    exchange = Exchange()
    count = exchange.ask(store, "INCR", "count", read=int)
    led = exchange.run(store, Script.load("lead_on"), ["lead"], ["token", 0], read=as_is)
    await exchange.send()
    assert (count.result(), led.result()) == (1, 0)


async def test_a_question_that_is_wrong_fails_alone(store: Redis) -> None:
    """It is a defect of its book; the others have their answers, and the connection is good for more."""
    exchange = Exchange()
    wrong = exchange.ask(store, "GET", read=as_is)
    right = exchange.ask(store, "PING", read=as_is)
    await exchange.send()
    with pytest.raises(ResponseError):
        wrong.result()
    assert right.result() == b"PONG"
    assert await store.ping()


async def test_a_server_that_is_away_fails_its_own_questions_only(store: Redis, tmp_path: Path) -> None:
    """Servers are asked at the same time, and what one cannot say, the other still does."""
    async with EmbeddedValkey(tmp_path / "other") as server:
        other = open_store(server.url)
        os.kill(server.pid, signal.SIGSTOP)
        try:
            exchange = Exchange()
            lost = exchange.ask(other, "PING", read=as_is)
            here = exchange.ask(store, "PING", read=as_is)
            await exchange.send()
        finally:
            os.kill(server.pid, signal.SIGCONT)
        with pytest.raises(StoreUnavailable):
            lost.result()
        assert here.result() == b"PONG"
        await other.aclose()


async def test_a_server_that_takes_no_writes_is_away(store: Redis) -> None:
    """What it says of itself is no defect, and what it has done before stands."""
    [maximum] = (await store.config_get("maxmemory")).values()
    await store.config_set("maxmemory", 1)
    try:
        exchange = Exchange()
        read = exchange.ask(store, "GET", "key", read=as_is)
        written = exchange.ask(store, "SET", "key", "value", read=as_is)
        await exchange.send()
    finally:
        await store.config_set("maxmemory", maximum)
    assert read.result() is None
    with pytest.raises(StoreUnavailable):
        written.result()


async def test_an_exchange_that_was_not_sent_says_nothing(store: Redis) -> None:
    """Nor does one that was cancelled on its way."""
    exchange = Exchange()
    asked = exchange.ask(store, "PING", read=as_is)
    with pytest.raises(StoreUnavailable):
        asked.result()
    sending = asyncio.ensure_future(exchange.send())
    await asyncio.sleep(0)
    sending.cancel()
    await asyncio.wait([sending])
    with pytest.raises(StoreUnavailable):
        asked.result()
