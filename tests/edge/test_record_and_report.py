"""Tests of booking one's own calls, and of adding up the ledger."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from costsvc import v1
from costsvc.core.savings import Savings

Code = grpc.StatusCode
USAGE = b'{"input_tokens":2000,"output_tokens":500}'
DAY = timedelta(days=1)
TECHNIQUES = sorted(name.removesuffix("_nano_usd") for name in Savings.__dataclass_fields__)


def stamp(at: datetime) -> Timestamp:
    """Return an instant as the API has it."""
    made = Timestamp()
    made.FromDatetime(at)
    return made


def recording(request_id: str = "r-1", usage: bytes = USAGE, **fields: Any) -> v1.RecordRequest:
    """Return the recording of a small call."""
    named = {"model": "claude-haiku-5-5", **fields}
    return v1.RecordRequest(request_id=request_id, usage_json=usage, **named)


async def record(service, *args: Any, tenant: str = "default", **fields: Any) -> v1.RecordResponse:
    """Record a call."""
    metadata = (("costsvc-tenant", tenant),)
    return await service.stub.Record(recording(*args, **fields), metadata=metadata)


async def test_a_recorded_call_is_priced_and_booked(service):
    """2,000 tokens in and 500 out on Sonnet 4 are $0.0135; the baseline is the policy's."""
    booked = await record(service, model="claude-sonnet-4-20250514", labels={"team": "a"}, task="faq")
    assert booked.bill.cost_nano_usd == 13_500_000
    assert booked.bill.savings.routing_nano_usd == booked.bill.baseline_nano_usd - 13_500_000
    [entry] = await service.booked()
    assert (entry.entry_id, entry.cost_nano_usd) == (booked.entry_id, 13_500_000)
    assert (entry.labels, entry.request_id, entry.task) == ({"team": "a"}, "r-1", "faq")
    assert not service.sim.requests


async def test_a_call_is_recorded_once(service, refused):
    """A second Record of an id changes nothing, whatever it says, and names the entry that stands."""
    first = await record(service)
    found = await refused(record(service, usage=b'{"input_tokens":1,"output_tokens":1}'))
    assert (found.code, found.reason) == (Code.ALREADY_EXISTS, "ALREADY_RECORDED")
    assert found.metadata == {"entry_id": first.entry_id}
    other = await record(service, tenant="other")
    assert other.entry_id != first.entry_id
    assert len(await service.entries()) == 2


async def test_of_duplicates_at_once_one_is_booked(service):
    """Concurrency does not change that."""
    outcomes = await asyncio.gather(*(record(service) for _ in range(20)), return_exceptions=True)
    booked = [outcome for outcome in outcomes if isinstance(outcome, v1.RecordResponse)]
    others = {outcome.code() for outcome in outcomes if isinstance(outcome, grpc.aio.AioRpcError)}
    assert (len(booked), others) == (1, {Code.ALREADY_EXISTS})
    assert len(await service.booked()) == 1


LARGE = b'{"type":"message","input_tokens":1000000000,"output_tokens":1000000000}'
MANY = b'{"input_tokens":1,"output_tokens":1,"iterations":[%b]}' % b",".join([LARGE] * 800)
BAD_USAGE = {
    b"{}": "usage_json.input_tokens",
    b'{"input_tokens":-1,"output_tokens":1}': "usage_json.input_tokens",
    b'{"input_tokens":1.5,"output_tokens":1}': "usage_json.input_tokens",
    b'{"input_tokens":true,"output_tokens":1}': "usage_json.input_tokens",
    b'{"input_tokens":1}': "usage_json.output_tokens",
    b'{"input_tokens":1,"output_tokens":99999999999999}': "usage_json.output_tokens",
    b'{"input_tokens":1,"output_tokens":1,"cache_creation_input_tokens":1,'
    b'"cache_creation":{"ephemeral_1h_input_tokens":2}}': "usage_json.cache_creation_input_tokens",
    b'{"input_tokens":1,"input_tokens":2,"output_tokens":1}': "usage_json",
    b'{"input_tokens":NaN,"output_tokens":1}': "usage_json",
    b"[1,2]": "usage_json",
    b'{"input_tokens":1,"output_tokens":"\xff"}': "usage_json",
    MANY: "usage_json.iterations",
}


