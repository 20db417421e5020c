from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import grpc
import pytest

from costsvc import v1
from costsvc.config import load_catalog_files
from costsvc.core.budget import Budget, Kind, Scope
from costsvc.core.money import ceil_nano
from costsvc.core.windows import Calendar, Unit
from costsvc.store import keys
from costsvc.store.audit import audit
from costsvc.store.budgets import BudgetBook

KEY = "sk-ant-canary-key"
SHIPPED = Path("costsvc/data/policy.toml").read_text()
FAST = {"batches": {"poll_s": 0.05}}


@pytest.fixture
async def batching(serve, sim):
    """Run a service that looks often, with a provider whose batches end at once."""
    sim.settings.batch_delay_s = 0.0
    async with serve(**FAST) as service:
        yield service, v1.BatchServiceStub(service.channel)


def item(custom_id: str, text: str = "Hello", **fields):
    """Return an item of typed fields, or of a body."""
    body = fields.pop("body", None)
    if body is not None:
        return v1.BatchItem(custom_id=custom_id, request=v1.Request(messages_json=json.dumps(body).encode()))
    request = v1.Request(messages=[v1.Message(text=text)], max_tokens=1000, **fields)
    return v1.BatchItem(custom_id=custom_id, request=request)


async def create(stub, *items, tenant="default", **options):
    """Create a batch of some items."""
    request = v1.CreateBatchRequest(options=v1.BatchOptions(**options), requests=items)
    return await stub.CreateBatch(request, metadata=(("costsvc-tenant", tenant),))


async def ended(stub, batch_id, tenant="default"):
    """Wait until a batch has ended."""
    request = v1.GetBatchRequest(batch_id=batch_id)
    async with asyncio.timeout(20):
        while True:
            batch = (await stub.GetBatch(request, metadata=(("costsvc-tenant", tenant),))).batch
            if batch.state == v1.BATCH_STATE_ENDED:
                return batch
            await asyncio.sleep(0.02)


async def results(stub, batch_id, cursor=""):
    """Read the results, by custom id."""
    stream = stub.StreamBatchResults(v1.StreamBatchResultsRequest(batch_id=batch_id, cursor=cursor))
    found = {}
    async for page in stream:
        for result in page.results:
            assert result.custom_id not in found
            found[result.custom_id] = result
    return found


async def audited(store):
    """Return what an audit finds; whoever seals hours has had its turn."""
    await store.delete(keys.SEALING)
    return (await audit(store, load_catalog_files(), owner="test")).findings


def billed(sim):
    """Return what the provider charged, rounded up, by the item's attempt."""
    return {line.custom_id: ceil_nano(line.pico_usd) for line in sim.bill.lines() if line.batch_id}


async def test_a_batch_is_answered_billed_and_booked_item_by_item(batching):
    """Each item has one entry of what the provider charges for it, at half price, and its own answer."""
    service, stub = batching
    made = await create(stub, *(item(f"q-{n}", f"Question {n}") for n in range(25)))
    assert not made.refused
    batch = await ended(stub, made.batch.batch_id)
    assert batch.counts.succeeded_count == 25
    found = await results(stub, batch.batch_id)
    assert set(found) == {f"q-{n}" for n in range(25)}
    assert all(result.text and result.bill.savings.batch_nano_usd > 0 for result in found.values())
    entries = {entry.attempt_id: entry.cost_nano_usd for entry in await service.entries()}
    assert entries == billed(service.sim)
    assert len(entries) == 25
    assert batch.cost_nano_usd == sum(entries.values())
    assert batch.standard_cost_nano_usd == batch.cost_nano_usd + batch.saved_nano_usd
    assert abs(batch.standard_cost_nano_usd - 2 * batch.cost_nano_usd) <= 25
    assert batch.held_nano_usd == 0
    assert sum(row.totals.bill.savings.batch_nano_usd for row in (await service.report()).rows) == (
        batch.saved_nano_usd
    )


