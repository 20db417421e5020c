"""Booking a call that the caller made itself after Route, with or without a reservation.

It goes to the store alone, not through the journal: only the store can say that a request_id is booked
already, and a caller who has no answer repeats the call, safely.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from costsvc.app.booking import Booking
from costsvc.app.conversations import Conversations
from costsvc.app.planner import Planner
from costsvc.app.reserve import Reserving
from costsvc.core.candidates import tier_of
from costsvc.core.catalog import Catalog, Model
from costsvc.core.entry import Entry
from costsvc.core.errors import AlreadyRecorded, HoldMismatch, InvalidRequest, Violation
from costsvc.core.json_text import parse_object
from costsvc.core.opening import Opening
from costsvc.core.savings import Account, account
from costsvc.core.usage import MalformedUsage, Reported, read_usage
from costsvc.metrics import Metrics
from costsvc.ports import Clock
from costsvc.store.ledger import REMEMBERED_DAYS

CLOCK_SKEW = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """What a caller tells of a call: the provider's usage object unchanged, and the circumstances."""

    request_id: str
    model: str
    usage_json: bytes
    stop_reason: str = ""
    refusal_category: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    task: str = ""
    conversation_id: str = ""
    requested_model: str = ""
    provider_request_id: str = ""
    hold_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """The booked entry."""

    entry_id: str
    reported: Reported
    account: Account


