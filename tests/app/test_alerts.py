"""Tests of delivering alerts: several processes on one real store, and a real receiver."""

from __future__ import annotations

import asyncio
import hmac
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from redis.asyncio import Redis
from structlog.testing import capture_logs

from costsvc.app.alerts import Alerting, Webhook
from costsvc.core.budget import Mode
from costsvc.edge.webhook import WebhookClient
from costsvc.metrics import Metrics
from costsvc.store import keys
from costsvc.store.alerts import AlertQueue
from costsvc.store.connection import open_store
from costsvc.store.embedded import EmbeddedValkey
from tests.receiver import Receiver
from tests.store.money import AT, Bench, amounts, budget, entry, opening

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"
SECRET = "whsec"
THRESHOLDS = (500, 800, 1000)
DAY = timedelta(days=1)


@dataclass
class Later:
    """The machine's clock, put forward."""

    by: timedelta = timedelta(0)

    def now(self) -> datetime:
        """Return the time."""
        return datetime.now(UTC) + self.by

    def monotonic(self) -> float:
        """Return seconds."""
        return asyncio.get_running_loop().time()


@dataclass
class Process:
    """One process that delivers alerts."""

    alerting: Alerting
    metrics: Metrics
    clock: Later = field(default_factory=Later)

    def counted(self, outcome: str) -> int:
        """Return how many webhooks ended so."""
        found = re.search(rf'alert_webhooks_total{{outcome="{outcome}"}} (\d+)', self.metrics.text().decode())
        return int(found[1]) if found else 0


@pytest.fixture(autouse=True)
def lines_can_be_captured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the logger, which an earlier test's configuration may have made its own."""
    monkeypatch.setattr("costsvc.app.alerts.log", structlog.get_logger())


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """Run a receiver."""
    async with Receiver() as running:
        yield running


@pytest.fixture
async def client() -> AsyncIterator[WebhookClient]:
    """Give the way to post, with little patience."""
    async with WebhookClient(timeout_s=0.2) as running:
        yield running


@pytest.fixture
def begin(receiver: Receiver, client: WebhookClient) -> Callable[..., Process]:
    """Give the way to begin a process on a store."""

    def begin(store: Redis, *, claim: timedelta = timedelta(seconds=30), **changes: Any) -> Process:
        metrics, clock = Metrics(), Later()
        parts: dict[str, Any] = {
            "queue": AlertQueue(store, claim=claim),
            "book": Bench(store).book,
            "webhook": Webhook(url=receiver.url, secret=SECRET.encode()),
            "post": client.post,
            "metrics": metrics,
            "clock": clock,
        }
        return Process(Alerting(**parts | changes), metrics, clock)

    return begin


async def spend(bench: Bench, name: str, cost: int, at: datetime = AT) -> None:
    """Make an attempt that costs so much."""
    began = opening(name, started_at=at)
    await bench.hold(began, amounts(0))
    await bench.ledger.settle(entry(began, cost), label_keys=())


async def cross(store: Redis, cost: int = 600, **changes: Any) -> Bench:
    """Define a budget of 1,000 and spend some of it."""
    bench = Bench(store)
    await bench.define(budget(mode=Mode.SOFT, thresholds_permille=THRESHOLDS, **changes))
    await spend(bench, "first", cost)
    return bench


async def at_work(*processes: Process, until: Coroutine[Any, Any, object]) -> None:
    """Let processes deliver as they do in the service, until something has happened."""
    tasks = [asyncio.ensure_future(process.alerting.keep_delivering()) for process in processes]
    await until
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def emptied(store: Redis) -> None:
    """Wait until no alert is left."""
    while await store.exists(keys.ALERTS):  # noqa: ASYNC110 - the store has no event
        await asyncio.sleep(0.005)


async def due_at_once(store: Redis) -> None:
    """Make what waits due."""
    for record in await store.zrange(keys.ALERTS, 0, -1):
        await store.zadd(keys.ALERTS, {record: 0})


def told(lines: list[Any]) -> list[tuple[str, int]]:
    """Return the log lines of alerts: window and threshold."""
    found = (line for line in lines if line["event"] == "budget_threshold")
    return sorted((line["window"], line["threshold_permille"]) for line in found)


