from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from costsvc.core.errors import Failure
from costsvc.upstream.attempt import Attempt
from costsvc.upstream.errors import answered, interrupted

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)


def body(error_type: str, message: str = "", code: str | None = None) -> bytes:
    """Return the body of an error answer."""
    error = {"type": error_type, "message": message, **({"details": {"error_code": code}} if code else {})}
    return json.dumps({"type": "error", "error": error, "request_id": "req_body"}).encode()


@pytest.mark.parametrize(
    ("status", "error_type", "failure"),
    [
        (400, "invalid_request_error", Failure.INVALID),
        (401, "authentication_error", Failure.UNAUTHORIZED),
        (402, "billing_error", Failure.SPEND_LIMITED),
        (403, "permission_error", Failure.UNAUTHORIZED),
        (404, "not_found_error", Failure.NOT_FOUND),
        (408, "", Failure.UNAVAILABLE),
        (409, "conflict_error", Failure.UNAVAILABLE),
        (413, "request_too_large", Failure.INVALID),
        (422, "", Failure.INVALID),
        (429, "rate_limit_error", Failure.RATE_LIMITED),
        (500, "api_error", Failure.UNAVAILABLE),
        (503, "", Failure.UNAVAILABLE),
        (504, "timeout_error", Failure.UNAVAILABLE),
        (529, "overloaded_error", Failure.OVERLOADED),
    ],
)
def test_each_documented_error_has_its_kind(status, error_type, failure):
    """The documented pairs of status and type become the kind that says what a caller can do."""
    assert answered(status, {}, body(error_type)).failure is failure


@pytest.mark.parametrize(
    "odd", [b"", b"<html>busy</html>", b"[]", b'{"error":3}', b'{"error":{"type":5}}', b"\xff"]
)
@pytest.mark.parametrize(
    ("status", "failure"),
    [
        (413, Failure.INVALID),
        (403, Failure.UNAUTHORIZED),
        (502, Failure.UNAVAILABLE),
        (529, Failure.OVERLOADED),
    ],
)
def test_the_status_decides_where_the_body_says_nothing(status, failure, odd):
    """An answer of a proxy on the way is read by its status."""
    error = answered(status, {}, odd)
    assert error.failure is failure
    assert not error.may_have_spent


@pytest.mark.parametrize("code", ["enforced_spend_limit_reached", "contract_spend_limit_reached"])
def test_a_spend_limit_is_not_a_rate_limit(code):
    """A 429 that lasts until a limit changes is told from one that passes by itself."""
    error = answered(429, {}, body("rate_limit_error", code=code))
    assert error.failure is Failure.SPEND_LIMITED
    assert error.code == code


def test_a_ramp_limit_is_a_rate_limit():
    """Growth that was too fast passes by itself, after the wait that the provider names."""
    error = answered(429, {"retry-after": "12"}, body("rate_limit_error", code="ramp_limit_exceeded"))
    assert error.failure is Failure.RATE_LIMITED
    assert error.retry_after_s == 12.0


@pytest.mark.parametrize(
    "message",
    [
        "You have reached your specified workspace API usage limits. You will regain access on 2026-12-01.",
        "Your credit balance is too low to access the API.",
    ],
)
def test_own_spend_limits_come_as_a_plain_400(message):
    """The two limits that the provider reports without a code are known by how they begin."""
    assert answered(400, {}, body("invalid_request_error", message)).failure is Failure.SPEND_LIMITED


def test_an_unknown_code_counts_as_its_type():
    """A code of tomorrow changes nothing but itself."""
    error = answered(429, {}, body("rate_limit_error", code="new_code"))
    assert error.failure is Failure.RATE_LIMITED
    assert error.code == "new_code"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "2.5"}, 2.5),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
        ({"retry-after": "Sun, 22 Nov 2026 12:00:30 GMT"}, 30.0),
        ({"retry-after": "Sun, 22 Nov 2026 12:00:30 -0000"}, 30.0),
        ({"retry-after": "Sun, 22 Nov 2026 11:00:00 GMT"}, 0.0),
        ({"retry-after": "-4"}, 0.0),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "tomorrow"}, None),
    ],
)
def test_reads_how_long_to_wait(headers, seconds):
    """The wait comes in milliseconds, in seconds or as a date, and never negative, endless or made up."""
    assert answered(429, headers, b"", now=NOW).retry_after_s == seconds


def test_a_status_that_is_neither_answer_nor_error_may_have_spent():
    """A 2xx that is not 200 says nothing about the bill."""
    error = answered(202, {}, b"")
    assert error.failure is Failure.MALFORMED
    assert error.may_have_spent


def test_the_request_id_is_found_in_either_place():
    """The header names the request, and the body where the header is missing."""
    assert answered(500, {"request-id": "req_head"}, body("api_error")).provider_request_id == "req_head"
    assert answered(500, {}, body("api_error")).provider_request_id == "req_body"


def test_an_error_within_a_stream_is_read_by_its_type():
    """Within a stream the status is 200 and says nothing: the type does, and the start was billed."""
    error = interrupted({"type": "error", "error": {"type": "overloaded_error"}}, Attempt(b""))
    assert error.failure is Failure.OVERLOADED
    assert error.http_status == 200
    assert error.may_have_spent


def test_an_unknown_error_within_a_stream_is_malformed():
    """A type that nobody knows is not taken for one that may be retried."""
    error = interrupted({"type": "error", "error": {"type": "new_error"}}, Attempt(b""))
    assert error.failure is Failure.MALFORMED
