"""Tests of attempts under way, and of their ends, where the store forgets them or hears of them late."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from costsvc.app.ends import End, Ends
from costsvc.app.flights import Flight, Flights
from costsvc.core.holds import Balance
from costsvc.ports import SystemClock
from costsvc.store.presence import Presence
from tests.store.money import Bench, amounts, budget, opening

AMOUNTS = amounts(50)
HELD = Balance(sum_q_nano_usd=AMOUNTS.q_nano_usd, sum_w_nano_usd=AMOUNTS.most_nano_usd)


@pytest.fixture
async def bench(store: Redis) -> Bench:
    """Give a store with a budget."""
    made = Bench(store)
    await made.define(budget())
    return made


@pytest.fixture
def ends(bench: Bench) -> Ends:
    """Give the ends of this process."""
    return Ends(bench.holds, SystemClock())


def end(*, may_have_spent: bool) -> End:
    """Return the end of the attempt."""
    return End(
        opening=opening("a"), hold=AMOUNTS, charges=(), may_have_spent=may_have_spent, reason="timed_out"
    )


@pytest.mark.parametrize("may_have_spent", [False, True])
async def test_an_end_that_a_store_has_lost_is_told_again(bench, ends, may_have_spent):
    """A fail-over that lacks the end alone has the hold again; telling it twice is telling it once."""
    freed = Balance(at_risk_nano_usd=AMOUNTS.most_nano_usd) if may_have_spent else Balance()
    await bench.hold(opening("a"), AMOUNTS)
    copy = [(key, await bench.holds._client.dump(key)) for key in await bench.holds._client.keys()]
    await ends.tell(end(may_have_spent=may_have_spent))
    assert await bench.balance() == freed
    await bench.holds._client.flushdb()
    for key, value in copy:
        await bench.holds._client.restore(key, 0, value)
    assert await bench.balance() == HELD
    for _ in range(2):
        await ends.tell_again()
        assert await bench.balance() == freed
    risks = (await bench.holds.at_risk()).rows
    assert [row.attempt_id for row in risks] == (["a"] if may_have_spent else [])


async def test_a_flight_that_ends_while_its_hold_is_asserted_holds_nothing(bench, ends):
    """The end may reach the store before the hold does: what is held then is freed."""
    presence = Presence()
    flights = Flights(bench.holds, presence, SystemClock())
    flights.begin(
        Flight(
            opening=opening("a"),
            applications=bench.applications(opening("a")),
            hold=AMOUNTS,
            held_in=None,
        )
    )
    hold_again = bench.holds.hold_again

    async def overtaken(*args: object, **options: object) -> bool:
        flights.end("a")
        await ends.tell(end(may_have_spent=False))
        return await hold_again(*args, **options)

    bench.holds.hold_again = overtaken
    await flights.hold_again()
    assert await bench.balance() == Balance()


async def test_a_flight_is_held_for_once_a_store(bench):
    """Where the store has not changed since, nothing is asked of it."""
    presence, clock = Presence(), SystemClock()
    flights = Flights(bench.holds, presence, clock)
    began = opening("a")
    flights.begin(
        Flight(opening=began, applications=bench.applications(began), hold=AMOUNTS, held_in=presence.store_id)
    )
    await flights.hold_again()
    assert await bench.balance() == Balance()
    presence.store_id = "another"
    await flights.hold_again()
    assert await bench.balance() == HELD
