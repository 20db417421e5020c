"""Deferred requests from end to end: in a batch where one ends in time, alone where none does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import ParseDict
from redis.asyncio import Redis

from costsvc import v1
from costsvc.core.alert import sign
from costsvc.core.money import ceil_nano
from costsvc.provider_sim import RunningSim
from costsvc.store import deferred_keys
from tests.edge.conftest import Serve, Service
from tests.receiver import Receiver

SHIPPED = Path(v1.__file__).parent.parent / "data/policy.toml"
HASTY = """
[defer]
tasks = ["nightly"]
longest_wait_s = 1
webhook_urls = ["%s"]
"""
SECRET = "a secret"
OTHER = {"metadata": (("costsvc-tenant", "other"),)}


class Deferrer:
    """A client of a service that defers."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.stub = v1.BatchServiceStub(service.channel)

    async def defer(self, text: str = "x", *, tolerance_s: int = 86_400, **fields: Any) -> v1.Deferred:
        """Defer a request."""
        webhook_url = fields.pop("webhook_url", "")
        request = v1.DeferRequest(request=self.service.request(text, **fields), webhook_url=webhook_url)
        request.tolerance.FromSeconds(tolerance_s)
        return (await self.stub.Defer(request)).deferred

    async def get(self, deferred_id: str, **options: Any) -> v1.Deferred:
        """Return a request as it stands."""
        request = v1.GetDeferredRequest(deferred_id=deferred_id)
        return (await self.stub.GetDeferred(request, **options)).deferred

    async def cancel(self, deferred_id: str) -> v1.CancelDeferredResponse:
        """Take a request back."""
        return await self.stub.CancelDeferred(v1.CancelDeferredRequest(deferred_id=deferred_id))

    async def ended(self, deferred_id: str) -> list[v1.Deferred]:
        """Watch a request to its end."""
        request = v1.WatchDeferredRequest(deferred_id=deferred_id)
        return [seen.deferred async for seen in self.stub.WatchDeferred(request, timeout=30)]

    async def seen(self, deferred_id: str, state: int) -> v1.Deferred:
        """Wait until a request is in a state."""
        while (found := await self.get(deferred_id)).state != state:  # noqa: ASYNC110 - the store has no event
            await asyncio.sleep(0.02)
        return found

    async def in_one_batch(self, count: int, *, tolerance_s: int) -> list[v1.Deferred]:
        """Defer requests, and wait until the provider has all of them in a batch that takes over an hour."""
        sim = self.service.sim
        sim.settings.batch_delay_s = 4_000
        asked = [self.defer(f"question {n}", tolerance_s=tolerance_s, max_tokens=50) for n in range(count)]
        deferred = await asyncio.gather(*asked)
        sim.clock.advance(2)
        while not sim.batches.running():  # noqa: ASYNC110 - nor has the simulator
            await asyncio.sleep(0.02)
        return [await self.seen(each.deferred_id, v1.DEFERRED_STATE_IN_BATCH) for each in deferred]


@dataclass(frozen=True)
class Following:
    """The simulated provider's time, which tests move forward."""

    sim: RunningSim

    def now(self) -> datetime:
        """Return it."""
        return datetime.fromtimestamp(self.sim.clock.now_s(), UTC)

    def monotonic(self) -> float:
        """Return real seconds."""
        return time.monotonic()


def states(seen: list[v1.Deferred]) -> list[str]:
    """Return the states that a request went through."""
    return [v1.DeferredState.Name(each.state).removeprefix("DEFERRED_STATE_") for each in seen]


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """Run somebody who gets webhooks."""
    async with Receiver() as running:
        yield running


@pytest.fixture
async def hasty(serve: Serve, tmp_path: Path, receiver: Receiver) -> AsyncIterator[Deferrer]:
    """Give a service whose requests wait a second for others at most."""
    policy = tmp_path / "policy.toml"
    policy.write_text(SHIPPED.read_text() + HASTY % receiver.url.removesuffix("/hook"))
    async with serve(policy=policy, batches={"poll_s": 0.05}, alerts={"webhook_secret": SECRET}) as service:
        yield Deferrer(service)


