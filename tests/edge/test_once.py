"""Tests of calls with a request id: asked twice, answered twice, paid once."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from aiohttp import web

from costsvc import v1
from costsvc.core.request import ModelRequest, simple_members
from costsvc.core.same_request import fingerprint
from costsvc.store import keys
from costsvc.store.claims import Claim, Claims
from costsvc.store.connection import open_store
from costsvc.store.embedded import EmbeddedValkey
from costsvc.store.leases import LEASE, Lease
from tests.edge.conftest import QUESTION
from tests.policies import uncached

Code = grpc.StatusCode
EVENTS = v1.STREAM_FORMAT_PROVIDER_EVENTS
ONCE = {"task": "faq", "request_id": "r-1"}


async def provider_works(service) -> None:
    """Wait until a call is on the provider's bill."""
    while not service.sim.bill.lines():  # noqa: ASYNC110 - the bill has no event
        await asyncio.sleep(0.002)


async def calls_run(service, count: int) -> None:
    """Wait until so many RPCs run."""
    registry = service.running.parts.calls.metrics.registry
    while registry.get_sample_value("costsvc_in_flight_calls") < count:  # noqa: ASYNC110 - nor has a gauge
        await asyncio.sleep(0.002)


async def paid_once(service) -> None:
    """Check that there was one call, and one entry of its cost."""
    [entry] = await service.booked()
    assert {entry.attempt_id: entry.cost_nano_usd} == service.bill()


def said(answer: Any) -> dict[str, Any]:
    """Return what an answer says, of either RPC: the same words wherever it was given."""
    if isinstance(answer, v1.CompleteResponse):
        return {
            "id": answer.response_id,
            "provider": answer.provider_request_id,
            "message": json.loads(answer.message_json),
            "text": answer.text,
            "bill": answer.bill,
            "decision": answer.decision,
            "more": (answer.stop_reason, answer.attempt_count, answer.model),
        }
    started, completed = answer[0].started, answer[-1].completed
    return {
        "id": started.response_id,
        "provider": started.provider_request_id,
        "message": json.loads(completed.message_json),
        "text": "".join(event.text_delta for event in answer[1:-1]),
        "bill": completed.bill,
        "decision": started.decision,
        "more": (completed.stop_reason, completed.attempt_count, completed.model),
    }


def is_replay(answer: Any) -> bool:
    """Tell whether an answer says that it is one."""
    return answer.replayed if isinstance(answer, v1.CompleteResponse) else answer[0].started.replayed


