"""Tests of telling the store how calls ended, where it cannot hear it at once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from redis.asyncio import Redis

from costsvc.app import endings as endings_module
from costsvc.app.endings import Endings
from costsvc.core.errors import StoreUnavailable
from costsvc.ports import SystemClock
from costsvc.store.claims import Answered, Claim, Claimed, Claims, Ending, Fate, Standing
from costsvc.store.leases import Lease


def soon() -> datetime:
    """Return when everything is due."""
    return datetime.now(UTC) + timedelta(seconds=5)


def claim(token: str = "t1", request_id: str = "r-1") -> Claim:
    """Return a call's claim."""
    return Claim(tenant="acme", request_id=request_id, fingerprint="f", token=token)


def answered(answer: bytes) -> Ending:
    """Return how a call ended that was answered."""
    return Ending(Fate.ANSWERED, "e1", 7, answer, timedelta(hours=1))


@pytest.fixture
def claims(store: Redis) -> Claims:
    """Give the claims of a process."""
    return Claims(store, Lease(store, owner="one"))


async def ask(claims: Claims, asked: Claim) -> object:
    """Claim."""
    not_after = datetime.now(UTC) + timedelta(minutes=1)
    return await claims.claim(asked, now=datetime.now(UTC), not_after=not_after, repeats_lost=True)


async def test_what_the_store_hears_is_not_told_again(claims: Claims) -> None:
    """An ending that arrives leaves nothing to do."""
    endings = Endings(claims, SystemClock())
    await ask(claims, claim())
    await endings.tell(claim(), Ending(Fate.FREE), None)
    assert await ask(claims, claim("t2")) == Claimed(again=False)
    await endings._tell_due(soon())
    assert await ask(claims, claim("t3")) is Standing.RUNNING


async def test_a_claim_that_the_store_makes_late_is_ended_again(claims: Claims) -> None:
    """A call that has ended before its own claim was made does not keep the id from others."""
    endings = Endings(claims, SystemClock())
    await endings.tell(claim(), Ending(Fate.FREE), datetime.now(UTC) + timedelta(seconds=1))
    await ask(claims, claim())  # as a server does that was frozen
    assert await ask(claims, claim("t2")) is Standing.RUNNING
    await endings._tell_due(datetime.now(UTC))
    assert await ask(claims, claim("t2")) is Standing.RUNNING, "it may still come later"
    await endings._tell_due(soon())
    assert await ask(claims, claim("t2")) == Claimed(again=False)


async def test_what_the_store_does_not_hear_is_told_when_it_is_back(
    claims: Claims, store: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers too, as long as they are not too many bytes; what they cost in any case."""
    endings = Endings(claims, SystemClock())
    monkeypatch.setattr(endings_module, "MOST_UNTOLD_BYTES", 10)

    async def away(*_: object) -> None:
        raise TimeoutError

    with monkeypatch.context() as patch:
        patch.setattr(store.connection_pool, "get_connection", away)
        for number in range(3):
            await endings.tell(claim(f"t{number}", f"r-{number}"), answered(b"text"), None)
        with pytest.raises(StoreUnavailable):
            await endings._tell_due(soon())
    await endings._tell_due(soon())
    found = [await ask(claims, claim("t9", f"r-{number}")) for number in range(3)]
    assert found == [Answered("e1", 7, b"text"), Answered("e1", 7, b"text"), Answered("e1", 7, b"")]
    await endings.tell(claim(request_id="r-4"), answered(b"0123456789"), None)
    assert await ask(claims, claim("t2", "r-4")) == Answered("e1", 7, b"0123456789")


async def test_a_claim_that_cannot_be_ended_does_not_keep_others(claims: Claims, store: Redis) -> None:
    """It is given up; what comes after it is told."""
    endings = Endings(claims, SystemClock())
    for number in range(2):
        late = datetime.now(UTC) + timedelta(seconds=1)
        await endings.tell(claim(f"t{number}", f"r-{number}"), Ending(Fate.LOST), late)
    await store.delete(*claim(request_id="r-1").keys)
    await store.set(claim(request_id="r-0").keys[0], "not a claim")
    await endings._tell_due(soon())
    assert not len(endings)
    assert await store.exists(claim(request_id="r-1").keys[0])