async def test_three_processes_tell_once_of_each_threshold(store, valkey, receiver, begin, monkeypatch):
    """One line, one count and one webhook a crossing, over windows and replicas; crossing again is silent."""
    monkeypatch.setattr("costsvc.app.alerts.ASK_EVERY_S", 0.01)
    clients = [open_store(valkey) for _ in range(3)]
    processes = [begin(each) for each in clients]

    async def day(number: int) -> None:
        benches = [Bench(each, f"p{n}") for n, each in enumerate(clients)]
        for one in benches:
            await one.load()
        at = AT + number * DAY
        await asyncio.gather(*(spend(benches[n % 3], f"{number}-{n}", 100, at) for n in range(12)))
        await receiver.until(3 * number)

    async def work() -> None:
        await cross(store, 0)
        for number in (1, 2):
            await day(number)
        await emptied(store)

    with capture_logs() as lines:
        await at_work(*processes, until=work())
    windows = [f"day-2026030{n}T000000Z" for n in (5, 6)]
    assert told(lines) == [(window, at) for window in windows for at in THRESHOLDS]
    sent = Counter((each.table["window"], each.table["threshold_permille"]) for each in receiver.received)
    assert sent == Counter(told(lines))
    assert len({each.headers["X-Costsvc-Alert-Id"] for each in receiver.received}) == 6
    assert sum(process.counted("sent") for process in processes) == 6
    for each in clients:
        await each.aclose()


async def test_a_receiver_can_verify_what_it_gets(store, receiver, begin):
    """The example of the documentation takes it, and nothing that was changed."""
    await cross(store)
    assert await begin(store).alerting.deliver() == 1
    [received] = receiver.received
    [example] = re.findall(r"```python\n(.*?)```", OPERATIONS.read_text(), re.DOTALL)
    names: dict[str, Any] = {"hmac": hmac, "time": time}
    exec(example, names)
    header = received.headers["X-Costsvc-Signature"]
    assert names["is_ours"](SECRET.encode(), header, received.body)
    assert not names["is_ours"](SECRET.encode(), header, received.body + b" ")
    assert not names["is_ours"](b"another", header, received.body)
    assert not names["is_ours"](SECRET.encode(), header.replace("t=1", "t=0"), received.body)
    assert received.headers["X-Costsvc-Alert-Id"] == received.table["id"]
    assert received.headers["Content-Type"] == "application/json"


async def test_a_receiver_that_recovers_gets_it_then(store, receiver, begin):
    """It is told once, tried with pauses, always with the same id, and gone when it was taken."""
    await cross(store)
    process = begin(store)
    receiver.status = 503
    with capture_logs() as lines:
        for _ in range(3):
            assert await process.alerting.deliver() == 1
            assert await process.alerting.deliver() == 0
            await due_at_once(store)
        receiver.status = 204
        assert await process.alerting.deliver() == 1
    assert not await store.exists(keys.ALERTS)
    assert [line["event"] for line in lines] == ["budget_threshold", "alert_webhook_failed"]
    assert lines[1]["problem"] == "status 503"
    assert len({each.headers["X-Costsvc-Alert-Id"] for each in receiver.received}) == 1
    assert (process.counted("failed"), process.counted("sent")) == (3, 1)


@pytest.mark.parametrize(
    ("trouble", "problem"),
    [("hangs", "TimeoutError"), ("redirects", "status 307"), ("is gone", "ClientConnectorError")],
)
async def test_a_receiver_in_trouble_is_a_problem_of_its_own(store, receiver, begin, trouble, problem):
    """Its alert is due later, and others are sent; a redirect is not followed."""
    async with Receiver(hangs=trouble == "hangs", status=307 if trouble == "redirects" else 200) as bad:
        bench = Bench(store)
        url = "http://127.0.0.1:1/" if trouble == "is gone" else bad.url
        await bench.define(budget("bad", mode=Mode.SOFT, webhook_url=url))
        await cross(store, 500)
        process = begin(store)
        with capture_logs() as lines:
            assert await process.alerting.deliver() == 2
        assert {each.path for each in bad.received} <= {"/hook"}
    failed = [line for line in lines if line["event"] == "alert_webhook_failed"]
    assert [(line["budget_id"], line["problem"]) for line in failed] == [("bad", problem)]
    assert [each.table["budget_id"] for each in receiver.received] == ["b"]
    [(_, due_ms)] = await store.zrange(keys.ALERTS, 0, -1, withscores=True)
    assert due_ms / 1000 > datetime.now(UTC).timestamp() + 0.3


