"""Tests of one answer where the edge is too far: deadlines, and what a broken bill means."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from costsvc.app.attempt import Caller, complete
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
from costsvc.core.errors import DeadlineTooShort, Failure, ProviderError
from costsvc.core.policy import read_policy
from costsvc.core.request import ModelRequest, simple_members
from costsvc.metrics import Metrics
from costsvc.ports import SystemClock
from costsvc.provider_sim import RunningSim, start
from costsvc.store.budgets import BudgetBook
from costsvc.store.claims import Claims
from costsvc.store.conversations import ConversationBook
from costsvc.store.holds import Holds
from costsvc.store.journal import Journal
from costsvc.store.ledger import Ledger
from costsvc.store.outcomes import OutcomeBook
from costsvc.store.presence import Presence
from costsvc.upstream import anthropic_upstream
from tests.app.caches import beside, cache, prompt_caching_parts
from tests.policies import uncached

REQUEST = ModelRequest(members=simple_members("", [("user", "What is a hub?")], 50), task="faq")


@pytest.fixture
async def sim() -> AsyncIterator[RunningSim]:
    """Run a provider."""
    async with await start() as running:
        yield running


@pytest.fixture
async def completions(store: Redis, sim: RunningSim, tmp_path: Path) -> AsyncIterator[Completions]:
    """Give the use case on a real store and a simulated provider."""
    catalog = load_catalog_files()
    upstream, ids = anthropic_upstream(api_key="k", base_url=sim.url), count()
    journal = Journal(tmp_path)
    await journal.open()
    policy_in_force = PolicyInForce(read_policy(uncached(), catalog))
    planner = Planner(catalog, policy_in_force, Observations())
    ledger, presence, metrics, clock = Ledger(store), Presence(), Metrics(), SystemClock()
    in_flight, holds, book = InFlight(), Holds(store, owner="test"), BudgetBook(store)
    in_force = InForce(book)
    booking = Booking(ledger, in_force, policy_in_force)
    settlement = Settlement(Teller(booking, holds), journal, metrics, clock, presence=presence)
    shared: dict[str, Any] = {
        "planner": planner,
        "settlement": settlement,
        "metrics": metrics,
        "clock": clock,
    }
    holding = Holding(book=book, in_force=in_force, holds=holds, ledger=ledger, presence=presence, **shared)
    cached = cache(store, planner, in_flight, metrics, clock)
    shared |= {
        "conversations": Conversations(ConversationBook(store), planner),
        "once": Once(
            claiming=Claiming(Claims(store, holds.lease), policy_in_force, clock),
            looking=cached.looking,
            settlement=settlement,
            in_flight=in_flight,
            catalog=catalog,
            policy_in_force=policy_in_force,
            answer_ttl=timedelta(hours=1),
            metrics=metrics,
        ),
        "new_id": lambda: f"id-{next(ids)}",
    }
    yield Completions(
        cached=cached,
        looking=cached.looking,
        **beside(store, planner, upstream, settlement, holding, in_flight, metrics),
        making=Making(
            upstream=upstream,
            holding=holding,
            **prompt_caching_parts(store, planner, metrics, clock),
            **shared,
        ),
        learner=Learner(OutcomeBook(store), metrics),
        max_call_s=10,
        **shared,
    )
    await upstream.close()
    await journal.close()


def caller(seconds: float) -> Caller:
    """Return a caller with so much time."""
    return Caller(tenant="t", deadline_s=time.monotonic() + seconds)


async def test_a_deadline_that_has_passed_is_refused_before_any_spend(sim, completions):
    """Nothing is sent for a caller who is not waiting any more."""
    with pytest.raises(DeadlineTooShort):
        await completions.answer(completions.begin(REQUEST, caller(-0.001)))
    with pytest.raises(DeadlineTooShort):
        await anext(completions.stream(completions.begin(REQUEST, caller(-0.001)), provider_events=False))
    assert not sim.bill.lines()


async def test_the_deadline_is_passed_down(sim, completions):
    """The provider gets no more time than the caller has."""
    sim.faults.add("hang")
    began = time.monotonic()
    with pytest.raises(ProviderError) as caught:
        await completions.answer(completions.begin(REQUEST, caller(0.2)))
    assert 0.15 < time.monotonic() - began < 1
    assert (caught.value.failure, caught.value.may_have_spent) == (Failure.TIMED_OUT, True)
    assert caught.value.attempt_id == "id-0.1"


async def test_a_stream_that_is_closed_early_is_booked_all_the_same(sim, store, completions):
    """Whoever stops reading leaves the rest to the service."""
    sim.settings.token_s = 0.0005
    async with aclosing(
        completions.stream(completions.begin(REQUEST, caller(10)), provider_events=False)
    ) as events:
        await anext(events)
    ledger = Ledger(store)
    while (entry := await ledger.entry_by_attempt("id-0.1", datetime.now(UTC))) is None:  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    [line] = sim.bill.lines()
    assert (entry.cost_nano_usd, line.complete) == (-(-line.pico_usd // 1000), True)


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"usage": {}},
        {"usage": {"input_tokens": 1}},
        {"usage": {"input_tokens": -1, "output_tokens": 1}},
        {"usage": {"input_tokens": "1", "output_tokens": 1}},
    ],
)
async def test_an_answer_without_a_bill_is_malformed(sim, completions, message):
    """It is told apart, never booked as zero; it may have cost something."""
    attempt = completions.begin(REQUEST, caller(10))
    with pytest.raises(ProviderError) as caught:
        complete(attempt, message, b"{}", "req_1", completions._planner.catalog)
    assert (caught.value.failure, caught.value.may_have_spent) == (Failure.MALFORMED, True)
    assert not sim.bill.lines()