@pytest.fixture
async def patient(serve: Serve, tmp_path: Path, sim: RunningSim) -> AsyncIterator[Deferrer]:
    """Give a service whose batches and tolerances go by the provider's clock."""
    policy = tmp_path / "policy.toml"
    policy.write_text(SHIPPED.read_text() + HASTY % "http://127.0.0.1")
    async with serve(Following(sim), policy=policy, batches={"poll_s": 0.05}) as service:
        yield Deferrer(service)


@pytest.fixture
async def unseen(serve: Serve, tmp_path: Path, sim: RunningSim) -> AsyncIterator[Deferrer]:
    """Give one that does not look at its batches by itself."""
    policy = tmp_path / "policy.toml"
    policy.write_text(SHIPPED.read_text() + HASTY % "http://127.0.0.1")
    async with serve(Following(sim), policy=policy, batches={"poll_s": 3_600}) as service:
        yield Deferrer(service)


async def test_a_request_that_may_wait_costs_half(hasty: Deferrer) -> None:
    """It goes into a batch, and its answer is what Complete would have returned, with its bill."""
    deferred = await hasty.defer("a question", labels={"team": "ops"}, task="nightly", request_id="r-1")
    assert (deferred.request_id, deferred.task) == ("r-1", "nightly")
    assert deferred.deadline_time.seconds - deferred.create_time.seconds == 86_400
    seen = await hasty.ended(deferred.deferred_id)
    assert states(seen) in (["QUEUED", "IN_BATCH", "ANSWERED"], ["QUEUED", "ANSWERED"])
    answered = seen[-1]
    assert answered.batch_id
    bill = answered.response.bill
    assert answered.response.text
    assert answered.response.decision.model == answered.response.model
    (entry,) = await hasty.service.booked()
    assert (entry.task, entry.request_id, entry.service_tier) == ("nightly", "r-1", "batch")
    assert entry.cost_nano_usd == bill.cost_nano_usd == bill.savings.batch_nano_usd
    assert [ceil_nano(line.pico_usd) for line in hasty.service.sim.bill.lines()] == [bill.cost_nano_usd]


async def test_a_request_that_cannot_wait_for_a_batch_is_sent_alone(hasty: Deferrer) -> None:
    """At once, at the standard price: a minute is too short."""
    deferred = await hasty.defer(tolerance_s=60, max_tokens=2000)
    seen = await hasty.ended(deferred.deferred_id)
    assert states(seen)[-1] == "ANSWERED"
    assert not seen[-1].batch_id
    (entry,) = await hasty.service.booked()
    assert entry.request_id == deferred.deferred_id
    assert entry.cost_nano_usd == seen[-1].response.bill.cost_nano_usd > 0
    assert entry.savings.batch_nano_usd == 0


async def test_repeating_defer_gets_the_same_request(hasty: Deferrer, refused: Callable[..., Any]) -> None:
    """Also after its answer; another request under its id is refused."""
    first = await hasty.defer("a question", request_id="r-1")
    assert (await hasty.defer("a question", request_id="r-1")).deferred_id == first.deferred_id
    (*_, answered) = await hasty.ended(first.deferred_id)
    again = await hasty.defer("a question", request_id="r-1", tolerance_s=60)
    assert again == answered
    refusal = await refused(hasty.defer("another question", request_id="r-1"))
    assert refusal.reason == "REQUEST_ID_REUSED"
    await hasty.service.booked()


async def test_only_its_tenant_sees_a_request(hasty: Deferrer, refused: Callable[..., Any]) -> None:
    """For others it is as unknown as one that never was."""
    deferred = await hasty.defer()
    for refusal in (
        await refused(hasty.get(deferred.deferred_id, **OTHER)),
        await refused(hasty.get("dfr_" + "0" * 32)),
    ):
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "UNKNOWN_DEFERRED")