async def test_usage_that_cannot_be_billed_is_refused(service, refused):
    """The count is named, and nothing is booked."""
    for usage, path in BAD_USAGE.items():
        found = await refused(record(service, usage=usage))
        assert (found.code, found.reason) == (Code.INVALID_ARGUMENT, "INVALID_FIELD")
        assert list(found.violations) == [path]
    assert not await service.entries()


async def test_times_that_cannot_be_are_refused(service, refused):
    """A call ends after it began, not in the future, and not before what is remembered."""
    now = datetime.now(UTC)
    for path, times in (
        ("start_time", {"start_time": stamp(now), "end_time": stamp(now - timedelta(seconds=1))}),
        ("end_time", {"end_time": stamp(now + timedelta(hours=1))}),
        ("start_time", {"start_time": stamp(now - 8 * DAY)}),
        ("start_time", {"start_time": Timestamp(seconds=-(10**13))}),
        ("end_time", {"end_time": Timestamp(seconds=10**13)}),
        ("end_time", {"end_time": Timestamp(seconds=1, nanos=-5)}),
    ):
        found = await refused(record(service, **times))
        assert (found.code, list(found.violations)) == (Code.INVALID_ARGUMENT, [path])
    found = await refused(record(service, model="gpt-4o"))
    assert (found.code, found.reason) == (Code.NOT_FOUND, "UNKNOWN_MODEL")
    assert not await service.entries()


async def test_a_recorded_call_counts_in_the_hour_in_which_it_began(service):
    """Reports go by when the call began, not by when it was recorded."""
    began = datetime.now(UTC).replace(minute=10, second=0, microsecond=0) - timedelta(hours=30)
    await record(service, start_time=stamp(began), end_time=stamp(began + timedelta(seconds=3)))
    report = await service.report(hours=48, granularity=v1.GRANULARITY_HOUR)
    [row] = report.rows
    assert row.period_start_time.ToDatetime(UTC) == began.replace(minute=0)


async def test_refusals_that_cost_nothing_are_recorded_as_such(service):
    """The category decides, as for calls that costsvc makes."""
    usage = b'{"input_tokens":2000,"output_tokens":0}'
    free = await record(service, "r-1", usage, stop_reason="refusal", refusal_category="cyber")
    paid = await record(service, "r-2", usage, stop_reason="refusal", refusal_category="bio")
    assert (free.bill.cost_nano_usd, free.bill.baseline_nano_usd) == (0, 0)
    assert paid.bill.cost_nano_usd > 0


async def fill(service) -> None:
    """Record calls on two days, of two models and three teams, one of them without a name."""
    noon = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - 2 * DAY
    for number in range(12):
        at = stamp(noon + timedelta(hours=number % 3) - (number % 2) * DAY)
        team = ("a", "b", "")[number % 3]
        await record(
            service,
            f"r-{number}",
            model=("claude-haiku-5-5", "claude-opus-5-5")[number % 2],
            usage=json.dumps({"input_tokens": 1000 * number + 1, "output_tokens": number}).encode(),
            labels={"team": team} if team else {"floor": "3"},
            task="faq" if team else "",
            start_time=at,
            end_time=at,
        )


def added(rows: list[v1.ReportRow]) -> list[int]:
    """Return sums over rows."""
    return [
        sum(getattr(row.totals.bill, name) for row in rows) for name in ("cost_nano_usd", "baseline_nano_usd")
    ] + [sum(row.totals.bill.savings.total_nano_usd for row in rows)]


GROUPS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "nothing": ({}, {""}),
    "model": ({"group_by": v1.GROUP_BY_MODEL}, {"claude-haiku-5-5", "claude-opus-5-5"}),
    "tier": ({"group_by": v1.GROUP_BY_TIER}, {"simple", "complex"}),
    "task": ({"group_by": v1.GROUP_BY_TASK}, {"faq", "_none"}),
    "label": ({"group_by": v1.GROUP_BY_LABEL, "label_key": "team"}, {"a", "b", "_none"}),
}