class Gate:
    """A provider that answers when it is told to, with a text or an error of the test's choice."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.text = "yes"
        self.status = 200
        self.request_count = 0
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        """Answer once the gate is open."""
        await request.read()
        self.request_count += 1
        await self.open.wait()
        if self.status != 200:
            error = {"type": "invalid_request_error", "message": "No."}
            return web.json_response({"type": "error", "error": error}, status=self.status)
        message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-haiku-5-5"}
        message |= {"content": [{"type": "text", "text": self.text}], "stop_reason": "end_turn"}
        return web.json_response(message | {"usage": {"input_tokens": 5, "output_tokens": 9}})


@pytest.fixture
async def gate() -> AsyncIterator[Gate]:
    """Run a provider whose answers wait for the test."""
    provider = Gate()
    app = web.Application()
    app.router.add_post("/v1/messages", provider.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    provider.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield provider
    provider.open.set()
    await runner.cleanup()


@pytest.fixture
def policy(tmp_path):
    """Give the way to settings with one attempt a call and a policy for lost answers."""

    def write(on_unknown: str) -> dict[str, Any]:
        path = tmp_path / f"{on_unknown}.toml"
        text = uncached().replace("max_attempts = 3", "max_attempts = 1")
        text = text.replace('on_unknown = "retry"', f'on_unknown = "{on_unknown}"')
        before, after = text.split("[fallbacks]")
        path.write_text(before + after.split("\n\n", 1)[1])
        return {"policy": path}

    return write


@pytest.mark.parametrize("second", ["complete", "stream"])
@pytest.mark.parametrize("first", ["complete", "stream"])
async def test_a_repeat_gets_the_first_answer_again(service, first, second):
    """In either form: the same words, ids, bill and decision, marked as said again, and paid once."""
    answer = await getattr(service, first)(**ONCE)
    again = await getattr(service, second)(**ONCE)
    assert said(again) == said(answer)
    assert (is_replay(answer), is_replay(again)) == (False, True)
    await paid_once(service)


@pytest.mark.parametrize("first", ["complete", "stream"])
async def test_repeats_join_the_running_call(service, first):
    """Many at once, in both forms: one attempt, one bill, one answer, and one that is not marked."""
    service.sim.settings.token_s = 0.001
    running = asyncio.ensure_future(getattr(service, first)(**ONCE))
    await provider_works(service)
    repeats = [getattr(service, random.choice(["complete", "stream"]))(**ONCE) for _ in range(20)]
    answer, *again = await asyncio.gather(running, *repeats)
    assert all(said(each) == said(answer) for each in again)
    assert [is_replay(answer), *map(is_replay, again)] == [False, *[True] * 20]
    await paid_once(service)


async def test_a_replayed_stream_has_the_providers_events(service):
    """What is said again is a well-formed stream, which adds up to the message."""
    answer = await service.complete(task="reasoning", request_id="r-1")
    events = await service.stream(task="reasoning", request_id="r-1", form=EVENTS)
    passed = [json.loads(raw) for event in events for raw in event.provider_events.event_json]
    assert (passed[0]["type"], passed[-1]["type"]) == ("message_start", "message_stop")
    text = "".join(e["delta"]["text"] for e in passed if e.get("delta", {}).get("type") == "text_delta")
    assert text == answer.text
    assert events[-1].completed.message_json == answer.message_json


async def test_without_an_id_every_call_is_its_own(service):
    """Who does not name a call means another one."""
    first, second = await asyncio.gather(service.complete(task="faq"), service.complete(task="faq"))
    assert first.response_id != second.response_id
    assert (first.replayed, second.replayed) == (False, False)
    await service.booked(2)


async def test_tenants_do_not_meet(service):
    """The same id of another tenant is another call, whose answer is its own."""
    options = {"metadata": (("costsvc-tenant", "acme"),)}
    first, second = await service.complete(**ONCE), await service.complete(**ONCE, options=options)
    assert first.response_id != second.response_id
    await service.booked(2)


async def test_the_log_says_that_it_is_a_repeat(service):
    """The line of a repeat has no cost: the sum over the log is the sum of the bills."""
    answer = await service.complete(**ONCE)
    await service.stream(**ONCE)
    first, second = service.lines()
    assert "replayed" not in first
    assert first["cost_nano_usd"] == answer.bill.cost_nano_usd
    assert (second["replayed"], second["cost_nano_usd"], second["saved_nano_usd"]) == (True, 0, 0)
    assert second["response_id"] == answer.response_id
    registry = service.running.parts.calls.metrics.registry
    assert registry.get_sample_value("costsvc_replays_total", {"source": "kept"}) == 1
    assert registry.get_sample_value("costsvc_replays_total", {"source": "joined"}) is None


@pytest.mark.parametrize("rpc", ["complete", "stream"])
async def test_another_request_with_the_id_is_refused(service, refused, rpc):
    """While the first runs and when it is answered; nothing is spent."""
    service.sim.settings.token_s = 0.001
    running = asyncio.ensure_future(service.complete(**ONCE))
    await provider_works(service)
    for _ in range(2):
        found = await refused(getattr(service, rpc)("Something else?", **ONCE))
        assert (found.code, found.reason) == (Code.INVALID_ARGUMENT, "REQUEST_ID_REUSED")
        assert found.violations.keys() == {"request.request_id"}
        await running
    await paid_once(service)


async def test_labels_do_not_make_another_request(service):
    """A repeat may be labelled in another way: its cost is booked already."""
    first = await service.complete(**ONCE, labels={"team": "a"})
    second = await service.complete(**ONCE, labels={"team": "b"})
    assert first.response_id == second.response_id


@pytest.mark.parametrize("rpc", ["complete", "stream"])
@pytest.mark.parametrize(("status", "reason"), [(400, "PROVIDER_REJECTED"), (404, "PROVIDER_NOT_FOUND")])
async def test_a_failure_that_spent_nothing_frees_the_id(service, refused, rpc, status, reason):
    """The next call with it runs, and may even ask something else."""
    service.sim.faults.add("error", status=status)
    assert (await refused(getattr(service, rpc)(**ONCE))).reason == reason
    answer = await service.complete("Something else?", **ONCE)
    assert not answer.replayed
    await paid_once(service)


async def test_who_joined_a_call_that_is_refused_is_refused_with_it(serve, gate, refused):
    """One attempt fails for all who wait for it."""
    async with serve(upstream_url=gate.url) as service:
        gate.status = 400
        calls = [asyncio.ensure_future(refused(service.complete(**ONCE))) for _ in range(5)]
        await calls_run(service, 5)
        gate.open.set()
        found = await asyncio.gather(*calls)
        assert {each.reason for each in found} == {"PROVIDER_REJECTED"}
        assert gate.request_count == 1


@pytest.mark.parametrize("rpc", ["complete", "stream"])
async def test_a_lost_answer_runs_again_where_policy_says_so(serve, policy, refused, rpc):
    """It may have been charged, and is at risk; the repeat is answered, and paid."""
    async with serve(**policy("retry")) as service:
        service.sim.faults.add("cut_after_headers")
        assert (await refused(getattr(service, rpc)(**ONCE))).metadata["may_have_spent"] == "true"
        answer = await getattr(service, rpc)(**ONCE)
        assert not is_replay(answer)
        assert len(service.lines("request_runs_again")) == 1
        await service.booked()


@pytest.mark.parametrize("rpc", ["complete", "stream"])
async def test_a_lost_answer_stays_lost_where_policy_says_so(serve, policy, refused, rpc):
    """A repeat, of any replica, is told that the first may have spent, and nothing is sent."""
    async with serve(**policy("fail")) as service:
        service.sim.faults.add("cut_after_headers")
        assert (await refused(getattr(service, rpc)(**ONCE))).metadata["may_have_spent"] == "true"
        found = await refused(getattr(service, rpc)(**ONCE))
        assert (found.code, found.reason) == (Code.FAILED_PRECONDITION, "OUTCOME_UNKNOWN")
        assert (found.metadata["may_have_spent"], found.pushback) == ("true", "-1")
        assert len(service.sim.bill.lines()) == 1
        assert not (await service.complete(task="faq", request_id="r-2")).replayed


@pytest.mark.parametrize(("on_unknown", "attempts"), [("retry", 2), ("fail", 1)])
async def test_who_waits_for_an_answer_that_is_lost_follows_policy(
    serve, policy, refused, on_unknown, attempts
):
    """One of those who wait runs it again for all of them, or all are told that it may have spent."""
    async with serve(**policy(on_unknown)) as service:
        service.sim.settings.token_s = 0.001
        service.sim.faults.add("cut_mid_stream")
        first = asyncio.ensure_future(refused(service.complete(**ONCE)))
        await provider_works(service)
        waiting = [asyncio.ensure_future(service.complete(**ONCE)) for _ in range(3)]
        assert (await first).metadata["may_have_spent"] == "true"
        if on_unknown == "retry":
            answers = await asyncio.gather(*waiting)
            assert sorted(answer.replayed for answer in answers) == [False, True, True]
            assert len({answer.response_id for answer in answers}) == 1
        else:
            found = await asyncio.gather(*map(refused, waiting))
            assert {each.reason for each in found} == {"OUTCOME_UNKNOWN"}
        assert len(service.sim.bill.lines()) == attempts


async def test_an_answer_is_given_until_its_time_and_then_its_cost(serve, refused):
    """After `answer_ttl_s` a repeat fails with the entry and what it cost, and pays nothing."""
    async with serve(answer_ttl_s=0.2) as service:
        answer = await service.complete(**ONCE)
        with suppress(grpc.aio.AioRpcError):
            while (await service.complete(**ONCE)).replayed:
                pass
        for rpc in (service.complete, service.stream):
            found = await refused(rpc(**ONCE))
            assert (found.code, found.reason) == (Code.ALREADY_EXISTS, "ALREADY_ANSWERED")
            [entry] = await service.booked()
            assert found.metadata == {
                "entry_id": entry.entry_id,
                "cost_nano_usd": str(answer.bill.cost_nano_usd),
            }
        await paid_once(service)


async def test_an_answer_that_is_too_large_is_not_kept(serve, gate, refused):
    """Who waits for it gets it; who comes later is told what it cost."""
    gate.text = random.Random(7).randbytes(100_000).hex()
    async with serve(upstream_url=gate.url) as service:
        calls = [asyncio.ensure_future(service.complete(**ONCE)) for _ in range(3)]
        await calls_run(service, 3)
        gate.open.set()
        assert {answer.text for answer in await asyncio.gather(*calls)} == {gate.text}
        found = await refused(service.complete(**ONCE))
        assert found.reason == "ALREADY_ANSWERED"
        assert gate.request_count == 1


@pytest.mark.parametrize("rpc", ["complete", "stream"])
async def test_a_caller_whose_connection_broke_gets_its_answer(service, rpc):
    """It comes back with the same id, and finds the call still running, or answered."""
    service.sim.settings.token_s = 0.001
    request = service.request(**ONCE)
    if rpc == "complete":
        first = service.stub.Complete(v1.CompleteRequest(request=request))
    else:
        first = service.stub.StreamComplete(v1.StreamCompleteRequest(request=request))
    await provider_works(service)
    first.cancel()
    await service.line()
    for _ in range(2):
        assert is_replay(await getattr(service, rpc)(**ONCE))
    await paid_once(service)


@pytest.mark.parametrize("rpc", ["complete", "stream"])
async def test_a_repeat_gets_the_answer_of_a_caller_who_left(service, rpc):
    """The first caller goes while another waits: the call goes on, for the one who is still there."""
    service.sim.settings.token_s = 0.001
    request = service.request(**ONCE)
    if rpc == "complete":
        first = service.stub.Complete(v1.CompleteRequest(request=request))
    else:
        first = service.stub.StreamComplete(v1.StreamCompleteRequest(request=request))
    await provider_works(service)
    second = asyncio.ensure_future(service.stream(**ONCE))
    await calls_run(service, 2)
    first.cancel()
    answer = await second
    assert is_replay(answer)
    assert answer[-1].completed.stop_reason == "end_turn"
    await paid_once(service)


async def test_a_repeat_waits_no_longer_than_its_own_deadline(service):
    """Its time is its own; the running call is left alone, and the next repeat gets the answer."""
    service.sim.settings.token_s = 0.005
    running = asyncio.ensure_future(service.complete(**ONCE))
    await provider_works(service)
    began = time.monotonic()
    found = await refused_status(service.complete(**ONCE, options={"timeout": 0.1}))
    assert found is Code.DEADLINE_EXCEEDED
    assert time.monotonic() - began < 1
    answer = await running
    assert (await service.complete(**ONCE)).response_id == answer.response_id
    await paid_once(service)


async def refused_status(call: Any) -> grpc.StatusCode:
    """Await a call that must fail, with a status of ours or of the client's own."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code()


