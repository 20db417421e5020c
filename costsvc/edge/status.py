"""The single table from errors to `google.rpc.Status`, with the details and metadata that callers rely on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2 as details
from google.rpc.status_pb2 import Status
from grpc.aio import ServicerContext

from costsvc import v1
from costsvc.core.errors import (
    AlreadyRecorded,
    CostsvcError,
    DeadlineTooShort,
    Failure,
    InvalidRequest,
    JournalFailed,
    NoModelFits,
    Overloaded,
    ProviderError,
    StoreUnavailable,
    UnknownModel,
)

DOMAIN = "costsvc.v1"
NEVER_RETRY = -1
_MAX_VIOLATIONS = 20
# Clients refuse metadata above 8 KB, in which what is quoted counts several times, in its encoded forms.
_MAX_TEXT_BYTES, _MAX_VIOLATIONS_BYTES = 500, 2_000
_OVERLOADED_S, _STORE_S, _PROVIDER_S = 0.25, 0.5, 1.0


class Undecodable(CostsvcError):
    """The bytes of a request are not a message of its type."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a caller gets for an error: a code, a reason of ErrorReason, details, and when to try again.

    `retry_s` is None where waiting does not help, and `never` where a retry may pay twice.
    """

    code: grpc.StatusCode
    reason: v1.ErrorReason
    message: str
    metadata: dict[str, str] = field(default_factory=dict)
    details: tuple[Message, ...] = ()
    retry_s: float | None = None
    never: bool = False

    @property
    def reason_name(self) -> str:
        """The reason as ErrorInfo has it."""
        return v1.ErrorReason.Name(self.reason).removeprefix("ERROR_REASON_")

    def status(self) -> Status:
        """Return the status with ErrorInfo first."""
        info = details.ErrorInfo(reason=self.reason_name, domain=DOMAIN, metadata=self.metadata)
        retry = () if self.retry_s is None else (details.RetryInfo(retry_delay=_duration(self.retry_s)),)
        packed = []
        for detail in (info, *self.details, *retry):
            packed.append(AnyMessage())
            packed[-1].Pack(detail)
        return Status(code=self.code.value[0], message=self.message, details=packed)

    def trailing_metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        """Return the rich status and, for gRPC's own retries, the pushback."""
        rich = ("grpc-status-details-bin", self.status().SerializeToString())
        if self.never:
            return (rich, ("grpc-retry-pushback-ms", str(NEVER_RETRY)))
        if self.retry_s is None:
            return (rich,)
        return (rich, ("grpc-retry-pushback-ms", str(round(self.retry_s * 1000))))


def outcome_of(error: CostsvcError) -> Outcome:
    """Return what a caller gets for an error."""
    code = grpc.StatusCode
    match error:
        case Undecodable():
            outcome = Outcome(
                code=code.INVALID_ARGUMENT,
                reason=v1.ERROR_REASON_UNDECODABLE,
                message="the bytes are not a message of this type",
            )
        case UnknownModel():
            outcome = _unknown_model(error)
        case Overloaded():
            outcome = Outcome(
                code=code.UNAVAILABLE,
                reason=v1.ERROR_REASON_OVERLOADED,
                message=f"too many {error.limit} in flight; nothing was spent",
                metadata={"limit": error.limit},
                retry_s=_OVERLOADED_S,
            )
        case DeadlineTooShort():
            outcome = Outcome(
                code=code.DEADLINE_EXCEEDED,
                reason=v1.ERROR_REASON_DEADLINE_TOO_SHORT,
                message="the deadline leaves no time for an answer; nothing was spent",
            )
        case AlreadyRecorded():
            outcome = Outcome(
                code=code.ALREADY_EXISTS,
                reason=v1.ERROR_REASON_ALREADY_RECORDED,
                message="this request_id is booked already",
                metadata={"entry_id": error.entry_id},
            )
        case StoreUnavailable() | JournalFailed():
            outcome = _unbookable(error)
        case NoModelFits():
            outcome = _no_model_fits(error)
        case ProviderError():
            outcome = _provider(error)
        case InvalidRequest():
            outcome = _invalid(error)
        case _:
            outcome = internal()
    return outcome


def internal() -> Outcome:
    """Return what a caller gets for a defect: a fixed text; the log has the rest."""
    message = "internal error; the service's log has the details"
    return Outcome(code=grpc.StatusCode.INTERNAL, reason=v1.ERROR_REASON_INTERNAL, message=message)


def set_status(context: ServicerContext[Any, Any], outcome: Outcome) -> None:
    """Give the call an outcome, which is sent when its method returns."""
    context.set_code(outcome.code)
    context.set_details(outcome.message)
    context.set_trailing_metadata(outcome.trailing_metadata())


def _invalid(error: InvalidRequest) -> Outcome:
    shown = _shown((v.field, v.problem) for v in error.violations)
    violations = [
        details.BadRequest.FieldViolation(field=field, description=problem) for field, problem in shown
    ]
    field, problem = shown[0]
    return Outcome(
        code=grpc.StatusCode.INVALID_ARGUMENT,
        reason=v1.ERROR_REASON_INVALID_FIELD,
        message=f"{field}: {problem}",
        details=(details.BadRequest(field_violations=violations),),
    )


