"""Where an attempt's cost counts: one text for each balance, kept with the attempt and in its entry.

Scripts read these texts, and other versions wrote some of them: what is in them never changes its place.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from costsvc.core.budget import Application
from costsvc.core.windows import BUCKET_COUNT, Rolling

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)


def charge_of(application: Application) -> str:
    """Return the text that names the balance of a budget that applies: an entry's `charges` are these."""
    window = application.window
    number = bucket_of(application)
    bucket = "" if number is None else number
    instance = quote(application.instance, safe="")
    return f"{application.budget.id}:{window.key}:{bucket}:{ends_s(application)}:{instance}"


def bucket_of(application: Application) -> int | None:
    """Return the bucket of a rolling window that its cost belongs to, None of a calendar's window."""
    spec = application.budget.window
    if not isinstance(spec, Rolling):
        return None
    return (application.window.end - _EPOCH) // _width(spec) - 1


def ends_s(application: Application) -> int:
    """Return when, in seconds since 1970, its cost no longer counts."""
    spec, end = application.budget.window, application.window.end
    if isinstance(spec, Rolling):  # the window's end is when the oldest bucket goes; this one is the youngest
        end += BUCKET_COUNT * _width(spec)
    return (end - _EPOCH) // _SECOND


def _width(spec: Rolling) -> timedelta:
    return spec.duration // _SECOND // BUCKET_COUNT * _SECOND