async def test_a_bad_item_is_refused_by_index_and_the_rest_goes_on(batching):
    """An unknown model, a long custom id, a stream, a second use of an id: each with its reason."""
    service, stub = batching
    body = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5}
    made = await create(
        stub,
        item("good"),
        item("unknown", model="claude-none"),
        item("x" * 300),
        item("streams", body={**body, "stream": True}),
        item("good"),
        item("zero", body={**body, "max_tokens": 0}),
        v1.BatchItem(custom_id="empty"),
        item("accepts", accept=v1.Accept(min_chars=3)),
        item("fine", body=body),
    )
    reasons = {refused.index: refused.error.message for refused in made.refused}
    assert reasons.keys() == {1, 2, 3, 4, 5, 6, 7}
    assert "claude-none" in reasons[1]
    assert "custom_id" in reasons[2]
    assert "stream" in reasons[3]
    batch = await ended(stub, made.batch.batch_id)
    assert (batch.counts.succeeded_count, batch.counts.refused_count) == (2, 7)
    assert len(billed(service.sim)) == 2
    found = [
        result
        async for page in stub.StreamBatchResults(v1.StreamBatchResultsRequest(batch_id=batch.batch_id))
        for result in page.results
    ]
    assert sorted(result.index for result in found) == list(range(9))
    assert {r.index for r in found if r.outcome == v1.BATCH_OUTCOME_REFUSED} == reasons.keys()


async def test_what_the_provider_may_not_keep_is_in_no_batch(serve, refused, tmp_path):
    """It keeps results for weeks, whatever was agreed."""
    (tmp_path / "policy.toml").write_text(SHIPPED.replace("zero_retention = false", "zero_retention = true"))
    async with serve(policy=tmp_path / "policy.toml", **FAST) as service:
        failed = await refused(create(v1.BatchServiceStub(service.channel), item("a"), item("b")))
        assert failed.reason == "BATCH_ITEMS_REFUSED"
        assert failed.metadata["refused_count"] == "2"
        assert not service.sim.requests


async def test_all_or_nothing_sends_nothing(batching, refused):
    """One bad item keeps the others from being sent, and so does a batch without a good one."""
    service, stub = batching
    failed = await refused(create(stub, item("a"), item("b", model="none"), all_or_nothing=True))
    assert (failed.code, failed.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "BATCH_ITEMS_REFUSED")
    assert list(failed.violations) == ["requests[1]"]
    failed = await refused(create(stub, item("b", model="none")))
    assert failed.metadata["refused_count"] == "1"
    assert await service.untouched()


async def test_a_stream_of_messages_is_one_batch(batching):
    """Items may come in any number of messages; options belong into the first."""
    _, stub = batching

    async def messages():
        yield v1.CreateBatchStreamRequest(options=v1.BatchOptions(request_id="once"))
        for n in range(7):
            yield v1.CreateBatchStreamRequest(requests=[item(f"{n}-{m}") for m in range(3)])

    made = await stub.CreateBatchStream(messages())
    batch = await ended(stub, made.batch.batch_id)
    assert batch.counts.succeeded_count == 21
    again = await stub.CreateBatchStream(messages())
    assert again.batch.batch_id == batch.batch_id


async def test_a_request_id_makes_one_batch(batching, refused):
    """A repeat gets the first batch, and other requests under the id are refused."""
    service, stub = batching
    first = await create(stub, item("a"), request_id="once")
    again = await create(stub, item("a"), request_id="once")
    assert again.batch.batch_id == first.batch.batch_id
    failed = await refused(create(stub, item("b"), request_id="once"))
    assert failed.reason == "REQUEST_ID_REUSED"
    await ended(stub, first.batch.batch_id)
    assert len(billed(service.sim)) == 1


async def test_a_batch_is_its_tenants_alone(batching, refused):
    """Another tenant neither sees it nor reads its results."""
    _, stub = batching
    made = await create(stub, item("a"), tenant="acme")
    await ended(stub, made.batch.batch_id, tenant="acme")
    request = v1.GetBatchRequest(batch_id=made.batch.batch_id)
    assert (await refused(stub.GetBatch(request))).reason == "UNKNOWN_BATCH"
    listed = await stub.ListBatches(v1.ListBatchesRequest())
    assert not listed.batches


async def test_batches_are_listed_newest_first(batching):
    """Page by page."""
    _, stub = batching
    ids = [(await create(stub, item("a"))).batch.batch_id for _ in range(3)]
    first = await stub.ListBatches(v1.ListBatchesRequest(page_size=2))
    rest = await stub.ListBatches(v1.ListBatchesRequest(page_size=2, page_token=first.next_page_token))
    assert [batch.batch_id for batch in (*first.batches, *rest.batches)] == ids[::-1]


