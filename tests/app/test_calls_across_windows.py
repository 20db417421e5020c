"""Tests of calls at the edges of budgets' windows, by a clock that is set: midnight, months, summer time."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from redis.asyncio import Redis

from costsvc.app.admin import Administration, Resolution
from costsvc.app.attempt import Caller, Completed
from costsvc.app.booking import Booking
from costsvc.app.claiming import Claiming
from costsvc.app.complete import Completions
from costsvc.app.conversations import Conversations
from costsvc.app.definitions import InForce
from costsvc.app.holding import Holding
from costsvc.app.in_flight import InFlight
from costsvc.app.learner import Learner
from costsvc.app.making import Making
from costsvc.app.observations import Observations
from costsvc.app.once import Once
from costsvc.app.planner import Planner
from costsvc.app.policies import PolicyInForce
from costsvc.app.settle import Settlement
from costsvc.app.telling import Teller
from costsvc.config import load_catalog_files
from costsvc.core.budget import Budget, Kind, Scope
from costsvc.core.errors import BudgetExceeded, ProviderError
from costsvc.core.holds import Balance
from costsvc.core.policy import read_policy
from costsvc.core.prospect import hold_for
from costsvc.core.request import ModelRequest, simple_members
from costsvc.core.windows import Calendar, Unit
from costsvc.metrics import Metrics
from costsvc.ports import Upstream, UpstreamAnswer, UpstreamRequest
from costsvc.provider_sim import RunningSim, start
from costsvc.store.budgets import BudgetBook
from costsvc.store.claims import Claims
from costsvc.store.conversations import ConversationBook
from costsvc.store.erasure import Erasure
from costsvc.store.holds import Holds
from costsvc.store.journal import Journal
from costsvc.store.ledger import Ledger
from costsvc.store.outcomes import OutcomeBook
from costsvc.store.presence import Presence
from costsvc.store.risks import Risks
from costsvc.upstream import anthropic_upstream
from tests.app.caches import beside, cache, prompt_caching_parts
from tests.policies import uncached

MODEL = "claude-haiku-5-5"
REQUEST = ModelRequest(members=simple_members("", [("user", "What is a hub?")], 50), task="faq", model=MODEL)
BERLIN = ZoneInfo("Europe/Berlin")
YEAR = datetime.now(UTC).year + 1  # stores refuse holds that come late, by clocks of their own
LAST_MARCH, LAST_OCTOBER = (
    max(day for n in range(25, 32) if (day := datetime(YEAR, month, n, tzinfo=BERLIN)).weekday() == 6)
    for month in (3, 10)
)
SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)


@dataclass
class SetClock:
    """A clock that stands where it is set; deadlines go by the machine's."""

    at: datetime

    def now(self) -> datetime:
        """Return the time that is set."""
        return self.at.astimezone(UTC)

    def monotonic(self) -> float:
        """Return the machine's monotonic seconds."""
        return time.monotonic()


@dataclass
class SlowUpstream:
    """The provider, with answers that take as long as `takes` by the clock."""

    upstream: Upstream
    clock: SetClock
    takes: timedelta = timedelta(0)

    async def send(self, request: UpstreamRequest) -> UpstreamAnswer:
        """Answer, and set the clock on."""
        self.clock.at += self.takes
        return await self.upstream.send(request)


@dataclass
class World:
    """One process with a clock that is set."""

    clock: SetClock
    upstream: SlowUpstream
    sim: RunningSim
    book: BudgetBook
    planner: Planner
    completions: Completions
    admin: Administration

    async def define(self, unit: Unit, **changes: Any) -> Budget:
        """Define a strict budget of all calls, which is as old as the world."""
        values = {"id": "b", "scope": Scope(Kind.EVERYTHING), "strict": True, "limit_nano_usd": 10**12}
        budget = Budget(**{**values, "window": Calendar(unit, "Europe/Berlin"), **changes})
        await self.book.put(budget, created_at=datetime(2020, 1, 1, tzinfo=UTC))
        return budget

    async def call(self, at: datetime) -> Completed:
        """Make a call at an instant."""
        self.clock.at = at
        caller = Caller(tenant="t", deadline_s=time.monotonic() + 10)
        return await self.completions.answer(self.completions.begin(REQUEST, caller))

    async def cost(self, at: datetime) -> int:
        """Make a call at an instant, and return what it was billed."""
        return (await self.call(at)).account.cost_nano_usd

    async def balance(self, at: datetime) -> Balance:
        """Return what the budget counts in the window of an instant."""
        found = await self.book.balances("b", at)
        return found[0][2] if found else Balance()

    async def spent(self, at: datetime) -> int:
        """Return what is spent in the window of an instant, in which nothing else may be left."""
        balance = await self.balance(at)
        assert balance == Balance(spent_nano_usd=balance.spent_nano_usd)
        return balance.spent_nano_usd

    def worst(self, at: datetime) -> int:
        """Return what a call can cost at most."""
        plan = self.planner.plan(REQUEST, "t", at)
        hold = hold_for(self.planner.catalog, self.planner.foresee(plan, "t"), at=at)
        assert hold.w_nano_usd is not None
        return hold.w_nano_usd


