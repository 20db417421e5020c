"""Telling the store how attempts ended: each telling is done once an attempt, so it may be repeated.

This is what the journal keeps of attempts, and what it means: an opening is told of only where nothing else
of its attempt was written, because its process ended before; nobody knows then what the attempt spent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from costsvc.app.booking import Booking
from costsvc.core.entry import Entry
from costsvc.core.errors import Bounds
from costsvc.core.holds import Hold
from costsvc.core.opening import Opening
from costsvc.store import entry_codec
from costsvc.store.attempts import held_record, microseconds, read_held
from costsvc.store.holds import OWNER_LOST, Holds
from costsvc.store.journal_file import Kind

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class News:
    """Something that the store is to be told of an attempt, as the journal has it."""

    kind: Kind
    attempt_id: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Bill:
    """A settlement's entry, where it is at hand, and the version of the definitions behind its charges."""

    entry: Entry
    version: int | None


def opened(opening: Opening, hold: Hold, charges: Sequence[str]) -> News:
    """Return that an attempt begins: enough to count its worst where nothing more is heard of it."""
    return News(Kind.OPENING, opening.attempt_id, held_record("", opening, hold, charges).encode())


def lost(
    opening: Opening, hold: Hold, charges: Sequence[str], reason: str, bounds: Bounds | None = None
) -> News:
    """Return that nobody knows what an attempt spent; without bounds, from nothing to its worst."""
    lower, upper = (bounds.lower_nano_usd, bounds.upper_nano_usd) if bounds else (0, "")
    data = f"{reason}\n{lower}\n{upper}\n{held_record('', opening, hold, charges)}"
    return News(Kind.LOSS, opening.attempt_id, data.encode())


def freed(opening: Opening) -> News:
    """Return that an attempt spent nothing."""
    return News(Kind.RELEASE, opening.attempt_id, b"%d" % microseconds(opening.started_at))


def settled(entry: Entry) -> News:
    """Return what an attempt spent."""
    return News(Kind.SETTLEMENT, entry.attempt_id, entry_codec.encode(entry))


def started_at(news: News) -> datetime:
    """Return when the attempt began; the store remembers it for some days from then."""
    match news.kind:
        case Kind.SETTLEMENT:
            return entry_codec.decode(news.data).started_at
        case Kind.RELEASE:
            return _EPOCH + int(news.data) * _MICROSECOND
        case _:
            return read_held(_parts(news)[-1])[0].started_at


class Teller:
    """Tells one store."""

    def __init__(self, booking: Booking, holds: Holds) -> None:
        self._booking = booking
        self._holds = holds

    async def tell(self, news: News, bill: Bill | None = None) -> None:
        """Tell the store.

        Raises:
            StoreUnavailable: it may have heard it or not; repeat it.
        """
        match news.kind:
            case Kind.SETTLEMENT:
                bill = bill or Bill(entry_codec.decode(news.data), None)
                await self._booking.book(bill.entry, encoded=news.data, version=bill.version)
            case Kind.RELEASE:
                await self._holds.release(news.attempt_id, started_at(news))
            case _:
                await self._lose(news)

    async def _lose(self, news: News) -> None:
        reason, lower, upper, record = _parts(news)
        opening, hold, charges = read_held(record)
        await self._holds.lose(
            news.attempt_id,
            opening.started_at,
            lower_nano_usd=int(lower),
            upper_nano_usd=int(upper) if upper else None,
            reason=reason,
            unheld=(opening, hold, charges),
        )


def _parts(news: News) -> tuple[str, str, str, bytes]:
    """Return reason, lower and upper bound ("" for the hold's worst), and record of a loss."""
    if news.kind is Kind.OPENING:
        return OWNER_LOST, "0", "", news.data
    reason, lower, upper, record = news.data.split(b"\n", 3)
    return reason.decode(), lower.decode(), upper.decode(), record