@pytest.fixture
async def two(serve, tmp_path):
    """Run two replicas on one store."""
    async with serve() as one, serve(data_dir=tmp_path / "two") as other:
        yield one, other


async def test_replicas_answer_once_together(two):
    """Repeats on another replica wait for the call that runs on the first, and pay nothing."""
    one, other = two
    one.sim.settings.token_s = 0.001
    running = asyncio.ensure_future(one.complete(**ONCE))
    await provider_works(one)
    repeats = [getattr(each, rpc)(**ONCE) for each in two for rpc in ("complete", "stream") for _ in range(5)]
    answer, *again = await asyncio.gather(running, *repeats)
    assert all(said(each) == said(answer) for each in again)
    assert all(map(is_replay, again))
    await paid_once(one)
    assert said(await other.complete(**ONCE)) == said(answer)


async def test_many_at_once_on_two_replicas_are_one(two):
    """Whoever comes first, one call is made for each id."""
    calls = [two[n % 2].complete(task="faq", request_id=f"r-{n % 5}") for n in range(50)]
    answers = await asyncio.gather(*calls)
    for n in range(5):
        assert len({answer.response_id for answer in answers[n::5]}) == 1
    assert sorted(answer.replayed for answer in answers) == [False] * 5 + [True] * 45
    await two[0].booked(5)
    assert len(two[0].sim.bill.lines()) == 5


