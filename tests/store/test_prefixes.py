"""Tests of the statistics of prefixes against a real server: they are what `core/reuse.py` says."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from costsvc.core.marked import Known
from costsvc.core.prefixes import KIN, TAIL, Prefixes, Spot, cache_scope
from costsvc.core.reuse import Reuse, Sighting, settle
from costsvc.store import keys
from costsvc.store import prefixes as prefixes_module
from costsvc.store.exchange import Exchange
from costsvc.store.prefixes import KEPT, KEPT_ONCE, PrefixBook

SCOPE = cache_scope("small", "default")
AT_S = 1_790_000_000


def digest(number: int) -> bytes:
    """Return a digest of 16 bytes that has a place of its own."""
    return number.to_bytes(4) + bytes(12)


def asked(digests: Sequence[bytes], kin: Sequence[str] = KIN) -> Prefixes:
    """Return prefixes with these digests, of all kinds in turn."""
    spots = tuple(
        Spot("system", at, 0, kin[at % len(kin)], each, 10 * at, at, "") for at, each in enumerate(digests)
    )
    return Prefixes(spots, 100, 0)


async def read(book: PrefixBook, prefixes: Prefixes, *, tenant: str = "acme", task: str = "t") -> Known:
    """Ask alone."""
    exchange = Exchange()
    pending = book.ask(exchange, tenant, SCOPE, task, prefixes)
    await exchange.send()
    return pending.result()


async def observe(
    book: PrefixBook, sightings: Sequence[Sighting], *, tenant: str = "acme", at_s: int = AT_S
) -> int:
    """Tell alone."""
    exchange = Exchange()
    pending = book.observe(exchange, tenant, SCOPE, "t", sightings, at_s=at_s)
    await exchange.send()
    return pending.result()


@pytest.fixture
def book(store: Redis) -> PrefixBook:
    """Give the statistics of an empty store."""
    return PrefixBook(store)


Seen = tuple[int, str, bool, bool, int, bool, bool, bool]

CALLS = st.lists(
    st.tuples(
        st.integers(0, 5_000),
        st.lists(
            st.tuples(
                st.integers(0, 5),
                st.sampled_from(KIN),
                st.booleans(),
                st.booleans(),
                st.integers(0, 4_000),
                st.booleans(),
                st.booleans(),
                st.booleans(),
            ),
            max_size=5,
            unique_by=lambda seen: seen[0],
        ),
    ),
    min_size=1,
    max_size=8,
)
"""Calls: how long after the one before, and what they saw, as numbers of prefixes with the rest."""


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(calls=CALLS, often=st.integers(1, 30))
async def test_the_store_counts_as_the_model_does(
    store: Redis,
    calls: list[tuple[int, list[Seen]]],
    often: int,
) -> None:
    """Whatever calls see, in whatever order, and until rows are full."""
    await store.flushdb()
    book, at_s = PrefixBook(store), AT_S
    states: dict[bytes, Reuse] = {}
    kin: dict[str, Reuse] = {}
    for gap_s, seen in calls * often:
        at_s += gap_s
        sightings = list(sightings_of(seen, at_s))
        settle(states, kin, sightings)
        assert await observe(book, sightings, at_s=at_s) == 0
    known = await read(book, asked([digest(number) for number in range(8)]))
    assert known == Known(states, kin)


def sightings_of(seen: Sequence[Seen], at_s: int) -> Sequence[Sighting]:
    """Return what a call saw; a prefix continues the one before it that moves."""
    found: list[Sighting] = []
    parent: bytes | None = None
    for number, kind, continues, moves, warm_s, one_hour, tried, came in seen:
        found.append(
            Sighting(
                digest=digest(number),
                kin=kind,
                at_s=at_s,
                parent=parent if continues else None,
                moves=moves,
                warm_until_s=at_s + warm_s if warm_s else 0,
                one_hour=one_hour,
                tried=tried,
                read=came and tried,
            )
        )
        parent = digest(number) if moves else parent
    return found


async def test_replicas_lose_nothing_of_each_other(book: PrefixBook) -> None:
    """Fifty calls at once are fifty uses."""
    seen = [Sighting(digest=digest(1), kin="tools", at_s=AT_S)]
    await asyncio.gather(*(observe(book, seen) for _ in range(50)))
    known = await read(book, asked([digest(1)]))
    assert sum(known.states[digest(1)].counts[::3]) == 50
    assert sum(known.kin["tools"].counts[::3]) == 50


async def test_tenants_tasks_and_models_are_kept_apart(book: PrefixBook) -> None:
    """What one tenant's prompts do says nothing of another's, nor a task's kinds of another task's."""
    await observe(book, [Sighting(digest=digest(1), kin="tools", at_s=AT_S)])
    wanted = asked([digest(1)])
    assert await read(book, wanted, tenant="other") == Known()
    another_task = await read(book, wanted, task="u")
    assert set(another_task.states) == {digest(1)}
    assert not another_task.kin
    exchange = Exchange()
    pending = book.ask(exchange, "acme", cache_scope("large", "default"), "t", wanted)
    await exchange.send()
    assert pending.result() == Known()


async def test_what_is_new_does_not_drive_out_what_is_in_use(book: PrefixBook) -> None:
    """Of two prefixes with one place; once the first has not come for an hour, its place is free."""
    first, second = digest(7), digest(7 + prefixes_module.PLACES)
    for _ in range(2):
        await observe(book, [Sighting(digest=first, kin="tools", at_s=AT_S)])
    rival = [Sighting(digest=second, kin="tools", at_s=AT_S + 3_599)]
    assert await observe(book, rival, at_s=AT_S + 3_599) == 1
    assert set((await read(book, asked([first, second]))).states) == {first}
    assert await observe(book, rival, at_s=AT_S + 3_600) == 0
    assert set((await read(book, asked([first, second]))).states) == {second}


async def test_a_tenant_takes_a_bounded_amount_of_memory(
    store: Redis, book: PrefixBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many prefixes it sends, at less than 250 bytes a place; and all of it is forgotten in time."""
    monkeypatch.setattr(prefixes_module, "PLACES", 256)
    for call in range(100):
        numbers = range(call * 20, call * 20 + 20)
        await observe(book, [Sighting(digest=digest(n), kin=TAIL, at_s=AT_S + call) for n in numbers])
    found = [key async for key in store.scan_iter("*")]
    assert 200 < len(found) <= 256
    sizes = [await store.memory_usage(key) for key in found]
    assert sum(size or 0 for size in sizes) / len(sizes) < 250
    for key in found:
        assert 0 < await store.ttl(key) <= KEPT.total_seconds()


