"""Tests of what the prompt cache did, added up a tenant and day."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from redis.asyncio import Redis

from costsvc.core.request import ModelRequest, read_messages_json
from costsvc.core.tallies import MISS, OTHER, PREFIX, Row
from costsvc.core.traits import Traits, traits_of
from costsvc.store import keys
from costsvc.store import prompt_sums as prompt_sums_module
from costsvc.store.erasure import Erasure
from costsvc.store.exchange import Exchange
from costsvc.store.prompt_sums import MOST_FIELDS, PromptSums

AT = datetime(2026, 11, 22, 12, tzinfo=UTC)
DAY = timedelta(days=1)
KEPT_DAYS = 35


def prefix(name: str, saved_nano_usd: int = 0) -> Row:
    """Return the row of a call."""
    return Row(PREFIX, (name, "faq", "m"), (1, 10, 0, 0, saved_nano_usd, 0))


@pytest.fixture
def sums(store: Redis) -> PromptSums:
    """Give the sums of an empty store."""
    return PromptSums(store, KEPT_DAYS)


async def add(sums: PromptSums, *rows: Row, at: datetime = AT, tenant: str = "acme") -> None:
    """Add alone."""
    exchange = Exchange()
    sums.add(exchange, tenant, rows, {}, at=at)
    await exchange.send()


async def read(sums: PromptSums, tenant: str = "acme") -> dict[tuple[str, ...], tuple[int, ...]]:
    """Return the sums of three days by what they are about."""
    found = await sums.read(tenant, AT - DAY, AT + DAY)
    return {(row.kind, *row.words): row.sums for row in found.rows}


async def test_calls_add_up_exactly(sums: PromptSums) -> None:
    """Losses too, and beyond what a float holds; days are added, tenants are not."""
    large = 2**53 + 1
    await add(sums, prefix("a", large), Row(MISS, ("faq", "m", "expired", "tools"), (1, 50, 7)))
    await add(sums, prefix("a", -2 * large), at=AT + DAY)
    await add(sums, prefix("a", 1), tenant="other")
    assert await read(sums) == {
        (PREFIX, "a", "faq", "m"): (2, 20, 0, 0, -large, 0),
        (MISS, "faq", "m", "expired", "tools"): (1, 50, 7),
    }
    assert (await sums.read("acme", AT, AT + timedelta(hours=1))).first_s == AT.timestamp()


async def test_replicas_lose_nothing_of_each_other(store: Redis, sums: PromptSums) -> None:
    """Two that add at once have added both."""
    other = PromptSums(store, KEPT_DAYS)
    for _ in range(5):
        await asyncio.gather(add(sums, prefix("a", 3)), add(other, prefix("a", 4)))
    assert await read(sums) == {(PREFIX, "a", "faq", "m"): (10, 100, 0, 0, 35, 0)}


async def test_a_day_is_bounded_and_loses_nothing(store: Redis, sums: PromptSums) -> None:
    """What is new beyond the bound counts together, what is known goes on; all of it is forgotten in time."""
    for start in range(0, 400, 50):
        await add(sums, *(prefix(str(number), 1) for number in range(start, start + 50)))
    await add(sums, prefix("0", 1))
    found = await read(sums)
    assert sum(each[0] for each in found.values()) == 401
    assert found[PREFIX, OTHER, OTHER, OTHER][0] > 200
    assert found[PREFIX, "0", "faq", "m"][0] == 2
    key = keys.prompt_sums("acme", keys.day_of(AT))
    assert await store.hlen(key) <= MOST_FIELDS + 6
    assert 0 < await store.ttl(key) <= KEPT_DAYS * 86_400


async def test_a_prompt_is_kept_for_the_one_after_it(
    store: Redis, sums: PromptSums, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For an hour, and a tenant has so many places; another with the same place is not taken for it."""
    monkeypatch.setattr(prompt_sums_module, "_TRAIT_PLACES", 1)
    body = b'{"max_tokens":9,"system":"Be.","messages":[{"role":"user","content":"Hi"}]}'
    kept = traits_of(ModelRequest(members=read_messages_json(body)), "m", 5)

    async def ask(*ids: str) -> dict[str, Traits]:
        exchange = Exchange()
        pending = sums.ask(exchange, "acme", ids)
        await exchange.send()
        return pending.result()

    assert await ask("a", "b") == {}
    exchange = Exchange()
    sums.add(exchange, "acme", [], {"a": kept}, at=AT)
    await exchange.send()
    assert await ask("a", "b") == {"a": kept}
    [key] = [key async for key in store.scan_iter("prefix:*")]
    assert 0 < await store.ttl(key) <= 3_600
    await store.set(key, b"a\nodd")
    assert await ask("a") == {}


async def test_erasing_a_tenant_erases_its_sums(store: Redis, sums: PromptSums) -> None:
    """And nobody else's."""
    await add(sums, prefix("a"))
    await add(sums, prefix("a"), tenant="other")
    assert (await Erasure(store).erase("acme"))["prefix_statistics"] == 1
    assert not await read(sums)
    assert await read(sums, "other")
