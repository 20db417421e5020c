"""Tests of when alerts are raised, and of their queue, against a real server."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import accumulate, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from costsvc.core.alert import Alert
from costsvc.core.budget import Kind, Mode, Scope
from costsvc.core.entry import RESOLVED
from costsvc.core.holds import crossed
from costsvc.core.windows import Rolling, window_at
from costsvc.store import keys
from costsvc.store.alerts import AlertQueue, Claimed
from costsvc.store.charges import charge_of
from costsvc.store.connection import open_store
from costsvc.store.hold_call import Held, Refused
from tests.store.money import AT, DAY, LABEL_KEYS, Bench, amounts, budget, entry, opening

A_DAY = timedelta(days=1)
NOW = timedelta(0)
THRESHOLDS = (500, 800, 1000)
ROLLING = budget(window=Rolling(timedelta(hours=1)), mode=Mode.SOFT, thresholds_permille=THRESHOLDS)


@pytest.fixture
def bench(store: Redis) -> Bench:
    """Give one process's view of an empty store."""
    return Bench(store)


@pytest.fixture
def queue(store: Redis) -> AlertQueue:
    """Give the queue of the store."""
    return AlertQueue(store)


async def taken(queue: AlertQueue) -> list[Alert]:
    """Take every alert that is due out of the queue."""
    found: list[Alert] = []
    while claimed := await queue.claim(100):
        for each in claimed:
            found.append(each.alert())
            await queue.done(each)
    return found


async def shares(queue: AlertQueue) -> list[int]:
    """Take every alert that is due, and return their thresholds."""
    return [alert.threshold_permille for alert in await taken(queue)]


async def spend(bench: Bench, name: str, cost: int, at: datetime = AT) -> None:
    """Make an attempt that costs so much."""
    began = opening(name, started_at=at)
    assert isinstance(await bench.hold(began, amounts(0)), Held)
    await bench.ledger.settle(entry(began, cost), label_keys=LABEL_KEYS)


async def test_each_threshold_alerts_once_in_a_window(bench: Bench, queue: AlertQueue) -> None:
    """By spend, not by what is held; never again in the window, and anew in the next."""
    await bench.define(budget(mode=Mode.SOFT, thresholds_permille=THRESHOLDS))
    met = []
    for number, cost in enumerate([499, 1, 400, 500]):
        await bench.hold(opening(f"a{number}"), amounts(900))
        met.append(await shares(queue))
        await bench.ledger.settle(entry(opening(f"a{number}"), cost), label_keys=())
        met.append(await shares(queue))
    assert met == [[], [], [], [500], [], [800], [], [1000]]
    await spend(bench, "t", 2000, AT + A_DAY)
    assert await shares(queue) == [500, 800, 1000]


async def test_an_alert_has_the_sums_of_its_moment(bench: Bench, queue: AlertQueue) -> None:
    """Money exact beyond what a double holds in text, the window's end, and the instance as it was."""
    limit, name = 8_900_000_000_000_007, "a:b ü\n<!channel>"
    each_team = Scope(Kind.EACH_LABEL, "team")
    await bench.define(budget(scope=each_team, limit_nano_usd=limit, thresholds_permille=(999,)))
    began = opening("a", labels={"team": name})
    await bench.hold(began, amounts(0))
    await bench.ledger.settle(entry(began, limit - 3), label_keys=LABEL_KEYS)
    risky = opening("b", labels={"team": name})
    await bench.hold(risky, amounts(1, 2))
    assert await bench.holds.lose("b", AT, reason="cut")
    [alert] = await taken(queue)
    window = window_at(DAY, AT)
    assert (alert.budget_id, alert.instance) == ("b", name)
    assert (alert.window_key, alert.window_end) == (window.key, window.end)
    assert (alert.spent_nano_usd, alert.at_risk_nano_usd, alert.limit_nano_usd) == (limit - 3, 0, limit)
    assert abs(alert.raised_at - datetime.now(UTC)) < timedelta(minutes=1)


async def test_what_is_at_risk_counts(bench: Bench, queue: AlertQueue) -> None:
    """A lost attempt alerts at once, also one that has no record; what turns out cheaper alerts no more."""
    await bench.define(budget(thresholds_permille=THRESHOLDS))
    await bench.hold(opening("a"), amounts(100, 500))
    assert await bench.holds.lose("a", AT, reason="cut")
    assert [(a.threshold_permille, a.at_risk_nano_usd) for a in await taken(queue)] == [(500, 500)]
    charges = [charge_of(each) for each in bench.applications(opening("b"))]
    assert await bench.holds.lose("b", AT, reason="cut", unheld=(opening("b"), amounts(300), charges))
    assert await shares(queue) == [800]
    assert await bench.holds.resolve("a", AT)
    assert not (await bench.settle(entry(opening("b"), 10, state=RESOLVED))).duplicate
    await spend(bench, "c", 790)
    assert await shares(queue) == []
    await bench.hold(opening("d"), amounts(100))
    assert await bench.holds.lose("d", AT, reason="cut")
    assert not (await bench.settle(entry(opening("d"), 200, state=RESOLVED))).duplicate
    assert [(a.threshold_permille, a.spent_nano_usd) for a in await taken(queue)] == [(1000, 1000)]


