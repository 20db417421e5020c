"""Moments as people give them on the command line: a span such as 7d, or a date."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import click
from google.protobuf.timestamp_pb2 import Timestamp

_SPAN = re.compile(r"(\d{1,5})([hd])")


class _Moment(click.ParamType[datetime]):
    """A UTC date or time, or how long ago: 24h, 7d."""

    name = "when"

    def convert(
        self, value: str | datetime, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            return _moment(value)
        except (ValueError, OverflowError):
            self.fail(
                f"{value!r} is neither a span such as 24h or 7d nor a date such as 2026-11-22", param, ctx
            )


def _moment(text: str) -> datetime:
    if span := _SPAN.fullmatch(text):
        count, unit = int(span[1]), span[2]
        return datetime.now(UTC) - (timedelta(hours=count) if unit == "h" else timedelta(days=count))
    moment = datetime.fromisoformat(text)
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def timestamp(moment: datetime) -> Timestamp:
    """Return a moment as it goes over the wire."""
    timestamp = Timestamp()
    timestamp.FromDatetime(moment)
    return timestamp


MOMENT = _Moment()
