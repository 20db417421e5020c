from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costsvc.app import relay as relay_module
from costsvc.app.relay import COALESCE_S, Relay

pieces = st.lists(st.text(max_size=30), max_size=40)
pauses = st.lists(st.booleans(), min_size=40, max_size=40)


@settings(max_examples=60, deadline=None)
@given(items=pieces, writer=pauses, reader=pauses, max_chars=st.integers(1, 200))
def test_what_goes_in_comes_out_once_and_in_order(items, writer, reader, max_chars):
    """For any pace of the two sides and any bound: nothing is lost, doubled or moved."""

    async def write(relay: Relay) -> None:
        relay.open("req_1")
        for item, pause in zip(items, writer, strict=False):
            await relay.put(item)
            assert relay._chars < max_chars + 30  # the bound, and the one item that reached it
            if pause:
                await asyncio.sleep(0)
        relay.end()

    async def run() -> list[str]:
        relay, taken = Relay(max_chars=max_chars), []
        writing = asyncio.ensure_future(write(relay))
        assert await relay.opened() == "req_1"
        turn = iter(reader * 10)
        async for batch in relay.batches():
            assert batch
            taken += batch
            if next(turn, False):
                await asyncio.sleep(0)
        await writing
        return taken

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(relay_module, "COALESCE_S", 0.0001)
        assert asyncio.run(run()) == items


async def test_a_full_relay_makes_its_writer_wait():
    """The item that reaches the bound is taken, the next waits until the reader has made room."""
    relay = Relay(max_chars=10)
    await relay.put("0123456789")
    waiting = asyncio.ensure_future(relay.put("next"))
    await asyncio.sleep(0)
    assert not waiting.done()
    batches = relay.batches()
    assert await anext(batches) == ["0123456789"]
    await waiting
    relay.end()
    assert [batch async for batch in batches] == [["next"]]


async def test_a_relay_that_nobody_reads_takes_and_forgets():
    """Once the reader is gone, a writer who waits goes on, and never waits again."""
    relay = Relay(max_chars=10)
    await relay.put("0123456789")
    waiting = asyncio.ensure_future(relay.put("next"))
    await asyncio.sleep(0)
    relay.abandon()
    await waiting
    for _ in range(100):
        await relay.put("0123456789")
    assert (relay._items, relay._chars) == ([], 0)


async def test_pieces_that_follow_each_other_are_joined():
    """The first comes at once; what comes within the time to wait comes as one batch."""
    relay = Relay()
    batches = relay.batches()
    await relay.put("first")
    assert await anext(batches) == ["first"]
    loop = asyncio.get_running_loop()
    began = loop.time()
    for piece in "abc":
        await relay.put(piece)
    assert await anext(batches) == ["a", "b", "c"]
    assert loop.time() - began >= COALESCE_S * 0.9


async def test_the_end_does_not_wait():
    """The last pieces are not held back to be joined with others."""
    relay = Relay()
    batches = relay.batches()
    await relay.put("first")
    await anext(batches)
    await relay.put("last")
    relay.end()
    async with asyncio.timeout(COALESCE_S / 2):
        assert [batch async for batch in batches] == [["last"]]


async def test_a_provider_that_never_began_is_told_apart():
    """The end without a beginning has no request id and no pieces."""
    relay = Relay()
    relay.end()
    assert await relay.opened() is None
    assert [batch async for batch in relay.batches()] == []