async def test_rows_of_every_period_and_group_add_up_to_the_totals(service):
    """Nothing is lost or counted twice by splitting, and rows come by period, then group."""
    await fill(service)
    entries_cost = 0
    for fields, groups in GROUPS.values():
        for granularity, periods in ((0, 1), (1, 6), (2, 2), (3, None)):
            report = await service.report(hours=90, granularity=granularity, **fields)
            assert {row.group for row in report.rows} == groups
            places = [(row.period_start_time.seconds, row.group) for row in report.rows]
            assert places == sorted(set(places))
            assert periods in {None, len({period for period, _ in places})}
            assert sum(row.totals.call_count for row in report.rows) == report.totals.call_count == 12
            totals = report.totals.bill
            assert added(report.rows) == [
                totals.cost_nano_usd,
                totals.baseline_nano_usd,
                totals.savings.total_nano_usd,
            ]
            assert totals.savings.total_nano_usd == totals.baseline_nano_usd - totals.cost_nano_usd
            assert entries_cost in {0, totals.cost_nano_usd}
            entries_cost = totals.cost_nano_usd
            assert abs(report.totals.average_cost_nano_usd * 12 - totals.cost_nano_usd) <= 6


async def test_techniques_share_the_savings(service):
    """One row a technique, with its savings only, which add up to the total's."""
    await fill(service)
    report = await service.report(hours=90, group_by=v1.GROUP_BY_TECHNIQUE)
    assert sorted(row.group for row in report.rows) == TECHNIQUES
    saved = {row.group: row.totals.bill.savings.total_nano_usd for row in report.rows}
    assert sum(saved.values()) == report.totals.bill.savings.total_nano_usd == saved["routing"] > 0


async def test_pages_are_parts_of_one_whole(service, refused):
    """Pages join to the rows of one page, totals are those of the range, and a token serves one query."""
    await fill(service)
    query = {"hours": 90, "granularity": v1.GRANULARITY_HOUR, "group_by": v1.GROUP_BY_MODEL}
    whole = await service.report(**query)
    rows, token = [], ""
    while True:
        page = await service.report(**query, page_size=4, page_token=token)
        assert page.totals == whole.totals
        assert 0 < len(page.rows) <= 4
        rows += page.rows
        token = page.next_page_token or token
        if not page.next_page_token:
            break
    assert rows == list(whole.rows)
    for other in ({**query, "group_by": 0}, {**query, "hours": 89}, {**query, "tenant": "other"}):
        found = await refused(service.report(**other, page_token=token))
        assert list(found.violations) == ["page_token"]
    for noise in ("x", "[]", "é", "bnVsbA==", "W1tbW1tb", "WzEsMl0="):
        found = await refused(service.report(**query, page_token=noise))
        assert (found.code, list(found.violations)) == (Code.INVALID_ARGUMENT, ["page_token"])


BAD_QUERIES: list[tuple[str, int, int, dict[str, Any]]] = [
    ("end_time", 0, 0, {}),
    ("end_time", 3600, 0, {}),
    ("end_time", 0, 367 * 86400, {}),
    ("start_time", -(10**13), 0, {}),
    ("end_time", 0, 10**13, {}),
    ("end_time", 253402290000, 253402300799, {}),
    ("label_key", 0, 3600, {"label_key": "team"}),
    ("label_key", 0, 3600, {"group_by": v1.GROUP_BY_LABEL}),
    ("label_key", 0, 3600, {"group_by": v1.GROUP_BY_LABEL, "label_key": "floor"}),
    ("group_by", 0, 3600, {"group_by": 99}),
    ("granularity", 0, 3600, {"granularity": 99}),
    ("page_size", 0, 3600, {"page_size": -1}),
]


async def test_a_report_that_makes_no_sense_is_refused(service, refused):
    """Each field is named."""
    for path, start, end, fields in BAD_QUERIES:
        times = {"start_time": Timestamp(seconds=start), "end_time": Timestamp(seconds=end)}
        found = await refused(service.stub.Report(v1.ReportRequest(**times, **fields)))
        assert (found.code, found.reason) == (Code.INVALID_ARGUMENT, "INVALID_FIELD")
        assert list(found.violations) == [path]


async def test_a_report_of_nothing_is_empty(service, refused):
    """No calls are no rows and zero sums; a range is needed."""
    report = await service.report()
    assert not report.rows
    assert (report.totals.call_count, report.totals.average_cost_nano_usd) == (0, 0)
    found = await refused(service.stub.Report(v1.ReportRequest()))
    assert list(found.violations) == ["start_time", "end_time"]
