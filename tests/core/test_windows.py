from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import available_timezones

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from costsvc.core.windows import (
    BUCKET_COUNT,
    Buckets,
    Calendar,
    Rolling,
    Unit,
    Window,
    buckets_at,
    find_zone,
    window_at,
)

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ODD_ZONES = (
    "Africa/Cairo",  # clocks move at midnight
    "America/Havana",  # midnight happens twice
    "America/Sao_Paulo",  # midnight was left out
    "America/St_Johns",  # clocks moved at one minute past midnight
    "Asia/Kathmandu",
    "Asia/Kolkata",
    "Asia/Tokyo",
    "Australia/Lord_Howe",  # clocks move by half an hour
    "Europe/Berlin",
    "Pacific/Apia",  # left out a day
    "UTC",
)
units = st.sampled_from(Unit)
zones = st.sampled_from(ODD_ZONES) | st.sampled_from(sorted(available_timezones() - {"localtime"}))
instants = st.integers(10**13, 4 * 10**15).map(lambda us: EPOCH + timedelta(microseconds=us))


def at(text: str) -> datetime:
    """Return an instant from its ISO form."""
    return datetime.fromisoformat(text).astimezone(UTC)


def day(zone: str, text: str, unit: Unit = Unit.DAY) -> Window:
    """Return the window of an instant in a zone."""
    return window_at(Calendar(unit, zone), at(text))


@pytest.mark.parametrize(
    ("unit", "zone", "instant", "start", "end"),
    [
        (Unit.HOUR, "UTC", "2026-11-22T12:34:56Z", "2026-11-22T12:00Z", "2026-11-22T13:00Z"),
        (Unit.DAY, "UTC", "2026-11-22T23:59:59.999999Z", "2026-11-22T00:00Z", "2026-11-23T00:00Z"),
        (Unit.DAY, "UTC", "2026-11-23T00:00Z", "2026-11-23T00:00Z", "2026-11-24T00:00Z"),
        (Unit.WEEK, "UTC", "2026-11-22T12:00Z", "2026-11-16T00:00Z", "2026-11-23T00:00Z"),
        (Unit.WEEK, "UTC", "2026-11-23T00:00Z", "2026-11-23T00:00Z", "2026-11-30T00:00Z"),
        (Unit.MONTH, "UTC", "2026-12-31T23:59:59Z", "2026-12-01T00:00Z", "2027-01-01T00:00Z"),
        (Unit.MONTH, "UTC", "2028-02-29T12:00Z", "2028-02-01T00:00Z", "2028-03-01T00:00Z"),
        (Unit.MONTH, "UTC", "2027-02-28T12:00Z", "2027-02-01T00:00Z", "2027-03-01T00:00Z"),
        (Unit.DAY, "Asia/Tokyo", "2026-11-22T14:59:59Z", "2026-11-21T15:00Z", "2026-11-22T15:00Z"),
        (Unit.DAY, "Asia/Tokyo", "2026-11-22T15:00Z", "2026-11-22T15:00Z", "2026-11-23T15:00Z"),
        (Unit.HOUR, "Asia/Kolkata", "2026-11-22T12:00Z", "2026-11-22T11:30Z", "2026-11-22T12:30Z"),
        (Unit.MONTH, "Asia/Tokyo", "2026-11-30T16:00Z", "2026-11-30T15:00Z", "2026-12-31T15:00Z"),
        # Clocks forward at 02:00 and back at 03:00.
        (Unit.DAY, "Europe/Berlin", "2026-03-29T12:00Z", "2026-03-28T23:00Z", "2026-03-29T22:00Z"),
        (Unit.DAY, "Europe/Berlin", "2026-10-25T12:00Z", "2026-10-24T22:00Z", "2026-10-25T23:00Z"),
        (Unit.WEEK, "Europe/Berlin", "2026-10-25T22:59:59Z", "2026-10-18T22:00Z", "2026-10-25T23:00Z"),
        (Unit.MONTH, "Europe/Berlin", "2026-10-25T12:00Z", "2026-09-30T22:00Z", "2026-10-31T23:00Z"),
        (Unit.HOUR, "Europe/Berlin", "2026-03-29T01:30Z", "2026-03-29T01:00Z", "2026-03-29T02:00Z"),
        (Unit.HOUR, "Europe/Berlin", "2026-10-25T00:30Z", "2026-10-25T00:00Z", "2026-10-25T01:00Z"),
        (Unit.HOUR, "Europe/Berlin", "2026-10-25T01:30Z", "2026-10-25T01:00Z", "2026-10-25T02:00Z"),
        # Half an hour back at 02:00, and forward.
        (Unit.HOUR, "Australia/Lord_Howe", "2026-04-04T15:15Z", "2026-04-04T14:00Z", "2026-04-04T15:30Z"),
        (Unit.HOUR, "Australia/Lord_Howe", "2026-10-03T15:45Z", "2026-10-03T15:30Z", "2026-10-03T16:00Z"),
        # No midnight on the day on which clocks go forward; two on the day on which they go back.
        (Unit.DAY, "America/Sao_Paulo", "2018-11-04T12:00Z", "2018-11-04T03:00Z", "2018-11-05T02:00Z"),
        (Unit.DAY, "America/Havana", "2026-11-01T04:30Z", "2026-11-01T04:00Z", "2026-11-02T05:00Z"),
        # One minute past midnight, clocks went back to the day before.
        (Unit.DAY, "America/St_Johns", "2010-11-07T03:00Z", "2010-11-07T02:30Z", "2010-11-08T03:30Z"),
        # 29 December 2011 was followed by the 31st.
        (Unit.DAY, "Pacific/Apia", "2011-12-30T09:59:59Z", "2011-12-29T10:00Z", "2011-12-30T10:00Z"),
        (Unit.DAY, "Pacific/Apia", "2011-12-30T10:00Z", "2011-12-30T10:00Z", "2011-12-31T10:00Z"),
    ],
)
def test_a_calendar_window_is_a_pair_of_utc_instants(
    unit: Unit, zone: str, instant: str, start: str, end: str
) -> None:
    """Whatever the clocks do, a window begins when they show its beginning, or jump past it."""
    window = day(zone, instant, unit)
    assert (window.start, window.end) == (at(start), at(end))
    assert window.start.tzinfo is window.end.tzinfo is UTC


