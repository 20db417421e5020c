"""What a caller gets where something is wrong with deferring: the part of the table in `status.py`."""

from __future__ import annotations

import grpc

from costsvc import v1
from costsvc.core.deferred_errors import (
    DeferralError,
    DeferredFull,
    MustDefer,
    NotDeferrable,
    UnknownDeferred,
)
from costsvc.edge.outcome import Outcome, internal, not_found

_FULL_S = 30.0


def about_deferral(error: DeferralError) -> Outcome:
    """Return what a caller gets for an error."""
    code = grpc.StatusCode
    match error:
        case NotDeferrable():
            reason = v1.ERROR_REASON_NOT_DEFERRABLE
            return Outcome(
                code=code.INVALID_ARGUMENT,
                reason=reason,
                message=f"{error}; nothing was spent",
                metadata={"cause": error.cause},
            )
        case MustDefer():
            return Outcome(
                code=code.FAILED_PRECONDITION,
                reason=v1.ERROR_REASON_MUST_DEFER,
                message=f"{error}; nothing was spent",
                metadata={"task": error.task},
            )
        case DeferredFull():
            return Outcome(
                code=code.RESOURCE_EXHAUSTED,
                reason=v1.ERROR_REASON_DEFERRED_FULL,
                message="too many deferred requests wait; nothing was spent",
                retry_s=_FULL_S,
            )
        case UnknownDeferred():
            return not_found(error, v1.ERROR_REASON_UNKNOWN_DEFERRED, "deferred", error.deferred_id)
        case _:
            return internal()