def _unbookable(error: StoreUnavailable | JournalFailed) -> Outcome:
    if isinstance(error, StoreUnavailable):
        reason, message = (
            v1.ERROR_REASON_STORE_UNAVAILABLE,
            "the store does not answer; repeating the call is safe",
        )
    else:
        reason, message = (
            v1.ERROR_REASON_JOURNAL_UNAVAILABLE,
            "this replica cannot write its journal of what is spent; nothing was spent",
        )
    return Outcome(code=grpc.StatusCode.UNAVAILABLE, reason=reason, message=message, retry_s=_STORE_S)


def _unknown_model(error: UnknownModel) -> Outcome:
    model = _cut(error.model)
    return Outcome(
        code=grpc.StatusCode.NOT_FOUND,
        reason=v1.ERROR_REASON_UNKNOWN_MODEL,
        message=f"no model {model!r} in the catalogue",
        metadata={"model": model},
        details=(details.ResourceInfo(resource_type="model", resource_name=model),),
    )


def _no_model_fits(error: NoModelFits) -> Outcome:
    violations = [
        details.PreconditionFailure.Violation(type="MODEL", subject=model, description=reason)
        for model, reason in _shown(error.reasons.items())
    ]
    return Outcome(
        code=grpc.StatusCode.FAILED_PRECONDITION,
        reason=v1.ERROR_REASON_NO_MODEL_FITS,
        message=f"no model can answer: {_cut(str(error))}",
        details=(details.PreconditionFailure(violations=violations),),
    )


_PROVIDER: dict[Failure, tuple[grpc.StatusCode, v1.ErrorReason, str]] = {
    Failure.RATE_LIMITED: (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        v1.ERROR_REASON_PROVIDER_RATE_LIMITED,
        "the provider's rate limit is reached",
    ),
    Failure.SPEND_LIMITED: (
        grpc.StatusCode.FAILED_PRECONDITION,
        v1.ERROR_REASON_PROVIDER_SPEND_LIMITED,
        "the provider's spend limit is reached, or its billing refuses",
    ),
    Failure.OVERLOADED: (
        grpc.StatusCode.UNAVAILABLE,
        v1.ERROR_REASON_PROVIDER_OVERLOADED,
        "the provider is overloaded",
    ),
    Failure.UNAVAILABLE: (
        grpc.StatusCode.UNAVAILABLE,
        v1.ERROR_REASON_PROVIDER_UNAVAILABLE,
        "the provider failed or cannot be reached",
    ),
    Failure.TIMED_OUT: (
        grpc.StatusCode.DEADLINE_EXCEEDED,
        v1.ERROR_REASON_PROVIDER_TIMED_OUT,
        "the provider did not finish in time",
    ),
    Failure.INVALID: (
        grpc.StatusCode.INVALID_ARGUMENT,
        v1.ERROR_REASON_PROVIDER_REJECTED,
        "the provider refuses the request",
    ),
    Failure.NOT_FOUND: (
        grpc.StatusCode.NOT_FOUND,
        v1.ERROR_REASON_PROVIDER_NOT_FOUND,
        "the provider does not know the model",
    ),
    Failure.UNAUTHORIZED: (
        grpc.StatusCode.INTERNAL,
        v1.ERROR_REASON_PROVIDER_UNAUTHORIZED,
        "the provider does not accept the service's credentials",
    ),
    Failure.MALFORMED: (
        grpc.StatusCode.UNAVAILABLE,
        v1.ERROR_REASON_PROVIDER_MALFORMED,
        "the provider's answer cannot be read",
    ),
}
_EXPLAINED = frozenset({Failure.INVALID, Failure.NOT_FOUND})
_PASSING = frozenset({Failure.RATE_LIMITED, Failure.OVERLOADED, Failure.UNAVAILABLE})


def _provider(error: ProviderError) -> Outcome:
    """Say what the provider did; its own words only where they are about the caller's request."""
    code, reason, message = _PROVIDER[error.failure]
    metadata = {
        "attempt_id": error.attempt_id,
        "attempt_count": "1",
        "may_have_spent": "true" if error.may_have_spent else "false",
        "provider_request_id": error.provider_request_id,
        "provider_http_status": str(error.http_status or ""),
        "provider_error_type": error.error_type,
    }
    if error.failure in _EXPLAINED and error.message:
        metadata["provider_message"] = _cut(error.message)
        message = f"{message}: {_cut(error.message)}"
    retry_s = error.retry_after_s or _PROVIDER_S if error.failure in _PASSING else None
    return Outcome(
        code=code,
        reason=reason,
        message=message,
        metadata={name: _cut(value) for name, value in metadata.items() if value},
        retry_s=None if error.may_have_spent else retry_s,
        never=error.may_have_spent,
    )


def _cut(text: str) -> str:
    raw = text.encode(errors="replace")
    return (
        raw.decode() if len(raw) <= _MAX_TEXT_BYTES else f"{raw[:_MAX_TEXT_BYTES].decode(errors='ignore')}..."
    )


def _shown(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the first pairs, as many as there is room for; always at least one."""
    shown: list[tuple[str, str]] = []
    left = _MAX_VIOLATIONS_BYTES
    for pair in islice(pairs, _MAX_VIOLATIONS):
        first, second = map(_cut, pair)
        left -= len(first.encode()) + len(second.encode())
        if left < 0:
            break
        shown.append((first, second))
    return shown


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromMilliseconds(round(seconds * 1000))
    return duration
