"""Tests of what callers are told when the provider fails, and whether they may try again."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from costsvc import v1
from tests.policies import uncached

Code = grpc.StatusCode

# fault, its fields, code, reason, pushback in ms of an attempt that cost nothing
ERRORS: list[tuple[str, dict[str, Any], Code, str, str | None]] = [
    ("rate_limit", {"retry_after": 7}, Code.RESOURCE_EXHAUSTED, "PROVIDER_RATE_LIMITED", "7000"),
    ("rate_limit", {}, Code.RESOURCE_EXHAUSTED, "PROVIDER_RATE_LIMITED", "1000"),
    ("spend_limit", {"retry_after": 7}, Code.FAILED_PRECONDITION, "PROVIDER_SPEND_LIMITED", None),
    ("error", {"status": 402}, Code.FAILED_PRECONDITION, "PROVIDER_SPEND_LIMITED", None),
    ("overloaded", {}, Code.UNAVAILABLE, "PROVIDER_OVERLOADED", "1000"),
    ("server_error", {}, Code.UNAVAILABLE, "PROVIDER_UNAVAILABLE", "1000"),
    ("error", {"status": 504}, Code.UNAVAILABLE, "PROVIDER_UNAVAILABLE", "1000"),
    ("error", {"status": 400}, Code.INVALID_ARGUMENT, "PROVIDER_REJECTED", None),
    ("error", {"status": 413, "type": "request_too_large"}, Code.INVALID_ARGUMENT, "PROVIDER_REJECTED", None),
    ("error", {"status": 404}, Code.NOT_FOUND, "PROVIDER_NOT_FOUND", None),
    ("error", {"status": 401}, Code.INTERNAL, "PROVIDER_UNAUTHORIZED", None),
    ("error", {"status": 403}, Code.INTERNAL, "PROVIDER_UNAUTHORIZED", None),
]  # fmt: skip


@pytest.fixture
def once(tmp_path) -> dict[str, Any]:
    """Settings of a service that tries once."""
    policy = tmp_path / "policy.toml"
    shipped = uncached().split("[fallbacks]")
    policy.write_text(
        shipped[0].replace("max_attempts = 3", "max_attempts = 1") + shipped[1].split("\n\n", 1)[1]
    )
    return {"policy": policy}


@pytest.mark.parametrize("rpc", ["complete", "stream"])
@pytest.mark.parametrize(("kind", "fields", "code", "reason", "pushback"), ERRORS)
async def test_each_error_of_the_provider_has_its_status(
    serve, once, refused, rpc, kind, fields, code, reason, pushback
):
    """Code, reason and pushback follow from the kind of error; nothing was spent, and nothing is booked."""
    async with serve(**once) as service:
        service.sim.faults.add(kind, **fields)
        found = await refused(getattr(service, rpc)())
        assert (found.code, found.reason, found.domain) == (code, reason, "costsvc.v1")
        assert found.pushback == pushback
        assert found.retry_s == (int(pushback) / 1000 if pushback else None)
        assert found.metadata["may_have_spent"] == "false"
        assert found.metadata["attempt_id"]
        assert found.metadata["provider_request_id"].startswith("req_")
        assert not service.sim.bill.lines()
        assert not await service.entries()
        assert not service.lines("attempt_unsettled")


@pytest.mark.parametrize("rpc", ["complete", "stream"])
@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("cut_before_headers", "PROVIDER_UNAVAILABLE"),
        ("cut_after_headers", "PROVIDER_UNAVAILABLE"),
        ("cut_mid_stream", "PROVIDER_UNAVAILABLE"),
        ("malformed", "PROVIDER_MALFORMED"),
    ],
)
async def test_an_attempt_that_may_have_spent_is_the_callers_to_repeat(
    serve, once, refused, rpc, kind, reason
):
    """Where the bill is unknown gRPC is told not to retry, and an operator can find the attempt."""
    async with serve(**once) as service:
        service.sim.faults.add(kind)
        found = await refused(getattr(service, rpc)())
        assert (found.code, found.reason) == (Code.UNAVAILABLE, reason)
        assert (found.pushback, found.retry_s) == ("-1", None)
        assert (found.metadata["may_have_spent"], found.metadata["attempt_count"]) == ("true", "1")
        [line] = service.lines("attempt_unsettled")
        assert line["attempt_id"] == found.metadata["attempt_id"]
        assert [line.attempt for line in service.sim.bill.lines()] == [found.metadata["attempt_id"]]


@pytest.mark.parametrize("rpc", ["complete", "stream"])
@pytest.mark.parametrize("kind", ["overloaded", "server_error", "rate_limit"])
async def test_failures_that_pass_are_tried_again(service, rpc, kind):
    """The caller gets the answer of a later attempt; only that one is billed and booked."""
    service.sim.faults.add(kind)
    await getattr(service, rpc)()
    [line] = service.sim.bill.lines()
    assert line.attempt.endswith(".2")
    [entry] = await service.booked()
    assert entry.attempt_id == line.attempt


async def test_a_stream_that_fails_before_its_first_event_is_tried_again(service):
    """An error event instead of the message's start has shown the caller nothing."""
    service.sim.faults.add("error_mid_stream", after_events=0)
    events = await service.stream()
    assert events[-1].completed.attempt_count == 2
    assert [event.WhichOneof("event") for event in events].count("started") == 1