def test_days_are_as_long_as_clocks_make_them() -> None:
    """23 hours in spring, 25 in autumn, half an hour less or more where clocks move by that."""
    lengths = {
        ("Europe/Berlin", "2026-03-29T12:00+02:00"): 23 * HOUR,
        ("Europe/Berlin", "2026-10-25T12:00+01:00"): 25 * HOUR,
        ("Australia/Lord_Howe", "2026-10-04T12:00+11:00"): 23.5 * HOUR,
        ("Australia/Lord_Howe", "2026-04-05T12:00+10:30"): 24.5 * HOUR,
        ("Asia/Kolkata", "2026-03-29T12:00+05:30"): 24 * HOUR,
    }
    for (zone, instant), length in lengths.items():
        window = day(zone, instant)
        assert window.end - window.start == length, zone


def test_a_key_names_the_unit_and_the_beginning() -> None:
    """An instant's zone does not matter, and windows of different length that begin together differ."""
    berlin = day("Europe/Berlin", "2026-12-01T13:00+01:00")
    assert berlin.key == "day-20261130T230000Z"
    assert berlin == day("Europe/Berlin", "2026-12-01T07:00-05:00")
    assert day("Europe/Berlin", "2026-12-01T00:00+01:00", Unit.MONTH).key == "month-20261130T230000Z"


@given(units, zones, instants)
@example(Unit.HOUR, "Australia/Lord_Howe", at("2026-04-04T15:00Z"))
@example(Unit.DAY, "Pacific/Apia", at("2011-12-30T10:00Z"))
@example(Unit.DAY, "America/St_Johns", at("2010-11-07T02:31Z"))
def test_windows_tile_time(unit: Unit, zone: str, instant: datetime) -> None:
    """An instant lies in its window, both ends lead to the neighbours, and nothing is left between them."""
    spec = Calendar(unit, zone)
    window = window_at(spec, instant)
    assert window.start <= instant < window.end
    assert window_at(spec, window.start) == window
    assert window_at(spec, window.end - timedelta(microseconds=1)) == window
    assert window_at(spec, window.end).start == window.end
    assert window_at(spec, window.start - timedelta(microseconds=1)).end == window.start


@pytest.mark.parametrize("zone", ODD_ZONES)
def test_a_year_of_days_has_as_many_keys_as_windows(zone: str) -> None:
    """Also through every change of the clocks, no two windows share their counters."""
    windows = [day(zone, "2011-01-01T12:00Z")]
    while windows[-1].end < at("2012-01-01T12:00Z"):
        windows.append(window_at(Calendar(Unit.DAY, zone), windows[-1].end))
    assert all(one.end == other.start for one, other in pairwise(windows))
    assert len({window.key for window in windows}) == len(windows) in {365, 366}


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Mars/Olympus",
        "Europe",
        "../UTC",
        "/etc/passwd",
        "Europe/Berlin\0",
        "x" * 300,
        "localtime",
        "right/UTC",
    ],
)
def test_a_zone_that_does_not_exist_is_an_error(name: str) -> None:
    """A window in it would never end."""
    with pytest.raises(ValueError, match="is no IANA time zone"):
        find_zone(name)


durations = st.integers(1, 366 * 24 * 60).map(lambda minutes: timedelta(minutes=minutes))


def test_a_rolling_window_counts_its_oldest_bucket_whole() -> None:
    """Sixty buckets of a minute, and the one that the window is about to leave."""
    spec, instant = Rolling(HOUR), EPOCH + timedelta(minutes=100, seconds=30)
    assert buckets_at(spec, instant) == Buckets(number=100, width_s=60, counted=range(40, 101))
    assert window_at(spec, instant) == Window(
        start=EPOCH + timedelta(minutes=40), end=EPOCH + timedelta(minutes=101), key="rolling-3600s"
    )


@given(durations, instants)
def test_a_rolling_window_never_forgets_too_early(duration: timedelta, instant: datetime) -> None:
    """Everything of the last duration counts, and nothing that is more than one bucket older."""
    spec = Rolling(duration)
    buckets, window = buckets_at(spec, instant), window_at(spec, instant)
    width = timedelta(seconds=buckets.width_s)
    assert width * BUCKET_COUNT == duration
    assert buckets_at(spec, instant - duration).number == buckets.counted[0]
    assert instant - duration - width < window.start <= instant - duration
    assert window.start <= instant < window.end
    assert buckets_at(spec, window.end).number == buckets.number + 1
    assert buckets.number == buckets.counted[-1]