async def test_another_replica_knows_what_the_id_stands_for(two, refused):
    """Payload, policy and failures count across replicas."""
    one, other = two
    await one.complete(**ONCE)
    assert (await refused(other.complete("Another?", **ONCE))).reason == "REQUEST_ID_REUSED"
    one.sim.faults.add("error", status=400)
    await refused(one.complete(task="faq", request_id="r-2"))
    assert not (await other.complete("Another?", task="faq", request_id="r-2")).replayed


async def test_a_call_that_fails_elsewhere_is_run_by_who_waits_for_it(two, gate, serve, tmp_path, refused):
    """The other replica's waiting call runs once the id is free, with the time that is left."""
    async with serve(upstream_url=gate.url, data_dir=tmp_path / "three") as failing:
        gate.status = 400
        first = asyncio.ensure_future(refused(failing.complete(**ONCE)))
        while not gate.request_count:  # noqa: ASYNC110 - a count has no event
            await asyncio.sleep(0.002)
        second = asyncio.ensure_future(two[0].complete(**ONCE))
        await calls_run(two[0], 1)
        gate.open.set()
        assert (await first).reason == "PROVIDER_REJECTED"
        assert not (await second).replayed
        await paid_once(two[0])


async def test_who_waits_for_another_replica_alone_and_leaves_runs_nothing(two, gate, serve, tmp_path):
    """A call that nobody waits for any more is not made when the id becomes free."""
    async with serve(upstream_url=gate.url, data_dir=tmp_path / "three") as failing:
        gate.status = 400
        first = asyncio.ensure_future(refused_status(failing.complete(**ONCE)))
        while not gate.request_count:  # noqa: ASYNC110 - a count has no event
            await asyncio.sleep(0.002)
        second = two[0].stub.Complete(v1.CompleteRequest(request=two[0].request(**ONCE)))
        while not two[0].running.parts.in_flight:  # noqa: ASYNC110 - nor has a set
            await asyncio.sleep(0.002)
        second.cancel()
        await two[0].line()
        gate.open.set()
        assert await first is Code.INVALID_ARGUMENT
        while two[0].running.parts.in_flight:  # noqa: ASYNC110 - nor has a set
            await asyncio.sleep(0.002)
        assert await two[0].untouched()


