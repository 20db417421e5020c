"""The single table from errors to `google.rpc.Status`, with the details and metadata that callers rely on."""

from __future__ import annotations

from datetime import datetime

import grpc
from google.rpc import error_details_pb2 as details

from costsvc import v1
from costsvc.core.batch_errors import BatchError
from costsvc.core.deferred_errors import DeferralError
from costsvc.core.errors import (
    AlreadyAnswered,
    AlreadyRecorded,
    BudgetExceeded,
    BudgetUnbounded,
    BudgetUnchecked,
    CacheMiss,
    CostsvcError,
    DeadlineTooShort,
    Failure,
    HoldMismatch,
    InvalidRequest,
    JournalFailed,
    NoModelFits,
    NotAHit,
    NotAtRisk,
    OutcomeUnknown,
    Overloaded,
    ProviderError,
    RequestIdReused,
    StillRunning,
    StoreUnavailable,
    StreamUnread,
    TooManyBudgets,
    UnknownBudget,
    UnknownHold,
    UnknownModel,
    UnknownResponse,
)
from costsvc.edge.outcome import Outcome, cut, internal, not_found, shorten
from costsvc.edge.status_batch import about_batches
from costsvc.edge.status_budget import about_budgets
from costsvc.edge.status_deferred import about_deferral
from costsvc.edge.status_request_id import about_request_ids

_OVERLOADED_S, _STORE_S, _PROVIDER_S = 0.25, 0.5, 1.0


class Undecodable(CostsvcError):
    """The bytes of a request are not a message of its type."""


class LoopbackOnly(CostsvcError):
    """An RPC of the operator's came from another machine."""


def outcome_of(error: CostsvcError, now: datetime) -> Outcome:
    """Return what a caller gets for an error."""
    if isinstance(error, DeferralError):
        return about_deferral(error)
    return about_batches(error) if isinstance(error, BatchError) else _of_one_call(error, now)


def _of_one_call(error: CostsvcError, now: datetime) -> Outcome:
    code = grpc.StatusCode
    match error:
        case Undecodable() | DeadlineTooShort() | LoopbackOnly() | StreamUnread():
            outcome = _PLAIN[type(error)]
        case RequestIdReused() | AlreadyRecorded() | AlreadyAnswered() | OutcomeUnknown() | StillRunning():
            outcome = about_request_ids(error)
        case (
            BudgetExceeded()
            | BudgetUnbounded()
            | TooManyBudgets()
            | UnknownBudget()
            | NotAtRisk()
            | UnknownHold()
        ):
            outcome = about_budgets(error, now)
        case UnknownModel() | CacheMiss() | NotAHit() | UnknownResponse():
            outcome = _not_found(error)
        case Overloaded():
            outcome = Outcome(
                code=code.UNAVAILABLE,
                reason=v1.ERROR_REASON_OVERLOADED,
                message=f"too many {error.limit} in flight; nothing was spent",
                metadata={"limit": error.limit},
                retry_s=_OVERLOADED_S,
            )
        case StoreUnavailable() | JournalFailed() | BudgetUnchecked():
            outcome = _unbookable(error)
        case NoModelFits():
            outcome = _no_model_fits(error)
        case ProviderError():
            outcome = _provider(error)
        case InvalidRequest() | HoldMismatch():
            outcome = _invalid(error)
        case _:
            outcome = internal()
    return outcome


_PLAIN: dict[type[CostsvcError], Outcome] = {
    Undecodable: Outcome(
        code=grpc.StatusCode.INVALID_ARGUMENT,
        reason=v1.ERROR_REASON_UNDECODABLE,
        message="the bytes are not a message of this type",
    ),
    DeadlineTooShort: Outcome(
        code=grpc.StatusCode.DEADLINE_EXCEEDED,
        reason=v1.ERROR_REASON_DEADLINE_TOO_SHORT,
        message="the deadline leaves no time for an answer; nothing was spent",
    ),
    StreamUnread: Outcome(
        code=grpc.StatusCode.ABORTED,
        reason=v1.ERROR_REASON_STREAM_UNREAD,
        message="the stream was not read in time; the answer is paid all the same",
        never=True,
    ),
    LoopbackOnly: Outcome(
        code=grpc.StatusCode.PERMISSION_DENIED,
        reason=v1.ERROR_REASON_ADMIN_LOOPBACK_ONLY,
        message="as long as nobody is authenticated, only callers on the service's own machine may do this",
    ),
}


