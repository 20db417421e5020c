"""Deferred requests in the store: taken in once, moved only from where they are, ended once."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from redis.asyncio import Redis

from costsvc.core.batch_times import Ran
from costsvc.store import deferred_keys as keys
from costsvc.store.deferred import DeferredBook, QueueLimits, Taken
from costsvc.store.deferred_items import Item, State
from costsvc.store.deferred_queue import DeferredQueue
from costsvc.store.erasure import Erasure

NOW = datetime(2026, 11, 22, 12, 0, 0, 250_000, tzinfo=UTC)
DAY = timedelta(days=1)
LIMITS = QueueLimits(most_requests=3, most_bytes=10_000)
ITEM = Item(
    tenant="acme",
    id="dfr_1",
    request_id="r 1",
    task="nightly",
    pool="beta",
    asked_at=NOW,
    deadline=NOW + timedelta(hours=1),
    call=timedelta(seconds=20),
    size_bytes=9,
    webhook="https://hooks.example.com/done",
)


@pytest.fixture
def book(store: Redis) -> DeferredBook:
    """Give the requests in an empty store."""
    return DeferredBook(store)


@pytest.fixture
def queue(store: Redis) -> DeferredQueue:
    """Give the leader's side of the same store."""
    return DeferredQueue(store)


async def take(book: DeferredBook, *ids: str) -> list[str]:
    """Defer requests with these ids; return them as members of the queue."""
    for id_ in ids:
        assert await book.defer(replace(ITEM, id=id_), "print", b"a request", LIMITS) is Taken.NEW
    return [f"acme:{id_}" for id_ in ids]


async def test_a_request_is_taken_in_once(book: DeferredBook) -> None:
    """Its repetition changes nothing, and its id stands for no other request."""
    assert await book.defer(ITEM, "print", b"a request", LIMITS) is Taken.NEW
    later = replace(ITEM, deadline=NOW + DAY)
    assert await book.defer(later, "print", b"a request", LIMITS) is Taken.KNOWN
    assert await book.defer(ITEM, "another", b"another", LIMITS) is Taken.REUSED
    found = await book.find("acme", "dfr_1")
    assert found is not None
    item, answer = found
    assert (item, answer) == (ITEM, b"")
    assert await book.requests([ITEM.member, "acme:unknown"]) == [b"a request", None]
    assert await book.find("other", "dfr_1") is None


async def test_the_queue_has_an_end(book: DeferredBook) -> None:
    """By the number of requests, and by their bytes; what has ended makes room."""
    members = await take(book, "a", "b", "c")
    more = replace(ITEM, id="d")
    assert await book.defer(more, "print", b"a request", LIMITS) is Taken.FULL
    assert await book.finish(members[0], State.CANCELED, b"", at=NOW, keep=DAY) is State.QUEUED
    assert await book.defer(more, "print", b"a request", QueueLimits(9, 50)) is Taken.FULL
    assert await book.defer(more, "print", b"a request", LIMITS) is Taken.NEW


async def test_a_request_ends_once_and_is_kept_for_a_while(book: DeferredBook, store: Redis) -> None:
    """What waits has no time to live, so that no store short of memory forgets it; what has ended has one."""
    (member,) = await take(book, "a")
    pending = [keys.item(member), keys.request(member), keys.OPEN]
    assert [await store.ttl(key) for key in pending] == [-1, -1, -1]
    assert await book.finish(member, State.ANSWERED, b"an answer", at=NOW, keep=DAY) is State.QUEUED
    assert await book.finish(member, State.FAILED, b"why", at=NOW + DAY, keep=DAY) is None
    found = await book.find("acme", "a")
    assert found is not None
    assert (found[0].state, found[0].ended_at, found[1]) == (State.ANSWERED, NOW, b"an answer")
    kept = [keys.item(member), keys.answer(member)]
    assert {await store.ttl(key) for key in kept} <= {86_400, 86_399}
    assert await store.exists(keys.request(member), keys.OPEN) == 0
    assert await store.get(keys.BYTES) == b"0"
    assert await store.zrange(keys.WEBHOOKS, 0, -1) == [b"0\nacme:a"]


