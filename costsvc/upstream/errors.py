"""Foreign failures as ProviderError: one table for the provider's answers, one context manager for the rest.

Codes are matched, never texts, but for the two spend limits that the provider reports without a code. The
meaning of each type: https://platform.claude.com/docs/en/api/errors.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp

from costsvc.core.errors import Failure, ProviderError
from costsvc.upstream.attempt import Attempt

_BY_CODE = {
    "enforced_spend_limit_reached": Failure.SPEND_LIMITED,
    "contract_spend_limit_reached": Failure.SPEND_LIMITED,
    "ramp_limit_exceeded": Failure.RATE_LIMITED,
}
_BY_TYPE = {
    "invalid_request_error": Failure.INVALID,
    "authentication_error": Failure.UNAUTHORIZED,
    "billing_error": Failure.SPEND_LIMITED,
    "permission_error": Failure.UNAUTHORIZED,
    "not_found_error": Failure.NOT_FOUND,
    "conflict_error": Failure.UNAVAILABLE,
    "request_too_large": Failure.INVALID,
    "rate_limit_error": Failure.RATE_LIMITED,
    "api_error": Failure.UNAVAILABLE,
    "timeout_error": Failure.UNAVAILABLE,
    "overloaded_error": Failure.OVERLOADED,
}
_BY_STATUS = {
    401: Failure.UNAUTHORIZED,
    402: Failure.SPEND_LIMITED,
    403: Failure.UNAUTHORIZED,
    404: Failure.NOT_FOUND,
    408: Failure.UNAVAILABLE,
    409: Failure.UNAVAILABLE,
    429: Failure.RATE_LIMITED,
    529: Failure.OVERLOADED,
}
_BY_STATUS_CLASS = {4: Failure.INVALID, 5: Failure.UNAVAILABLE}

# Own spend limits come as a plain 400 without a code: the one place where the text is all there is.
_SPEND_LIMIT_MESSAGES = ("You have reached your specified", "Your credit balance is too low")


def answered(
    http_status: int, headers: Mapping[str, str], body: bytes, *, now: datetime | None = None
) -> ProviderError:
    """Return the error that an answer other than 200 means; such an answer is not billed.

    A status of 2xx that is not 200 says neither what happened nor that nothing did.
    """
    retry_after_s = _retry_after_s(headers, now or datetime.now(UTC))
    return _error(
        _object(body),
        http_status=http_status,
        provider_request_id=headers.get("request-id", ""),
        retry_after_s=retry_after_s,
        may_have_spent=http_status < 300,  # noqa: PLR2004 - the end of the 2xx statuses
    )


def interrupted(data: Mapping[str, Any], attempt: Attempt) -> ProviderError:
    """Return the error that an error object after the status 200 means; what came before it is billed."""
    return _error(
        data,
        http_status=200,
        provider_request_id=attempt.provider_request_id,
        retry_after_s=None,
        may_have_spent=True,
    )


def malformed(problem: str, attempt: Attempt) -> ProviderError:
    """Return the error for a 200 that cannot be read to its end: the provider has worked, and bills."""
    return ProviderError(
        Failure.MALFORMED,
        http_status=200,
        message=problem,
        provider_request_id=attempt.provider_request_id,
        may_have_spent=True,
    )


def timed_out(attempt: Attempt) -> ProviderError:
    """Return the error for a stream that our deadline ends: what was generated is billed."""
    return ProviderError(
        Failure.TIMED_OUT,
        message="the deadline passed within the stream",
        provider_request_id=attempt.provider_request_id,
        may_have_spent=True,
    )


@contextmanager
def provider_errors(attempt: Attempt) -> Iterator[None]:
    """Turn what the transport and the deadline raise into ProviderError, by how far the attempt got."""
    try:
        yield
    except (TimeoutError, aiohttp.ClientError, OSError) as exc:
        raise ProviderError(
            _failure(exc),
            message=f"{type(exc).__name__}: {exc}",
            provider_request_id=attempt.provider_request_id,
            may_have_spent=attempt.sent,
        ) from exc


def _failure(exc: Exception) -> Failure:
    """Tell our own deadline from a lost connection, and both from bytes that are no HTTP."""
    if isinstance(exc, TimeoutError) and not isinstance(exc, aiohttp.ClientError):
        return Failure.TIMED_OUT
    if isinstance(exc, aiohttp.ClientResponseError):
        return Failure.MALFORMED
    return Failure.UNAVAILABLE


def _error(
    data: Mapping[str, Any],
    *,
    http_status: int,
    provider_request_id: str,
    retry_after_s: float | None,
    may_have_spent: bool,
) -> ProviderError:
    error = _mapping(data.get("error"))
    error_type, message = _text(error.get("type")), _text(error.get("message"))
    code = _text(_mapping(error.get("details")).get("error_code"))
    return ProviderError(
        _classify(http_status, error_type, code, message),
        http_status=http_status,
        error_type=error_type,
        code=code,
        message=message,
        provider_request_id=provider_request_id or _text(data.get("request_id")),
        retry_after_s=retry_after_s,
        may_have_spent=may_have_spent,
    )


def _classify(http_status: int, error_type: str, code: str, message: str) -> Failure:
    """Return the kind of failure by the most exact thing the provider said: code, then type, then status."""
    if code in _BY_CODE:
        return _BY_CODE[code]
    if message.startswith(_SPEND_LIMIT_MESSAGES):
        return Failure.SPEND_LIMITED
    by_status = _BY_STATUS.get(http_status) or _BY_STATUS_CLASS.get(http_status // 100, Failure.MALFORMED)
    return _BY_TYPE.get(error_type, by_status)


def _retry_after_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return the seconds to wait from `retry-after-ms`, or `retry-after` as seconds or an HTTP date."""
    milliseconds = _number(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("retry-after", "")
    seconds = _number(value)
    return seconds if seconds is not None else _seconds_until(value, now)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return max(number, 0.0) if math.isfinite(number) else None


def _seconds_until(http_date: str, now: datetime) -> float | None:
    try:
        moment = parsedate_to_datetime(http_date)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max((moment - now).total_seconds(), 0.0)


def _object(body: bytes) -> Mapping[str, Any]:
    """Return the JSON object in an error's body; a proxy on the way may have answered with anything else."""
    try:
        return _mapping(json.loads(body))
    except (ValueError, RecursionError):
        return {}


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