def claim_of_the_dead() -> Claim:
    """Return the claim that a call of ONCE makes."""
    asked = ModelRequest(members=simple_members("", [("user", QUESTION)], None), task="faq")
    return Claim(tenant="default", request_id="r-1", fingerprint=fingerprint(asked), token="dead")


@pytest.mark.parametrize("on_unknown", ["retry", "fail"])
async def test_the_call_of_a_process_that_died_is_taken_over(serve, store, policy, refused, on_unknown):
    """Once nobody believes any more that it lives, policy decides: the dead process may have spent."""
    at = datetime.now(UTC) - LEASE + timedelta(seconds=1)
    dead = Claims(store, Lease(store, owner="dead"))
    async with serve(**policy(on_unknown)) as service:
        not_after = datetime.now(UTC) + timedelta(seconds=9)
        await dead.claim(claim_of_the_dead(), now=at, not_after=not_after, repeats_lost=True)
        if on_unknown == "retry":
            answer, again = await asyncio.gather(service.complete(**ONCE), service.complete(**ONCE))
            assert sorted([answer.replayed, again.replayed]) == [False, True]
            await paid_once(service)
        else:
            assert (await refused(service.complete(**ONCE))).reason == "OUTCOME_UNKNOWN"
            assert await service.untouched()


async def test_an_answer_that_was_kept_and_not_booked_is_booked_by_its_repeat(service, store):
    """A process died in between: the repeat gets the answer, and the ledger gets its entry, once."""
    answer = await service.complete(**ONCE)
    kept = keys.claim("default", "r-1"), keys.kept_answer("default", "r-1")
    copies = [await store.dump(key) for key in kept]
    await service.booked()
    await store.flushdb()
    for key, copy in zip(kept, copies, strict=True):
        await store.restore(key, 60_000, copy)
    assert not await service.entries()
    for _ in range(2):
        assert said(await service.complete(**ONCE)) == said(answer)
    await paid_once(service)


