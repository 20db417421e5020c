"""What a caller gets where something is wrong with a whole batch: the part of the table in `status.py`."""

from __future__ import annotations

from collections.abc import Callable

import grpc
from google.rpc import error_details_pb2 as details

from costsvc import v1
from costsvc.core.batch_errors import (
    BatchError,
    BatchItemsRefused,
    BatchNotEnded,
    BatchResultsGone,
    BatchTooLarge,
    UnknownBatch,
)
from costsvc.edge.outcome import Outcome, internal, not_found, shorten

_NOT_ENDED_S = 60.0


def about_batches(error: BatchError) -> Outcome:
    """Return what a caller gets for an error."""
    answer: Callable[[BatchError], Outcome] = _ANSWERS.get(type(error), lambda _: internal())
    return answer(error)


def _unknown(error: BatchError) -> Outcome:
    assert isinstance(error, UnknownBatch)
    return not_found(error, v1.ERROR_REASON_UNKNOWN_BATCH, "batch", error.batch_id)


def _not_ended(error: BatchError) -> Outcome:
    return Outcome(
        code=grpc.StatusCode.FAILED_PRECONDITION,
        reason=v1.ERROR_REASON_BATCH_NOT_ENDED,
        message=str(error),
        retry_s=_NOT_ENDED_S,
    )


def _refused(error: BatchError) -> Outcome:
    assert isinstance(error, BatchItemsRefused)
    shown = shorten((f"requests[{each.index}]", str(each.error)) for each in error.refused)
    violations = [
        details.BadRequest.FieldViolation(field=field, description=problem) for field, problem in shown
    ]
    return Outcome(
        code=grpc.StatusCode.INVALID_ARGUMENT,
        reason=v1.ERROR_REASON_BATCH_ITEMS_REFUSED,
        message=str(error),
        metadata={"refused_count": str(error.count)},
        details=(details.BadRequest(field_violations=violations),),
    )


def _too_large(error: BatchError) -> Outcome:
    assert isinstance(error, BatchTooLarge)
    return Outcome(
        code=grpc.StatusCode.INVALID_ARGUMENT,
        reason=v1.ERROR_REASON_BATCH_TOO_LARGE,
        message=str(error),
        metadata={"most": error.most},
    )


def _results_gone(error: BatchError) -> Outcome:
    return Outcome(
        code=grpc.StatusCode.FAILED_PRECONDITION,
        reason=v1.ERROR_REASON_BATCH_RESULTS_GONE,
        message=str(error),
    )


_ANSWERS: dict[type[BatchError], Callable[[BatchError], Outcome]] = {
    UnknownBatch: _unknown,
    BatchNotEnded: _not_ended,
    BatchItemsRefused: _refused,
    BatchTooLarge: _too_large,
    BatchResultsGone: _results_gone,
}