async def test_holds_of_the_dead_alert_when_they_are_swept(store: Redis, queue: AlertQueue) -> None:
    """Nobody has to call for it."""
    dead, alive = Bench(store, "dead"), Bench(store, "alive")
    await dead.define(budget(thresholds_permille=THRESHOLDS))
    await dead.hold(opening("a"), amounts(900))
    assert await shares(queue) == []
    assert await alive.holds.sweep(AT + timedelta(minutes=1)) == 1
    assert await shares(queue) == [500, 800]


async def test_a_new_budget_alerts_for_what_was_spent_before(bench: Bench, queue: AlertQueue) -> None:
    """When it learns of it, once."""
    await bench.ledger.settle(entry(opening("old"), 850), label_keys=())
    await bench.define(budget(thresholds_permille=THRESHOLDS), created_at=AT)
    [application] = bench.applications(opening("a"))
    await bench.ask(opening("a"), amounts(1))
    assert await bench.holds.seed(
        application, await bench.ledger.spent(application, AT), version=bench.version
    )
    assert [(a.threshold_permille, a.spent_nano_usd) for a in await taken(queue)] == [(500, 850), (800, 850)]
    assert isinstance(await bench.hold(opening("a"), amounts(1)), Held)
    assert await shares(queue) == []


async def test_a_settlement_alerts_for_a_budget_that_no_hold_knew(bench: Bench, queue: AlertQueue) -> None:
    """Defined while the call ran: its first hold finds the sum."""
    began = opening("a")
    await bench.hold(began, amounts(1))
    await bench.define(budget(thresholds_permille=THRESHOLDS))
    charges = tuple(charge_of(each) for each in bench.applications(began))
    await bench.ledger.settle(entry(began, 600, charges=charges), label_keys=())
    await bench.hold(opening("b"), amounts(1))
    assert await shares(queue) == [500]


async def test_a_rule_of_an_older_version_waits_for_a_new_one(bench: Bench, store: Redis) -> None:
    """A balance that has one can be settled, and alerts at the next hold."""
    await bench.define(budget(thresholds_permille=(500, 1000)))
    await bench.hold(opening("a"), amounts(600))
    member = keys.balance_member(window_at(DAY, AT).key, "")
    await store.hset(keys.balance("b", member), mapping={"rule": "500:500 1000:1000", "next": "500"})
    await bench.ledger.settle(entry(opening("a"), 600), label_keys=())
    assert await shares(AlertQueue(store)) == []
    await bench.hold(opening("b"), amounts(1))
    assert await shares(AlertQueue(store)) == [500]


async def test_another_limit_alerts_anew(bench: Bench, queue: AlertQueue) -> None:
    """Lowered below what is spent it alerts at once; raised, its thresholds can be reached once more."""
    await bench.define(budget(thresholds_permille=(500, 1000)))
    await spend(bench, "a", 400)
    await bench.define(budget(limit_nano_usd=400, thresholds_permille=(500, 1000)))
    assert isinstance(await bench.hold(opening("b"), amounts(1)), Refused)
    lowered = await taken(queue)
    assert [alert.threshold_permille for alert in lowered] == [500, 1000]
    assert isinstance(await bench.hold(opening("b"), amounts(1)), Refused)
    await bench.define(budget(limit_nano_usd=800, mode=Mode.SOFT, thresholds_permille=(500, 1000)))
    await spend(bench, "c", 399)
    assert await shares(queue) == []
    await spend(bench, "d", 1)
    assert await shares(queue) == [1000]
    await bench.define(budget(limit_nano_usd=400, mode=Mode.SOFT, thresholds_permille=(500, 1000)))
    await spend(bench, "e", 0)
    await bench.define(budget(limit_nano_usd=2000, mode=Mode.SOFT, thresholds_permille=(500, 1000)))
    await spend(bench, "f", 200)
    [raised] = await taken(queue)
    assert (raised.threshold_permille, raised.limit_nano_usd) == (500, 2000)
    await bench.define(budget(limit_nano_usd=400, mode=Mode.SOFT, thresholds_permille=(500, 1000)))
    await spend(bench, "g", 0)
    assert [alert.id for alert in await taken(queue)] == [lowered[1].id]