async def test_a_batch_holds_its_money_until_its_results_are_booked(batching, refused, store):
    """A budget without room for all of it refuses it as a whole; in the end it counts what was billed."""
    service, stub = batching
    service.sim.settings.batch_delay_s = 3600.0
    held = (await create(stub, item("a"), item("b"))).batch.held_nano_usd
    assert held > 0
    book, scope = BudgetBook(store), Scope(Kind.EVERYTHING)
    limit = Budget(id="b", scope=scope, window=Calendar(Unit.DAY), limit_nano_usd=held * 3 // 2, strict=True)
    await book.put(limit, created_at=datetime.now(UTC) - timedelta(days=2))
    made = await create(stub, item("a"), item("b"))
    assert (await refused(create(stub, item("a"), item("b")))).reason == "BUDGET_EXCEEDED"
    assert [balance.sum_w_nano_usd for _, _, balance in await book.balances("b", datetime.now(UTC))] == [held]
    await running(stub, made.batch.batch_id)
    service.sim.clock.advance(3600)
    cost = (await ended(stub, made.batch.batch_id)).cost_nano_usd
    [(_, _, balance)] = await book.balances("b", datetime.now(UTC))
    assert balance.sum_q_nano_usd == balance.sum_w_nano_usd == balance.at_risk_nano_usd == 0
    assert balance.spent_nano_usd >= cost > 0
    assert await audited(store) == ()


async def test_a_canceled_batch_settles_what_is_billed_and_frees_the_rest(batching):
    """Half of it is done by then: that is billed and booked, the other half is canceled."""
    service, stub = batching
    service.sim.settings.batch_delay_s = 1000.0
    made = await create(stub, *(item(f"q-{n}") for n in range(10)))
    await running(stub, made.batch.batch_id)
    service.sim.clock.advance(500)
    await stub.CancelBatch(v1.CancelBatchRequest(batch_id=made.batch.batch_id))
    batch = await ended(stub, made.batch.batch_id)
    assert batch.counts.succeeded_count == len(billed(service.sim)) > 0
    assert batch.counts.canceled_count == 10 - batch.counts.succeeded_count > 0
    entries = {entry.attempt_id: entry.cost_nano_usd for entry in await service.entries()}
    assert entries == billed(service.sim)
    assert batch.held_nano_usd == 0


async def running(stub, batch_id):
    """Wait until the provider has a batch."""
    async with asyncio.timeout(10):
        while True:
            batch = (await stub.GetBatch(v1.GetBatchRequest(batch_id=batch_id))).batch
            if batch.state == v1.BATCH_STATE_RUNNING:
                return batch
            await asyncio.sleep(0.02)


async def test_results_wait_for_the_end(batching, refused):
    """Before it, asking for them fails, and says when to ask again."""
    service, stub = batching
    service.sim.settings.batch_delay_s = 3600.0
    made = await create(stub, item("a"))

    async def read():
        await results(stub, made.batch.batch_id)

    failed = await refused(read())
    assert failed.reason == "BATCH_NOT_ENDED"
    assert failed.retry_s


async def test_a_stream_of_results_goes_on_from_its_cursor(batching):
    """What came with a cursor does not come again after it."""
    _, stub = batching
    made = await create(stub, *(item(f"q-{n}") for n in range(230)), item("bad id"))
    batch = await ended(stub, made.batch.batch_id)
    stream = stub.StreamBatchResults(v1.StreamBatchResultsRequest(batch_id=batch.batch_id))
    pages = [page async for page in stream]
    assert len(pages) > 2
    for number, page in enumerate(pages):
        rest = await results(stub, batch.batch_id, page.cursor)
        seen = {result.custom_id for earlier in pages[: number + 1] for result in earlier.results}
        assert len(rest) + len(seen) == 231
        assert not seen & rest.keys()


async def test_failed_items_cost_nothing_and_say_why(batching):
    """Errors and expiries of the provider are results, too."""
    service, stub = batching
    for n, kind in enumerate(("item_errored", "item_expired")):
        service.sim.faults.add(kind, match={"path": "/v1/messages/batches", "text": f"Question {n}."})
    made = await create(stub, *(item(f"q-{n}", f"Question {n}.") for n in range(3)))
    batch = await ended(stub, made.batch.batch_id)
    counts = batch.counts
    assert (counts.succeeded_count, counts.errored_count, counts.expired_count) == (1, 1, 1)
    found = await results(stub, batch.batch_id)
    assert found["q-0"].error.message
    assert found["q-1"].outcome == v1.BATCH_OUTCOME_EXPIRED
    assert len(await service.entries()) == 1
    assert batch.held_nano_usd == 0


@pytest.fixture
async def searching(serve, sim):
    """Run a service that looks often, and not for long where a create was cut off."""
    sim.settings.batch_delay_s = 0.0
    async with serve(batches={"poll_s": 0.05, "adopt_s": 0.3}) as service:
        yield service, v1.BatchServiceStub(service.channel)


async def foreign(sim, count):
    """Create a batch in the service's workspace that is not its own."""
    params = {"model": "claude-haiku-5-5", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
    rows = [{"custom_id": f"f-{n}", "params": params} for n in range(count)]
    headers = {"x-api-key": KEY, "anthropic-version": "2026-10-21"}
    async with aiohttp.ClientSession() as http:
        url = f"{sim.url}/v1/messages/batches"
        async with http.post(url, json={"requests": rows}, headers=headers) as reply:
            assert reply.status == 200, await reply.text()


CUT = {"kind": "cut_before_headers", "match": {"path": "/v1/messages/batches#create", "text": "Hello"}}


async def test_a_create_that_was_cut_off_is_found_by_its_first_result(searching, store):
    """Foreign batches of the same size and age are not taken for it, and it is not sent twice."""
    service, stub = searching
    await foreign(service.sim, 3)
    service.sim.faults.add(**CUT)
    made = await create(stub, *(item(f"q-{n}") for n in range(3)))
    await foreign(service.sim, 3)
    batch = await ended(stub, made.batch.batch_id)
    assert batch.counts.succeeded_count == 3
    [part] = batch.parts
    assert part.part_id == made.batch.parts[0].part_id
    bill = {name: cost for name, cost in billed(service.sim).items() if not name.startswith("f-")}
    assert {entry.attempt_id: entry.cost_nano_usd for entry in await service.entries()} == bill
    assert len(bill) == 3
    assert await audited(store) == ()


async def test_a_create_that_never_arrived_is_sent_again(searching, store):
    """Under other ids; what the first one holds is at risk, because it may still turn up."""
    service, stub = searching
    service.sim.faults.add(**CUT, billed=False)
    made = await create(stub, *(item(f"q-{n}") for n in range(3)))
    batch = await ended(stub, made.batch.batch_id)
    assert batch.counts.succeeded_count == 3
    assert [part.state for part in batch.parts] == ["doubtful", "done"]
    assert {entry.attempt_id: entry.cost_nano_usd for entry in await service.entries()} == billed(service.sim)
    assert len(billed(service.sim)) == 3
    at_risk = (await service.admin.ListAtRisk(v1.ListAtRiskRequest())).attempts
    assert [risk.upper_nano_usd for risk in at_risk] == [made.batch.held_nano_usd]
    assert (await results(stub, batch.batch_id)).keys() == {"q-0", "q-1", "q-2"}
    assert await audited(store) == ()


async def test_a_batch_that_the_provider_refuses_costs_nothing(batching):
    """Its items are errored with the provider's reason, and its money is free."""
    service, stub = batching
    fault = {"status": 400, "type": "invalid_request_error", "message": "No batches today."}
    service.sim.faults.add("error", match=CUT["match"], **fault)
    made = await create(stub, item("a"), item("b"))
    batch = await ended(stub, made.batch.batch_id)
    assert (batch.counts.errored_count, batch.held_nano_usd) == (2, 0)
    found = await results(stub, batch.batch_id)
    assert all("No batches today." in result.error.message for result in found.values())
    assert not await service.entries()


async def test_a_dry_run_finds_what_only_the_provider_can_say(batching, refused):
    """One item is answered by the standard API; where it is refused, nothing is sent and nothing is held."""
    service, stub = batching
    service.sim.faults.add("error", status=400, type="invalid_request_error", message="Not like this.")
    failed = await refused(create(stub, item("a"), item("b"), dry_run=True))
    assert failed.reason == "PROVIDER_REJECTED"
    assert not (await stub.ListBatches(v1.ListBatchesRequest())).batches
    assert not service.sim.bill.lines()
    made = await create(stub, item("a"), item("b"), dry_run=True)
    await ended(stub, made.batch.batch_id)
    assert [bool(line.batch_id) for line in service.sim.bill.lines()] == [False, True, True]
    assert len(await service.entries()) == 3
