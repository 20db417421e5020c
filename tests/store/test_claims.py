"""Tests of claims on request ids: who runs, who waits, and what is remembered for how long."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from redis.asyncio import Redis

from costsvc.core.errors import StoreUnavailable
from costsvc.store import keys
from costsvc.store.claims import (
    LARGEST_ANSWER_BYTES,
    REMEMBERED,
    Answered,
    Claim,
    Claimed,
    Claims,
    Ending,
    Fate,
    Standing,
)
from costsvc.store.holds import Holds
from costsvc.store.leases import LEASE, Lease
from tests.store.money import AT

HOUR = timedelta(hours=1)
RAN = Claimed(again=False)
RAN_AGAIN = Claimed(again=True)


def claim(token: str = "t1", **changes: Any) -> Claim:
    """Return a call's claim on the same request id."""
    values = {"tenant": "acme", "request_id": "r-1", "fingerprint": "f1", "token": token}
    return Claim(**values | changes)


class Process:
    """One process's view of the store."""

    def __init__(self, client: Redis, owner: str) -> None:
        self.claims = Claims(client, Lease(client, owner=owner))

    async def ask(self, asked: Claim, *, now: datetime = AT, **changes: Any) -> Any:
        """Claim."""
        not_after = datetime.now(UTC) + timedelta(minutes=1)
        values = {"now": now, "not_after": not_after, "repeats_lost": True}
        return await self.claims.claim(asked, **values | changes)

    async def answer(self, ended: Claim, answer: bytes = b"text", **changes: Any) -> bool:
        """End a claim as answered."""
        values = {"entry_id": "e1", "cost_nano_usd": 7, "answer": answer, "answer_ttl": HOUR}
        return await self.claims.end(ended, Ending(Fate.ANSWERED, **values | changes))

    async def end(self, ended: Claim, fate: Fate) -> bool:
        """End a claim without an answer."""
        return await self.claims.end(ended, Ending(fate))


@pytest.fixture
def one(store: Redis) -> Process:
    """Give a process."""
    return Process(store, "one")


@pytest.fixture
def two(store: Redis) -> Process:
    """Give another process."""
    return Process(store, "two")


async def test_of_fifty_who_claim_at_once_one_runs(store: Redis) -> None:
    """Whichever process and call comes first, everybody else is told that it runs."""
    asked = [Process(store, f"p{n % 3}").ask(claim(f"t{n}")) for n in range(50)]
    found = Counter(str(outcome) for outcome in await asyncio.gather(*asked))
    assert found == {str(RAN): 1, str(Standing.RUNNING): 49}


async def test_claiming_twice_with_one_token_is_claiming_once(one: Process) -> None:
    """A claim whose reply was lost may be repeated."""
    assert [await one.ask(claim()) for _ in range(2)] == [RAN, RAN]


async def test_tenants_and_ids_are_apart(one: Process) -> None:
    """Another tenant's id, and another id, are other claims."""
    others = [claim("t2", tenant="b"), claim("t3", request_id="r-2"), claim("t4", tenant="acme.r")]
    assert [await one.ask(each) for each in (claim(), *others)] == [RAN] * 4


async def test_an_answer_is_given_again_with_its_cost(one: Process, two: Process) -> None:
    """Every repeat gets the first answer, wherever it asks."""
    await one.ask(claim())
    assert await one.answer(claim())
    assert await two.ask(claim("t2")) == Answered("e1", 7, b"text")
    assert not await two.answer(claim("t2"), b"other"), "the first answer stands"
    assert await one.ask(claim("t3")) == Answered("e1", 7, b"text")


@pytest.mark.parametrize("cost_nano_usd", [0, 99_999_999_999_999, 100_001 * 10**9, 8_900_000 * 10**9 + 1])
async def test_costs_are_exact_at_any_size(one: Process, cost_nano_usd: int) -> None:
    """Money passes through as it is."""
    await one.answer(claim(), cost_nano_usd=cost_nano_usd)
    assert (await one.ask(claim("t2"))).cost_nano_usd == cost_nano_usd


@pytest.mark.parametrize(("size", "kept"), [(LARGEST_ANSWER_BYTES, True), (LARGEST_ANSWER_BYTES + 1, False)])
async def test_a_large_answer_is_not_kept(one: Process, size: int, kept: bool) -> None:
    """Its entry and cost are."""
    await one.ask(claim())
    await one.answer(claim(), b"x" * size)
    assert await one.ask(claim("t2")) == Answered("e1", 7, b"x" * size if kept else b"")


async def test_an_answer_goes_before_its_claim(store: Redis, one: Process) -> None:
    """After its time the answer is gone, and what it cost is known for a day."""
    await one.ask(claim())
    await one.answer(claim(), answer_ttl=timedelta(milliseconds=20))
    while await store.exists(keys.kept_answer("acme", "r-1")):  # noqa: ASYNC110 - expiry has no event
        await asyncio.sleep(0.005)
    assert await one.ask(claim("t2")) == Answered("e1", 7, b"")


async def test_nothing_is_remembered_for_ever(store: Redis, one: Process) -> None:
    """Claim and answer have a time to live, and nothing but the lease is left without one."""
    await one.ask(claim())
    await one.answer(claim(), answer_ttl=2 * HOUR)
    await one.ask(claim(request_id="r-2"))
    await one.ask(claim(request_id="r-3"))
    await one.end(claim(request_id="r-3"), Fate.LOST)
    lives = {key.decode(): await store.pttl(key) / 1000 for key in await store.keys()}
    assert lives.pop(keys.LEASES) < 0
    day_s = REMEMBERED.total_seconds()
    assert lives.pop(keys.kept_answer("acme", "r-1")) == pytest.approx(7200, abs=5)
    assert set(lives) == {keys.claim("acme", f"r-{n}") for n in (1, 2, 3)}
    assert all(life == pytest.approx(day_s, abs=5) for life in lives.values())


