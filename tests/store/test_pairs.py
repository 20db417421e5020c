"""Tests of pairs of answers: how long and how many are kept, and what a day may cost."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from redis.asyncio import Redis

from costsvc.store import keys, pairs
from costsvc.store.pairs import Pair, PairBook, Side

AT = datetime(2026, 11, 22, 12, 0, 0, 123_456, tzinfo=UTC)
DAY, SECOND = timedelta(days=1), timedelta(seconds=1)
WEEK = 7 * DAY
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def pair(at: datetime = AT, **fields: str) -> Pair:
    """Return a pair that was made at an instant."""
    said = {"tenant": "acme", "task": "faq", "response_id": "r", "asked": "Why? 🚲", "preference": "same"}
    answered = Side(model="claude-haiku-5-5", attempt_id="r.1", cost_nano_usd=5, text="Because.")
    baseline = Side(model="claude-opus-5-5", attempt_id="s.1", cost_nano_usd=200, text="\n因为")
    return Pair(**{**said, **fields}, answered=answered, baseline=baseline, made_at=at)


async def test_a_pair_comes_back_as_it_was_kept(store: Redis) -> None:
    """To its tenant alone, oldest first, after an instant."""
    book, later = PairBook(store), pair(AT + SECOND)
    await book.keep(later, WEEK)
    await book.keep(pair(), WEEK)
    assert await book.list("acme", after=LONG_AGO, size=10) == [pair(), later]
    assert await book.list("acme", after=LONG_AGO, size=1) == [pair()]
    assert await book.list("acme", after=AT, size=10) == [later]
    assert await book.list("other", after=LONG_AGO, size=10) == []


async def test_old_pairs_go_when_one_is_added_and_all_after_the_last(store: Redis) -> None:
    """Nothing is kept for longer than the policy says."""
    book = PairBook(store)
    for days in (0, 1, 8):
        await book.keep(pair(AT + days * DAY), WEEK)
    assert [each.made_at for each in await book.list("acme", after=LONG_AGO, size=10)] == [AT + 8 * DAY]
    assert 0 <= WEEK.total_seconds() - await store.ttl(keys.pairs("acme")) < 60


async def test_only_the_newest_are_kept(store: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy tenant fills no store."""
    monkeypatch.setattr(pairs, "MOST_PAIRS", 2)
    book = PairBook(store)
    for n in range(4):
        await book.keep(pair(AT + n * SECOND), WEEK)
    kept = await book.list("acme", after=LONG_AGO, size=10)
    assert [each.made_at for each in kept] == [AT + 2 * SECOND, AT + 3 * SECOND]


async def test_a_day_costs_no_more_than_it_may(store: Redis) -> None:
    """Whoever asks at the same time; what has no room is not counted, what is given back is there again."""
    book = PairBook(store)
    granted = await asyncio.gather(*(book.spend("20261122", 30, 100) for _ in range(20)))
    assert granted.count(True) <= 3
    assert int(await store.get(keys.shadow_spent("20261122"))) == 30 * granted.count(True)
    assert await book.spend("20261123", 100, 100)
    assert not await book.spend("20261123", 1, 100)
    assert await book.spend("20261123", -60, 100)
    assert await book.spend("20261123", 60, 100)
    assert not await book.spend("20261123", 1, 100)
    assert 0 < await store.ttl(keys.shadow_spent("20261123")) <= 36 * 3600