@pytest.fixture
async def world(store: Redis, tmp_path: Path) -> AsyncIterator[World]:
    """Run the use cases on a real store and a simulated provider."""
    catalog, journal, ids = load_catalog_files(), Journal(tmp_path), count()
    await journal.open()
    clock = SetClock(datetime(YEAR, 1, 1, tzinfo=UTC))
    policy_in_force = PolicyInForce(read_policy(uncached(), catalog))
    planner = Planner(catalog, policy_in_force, Observations())
    ledger, presence, metrics, in_flight = Ledger(store), Presence(), Metrics(), InFlight()
    book, holds = BudgetBook(store), Holds(store, owner="test")
    in_force = InForce(book)
    booking = Booking(ledger, in_force, policy_in_force)
    settlement = Settlement(Teller(booking, holds), journal, metrics, clock, presence=presence)
    async with await start() as sim:
        provider = anthropic_upstream(api_key="k", base_url=sim.url)
        upstream = SlowUpstream(provider, clock)
        shared = {"planner": planner, "settlement": settlement, "metrics": metrics, "clock": clock}
        holding = Holding(
            book=book, in_force=in_force, holds=holds, ledger=ledger, presence=presence, **shared
        )
        cached = cache(store, planner, in_flight, metrics, clock)
        once = Once(
            claiming=Claiming(Claims(store, holds.lease), policy_in_force, clock),
            looking=cached.looking,
            settlement=settlement,
            in_flight=in_flight,
            catalog=catalog,
            policy_in_force=policy_in_force,
            answer_ttl=HOUR,
            metrics=metrics,
        )
        shared |= {
            "once": once,
            "conversations": Conversations(ConversationBook(store), planner),
            "new_id": lambda: f"id-{next(ids)}",
        }
        completions = Completions(
            cached=cached,
            looking=cached.looking,
            **beside(store, planner, upstream, settlement, holding, in_flight, metrics),
            learner=Learner(OutcomeBook(store), metrics),
            making=Making(
                upstream=upstream,
                holding=holding,
                **prompt_caching_parts(store, planner, metrics, clock),
                **shared,
            ),
            max_call_s=10,
            **shared,
        )
        admin = Administration(
            catalog=catalog,
            budgets=book,
            holds=holds,
            risks=Risks(store),
            erasure=Erasure(store),
            booking=booking,
            policy_in_force=policy_in_force,
            metrics=metrics,
            clock=clock,
        )
        yield World(clock, upstream, sim, book, planner, completions, admin)
        await provider.close()
    await journal.close()


MIDNIGHT = datetime(YEAR, 1, 15, tzinfo=BERLIN)
NEW_MONTH = datetime(YEAR, 3, 1, tzinfo=BERLIN)


@pytest.mark.parametrize(
    ("unit", "end"),
    [(Unit.DAY, MIDNIGHT), (Unit.HOUR, MIDNIGHT), (Unit.MONTH, NEW_MONTH), (Unit.DAY, NEW_MONTH)],
)
async def test_a_call_counts_in_the_window_in_which_it_began(world, unit, end):
    """Its answer comes after the window's end, and its bill goes where its hold was."""
    await world.define(unit)
    world.upstream.takes = 2 * SECOND
    cost = await world.cost(end - SECOND)
    assert world.clock.at == end + SECOND
    assert (await world.spent(end - SECOND), await world.spent(end)) == (cost, 0)
    later = await world.cost(end)
    assert (await world.spent(end - SECOND), await world.spent(end)) == (cost, later)