def _invalid(error: InvalidRequest | HoldMismatch) -> Outcome:
    shown = shorten((v.field, v.problem) for v in error.violations)
    violations = [
        details.BadRequest.FieldViolation(field=field, description=problem) for field, problem in shown
    ]
    field, problem = shown[0]
    return Outcome(
        code=grpc.StatusCode.INVALID_ARGUMENT,
        reason=(
            v1.ERROR_REASON_HOLD_MISMATCH
            if isinstance(error, HoldMismatch)
            else v1.ERROR_REASON_INVALID_FIELD
        ),
        message=f"{field}: {problem}",
        details=(details.BadRequest(field_violations=violations),),
    )


def _unbookable(error: StoreUnavailable | JournalFailed | BudgetUnchecked) -> Outcome:
    metadata: dict[str, str] = {}
    if isinstance(error, StoreUnavailable):
        reason, message = (
            v1.ERROR_REASON_STORE_UNAVAILABLE,
            "the store does not answer; repeating the call is safe",
        )
    elif isinstance(error, BudgetUnchecked):
        reason, message = v1.ERROR_REASON_BUDGET_UNCHECKED, f"{error}; nothing was spent"
        metadata = {"budget_id": error.budget_id}
    else:
        reason, message = (
            v1.ERROR_REASON_JOURNAL_UNAVAILABLE,
            "this replica cannot write its journal of what is spent; nothing was spent",
        )
    return Outcome(
        code=grpc.StatusCode.UNAVAILABLE, reason=reason, message=message, metadata=metadata, retry_s=_STORE_S
    )


def _not_found(error: UnknownModel | CacheMiss | NotAHit | UnknownResponse) -> Outcome:
    if isinstance(error, UnknownResponse):
        return not_found(error, v1.ERROR_REASON_UNKNOWN_RESPONSE, "response", error.response_id)
    if isinstance(error, NotAHit):
        return Outcome(
            code=grpc.StatusCode.NOT_FOUND,
            reason=v1.ERROR_REASON_NOT_A_HIT,
            message="no call of the last days got a stored answer under this response_id",
            metadata={"response_id": cut(error.response_id)},
        )
    if isinstance(error, CacheMiss):
        return Outcome(
            code=grpc.StatusCode.NOT_FOUND,
            reason=v1.ERROR_REASON_CACHE_MISS,
            message="there is no stored answer; nothing was spent",
            metadata={"cache_outcome": error.outcome},
        )
    model = cut(error.model)
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
        for model, reason in shorten(error.reasons.items())
    ]
    return Outcome(
        code=grpc.StatusCode.FAILED_PRECONDITION,
        reason=v1.ERROR_REASON_NO_MODEL_FITS,
        message=f"no model can answer: {cut(str(error))}",
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
    Failure.CALLER_GONE: (
        grpc.StatusCode.ABORTED,
        v1.ERROR_REASON_CALLER_GONE,
        "everybody who wanted the answer had gone, so it was closed",
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
        "attempt_count": str(error.attempt_count),
        "may_have_spent": "true" if error.may_have_spent else "false",
        "provider_request_id": error.provider_request_id,
        "provider_http_status": str(error.http_status or ""),
        "provider_error_type": error.error_type,
    }
    if error.failure in _EXPLAINED and error.message:
        metadata["provider_message"] = cut(error.message)
        message = f"{message}: {cut(error.message)}"
    retry_s = error.retry_after_s or _PROVIDER_S if error.failure in _PASSING else None
    return Outcome(
        code=code,
        reason=reason,
        message=message,
        metadata={name: cut(value) for name, value in metadata.items() if value},
        retry_s=None if error.may_have_spent else retry_s,
        never=error.may_have_spent,
    )
