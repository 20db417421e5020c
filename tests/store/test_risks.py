"""Tests of attempts whose outcome is unknown: how they come about, are found, and end."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from redis.asyncio import Redis

from costsvc.core.entry import RESOLVED
from costsvc.core.errors import StoreUnavailable
from costsvc.core.holds import Balance
from costsvc.store import keys
from costsvc.store.charges import charge_of
from costsvc.store.holds import OWNER_LOST
from costsvc.store.leases import LEASE
from tests.store.money import AT, Bench, amounts, budget, entry, opening

LATER = AT + LEASE + timedelta(seconds=1)


@pytest.fixture
def bench(store: Redis) -> Bench:
    """Give one process's view of an empty store."""
    return Bench(store)


async def test_holds_of_a_dead_process_become_risks_once(store: Redis) -> None:
    """Whichever process sweeps, each hold is lost once; holds of the living stay, empty leases go."""
    dead, alive, third = (Bench(store, name) for name in ("dead", "alive", "third"))
    await dead.define(budget())
    await alive.load()
    for number in range(20):
        await dead.hold(opening(f"d{number}"), amounts(10))
    await alive.hold(opening("live"), amounts(5))
    assert await alive.holds.sweep(AT) == 0
    await alive.holds.renew(LATER)
    assert sum(await asyncio.gather(alive.holds.sweep(LATER), third.holds.sweep(LATER))) == 20
    assert await third.holds.sweep(LATER) == 0
    rows = (await alive.holds.at_risk()).rows
    assert {row.reason for row in rows} == {OWNER_LOST}
    assert await alive.balance() == Balance(at_risk_nano_usd=200, sum_q_nano_usd=5, sum_w_nano_usd=5)
    assert await store.zrange(keys.LEASES, 0, -1) == [b"alive"]
    assert not await store.exists(keys.holds("dead"))


async def test_a_settlement_that_comes_after_the_sweep_replaces_the_risk(store: Redis) -> None:
    """A process that was only slow, or whose journal is replayed, settles what was swept."""
    slow, other = Bench(store, "slow"), Bench(store, "other")
    await slow.define(budget())
    await slow.hold(opening("a"), amounts(10, 30))
    assert await other.holds.sweep(LATER) == 1
    assert await slow.balance() == Balance(at_risk_nano_usd=30)
    await slow.ledger.settle(entry(opening("a"), 7), label_keys=())
    assert await slow.balance() == Balance(spent_nano_usd=7)
    assert (await other.holds.at_risk()).rows == ()
    assert not await slow.holds.resolve("a", AT)


async def test_nobody_is_swept_for_a_store_that_was_away(store: Redis, monkeypatch) -> None:
    """Who could not renew its own lease takes nobody for dead until all have had the time to renew theirs."""
    other, one = Bench(store, "other"), Bench(store, "one")
    await other.hold(opening("a"), amounts(1))

    async def away(*_: object) -> None:
        raise TimeoutError

    monkeypatch.setattr(store.connection_pool, "get_connection", away)
    with pytest.raises(StoreUnavailable):
        await one.holds.renew(LATER)
    monkeypatch.undo()
    await one.holds.renew(LATER)
    assert await one.holds.sweep(LATER + LEASE / 2) == 0
    assert await one.holds.sweep(LATER + LEASE) == 1


async def test_a_sweep_is_bounded_and_goes_on(store: Redis) -> None:
    """A process with many holds is swept in several calls, none of which blocks for long."""
    dead, alive = Bench(store, "dead"), Bench(store, "alive")
    for number in range(450):
        await dead.hold(opening(f"d{number}"), amounts(1))
    swept = []
    while count := await alive.holds.sweep(LATER):
        swept.append(count)
    assert swept == [200, 200, 50]


