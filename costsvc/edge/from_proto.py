"""Messages of the API as values of the domain. Fields are named in errors as the caller knows them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp

from costsvc import v1
from costsvc.app.record import Recording
from costsvc.app.report import Granularity, GroupBy, Query
from costsvc.core.errors import InvalidRequest, Violation
from costsvc.core.request import (
    CacheMode,
    ModelRequest,
    Tier,
    read_messages_json,
    requested_model,
    simple_members,
)
from costsvc.edge.accept import checks_of

_ROLES = {v1.ROLE_UNSPECIFIED: "user", v1.ROLE_USER: "user", v1.ROLE_ASSISTANT: "assistant"}
_CACHE_MODES = {
    v1.CACHE_MODE_UNSPECIFIED: CacheMode.DEFAULT,
    v1.CACHE_MODE_BYPASS: CacheMode.BYPASS,
    v1.CACHE_MODE_REFRESH: CacheMode.REFRESH,
    v1.CACHE_MODE_ONLY: CacheMode.ONLY,
}
_GRANULARITIES = {
    v1.GRANULARITY_UNSPECIFIED: Granularity.WHOLE,
    v1.GRANULARITY_HOUR: Granularity.HOUR,
    v1.GRANULARITY_DAY: Granularity.DAY,
    v1.GRANULARITY_MONTH: Granularity.MONTH,
}
_GROUPS = {
    v1.GROUP_BY_UNSPECIFIED: GroupBy.NOTHING,
    v1.GROUP_BY_MODEL: GroupBy.MODEL,
    v1.GROUP_BY_TIER: GroupBy.TIER,
    v1.GROUP_BY_TASK: GroupBy.TASK,
    v1.GROUP_BY_LABEL: GroupBy.LABEL,
    v1.GROUP_BY_TECHNIQUE: GroupBy.TECHNIQUE,
}


def model_request(message: v1.Request) -> ModelRequest:
    """Return the request whose shape has been checked.

    Raises:
        InvalidRequest: with paths from the RPC's message on.
    """
    with within("request"):
        body = message.messages_json  # each look at it copies it
        if body:
            members = read_messages_json(body)
        else:
            turns = [(_ROLES[turn.role], turn.text) for turn in message.messages]
            max_tokens = message.max_tokens if message.HasField("max_tokens") else None
            members = simple_members(message.system, turns, max_tokens)
        return ModelRequest(
            members=members,
            request_id=message.request_id,
            labels=dict(message.labels),
            task=message.task,
            conversation_id=message.conversation_id,
            model=requested_model(message.model, members),
            min_tier=Tier(message.min_tier or Tier.SIMPLE),
            max_tier=Tier(message.max_tier or Tier.COMPLEX),
            max_cost_nano_usd=message.max_cost_nano_usd,
            cache_mode=_CACHE_MODES[message.cache_mode],
            cache_namespace=message.cache_namespace,
            cache_max_age=_max_age(message),
            baseline_only=message.routing_mode == v1.ROUTING_MODE_BASELINE,
            caller_markers_only=message.marker_mode == v1.MARKER_MODE_CALLER_ONLY,
            betas=tuple(message.betas),
            checks=checks_of(message, members),
        )


def recording(message: v1.RecordRequest) -> Recording:
    """Return what a caller tells of its own call."""
    return Recording(
        request_id=message.request_id,
        model=message.model,
        usage_json=message.usage_json,
        stop_reason=message.stop_reason,
        refusal_category=message.refusal_category,
        started_at=_instant(message.start_time, "start_time") if message.HasField("start_time") else None,
        ended_at=_instant(message.end_time, "end_time") if message.HasField("end_time") else None,
        labels=dict(message.labels),
        task=message.task,
        conversation_id=message.conversation_id,
        requested_model=message.requested_model,
        provider_request_id=message.provider_request_id,
        hold_id=message.hold_id,
    )


def report_query(message: v1.ReportRequest, tenant: str) -> Query:
    """Return the query of a tenant for its own ledger."""
    return Query(
        tenant=tenant,
        start=_instant(message.start_time, "start_time"),
        end=_instant(message.end_time, "end_time"),
        granularity=_GRANULARITIES[message.granularity],
        group_by=_GROUPS[message.group_by],
        label_key=message.label_key,
        page_size=message.page_size,
        page_token=message.page_token,
    )


@contextmanager
def within(field: str) -> Iterator[None]:
    """Name violations from the outer message on."""
    try:
        yield
    except InvalidRequest as error:
        outer = [Violation(f"{field}.{inner.field}", inner.problem) for inner in error.violations]
        raise InvalidRequest(*outer) from error
    except RecursionError:  # what could just be read may be too deep to be walked from further down the stack
        raise InvalidRequest(Violation(f"{field}.messages_json", "nested too deeply")) from None


def _max_age(message: v1.Request) -> timedelta | None:
    return timedelta(seconds=message.cache_max_age_s) if message.HasField("cache_max_age_s") else None


def _instant(stamp: Timestamp, field: str) -> datetime:
    try:
        return stamp.ToDatetime(UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidRequest(Violation(field, "is not a point in time")) from error