async def test_what_was_never_taken_is_dropped_loudly(store, receiver, begin):
    """After a day of tries, with a line and a count."""
    await cross(store)
    process = begin(store)
    receiver.status = 404
    process.clock.by = DAY - timedelta(minutes=1)
    with capture_logs() as lines:
        await process.alerting.deliver()
        await due_at_once(store)
        process.clock.by = DAY + timedelta(minutes=1)
        assert await process.alerting.deliver() == 1
    assert not await store.exists(keys.ALERTS)
    dropped = lines[-1]
    assert (dropped["event"], dropped["log_level"]) == ("alert_dropped", "error")
    assert (dropped["problem"], process.counted("dropped")) == ("status 404", 1)


async def test_what_a_dead_process_claimed_is_delivered_by_another(store, receiver, begin, monkeypatch):
    """Killed before it told anybody, or while it posted: the claim ends, and the next one goes on."""
    monkeypatch.setattr("costsvc.app.alerts.ASK_EVERY_S", 0.01)
    await cross(store)
    assert len(await AlertQueue(store, claim=timedelta(milliseconds=300)).claim(5)) == 1
    receiver.hangs = True

    async def killed() -> None:
        await receiver.until(1, taken=False)
        receiver.hangs = False

    with capture_logs() as lines:
        assert await begin(store).alerting.deliver() == 0
        await at_work(begin(store, claim=timedelta(milliseconds=300)), until=killed())
        await at_work(begin(store), until=receiver.until(1))
    assert told(lines) == [("day-20260304T000000Z", 500)]
    assert len(receiver.received) == 2


async def test_a_budget_s_own_url_replaces_the_other(store, receiver, begin):
    """As it is defined when the alert is sent: a wrong one can be corrected."""
    bench = await cross(store, webhook_url="http://127.0.0.1:1/")
    process = begin(store, webhook=Webhook(url=receiver.url))
    await process.alerting.deliver()
    assert receiver.received == []
    own = receiver.url.replace("/hook", "/own")
    await bench.define(budget(mode=Mode.SOFT, thresholds_permille=THRESHOLDS, webhook_url=own))
    await due_at_once(store)
    await process.alerting.deliver()
    [received] = receiver.received
    assert received.path == "/own"
    assert "X-Costsvc-Signature" not in received.headers


async def test_without_a_url_the_log_is_all(store, receiver, begin):
    """And the metric; nothing waits."""
    await cross(store, 1000)
    process = begin(store, webhook=Webhook())
    with capture_logs() as lines:
        assert await process.alerting.deliver() == 3
    assert [line["threshold_permille"] for line in lines] == list(THRESHOLDS)
    assert b'costsvc_budget_alerts_total{threshold_permille="800"} 1.0' in process.metrics.text()
    assert not await store.exists(keys.ALERTS)
    assert receiver.received == []


async def test_alerts_wait_while_the_store_is_away(tmp_path, receiver, begin, monkeypatch):
    """A store that is frozen, or restarted, still has them; asking it meanwhile harms nothing."""
    monkeypatch.setattr("costsvc.app.alerts.ASK_EVERY_S", 0.01)
    own = EmbeddedValkey(tmp_path / "own")
    await own.start()
    store = open_store(own.url)
    await cross(store)
    await own.stop()
    process = begin(store)
    with capture_logs() as lines:
        assert await process.alerting.deliver() == 0
        await own.start()
        await at_work(process, until=receiver.until(1))
    assert told(lines) == [("day-20260304T000000Z", 500)]
    await store.aclose()
    await own.stop()


async def test_one_bad_alert_does_not_hold_up_the_others(store, receiver, begin):
    """It is logged, and stays for a version that understands it."""
    await store.zadd(keys.ALERTS, {"0\nnonsense": 0})
    await cross(store)
    with capture_logs() as lines:
        assert await begin(store).alerting.deliver() == 2
    assert sorted(line["event"] for line in lines) == ["alert_failed", "budget_threshold"]
    assert len(receiver.taken) == 1
    assert await store.zcard(keys.ALERTS) == 1


async def test_what_a_full_queue_let_go_is_said(store, begin):
    """By whoever tells of the alert that took its place."""
    await store.zadd(keys.ALERTS, {f"1\n{n:016}\n00500\nid{n}\nx\n": 10**13 + n for n in range(10_000)})
    await cross(store)
    process = begin(store, webhook=Webhook())
    with capture_logs() as lines:
        await process.alerting.deliver()
    assert [line["event"] for line in lines] == ["budget_threshold", "alert_dropped"]
    assert (lines[1]["alert_id"], process.counted("dropped")) == ("id9999", 1)