@pytest.mark.parametrize(
    ("fields", "cause"),
    [
        ({"conversation_id": "c"}, "conversation_id"),
        ({"accept": v1.Accept(min_chars=1)}, "accept"),
        ({"cache_mode": "CACHE_MODE_ONLY"}, "cache_mode"),
        ({"body": {"messages": [{"role": "user", "content": "x"}], "speed": "fast"}}, "speed"),
        ({"body": {"messages": [{"role": "assistant", "content": "x"}]}}, "messages"),
    ],
)
async def test_what_does_not_stand_alone_is_refused(
    hasty: Deferrer, refused: Callable[..., Any], fields: dict[str, Any], cause: str
) -> None:
    """With what is in the way; nothing is taken in."""
    refusal = await refused(hasty.defer(**fields))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "NOT_DEFERRABLE")
    assert refusal.metadata["cause"].startswith(cause)
    assert await hasty.service.untouched()


async def test_nothing_is_deferred_where_the_provider_may_keep_nothing(
    serve: Serve, tmp_path: Path, refused: Callable[..., Any]
) -> None:
    """It keeps the results of batches for weeks."""
    policy = tmp_path / "policy.toml"
    policy.write_text(SHIPPED.read_text().replace("zero_retention = false", "zero_retention = true"))
    async with serve(policy=policy) as service:
        refusal = await refused(Deferrer(service).defer())
        assert refusal.reason == "NOT_DEFERRABLE"
        assert refusal.metadata["cause"].startswith("zero_retention")


async def test_bad_fields_are_refused_by_name(hasty: Deferrer, refused: Callable[..., Any]) -> None:
    """A tolerance that nothing can keep, a webhook where policy wants none, and a model that there is not."""
    too_short = await refused(hasty.defer(tolerance_s=59))
    elsewhere = await refused(hasty.defer(webhook_url="http://127.0.0.1:1/internal"))
    no_url = await refused(hasty.defer(webhook_url="nowhere"))
    assert [*too_short.violations, *elsewhere.violations, *no_url.violations] == [
        "tolerance",
        "webhook_url",
        "webhook_url",
    ]
    streams = await refused(
        hasty.defer(body={"messages": [{"role": "user", "content": "x"}], "stream": True})
    )
    assert [*streams.violations] == ["request.messages_json.stream"]
    unknown = await refused(hasty.defer(model="claude-none"))
    assert unknown.reason == "UNKNOWN_MODEL"


async def test_policy_has_tasks_that_are_always_deferred(
    hasty: Deferrer, refused: Callable[..., Any]
) -> None:
    """Complete and StreamComplete refuse them, before anything is spent."""
    for call in (hasty.service.complete(task="nightly"), hasty.service.stream(task="nightly")):
        refusal = await refused(call)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "MUST_DEFER")
        assert refusal.metadata == {"task": "nightly"}
    assert await hasty.service.untouched()


async def test_a_request_can_be_taken_back(hasty: Deferrer, sim: RunningSim) -> None:
    """In the queue it costs nothing; in a batch it may, and then it is booked."""
    sim.settings.batch_delay_s = 3_600
    deferred = await hasty.defer()
    sent = await hasty.seen(deferred.deferred_id, v1.DEFERRED_STATE_IN_BATCH)
    canceled = await hasty.cancel(sent.deferred_id)
    assert (canceled.deferred.state, canceled.may_be_billed) == (v1.DEFERRED_STATE_CANCELED, True)
    again = await hasty.cancel(sent.deferred_id)
    assert (again.deferred, again.may_be_billed) == (canceled.deferred, False)


async def test_a_budget_without_room_refuses_at_once(hasty: Deferrer, refused: Callable[..., Any]) -> None:
    """Nothing is held for what waits: a request that has room now is taken in, however many do."""
    budget = {
        "id": "b",
        "scope": {"kind": "BUDGET_KIND_EVERYTHING"},
        "window": {"calendar": {"unit": "CALENDAR_UNIT_MONTH", "zone": "UTC"}},
        "limit_nano_usd": 1000,
        "mode": "BUDGET_MODE_HARD",
    }
    await hasty.service.admin.SetBudget(ParseDict({"budget": budget}, v1.SetBudgetRequest()))
    await hasty.service.running.parts.holding.load()
    refusal = await refused(hasty.defer())
    assert refusal.reason == "BUDGET_EXCEEDED"
    assert await hasty.service.untouched()


