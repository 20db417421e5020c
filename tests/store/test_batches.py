from __future__ import annotations

from datetime import UTC, datetime, timedelta

from costsvc.core.batch import Batch, BatchOptions, Item, Kind, Part
from costsvc.store import batch_codec
from costsvc.store.batches import BatchBook, Mark

AT = datetime(2026, 3, 4, tzinfo=UTC)
ITEMS = [Item(index=n, custom_id=f"c{n}", kind=Kind.SENT, labels={"team": "x"}) for n in range(3)]


def batch(batch_id: str, **changes) -> Batch:
    """Return a batch of one part without budgets."""
    part = Part(
        id="a" * 32,
        file="f",
        spool="s",
        item_count=3,
        byte_count=9,
        headers={"anthropic-beta": "x"},
        holds=(),
        started_at=AT,
    )
    values = {
        "id": batch_id,
        "tenant": "acme",
        "options": BatchOptions(request_id="once"),
        "fingerprint": "f",
        "created_at": AT,
        "item_count": 3,
        "refused_count": 0,
        "expected_nano_usd": 7,
        "parts": (part,),
    }
    return Batch(**values | changes)


async def test_a_batch_is_read_as_it_was_recorded(store):
    """With its parts and items; a second one under its request id is not recorded."""
    book, first = BatchBook(store), batch("1" * 32)
    assert await book.open(first, [batch_codec.pack(ITEMS)]) == first.id
    assert await book.read("acme", first.id) == first
    assert [batch_codec.read_item(row) for row in await book.rows(first)] == ITEMS
    assert await book.open(batch("2" * 32), [batch_codec.pack(ITEMS)]) == first.id
    assert await book.read("acme", "2" * 32) is None


async def test_a_part_is_changed_by_one_of_two(store):
    """Whoever read an older version changes nothing."""
    book, found = BatchBook(store), batch("1" * 32)
    await book.open(found, [])
    [part] = found.parts
    assert (await book.move(found, part, part)).version == 1
    assert await book.move(found, part, part) is None


async def test_an_item_is_marked_once(store):
    """Marking again adds nothing to the sums."""
    book, found = BatchBook(store), batch("1" * 32)
    await book.open(found, [])
    [part] = found.parts
    marks = [Mark(item=item, counts_as="succeeded", cost_nano_usd=5) for item in ITEMS]
    assert await book.mark(found, part, marks[:2], 10) == 2
    assert await book.mark(found, part, marks, 30) == 1
    tally = (await book.read("acme", found.id)).tally(part)
    assert (tally.item_count, tally.cost_nano_usd, tally.read_bytes) == (3, 15, 30)


async def test_nothing_is_left_of_what_is_forgotten(store):
    """Neither of a batch that has ended, nor of one that a crash left half recorded."""
    book, ended = BatchBook(store), batch("1" * 32)
    await book.open(ended, [batch_codec.pack(ITEMS)])
    await book.end(ended, AT, is_closed=True)
    half = batch("2" * 32, options=BatchOptions())
    await book.open(half, [batch_codec.pack(ITEMS)])
    await store.delete(f"{{ledger}}:batch:acme:{half.id}")
    await book.forget_before(AT + timedelta(days=1))
    left = {
        key.decode() for key in await store.keys("*") if half.id.encode() in key or ended.id.encode() in key
    }
    assert left == set()
