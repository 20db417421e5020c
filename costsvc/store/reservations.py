"""Finding a reservation by its id, whatever has become of it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from redis.asyncio import Redis

from costsvc.core.entry import Entry
from costsvc.core.opening import Opening
from costsvc.store import entry_codec, keys
from costsvc.store.attempts import read_at_risk, read_held
from costsvc.store.connection import translated
from costsvc.store.ledger import place_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """A reservation that is held, at risk, or resolved by people: its bill can be booked."""

    opening: Opening
    charges: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Recorded:
    """The reservation has its bill: the entry of this id."""

    entry_id: str


_RISK_LINES = 7


class Reservations:
    """Reservations of every process."""

    def __init__(self, client: Redis) -> None:
        self._client = client

    async def find(self, hold_id: str, days: Collection[datetime]) -> Reservation | Recorded | None:
        """Return what is known of a reservation that was made on one of some UTC days.

        Raises:
            StoreUnavailable: the store cannot be asked.
        """
        async with translated(), self._client.pipeline(transaction=False) as pipeline:
            pipeline.hget(keys.AT_RISK, hold_id)
            for day in {keys.day_of(at) for at in days}:
                pipeline.hget(keys.attempts(day), hold_id)
            risk, *records = await pipeline.execute()
        record: bytes = next((each for each in records if each), b"")
        if place := place_of(record):
            if not record.startswith(b"p\n"):
                return Recorded(place.split(":", 2)[2])
            return _resolved(entry_codec.decode(record.split(b"\n")[2]))
        if risk or record.startswith(b"n\n"):
            return _at_risk(risk or record)
        if record.startswith(b"h\n"):
            opening, _, charges = read_held(record)
            return Reservation(opening=opening, charges=charges)
        return None


def _at_risk(record: bytes) -> Reservation | None:
    """Read a risk, or what is left of one that was resolved; None where that is nothing."""
    if record.count(b"\n") < _RISK_LINES:
        return None
    risk = read_at_risk(record)
    return Reservation(opening=risk.opening, charges=risk.charges)


def _resolved(entry: Entry) -> Reservation:
    """Read what people booked, to which a bill adds the difference."""
    opening = Opening(
        attempt_id=entry.attempt_id,
        response_id=entry.response_id,
        request_id=entry.request_id,
        tenant=entry.tenant,
        labels=entry.labels,
        task=entry.task,
        conversation_id=entry.conversation_id,
        requested_model=entry.requested_model,
        model=entry.answering_model,
        baseline_model=entry.baseline_model,
        tier=entry.tier,
        started_at=entry.started_at,
    )
    return Reservation(opening=opening, charges=entry.charges)
