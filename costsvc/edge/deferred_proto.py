"""Deferred requests, from the wire and to it, and as bytes while they wait."""

from __future__ import annotations

from datetime import datetime, timedelta

from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.status_pb2 import Status

from costsvc import v1
from costsvc.app.batch_results import ItemResult
from costsvc.app.deferral import Asked, Seen
from costsvc.app.deferred_words import Words
from costsvc.core.batch import Batch
from costsvc.core.errors import InvalidRequest, Violation
from costsvc.core.request import ModelRequest
from costsvc.core.urls import http_url
from costsvc.edge import from_proto, to_proto
from costsvc.edge.status import outcome_of
from costsvc.ports import Clock
from costsvc.store.deferred_items import State

LONGEST = timedelta(hours=24)
"""How long a request waits at most, and where its caller does not say."""


def asked(message: v1.DeferRequest, request: ModelRequest) -> Asked:
    """Return what a caller wants deferred."""
    if message.webhook_url:
        try:
            http_url(message.webhook_url)
        except ValueError as error:
            raise InvalidRequest(Violation("webhook_url", str(error))) from None
    return Asked(
        request=request,
        body=message.request.SerializeToString(),
        tolerance=message.tolerance.ToTimedelta() if message.HasField("tolerance") else LONGEST,
        webhook=message.webhook_url,
    )


def words(clock: Clock) -> Words:
    """Return how requests, answers and errors are written."""
    return Words(
        read=_read,
        write_answer=lambda completed: to_proto.complete_response(completed).SerializeToString(),
        write_result=lambda batch, result: _answer(batch, result).SerializeToString(),
        write_error=lambda error: outcome_of(error, clock.now()).status().SerializeToString(),
    )


def deferred(seen: Seen) -> v1.Deferred:
    """Return a request as it stands."""
    item = seen.item
    message = v1.Deferred(
        deferred_id=item.id,
        state=_STATES[item.state],
        request_id=item.request_id,
        task=item.task,
        create_time=_stamp(item.asked_at),
        deadline_time=_stamp(item.deadline),
        end_time=_stamp(item.ended_at) if item.ended_at else None,
        batch_id=item.batch,
    )
    if item.state is State.ANSWERED:
        message.response.CopyFrom(v1.CompleteResponse.FromString(seen.answer))
    elif item.state is State.FAILED:
        message.error.CopyFrom(Status.FromString(seen.answer))
    return message


def _read(body: bytes) -> ModelRequest:
    try:
        message = v1.Request.FromString(body)
    except DecodeError:
        raise InvalidRequest(Violation("request", "cannot be read any more")) from None
    return from_proto.model_request(message)


def _answer(batch: Batch, result: ItemResult) -> v1.CompleteResponse:
    """Return a batch's answer as Complete would have; of the decision, what is kept of an item."""
    account, item = result.account, result.item
    return v1.CompleteResponse(
        text=result.text,
        message_json=result.message_json.encode(),
        stop_reason=result.stop_reason,
        bill=to_proto.bill(result.usage, account.cost_nano_usd, account.baseline_nano_usd, account.savings),
        decision=v1.Decision(
            model=item.model,
            tier=f"TIER_{item.tier.upper()}" if item.tier else None,
            baseline_model=item.baseline_model,
        ),
        cache_outcome=v1.CACHE_OUTCOME_DISABLED,
        attempt_count=1,
        response_id=batch.id,
        model=str(result.message.get("model", "")),
    )


def _stamp(at: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(at)
    return stamp


_STATES = {
    State.QUEUED: v1.DEFERRED_STATE_QUEUED,
    State.IN_BATCH: v1.DEFERRED_STATE_IN_BATCH,
    State.ALONE: v1.DEFERRED_STATE_SENT_ALONE,
    State.AGAIN: v1.DEFERRED_STATE_SENT_AGAIN,
    State.ANSWERED: v1.DEFERRED_STATE_ANSWERED,
    State.FAILED: v1.DEFERRED_STATE_FAILED,
    State.CANCELED: v1.DEFERRED_STATE_CANCELED,
}