class Recorder:
    """The use case behind Record."""

    def __init__(
        self,
        planner: Planner,
        conversations: Conversations,
        booking: Booking,
        reserving: Reserving,
        *,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._planner = planner
        self._conversations = conversations
        self._reserving = reserving
        self._booking = booking
        self._metrics = metrics
        self._clock = clock

    async def record(self, recording: Recording, tenant: str) -> Recorded:
        """Book a call once per hold_id, or else once per request_id.

        Raises:
            InvalidRequest: usage that cannot be billed, or times that cannot be.
            UnknownModel: a model without a price.
            UnknownHold, HoldMismatch: there is no such reservation, or it says something else.
            AlreadyRecorded: with the entry that stands.
            StoreUnavailable: it may have been booked or not; repeat it.
        """
        now = self._clock.now()
        model = self._planner.catalog.resolve(recording.model)
        reported = read_reported(
            recording.usage_json,
            model,
            stop_reason=recording.stop_reason,
            refusal_category=recording.refusal_category,
        )
        if recording.hold_id:
            reservation = await self._reserving.find(recording.hold_id, tenant)
            opening, charges = _confirmed(reservation.opening, recording), reservation.charges
            ended_at = _ended_at(opening, recording, now)
        else:
            started_at, ended_at = _times(recording, now)
            opening, charges = self._opening(recording, tenant, model, started_at), ()
        accounted = account(
            self._planner.catalog,
            reported,
            baseline_model=opening.baseline_model,
            marked_by_us=False,
            at=opening.started_at,
        )
        tier = tier_of(model.id, self._planner.policy)
        entry = opened_entry(
            opening,
            catalog=self._planner.catalog,
            model=model,
            tier=tier.label if tier else "",
            reported=reported,
            accounted=accounted,
            provider_request_id=recording.provider_request_id,
            stop_reason=recording.stop_reason,
            raw_usage_json=recording.usage_json.decode(),
            charges=charges,
            settled_at=now,
            total_ms=round((ended_at - opening.started_at) / timedelta(milliseconds=1)),
        )
        await self._book(entry, once_per="" if recording.hold_id else recording.request_id)
        await self._conversations.recorded(entry)
        return Recorded(entry_id=entry.entry_id, reported=reported, account=accounted)

    def _opening(self, recording: Recording, tenant: str, model: Model, started_at: datetime) -> Opening:
        """Return what is known of a call without a reservation: what its caller says."""
        attempt_id = _attempt_id(tenant, recording.request_id)
        return Opening(
            attempt_id=attempt_id,
            response_id=attempt_id,
            request_id=recording.request_id,
            tenant=tenant,
            labels=recording.labels,
            task=recording.task,
            conversation_id=recording.conversation_id,
            requested_model=recording.requested_model or "auto",
            model=model.id,
            baseline_model=self._baseline(recording).id,
            tier="",
            started_at=started_at,
        )

    def _baseline(self, recording: Recording) -> Model:
        """Return the model against which savings count: the one asked for, else the policy's."""
        pinned = recording.requested_model not in {"", "auto"}
        return self._planner.catalog.resolve(
            recording.requested_model if pinned else self._planner.policy.baseline_model
        )

    async def _book(self, entry: Entry, *, once_per: str) -> None:
        settled = await self._booking.book(entry, once_per=once_per)
        if settled.duplicate:
            raise AlreadyRecorded(settled.entry_id)
        self._metrics.settled(entry.answering_model, entry.cost_nano_usd, entry.savings, entry.usage)


def opened_entry(
    opening: Opening,
    *,
    catalog: Catalog,
    model: Model,
    reported: Reported,
    accounted: Account,
    **fields: Any,
) -> Entry:
    """Return the entry of an attempt whose bill came from outside; `fields` are the rest of it."""
    given = {
        "tier": opening.tier,
        "provider_request_id": "",
        **fields,
    }
    return Entry(
        entry_id=opening.attempt_id,
        attempt_id=opening.attempt_id,
        response_id=opening.response_id,
        request_id=opening.request_id,
        tenant=opening.tenant,
        labels=opening.labels,
        task=opening.task,
        conversation_id=opening.conversation_id,
        requested_model=opening.requested_model,
        answering_model=model.id,
        baseline_model=opening.baseline_model,
        inference_geo=reported.inference_geo,
        speed=reported.speed,
        service_tier=reported.service_tier,
        usage=reported.totals,
        cost_nano_usd=accounted.cost_nano_usd,
        baseline_nano_usd=accounted.baseline_nano_usd,
        savings=accounted.savings,
        catalog_hash=catalog.hash,
        started_at=opening.started_at,
        **given,
    )


def read_reported(
    usage_json: bytes, model: Model, *, stop_reason: str = "", refusal_category: str = ""
) -> Reported:
    """Return what a call used, from the provider's usage object.

    Raises:
        InvalidRequest: naming the field below `usage_json` that cannot be billed.
    """
    try:
        usage = {name: member.value for name, member in parse_object(usage_json).items()}
        return read_usage(
            usage, model=model.id, stop_reason=stop_reason, stop_details={"category": refusal_category}
        )
    except MalformedUsage as error:
        raise InvalidRequest(Violation(f"usage_json.{error.field}", error.problem)) from error
    except ValueError as error:
        raise InvalidRequest(Violation("usage_json", str(error))) from error


def _attempt_id(tenant: str, request_id: str) -> str:
    """Return an id that only this request of this tenant has, so that a repeated Record meets its entry."""
    return "rec_" + sha256(f"{tenant}\0{request_id}".encode()).hexdigest()[:32]


def _times(recording: Recording, now: datetime) -> tuple[datetime, datetime]:
    """Return start and end; a call cannot be booked before it happened, or into hours that are closed."""
    ended_at = recording.ended_at or now
    started_at = recording.started_at or min(ended_at, now)
    if started_at > ended_at:
        raise InvalidRequest(Violation("start_time", "is after end_time"))
    if ended_at > now + CLOCK_SKEW:
        raise InvalidRequest(Violation("end_time", "is in the future"))
    if started_at < now - timedelta(days=REMEMBERED_DAYS):
        raise InvalidRequest(Violation("start_time", f"is more than {REMEMBERED_DAYS} days ago"))
    return started_at, ended_at


def _confirmed(opening: Opening, recording: Recording) -> Opening:
    """Return what a reservation says of its call; what the caller says again must be the same."""
    said = {
        "request_id": opening.request_id and recording.request_id,
        "labels": dict(recording.labels),
        "task": recording.task,
        "conversation_id": recording.conversation_id,
        "requested_model": recording.requested_model,
    }
    broken = [
        Violation(name, f"the reservation has {getattr(opening, name)!r}")
        for name, value in said.items()
        if value and value != getattr(opening, name)
    ]
    if recording.started_at is not None:
        broken.append(Violation("start_time", "is the reservation's start: leave it out"))
    if broken:
        raise HoldMismatch(*broken)
    return replace(opening, request_id=opening.request_id or recording.request_id)


def _ended_at(opening: Opening, recording: Recording, now: datetime) -> datetime:
    ended_at = recording.ended_at or max(now, opening.started_at)
    if ended_at < opening.started_at:
        raise InvalidRequest(Violation("end_time", "is before the reservation began"))
    if ended_at > now + CLOCK_SKEW:
        raise InvalidRequest(Violation("end_time", "is in the future"))
    return ended_at
