"""For how long a budget adds up: calendar hours, days, weeks and months in a zone, or a rolling duration.

A calendar window begins at the first instant at which the zone's clocks show its beginning, or have jumped
past it. Windows are pairs of UTC instants, so they tile time however the clocks move: the day on which
clocks go back is 25 hours long, an hour that happens twice is two windows, and a day that a zone left out
is none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from functools import lru_cache
from itertools import pairwise
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

BUCKET_COUNT = 60
"""Into how many parts a rolling duration is cut."""

MIN_ROLLING, MAX_ROLLING = timedelta(minutes=1), timedelta(days=366)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
_LONGEST_MONTH = timedelta(days=31)
_NEIGHBOURHOODS_KEPT = 4_096
_ROLLING_KEY = re.compile(r"rolling-(\d+)s")
_NOT_IANA = ("posix", "right/")


class Unit(Enum):
    """A calendar's windows; weeks begin on Monday."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


@dataclass(frozen=True, slots=True)
class Calendar:
    """Windows by the clocks of an IANA zone."""

    unit: Unit
    zone: str = "UTC"


@dataclass(frozen=True, slots=True)
class Rolling:
    """The last `duration`, whatever the calendar says: a whole number of minutes."""

    duration: timedelta


WindowSpec = Calendar | Rolling


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """From `start` on, up to but without `end`, both UTC. `key` names its counters in the store.

    Of a calendar, windows follow each other and each has its own key. A rolling window has one key for all
    time; `start` is where its oldest bucket begins, and `end` is when that bucket stops counting.
    """

    start: datetime
    end: datetime
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Buckets:
    """What a rolling window adds up at an instant: bucket n begins n * `width_s` seconds after 1970.

    What is spent now belongs to bucket `number`; `counted` are the numbers that count now, oldest first.
    """

    number: int
    width_s: int
    counted: range


def find_zone(name: str) -> ZoneInfo:
    """Return a zone by its IANA name; names that only some machines know, or know differently, are none.

    Raises:
        ValueError: there is none of that name.
    """
    try:
        zone = None if name == "localtime" or name.startswith(_NOT_IANA) else ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        zone = None
    if zone is None:
        raise ValueError(f"{name!r} is no IANA time zone")
    return zone


def window_at(spec: WindowSpec, instant: datetime) -> Window:
    """Return the window that an instant (with its zone) lies in.

    Raises:
        ValueError: the zone does not exist.
    """
    if isinstance(spec, Rolling):
        return _rolling_window(spec, instant)
    local = _floor(spec.unit, _wall(find_zone(spec.zone), instant))
    return next(window for window in _around(spec, local) if window.start <= instant < window.end)


def buckets_at(spec: Rolling, instant: datetime) -> Buckets:
    """Return the buckets of a rolling window at an instant.

    The oldest is the one that holds the instant one duration ago. Most of it lies inside, so it counts whole:
    one bucket more than the duration is cut into, and no stretch of that length ever adds up to more than the
    limit.
    """
    width_s = spec.duration // _SECOND // BUCKET_COUNT
    number = (instant - _EPOCH) // timedelta(seconds=width_s)
    return Buckets(number=number, width_s=width_s, counted=range(number - BUCKET_COUNT, number + 1))


def rolling_duration(window_key: str) -> timedelta | None:
    """Return the duration of a rolling window by its key, None of a calendar's."""
    found = _ROLLING_KEY.fullmatch(window_key)
    return int(found[1]) * _SECOND if found else None


def _rolling_window(spec: Rolling, instant: datetime) -> Window:
    buckets = buckets_at(spec, instant)
    width = timedelta(seconds=buckets.width_s)
    return Window(
        start=_EPOCH + buckets.counted.start * width,
        end=_EPOCH + buckets.counted.stop * width,
        key=f"rolling-{spec.duration // _SECOND}s",
    )


def _floor(unit: Unit, wall: datetime) -> datetime:
    """Return when, on the wall clock, the unit around a wall-clock time begins."""
    if unit is Unit.HOUR:
        return wall.replace(minute=0, second=0, microsecond=0)
    midnight = wall.replace(hour=0, minute=0, second=0, microsecond=0)
    if unit is Unit.WEEK:
        return midnight - timedelta(days=midnight.weekday())
    return midnight.replace(day=1) if unit is Unit.MONTH else midnight


def _earlier(unit: Unit, wall: datetime) -> datetime:
    return _floor(unit, wall - _SECOND)


def _later(unit: Unit, wall: datetime) -> datetime:
    step = {Unit.HOUR: timedelta(hours=1), Unit.DAY: timedelta(days=1), Unit.WEEK: timedelta(days=7)}
    return _floor(unit, wall + step.get(unit, _LONGEST_MONTH))


@lru_cache(maxsize=_NEIGHBOURHOODS_KEPT)
def _around(spec: Calendar, local: datetime) -> tuple[Window, ...]:
    """Return the windows around a unit of the wall clock: kept, because calls come close together."""
    unit, zone = spec.unit, find_zone(spec.zone)
    walls = (_earlier(unit, local), local, later := _later(unit, local), _later(unit, later))
    bounds = sorted({bound for wall in walls for bound in _boundaries(unit, zone, wall)})
    return tuple(
        Window(start=start, end=end, key=f"{unit.value}-{start:%Y%m%dT%H%M%SZ}")
        for start, end in pairwise(bounds)
    )


def _boundaries(unit: Unit, zone: ZoneInfo, wall: datetime) -> tuple[datetime, ...]:
    """Return the instants at which the unit with this beginning on the wall clock begins.

    Where clocks that go back show an hour again, it begins again; a day, which would be cut in two, does not.
    """
    first = wall.replace(tzinfo=zone).astimezone(UTC)
    if _wall(zone, first) != wall:
        return (_jump(zone, wall, first),)
    again = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
    return (first, again) if unit is Unit.HOUR and again != first else (first,)


def _jump(zone: ZoneInfo, wall: datetime, after: datetime) -> datetime:
    """Return when clocks jump past a time that they never show: not later than `after`.

    Read with the offset of after the jump, the missing time lies before the jump, to the second; between
    the two, being past it is monotonic.
    """
    before = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
    while after - before > _SECOND:
        middle = before + (after - before) // _SECOND // 2 * _SECOND
        if _wall(zone, middle) < wall:
            before = middle
        else:
            after = middle
    return after


def _wall(zone: ZoneInfo, instant: datetime) -> datetime:
    return instant.astimezone(zone).replace(tzinfo=None, fold=0)