async def test_another_model_answers_where_the_policy_names_one(service):
    """After the chosen model has failed for good, the decision says which model answered, and why."""
    service.sim.faults.add("error", status=404, match={"model": "claude-sonnet-5-5"})
    answer = await service.complete(task="summary")
    assert answer.model == "claude-sonnet-5"
    assert answer.decision.reasons[-1].code == "fallback"
    assert answer.attempt_count == 2


async def test_a_pinned_model_is_not_replaced(service, refused):
    """Who names a model gets that model or an error."""
    service.sim.faults.add("error", status=404, match={"model": "claude-sonnet-5-5"})
    found = await refused(service.complete(model="claude-sonnet-5-5"))
    assert found.reason == "PROVIDER_NOT_FOUND"


async def test_a_spend_limit_parks_the_account(service, refused):
    """The next call is refused at once: nothing of the account can succeed until somebody acts."""
    service.sim.faults.add("spend_limit")
    assert (await refused(service.complete())).reason == "PROVIDER_SPEND_LIMITED"
    seen = len(service.sim.requests)
    assert (await refused(service.complete())).reason == "PROVIDER_SPEND_LIMITED"
    assert len(service.sim.requests) == seen


async def test_an_error_within_a_stream_ends_it_after_what_was_said(service, refused):
    """The caller has read some of the answer when the status says why there is no more."""
    service.sim.faults.add("error_mid_stream", after_events=30)
    events: list[v1.StreamCompleteResponse] = []

    async def read() -> None:
        request = v1.StreamCompleteRequest(request=service.request(task="faq"))
        async for event in service.stub.StreamComplete(request):
            events.append(event)  # noqa: PERF401 - what came before the error counts

    found = await refused(read())
    assert (found.code, found.reason) == (Code.UNAVAILABLE, "PROVIDER_OVERLOADED")
    assert found.pushback == "-1"
    kinds = [event.WhichOneof("event") for event in events]
    assert kinds[0] == "started"
    assert set(kinds[1:]) == {"text_delta"}


async def test_the_provider_explains_its_400_to_the_caller(service, refused):
    """Its words are about the caller's request, so the caller gets them."""
    found = await refused(service.complete(body={"messages": [{"role": "user", "content": ""}]}))
    assert found.reason == "PROVIDER_REJECTED"
    assert found.metadata["provider_error_type"] == "invalid_request_error"
    assert "non-empty content" in found.metadata["provider_message"]


async def test_the_providers_words_about_us_stay_with_us(service, refused):
    """What it says of the service's key or account is not the caller's business."""
    service.sim.faults.add("error", status=401, message="key sk-ant-123 of account Acme is revoked")
    found = await refused(service.complete())
    assert b"Acme" not in found.raw
    assert "provider_message" not in found.metadata


async def test_a_provider_that_cannot_be_reached_costs_nothing(serve, refused):
    """A refused connection may be retried."""
    async with serve(upstream_url="http://127.0.0.1:9") as service:
        found = await refused(service.complete())
    assert (found.code, found.reason, found.pushback) == (Code.UNAVAILABLE, "PROVIDER_UNAVAILABLE", "1000")
    assert found.metadata["may_have_spent"] == "false"


async def test_models_that_cannot_answer_say_why(service, refused):
    """A pin on a model that cannot do it fails before any spend; without the pin another one does."""
    prefill = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "Well,"}]
    found = await refused(service.complete(body={"messages": prefill}, model="claude-opus-5-5"))
    assert (found.code, found.reason) == (Code.FAILED_PRECONDITION, "NO_MODEL_FITS")
    assert list(found.models) == ["claude-opus-5-5"]
    assert await service.untouched()


async def test_a_model_without_a_price_is_refused(service, refused):
    """Unknown is not free."""
    found = await refused(service.complete(model="gpt-4o"))
    assert (found.code, found.reason) == (Code.NOT_FOUND, "UNKNOWN_MODEL")
    assert (found.resource, found.metadata) == ("gpt-4o", {"model": "gpt-4o"})
    assert await service.untouched()