async def test_another_request_with_the_id_is_told_so(one: Process) -> None:
    """Whether the first runs, is answered or is lost: an id stands for one request."""
    other = claim("t2", fingerprint="f2")
    await one.ask(claim())
    assert await one.ask(other) is Standing.REUSED
    await one.end(claim(), Fate.LOST)
    assert await one.ask(other) is Standing.REUSED
    await one.ask(claim("t3"))
    await one.answer(claim("t3"))
    assert await one.ask(other) is Standing.REUSED


async def test_a_call_that_spent_nothing_frees_the_id(one: Process, two: Process) -> None:
    """The next one may run, and even ask something else."""
    await one.ask(claim())
    assert await one.end(claim(), Fate.FREE)
    assert await two.ask(claim("t2", fingerprint="f2")) == RAN


async def test_a_lost_call_runs_again_only_where_that_is_allowed(one: Process, two: Process) -> None:
    """Who may not pay twice is told that the first may have spent, for as long as it is remembered."""
    await one.ask(claim())
    assert await one.end(claim(), Fate.LOST)
    assert await two.ask(claim("t2"), repeats_lost=False) is Standing.LOST
    assert await two.ask(claim("t3")) == RAN_AGAIN
    assert await one.ask(claim("t4")) is Standing.RUNNING


async def test_a_claim_outlives_its_call_as_long_as_the_lease(one: Process, two: Process) -> None:
    """Whose process is gone is taken over, or counts as lost; as long as the lease is renewed it is not."""
    await one.ask(claim())
    assert await two.ask(claim("t2"), now=AT + LEASE - timedelta(milliseconds=1)) is Standing.RUNNING
    assert await two.ask(claim("t2"), now=AT + LEASE, repeats_lost=False) is Standing.LOST
    assert await two.ask(claim("t2"), now=AT + LEASE) == RAN_AGAIN
    assert await one.ask(claim("t3"), now=AT + LEASE) is Standing.RUNNING


async def test_the_lease_of_holds_keeps_claims(store: Redis, two: Process) -> None:
    """A process has one lease, whatever it is renewed for."""
    holds = Holds(store, owner="one")
    claims = Claims(store, holds.lease)
    not_after = datetime.now(UTC) + timedelta(minutes=1)
    await claims.claim(claim(), now=AT, not_after=not_after, repeats_lost=True)
    await holds.renew(AT + LEASE)
    assert await two.ask(claim("t2"), now=AT + 1.5 * LEASE) is Standing.RUNNING


async def test_nobody_is_taken_for_gone_by_who_could_not_renew_itself(
    store: Redis, one: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the store was away, leases have ended whose owners live."""
    await one.ask(claim())
    lease = Lease(store, owner="two")
    claims = Claims(store, lease)

    async def away(*_: object) -> None:
        raise TimeoutError

    with monkeypatch.context() as patch:
        patch.setattr(store.connection_pool, "get_connection", away)
        with pytest.raises(StoreUnavailable):
            await lease.renew(AT + LEASE)
    ask = {"not_after": datetime.now(UTC) + timedelta(minutes=1), "repeats_lost": True}
    assert await claims.claim(claim("t2"), now=AT + 1.9 * LEASE, **ask) is Standing.RUNNING
    assert await claims.claim(claim("t2"), now=AT + 2 * LEASE, **ask) == RAN_AGAIN


async def test_who_was_taken_over_ends_nothing(one: Process, two: Process) -> None:
    """A process that was only slow does not touch the claim of the next one."""
    await one.ask(claim())
    await two.ask(claim("t2"), now=AT + LEASE)
    for fate in (Fate.FREE, Fate.LOST):
        assert not await one.end(claim(), fate)
    assert not await one.answer(claim())
    assert await one.ask(claim("t3"), now=AT + LEASE) is Standing.RUNNING


async def test_an_answer_is_never_taken_back(one: Process) -> None:
    """What fails after it changes nothing for repeats."""
    await one.ask(claim())
    await one.answer(claim())
    for fate in (Fate.FREE, Fate.LOST):
        assert not await one.end(claim(), fate)
    assert await one.ask(claim("t2")) == Answered("e1", 7, b"text")


async def test_what_the_store_never_saw_is_ended_all_the_same(one: Process) -> None:
    """A call that could not claim still tells later ones what became of it."""
    assert await one.end(claim(), Fate.LOST)
    assert await one.ask(claim("t2"), repeats_lost=False) is Standing.LOST
    assert await one.answer(claim("t3", request_id="r-2"))
    assert await one.ask(claim("t4", request_id="r-2")) == Answered("e1", 7, b"text")


async def test_a_claim_that_comes_too_late_is_none(store: Redis, one: Process) -> None:
    """A server that was frozen does not execute what its caller has given up."""
    with pytest.raises(StoreUnavailable):
        await one.ask(claim(), not_after=datetime.now(UTC) - timedelta(seconds=1))
    assert not await store.keys()


async def test_an_answer_stands_or_falls_with_its_claim(store: Redis, one: Process) -> None:
    """Where a server short of memory evicts a claim, the next answer to the id is not given as the first."""
    await one.ask(claim())
    await one.answer(claim(), b"first")
    await store.delete(claim().keys[0])
    assert await one.ask(claim("t2")) == RAN
    await one.answer(claim("t2"), b"x" * (LARGEST_ANSWER_BYTES + 1), entry_id="e2")
    assert await one.ask(claim("t3")) == Answered("e2", 7, b"")
