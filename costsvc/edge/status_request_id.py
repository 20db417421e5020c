"""What a caller gets where an earlier call had the same request_id: the part of the table in `status.py`."""

from __future__ import annotations

import grpc
from google.rpc import error_details_pb2 as details

from costsvc import v1
from costsvc.core.errors import (
    AlreadyAnswered,
    AlreadyRecorded,
    OutcomeUnknown,
    RequestIdReused,
    StillRunning,
)
from costsvc.edge.outcome import Outcome

_FIELD = "request.request_id"


def about_request_ids(
    error: RequestIdReused | AlreadyRecorded | AlreadyAnswered | OutcomeUnknown | StillRunning,
) -> Outcome:
    """Return what a caller gets for an error."""
    match error:
        case RequestIdReused():
            return _reused()
        case AlreadyRecorded():
            return Outcome(
                code=grpc.StatusCode.ALREADY_EXISTS,
                reason=v1.ERROR_REASON_ALREADY_RECORDED,
                message="this request_id or hold_id is booked already",
                metadata={"entry_id": error.entry_id},
            )
        case AlreadyAnswered():
            return Outcome(
                code=grpc.StatusCode.ALREADY_EXISTS,
                reason=v1.ERROR_REASON_ALREADY_ANSWERED,
                message="this request_id was answered and booked; the answer is not kept any more",
                metadata={"entry_id": error.entry_id, "cost_nano_usd": str(error.cost_nano_usd)},
            )
        case OutcomeUnknown():
            return Outcome(
                code=grpc.StatusCode.FAILED_PRECONDITION,
                reason=v1.ERROR_REASON_OUTCOME_UNKNOWN,
                message="an earlier call with this request_id may have spent, and its answer is lost",
                metadata={"may_have_spent": "true"},
                never=True,
            )
        case StillRunning():
            return Outcome(
                code=grpc.StatusCode.DEADLINE_EXCEEDED,
                reason=v1.ERROR_REASON_STILL_RUNNING,
                message="the first call with this request_id still runs; repeat this one to get its answer",
            )


def _reused() -> Outcome:
    problem = "stands for another request of the last 24 hours"
    violation = details.BadRequest.FieldViolation(field=_FIELD, description=problem)
    return Outcome(
        code=grpc.StatusCode.INVALID_ARGUMENT,
        reason=v1.ERROR_REASON_REQUEST_ID_REUSED,
        message=f"{_FIELD}: {problem}; nothing was spent",
        details=(details.BadRequest(field_violations=[violation]),),
    )