async def test_an_end_is_posted_and_signed(hasty: Deferrer, receiver: Receiver) -> None:
    """Until somebody takes it, always with the same id; the body says nothing of what was asked."""
    receiver.status = 500
    deferred = await hasty.defer("a secret", webhook_url=receiver.url, request_id="r-1", task="nightly")
    await receiver.until(1, taken=False)
    receiver.status = 200
    await receiver.until(1)
    assert len(receiver.received) == 2
    for post in receiver.received:
        assert post.headers["X-Costsvc-Deferred-Id"] == deferred.deferred_id
        sent_s = int(post.headers["X-Costsvc-Signature"].split(",")[0].removeprefix("t="))
        signature = sign(SECRET.encode(), post.body, datetime.fromtimestamp(sent_s, UTC))
        assert post.headers["X-Costsvc-Signature"] == signature
        table = dict(post.table)
        assert table.pop("time")
        assert table == {
            "type": "deferred_ended",
            "deferred_id": deferred.deferred_id,
            "state": "answered",
            "tenant": "default",
            "request_id": "r-1",
            "task": "nightly",
        }


async def test_what_the_provider_refuses_fails(hasty: Deferrer) -> None:
    """With the error that Complete would have raised; it is not sent again."""
    body = {"messages": [{"role": "user", "content": [{"type": "text", "text": ""}]}], "max_tokens": 10}
    (*_, failed) = await hasty.ended((await hasty.defer(body=body)).deferred_id)
    assert failed.state == v1.DEFERRED_STATE_FAILED
    assert failed.error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]


async def test_a_slow_batch_is_left_in_time(patient: Deferrer, sim: RunningSim) -> None:
    """It is canceled while its request can still be sent alone, which is paid once."""
    deferred = await patient.in_one_batch(1, tolerance_s=3_600)
    sim.clock.advance(3_600 - 80)
    (*_, answered) = await patient.ended(deferred[0].deferred_id)
    assert answered.state == v1.DEFERRED_STATE_ANSWERED
    assert answered.end_time.seconds < answered.deadline_time.seconds
    (entry,) = await patient.service.booked()
    assert (entry.service_tier, len(sim.bill.lines())) == ("standard", 1)


async def test_what_a_batch_answers_too_late_is_its_loss(unseen: Deferrer, sim: RunningSim) -> None:
    """What was sent alone meanwhile counts as the answer; the batch's cost is taken from its savings."""
    deferred = await unseen.in_one_batch(3, tolerance_s=3_600)
    sim.clock.advance(3_600 - 15)
    for each in deferred:
        (*_, answered) = await unseen.ended(each.deferred_id)
        assert answered.state == v1.DEFERRED_STATE_ANSWERED
        assert answered.response.bill.savings.batch_nano_usd == 0
    sim.clock.advance(1)
    await unseen.service.running.parts.batches.poller.poll()
    entries = await unseen.service.booked(5)
    late = [entry for entry in entries if entry.service_tier == "batch"]
    assert len(late) == 2
    for entry in late:
        assert (entry.baseline_nano_usd, entry.savings.batch_nano_usd) == (0, -entry.cost_nano_usd)
        assert entry.cost_nano_usd > 0
    bill = sorted(ceil_nano(line.pico_usd) for line in sim.bill.lines())
    assert sorted(entry.cost_nano_usd for entry in entries) == bill


async def test_what_is_erased_fails(hasty: Deferrer, store: Redis) -> None:
    """Its tenant wants nothing of it kept, so there is nothing to send."""
    deferred = await hasty.defer()
    await store.delete(deferred_keys.request(f"default:{deferred.deferred_id}"))
    (*_, failed) = await hasty.ended(deferred.deferred_id)
    assert failed.state == v1.DEFERRED_STATE_FAILED
    assert await hasty.service.untouched()


async def test_a_service_that_stops_hands_over_the_queue(serve: Serve, store: Redis) -> None:
    """Another one leads at once, and need not wait for a lease to end."""
    async with serve():
        while await store.get(deferred_keys.LEADER) is None:  # noqa: ASYNC110 - the store has no event
            await asyncio.sleep(0.02)
    assert await store.get(deferred_keys.LEADER) is None