async def test_an_answer_that_never_came_leaves_nothing_held(bench: Bench, store: Redis, monkeypatch) -> None:
    """The server did hold, its reply was lost: the owner's next renewal after `not_after` frees it."""
    await bench.define(budget())
    not_after = datetime.now(UTC) + timedelta(minutes=1)
    pool = store.connection_pool
    release = pool.release

    async def and_lose_the_reply(connection: object) -> None:
        await release(connection)
        raise TimeoutError

    monkeypatch.setattr(pool, "release", and_lose_the_reply)
    with pytest.raises(StoreUnavailable):
        await bench.ask(opening("a"), amounts(10), not_after=not_after)
    monkeypatch.undo()
    assert (await bench.balance()).sum_q_nano_usd == 10
    await bench.holds.renew(not_after)
    assert (await bench.balance()).sum_q_nano_usd == 10
    await bench.holds.renew(not_after + timedelta(seconds=2))
    assert await bench.balance() == Balance()


async def test_a_lost_attempt_without_a_record_is_booked_by_what_its_process_knows(bench: Bench) -> None:
    """Also in a store that has lost the hold every dollar that may be spent is counted, once."""
    await bench.define(budget())
    began = opening("a")
    charges = [charge_of(each) for each in bench.applications(began)]
    assert not await bench.holds.lose("a", AT, reason="cut")
    for is_first in (True, False):
        unheld = (began, amounts(10, 30), charges)
        assert await bench.holds.lose("a", AT, reason="cut", unheld=unheld) is is_first
    assert await bench.balance() == Balance(at_risk_nano_usd=30)
    assert await bench.holds.resolve("a", AT)
    assert await bench.balance() == Balance()
    assert not await bench.holds.lose("a", AT, reason="cut", unheld=(began, amounts(10, 30), charges))


async def test_a_resolution_books_what_was_decided_once(bench: Bench) -> None:
    """An entry resolves a risk as a settlement does; the second resolution finds none."""
    await bench.define(budget())
    await bench.hold(opening("a"), amounts(10, 30))
    await bench.holds.lose("a", AT, reason="cut", lower_nano_usd=2)
    charges = tuple(charge_of(each) for each in bench.applications(opening("a")))
    decided = entry(opening("a"), 9, state=RESOLVED, charges=charges)
    assert not (await bench.settle(decided)).duplicate
    assert (await bench.settle(decided)).duplicate
    assert not await bench.holds.resolve("a", AT)
    assert await bench.balance() == Balance(spent_nano_usd=9)
    assert (await bench.ledger.entry_by_attempt("a", AT)) == decided


async def test_a_bill_for_what_was_resolved_as_free_is_booked(bench: Bench) -> None:
    """The provider's word stands above an operator's."""
    await bench.define(budget())
    began = opening("a")
    charges = tuple(charge_of(each) for each in bench.applications(began))
    await bench.hold(began, amounts(10))
    await bench.holds.lose("a", AT, reason="cut")
    await bench.holds.resolve("a", AT)
    assert not (await bench.ledger.settle(entry(began, 4, charges=charges), label_keys=())).duplicate
    assert await bench.balance() == Balance(spent_nano_usd=4)


async def test_risks_outlive_the_memory_of_attempts(bench: Bench) -> None:
    """What is unresolved when its day is forgotten is still listed, and can be ended."""
    await bench.hold(opening("a"), amounts(10))
    await bench.holds.lose("a", AT, reason="cut")
    await bench.ledger.forget_attempts((AT + timedelta(days=8)).date())
    assert [row.attempt_id for row in (await bench.holds.at_risk()).rows] == ["a"]
    assert not (await bench.settle(entry(opening("a"), 3, state=RESOLVED))).duplicate
    assert await bench.holds.at_risk_sums("acme") == (0, 0, 0)


async def test_risks_are_listed_in_pages_by_tenant(bench: Bench) -> None:
    """Pages follow each other without a gap, oldest first; names that begin with another's are apart."""
    for number in range(7):
        for tenant in ("a", "a-b", "ab"):
            began = opening(f"{tenant}{number}", tenant=tenant)
            await bench.hold(began, amounts(number))
            await bench.holds.lose(began.attempt_id, AT, reason="cut")
    for tenant, expected in (("a", 7), ("a-b", 7), ("", 21)):
        seen, after = [], ""
        while True:
            page = await bench.holds.at_risk(tenant=tenant, after=after, count=3)
            seen += page.rows
            if not (after := page.after):
                break
        assert len({row.attempt_id for row in seen}) == len(seen) == expected
        assert seen == sorted(seen, key=lambda row: (row.opening.tenant, row.since)) or not tenant