async def test_a_request_goes_into_a_batch_and_back(book: DeferredBook, queue: DeferredQueue) -> None:
    """Only from the queue, and only from the batch that it is in."""
    members = await take(book, "a", "b")
    assert await queue.submit(members, "batch 1") == members
    assert await queue.submit(members, "batch 2") == []
    assert await queue.give_back(members[0], "batch 2") is None
    assert await queue.give_back(members[0], "batch 1") is State.QUEUED
    assert await queue.submit(members, "batch 3") == members[:1]


async def test_a_request_is_sent_alone_from_the_queue_and_out_of_a_batch(
    book: DeferredBook, queue: DeferredQueue
) -> None:
    """A repetition is as good; when it has failed, the request is where it was."""
    members = await take(book, "queued", "in_batch")
    await queue.submit(members[1:], "batch")
    assert [await queue.send(member) for member in members] == [State.ALONE, State.AGAIN]
    assert [await queue.send(member) for member in members] == [State.ALONE, State.AGAIN]
    assert [await queue.take_back(member) for member in members] == [State.QUEUED, State.IN_BATCH]
    await queue.send(members[1])
    assert await queue.give_back(members[1], "batch") is State.ALONE
    assert await queue.take_back(members[1]) is State.QUEUED


async def test_either_a_batch_answers_or_a_call_of_its_own(book: DeferredBook, queue: DeferredQueue) -> None:
    """Whoever is first stays it, however often they ask; one call that has failed gives way."""
    members = await take(book, "a", "b", "c")
    await queue.submit(members, "batch")
    await queue.send(members[0])
    for _ in range(2):
        assert await queue.batch_answers([*members[:2], "acme:unknown"], "batch") == [False, True, True]
    assert await queue.batch_answers(members[:2], "another") == [False, False]
    assert await queue.send(members[1]) is None
    await queue.send(members[2])
    await queue.take_back(members[2])
    assert await queue.batch_answers(members[2:], "batch") == [True]


async def test_what_has_ended_moves_no_more(book: DeferredBook, queue: DeferredQueue) -> None:
    """Neither into a batch nor out of it."""
    (member,) = await take(book, "a")
    await book.finish(member, State.CANCELED, b"", at=NOW, keep=DAY)
    assert await queue.submit([member], "batch") == []
    assert await queue.send(member) is None


async def test_a_leader_follows_what_changes(book: DeferredBook, queue: DeferredQueue, store: Redis) -> None:
    """It sees everything that is open when it begins, and then each change once."""
    members = await take(book, "a", "b")
    number, items = await queue.all()
    assert sorted(items) == members
    assert await queue.changed(number) == (number, [], [])
    await queue.submit(members[:1], "batch")
    await book.finish(members[1], State.FAILED, b"why", at=NOW, keep=DAY)
    await take(book, "c")
    later, changed, found = await queue.changed(number)
    assert sorted(changed) == ["acme:a", "acme:b", "acme:c"]
    assert {item.id: item.state for item in found} == {
        "a": State.IN_BATCH,
        "b": State.FAILED,
        "c": State.QUEUED,
    }
    assert await queue.changed(later) == (later, [], [])
    assert await store.zcard(keys.CHANGES) == 0


async def test_the_times_of_late_batches_are_kept(queue: DeferredQueue) -> None:
    """The last first, and no more of them than say something about now."""
    for minutes in range(60):
        await queue.note_ran(Ran(timedelta(minutes=minutes), has_ended=minutes % 2 == 0))
    found = await queue.ran()
    assert len(found) == 50
    assert found[:2] == [Ran(timedelta(minutes=59), False), Ran(timedelta(minutes=58), True)]


async def test_a_tenants_requests_can_be_erased(book: DeferredBook, store: Redis) -> None:
    """Both what was asked and what was answered."""
    members = await take(book, "a", "b")
    await book.finish(members[0], State.ANSWERED, b"an answer", at=NOW, keep=DAY)
    erased = await Erasure(store).erase("acme")
    assert (erased["deferred_requests"], erased["deferred_answers"]) == (1, 1)
    assert await book.requests(members) == [None, None]
