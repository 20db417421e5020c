"""Tests of attempts under way, and of their ends, where the store forgets them or hears of them late."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from costsvc.app.booking import Booking
from costsvc.app.definitions import InForce
from costsvc.app.flights import Flight, Flights
from costsvc.app.telling import Teller, freed, lost
from costsvc.core.holds import Balance
from costsvc.ports import SystemClock
from costsvc.store.charges import charge_of
from costsvc.store.presence import Presence
from tests.store.money import POLICY_IN_FORCE, Bench, amounts, budget, opening

AMOUNTS = amounts(50)
HELD = Balance(sum_q_nano_usd=AMOUNTS.q_nano_usd, sum_w_nano_usd=AMOUNTS.most_nano_usd)


@pytest.fixture
async def bench(store: Redis) -> Bench:
    """Give a store with a budget."""
    made = Bench(store)
    await made.define(budget())
    return made


@pytest.mark.parametrize("may_have_spent", [False, True])
async def test_an_end_that_a_store_has_lost_is_told_again(bench, may_have_spent):
    """A fail-over that lacks the end alone has the hold again; telling it twice is telling it once."""
    teller = Teller(Booking(bench.ledger, InForce(bench.book), POLICY_IN_FORCE), bench.holds)
    began = opening("a")
    news = lost(began, AMOUNTS, [charge_of(each) for each in bench.applications(began)], "timed_out")
    news = news if may_have_spent else freed(began)
    ended = Balance(at_risk_nano_usd=AMOUNTS.most_nano_usd) if may_have_spent else Balance()
    await bench.hold(began, AMOUNTS)
    copy = [(key, await bench.holds._client.dump(key)) for key in await bench.holds._client.keys()]
    await teller.tell(news)
    assert await bench.balance() == ended
    await bench.holds._client.flushdb()
    for key, value in copy:
        await bench.holds._client.restore(key, 0, value)
    assert await bench.balance() == HELD
    for _ in range(2):
        await teller.tell(news)
        assert await bench.balance() == ended
    risks = (await bench.holds.at_risk()).rows
    assert [row.attempt_id for row in risks] == (["a"] if may_have_spent else [])


async def test_a_flight_that_ends_while_its_hold_is_asserted_holds_nothing(bench):
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
        await bench.holds.release("a", opening("a").started_at)
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