async def test_a_rolling_window_alerts_again_after_a_window(bench: Bench, queue: AlertQueue) -> None:
    """Only what it was below of; and not each time that its sum swings around a threshold."""
    await bench.define(ROLLING)
    await spend(bench, "a", 450, AT - timedelta(minutes=30))
    await spend(bench, "b", 100)
    assert await shares(queue) == [500]
    await spend(bench, "c", 450, AT + timedelta(minutes=40))  # the first 450 have left: it crosses again
    assert await shares(queue) == []
    await spend(bench, "d", 50, AT + timedelta(minutes=61))  # the 100 have left: it crosses, a window later
    assert await shares(queue) == [500]
    await spend(bench, "e", 0, AT + timedelta(minutes=130))
    await spend(bench, "f", 900, AT + timedelta(minutes=131))
    alerts = await taken(queue)
    assert [(a.threshold_permille, a.spent_nano_usd) for a in alerts] == [(500, 900), (800, 900)]
    assert {a.window_key for a in alerts} == {"rolling-3600s"}


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.lists(st.integers(0, 700), max_size=8), min_size=1, max_size=3),
    st.lists(st.integers(1, 1500), min_size=1, max_size=5, unique=True).map(sorted),
)
async def test_alerts_say_what_is_true(valkey, windows, thresholds):
    """In each of several windows, each threshold that the sums pass alerts once, and never below it."""
    client = open_store(valkey)
    await client.flushdb()
    bench, queue = Bench(client), AlertQueue(client)
    await bench.define(budget(mode=Mode.SOFT, thresholds_permille=tuple(thresholds)))
    for number, costs in enumerate(windows):
        for index, cost in enumerate(costs):
            await spend(bench, f"{number}-{index}", cost, AT + number * A_DAY)
        alerts = await taken(queue)
        sums = pairwise([0, *accumulate(costs)])
        met = [at for before, after in sums for at in crossed(before, after, 1_000, thresholds)]
        assert [alert.threshold_permille for alert in alerts] == met
        for alert in alerts:
            assert alert.used_nano_usd * 1000 >= alert.threshold_permille * alert.limit_nano_usd
    await client.aclose()


async def test_no_threshold_is_no_alert(bench: Bench, queue: AlertQueue) -> None:
    """A budget may have none."""
    await bench.define(budget(mode=Mode.SOFT, thresholds_permille=()))
    await spend(bench, "a", 5000)
    assert await taken(queue) == []


async def test_a_claim_is_one_process_s_until_it_ends(bench: Bench, store: Redis) -> None:
    """Of three that ask at once each gets others; what the dead claimed is due again."""
    await bench.define(budget(mode=Mode.SOFT, thresholds_permille=tuple(range(1, 21))))
    await spend(bench, "a", 1000)
    queues = [AlertQueue(store) for _ in range(3)]
    got = await asyncio.gather(*(queue.claim(5) for queue in queues for _ in range(2)))
    assert sorted(each.alert().threshold_permille for some in got for each in some) == list(range(1, 21))
    assert await queues[0].claim(5) == []
    for some in got:
        for each in some:
            await queues[0].again(each, NOW)
    hasty = AlertQueue(store, claim=NOW)
    assert len(await hasty.claim(20)) == len(await queues[1].claim(20)) == 20


async def test_steps_of_an_alert_are_kept(bench: Bench, store: Redis) -> None:
    """New, told, failed so often; who comes too late with a step changes nothing."""
    await bench.define(budget(mode=Mode.SOFT, thresholds_permille=(1000,)))
    await spend(bench, "a", 1000)
    queue = AlertQueue(store, claim=NOW)
    [new] = await queue.claim(5)
    assert (new.is_new, new.failures) == (True, 0)
    told = await queue.told(new)
    assert (told.is_new, told.failures, told.alert()) == (False, 0, new.alert())
    await queue.told(new)
    assert await queue.claim(5) == [told]
    await queue.again(told, NOW)
    [failed] = await queue.claim(5)
    assert (failed.is_new, failed.failures, failed.alert()) == (False, 1, new.alert())
    await queue.again(failed, timedelta(hours=1))
    assert await queue.claim(5) == []
    await queue.done(failed.next)
    await queue.again(failed.next, NOW)
    assert await store.exists(keys.ALERTS) == 0


async def test_a_full_queue_lets_go_what_waits_longest(bench: Bench, store: Redis) -> None:
    """It is bounded, and the new alert names the one that went for it."""
    waiting = {f"1\n{n:016}\n00500\nid{n}\nx\n": 10**13 + n for n in range(10_000)}
    await store.zadd(keys.ALERTS, waiting)
    await bench.define(budget(mode=Mode.SOFT, thresholds_permille=(500, 1000)))
    await spend(bench, "a", 600)
    [alert] = [each.alert() for each in await AlertQueue(store).claim(5)]
    assert (alert.threshold_permille, alert.displaced_id) == (500, "id9999")
    assert await store.zcard(keys.ALERTS) == 10_000


async def test_without_a_crossing_nothing_is_written(bench: Bench, store: Redis) -> None:
    """Asking an empty queue leaves no trace."""
    await bench.define(budget(mode=Mode.SOFT))
    await spend(bench, "a", 1)
    assert await AlertQueue(store).claim(5) == []
    assert await store.exists(keys.ALERTS) == 0


def test_an_alert_counts_its_steps_in_its_first_line() -> None:
    """However many there were."""
    claimed = Claimed(b"9\nrest\n\n")
    assert claimed.next == Claimed(b"10\nrest\n\n")
    assert claimed.next.failures == 9
    assert replace(claimed, record=b"0\n").is_new