@pytest.fixture
async def own(tmp_path) -> AsyncIterator[EmbeddedValkey]:
    """Run a store of the test's own, which it may freeze."""
    async with EmbeddedValkey(tmp_path / "own") as server:
        yield server


@pytest.mark.parametrize("rpc", ["complete", "stream"])
async def test_while_the_store_is_away_one_process_still_answers_once(serve, own, refused, rpc):
    """Calls that run together are one; nothing fails; afterwards the id is known again."""
    async with serve(redis_url=own.url) as service:
        os.kill(own.pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            calls = [getattr(service, rpc)(**ONCE) for _ in range(10)]
            answers = await asyncio.gather(*calls)
            assert time.monotonic() - began < 0.6
            assert len({said(answer)["id"] for answer in answers}) == 1
            assert sorted(map(is_replay, answers)) == [False] + [True] * 9
            assert len(service.sim.bill.lines()) == 1
        finally:
            os.kill(own.pid, signal.SIGCONT)
        await paid_once(service)
        endings = service.running.parts.once.claiming.endings
        while endings._untold:  # noqa: ASYNC110 - told in the background
            await asyncio.sleep(0.01)
        assert (await refused(service.complete("Another?", **ONCE))).reason == "REQUEST_ID_REUSED"
        assert said(await service.complete(**ONCE)) == said(answers[0])
        await paid_once(service)


async def test_a_failure_while_the_store_is_away_frees_the_id(serve, own, refused):
    """A claim that the frozen store may still have made does not keep the id from anybody."""
    async with serve(redis_url=own.url) as service:
        service.sim.faults.add("error", status=400)
        os.kill(own.pid, signal.SIGSTOP)
        try:
            await refused(service.complete(**ONCE))
        finally:
            os.kill(own.pid, signal.SIGCONT)
        assert not (await service.complete(**ONCE, options={"timeout": 20})).replayed
        await paid_once(service)


async def test_a_stop_waits_until_the_store_knows_how_calls_ended(serve, gate, own, refused):
    """What a call held is free again, and its id too, where the store is away when the process stops."""
    gate.status = 400
    async with open_store(own.url) as client:
        async with serve(redis_url=own.url, upstream_url=gate.url) as service:
            call = asyncio.ensure_future(refused(service.complete(**ONCE)))
            while not gate.request_count:  # noqa: ASYNC110 - the provider is asked once money is held
                await asyncio.sleep(0.002)
            assert await client.keys(keys.holds("*"))
            os.kill(own.pid, signal.SIGSTOP)
            gate.open.set()
            await call
            asyncio.get_running_loop().call_later(0.5, os.kill, own.pid, signal.SIGCONT)
        assert not await client.keys(keys.holds("*"))
        assert not await client.exists(keys.claim("default", "r-1"))
    assert [line["untold_ends"] for line in service.lines("stopped")] == [0]


async def test_an_answer_that_cannot_be_kept_is_booked(serve, gate, store, refused):
    """What is wrong with a claim is no reason to lose a bill that is known."""
    async with serve(upstream_url=gate.url) as service:
        call = asyncio.ensure_future(refused(service.complete(**ONCE)))
        while not gate.request_count:  # noqa: ASYNC110 - the provider is asked once the id is claimed
            await asyncio.sleep(0.002)
        await store.set(keys.claim("default", "r-1"), "not a claim")
        gate.open.set()
        assert (await call).code is Code.INTERNAL
        [entry] = await service.booked()
        assert entry.cost_nano_usd > 0
        assert not await store.hlen(keys.AT_RISK)
