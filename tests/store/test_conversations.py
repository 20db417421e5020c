"""Tests of what is remembered of conversations."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from redis.asyncio import Redis

from costsvc.core.conversation import Pin
from costsvc.store import keys
from costsvc.store.conversations import KEPT, ConversationBook

UNTIL = datetime(2026, 11, 22, 12, tzinfo=UTC)
PIN = Pin(model="claude-opus-5-5", turns=3, cached_tokens=1_200, cached_until=UNTIL)


async def test_a_conversation_is_found_by_its_tenant_alone(store: Redis) -> None:
    """Two tenants may use one id; what another wrote is not seen."""
    book = ConversationBook(store)
    assert await book.find("acme", "c1") is None
    await book.note("acme", "c1", PIN)
    assert await book.find("acme", "c1") == PIN
    assert await book.find("other", "c1") is None
    assert await book.find("acme", "c2") is None


async def test_a_conversation_is_forgotten_after_a_day(store: Redis) -> None:
    """Each turn starts the day anew."""
    book, key = ConversationBook(store), keys.conversation("acme", "c1")
    await book.note("acme", "c1", PIN)
    await store.expire(key, 5)
    await book.note("acme", "c1", PIN)
    left_s = await store.ttl(key)
    assert 0 <= KEPT.total_seconds() - left_s < timedelta(minutes=1).total_seconds()


@pytest.mark.parametrize("text", ["", "x", "m 1 2", "m one 2 3", "m 1 2 9999999999999999", "\ud8ff"])
async def test_what_cannot_be_read_is_not_known(store: Redis, text: str) -> None:
    """A turn is never refused because of what another version wrote."""
    await store.set(keys.conversation("acme", "c1"), text.encode("utf-8", "surrogatepass"))
    assert await ConversationBook(store).find("acme", "c1") is None