async def test_what_was_seen_once_is_forgotten_sooner(store: Redis, book: PrefixBook) -> None:
    """Most prefixes are never seen again."""
    seen = [Sighting(digest=digest(3), kin="tools", at_s=AT_S)]
    key = prefixes_module._key("acme", SCOPE + digest(3))
    await observe(book, seen)
    assert await store.ttl(key) <= KEPT_ONCE.total_seconds()
    await observe(book, seen)
    assert await store.ttl(key) > KEPT_ONCE.total_seconds()


@pytest.mark.parametrize("text", [b"", b"x", SCOPE + digest(3), SCOPE + digest(3) + b"1 2", b"\xff" * 60])
async def test_what_cannot_be_read_is_not_known(store: Redis, book: PrefixBook, text: bytes) -> None:
    """And is written anew with the next use."""
    await store.set(prefixes_module._key("acme", SCOPE + digest(3)), text)
    assert not (await read(book, asked([digest(3)]))).states
    await observe(book, [Sighting(digest=digest(3), kin="tools", at_s=AT_S)])
    assert (await read(book, asked([digest(3)]))).states


async def test_erasing_a_tenant_finds_its_statistics(store: Redis, book: PrefixBook) -> None:
    """They are hashes, but they say when its prompts came."""
    await observe(book, [Sighting(digest=digest(3), kin="tools", at_s=AT_S)])
    [pattern] = keys.contents("acme")["prefix_statistics"]
    assert len([key async for key in store.scan_iter(pattern)]) == 2
    assert not [key async for key in store.scan_iter(keys.contents("other")["prefix_statistics"][0])]