async def test_a_risk_and_its_resolution_belong_to_the_window_of_the_call(world):
    """Whenever it is lost and whenever its bill becomes known, days later, it counts in its own day."""
    await world.define(Unit.DAY)
    world.upstream.takes = 2 * SECOND
    world.sim.faults.add("cut_after_headers", count=None)
    with pytest.raises(ProviderError):
        await world.call(MIDNIGHT - SECOND)
    before, after = await world.balance(MIDNIGHT - SECOND), await world.balance(MIDNIGHT)
    [first, *retries] = world.sim.bill.lines()
    assert retries, "retries began after midnight"
    assert before.at_risk_nano_usd > 0
    assert after.at_risk_nano_usd == len(retries) * before.at_risk_nano_usd
    world.clock.at = MIDNIGHT + timedelta(days=2)
    usage = {"input_tokens": first.used.input, "output_tokens": first.used.output}
    resolved = await world.admin.resolve(
        Resolution(attempt_id=first.attempt, model=MODEL, usage_json=json.dumps(usage).encode())
    )
    assert resolved.cost_nano_usd == -(-first.pico_usd // 1000)
    assert await world.spent(MIDNIGHT - SECOND) == resolved.cost_nano_usd
    assert await world.balance(MIDNIGHT) == after


@pytest.mark.parametrize("end", [MIDNIGHT, NEW_MONTH])
async def test_a_full_window_refuses_until_the_next_begins(world, end):
    """With room for one call a day, the day's last second is refused and the next day's first is not."""
    await world.define(Unit.DAY, limit_nano_usd=world.worst(end))
    await world.call(end - 2 * HOUR)
    with pytest.raises(BudgetExceeded) as caught:
        await world.call(end - SECOND)
    assert caught.value.resets_at == end
    await world.call(end)
    assert len(world.sim.bill.lines()) == 2


async def test_clocks_that_go_forward_skip_an_hour_and_shorten_a_day(world):
    """The second after 01:59:59 is 03:00:00: another hour, the same day, which has 23 of them."""
    jump = LAST_MARCH.replace(hour=1, minute=59, second=59).astimezone(UTC) + SECOND
    assert jump.astimezone(BERLIN).hour == 3
    await world.define(Unit.HOUR)
    await world.define(Unit.DAY, id="day")
    costs = [await world.cost(jump - SECOND), await world.cost(jump)]
    assert [await world.spent(jump - SECOND), await world.spent(jump)] == costs
    start_of_day = LAST_MARCH.astimezone(UTC)
    for at in (start_of_day, start_of_day + 23 * HOUR - SECOND):
        assert (await world.book.balances("day", at))[0][2].spent_nano_usd == sum(costs)
    assert not await world.book.balances("day", start_of_day + 23 * HOUR)


async def test_clocks_that_go_back_show_an_hour_twice_and_lengthen_a_day(world):
    """The two hours from 02:00 to 03:00 are two windows; the day that has both counts 25."""
    first = LAST_OCTOBER.replace(hour=2, minute=30).astimezone(UTC)
    again = first + HOUR
    assert [at.astimezone(BERLIN).hour for at in (first, again)] == [2, 2]
    await world.define(Unit.HOUR, limit_nano_usd=world.worst(first))
    await world.define(Unit.DAY, id="day")
    costs = [await world.cost(first), await world.cost(again)]
    for at in (first, again):
        with pytest.raises(BudgetExceeded):
            await world.call(at + SECOND)
    assert [await world.spent(first), await world.spent(again)] == costs
    start_of_day = LAST_OCTOBER.astimezone(UTC)
    for at in (start_of_day, start_of_day + 25 * HOUR - SECOND):
        assert (await world.book.balances("day", at))[0][2].spent_nano_usd == sum(costs)
    assert not await world.book.balances("day", start_of_day + 25 * HOUR)


async def test_a_limit_below_the_spend_refuses_and_a_raised_one_admits_at_once(world):
    """Editing a budget never resets what it counts, and what it refuses spends nothing."""
    budget = await world.define(Unit.DAY)
    at = MIDNIGHT + HOUR
    spent = await world.cost(at)
    await world.admin.set_budget(replace(budget, limit_nano_usd=spent - 1))
    with pytest.raises(BudgetExceeded) as caught:
        await world.call(at)
    assert (caught.value.limit_nano_usd, caught.value.spent_nano_usd) == (spent - 1, spent)
    await world.admin.set_budget(replace(budget, limit_nano_usd=spent + world.worst(at)))
    spent += await world.cost(at)
    assert await world.spent(at) == spent
    assert len(world.sim.bill.lines()) == 2
