"""Every key in the store is built here, and nowhere else.

In a cluster a key lives where the part of it in braces hashes to, and a script reaches only keys of one such
place. Everything that is money carries the tag `{ledger}`: one slot, one primary, so that an entry, its
rollups and its budgets change in one atomic script. Call sites never spell a tag; should one primary become
too small, `LEDGER` becomes a function of the tenant here and nowhere else.

Hours and days are UTC, written `yyyymmddhh` and `yyyymmdd`, so that they sort as text.
"""

from __future__ import annotations

from datetime import UTC, datetime

LEDGER = "{ledger}"

SCHEMA = f"{LEDGER}:schema"
TENANTS = f"{LEDGER}:tenants"
"""A set: every tenant with an entry."""
HOURS = f"{LEDGER}:hours"
"""A set: every hour with entries that are not trimmed."""
DAYS = f"{LEDGER}:days"
"""A set: every day with keys that `Ledger.forget_attempts` removes."""


def hour_of(at: datetime) -> str:
    """Return the UTC hour of an instant, `yyyymmddhh`."""
    at = at.astimezone(UTC)
    return f"{at.year:04}{at.month:02}{at.day:02}{at.hour:02}"  # a third of the time of strftime


def day_of(at: datetime) -> str:
    """Return the UTC day of an instant, `yyyymmdd`."""
    return hour_of(at)[:8]


def entries(hour: str) -> str:
    """Return the list of an hour's entries, in the order of their settlement."""
    return f"{LEDGER}:entries:{hour}"


def rollup(tenant: str, hour: str) -> str:
    """Return the hash of a tenant's cells in an hour: `<dimension>=<value>` -> packed measures."""
    return f"{LEDGER}:rollup:{tenant}:{hour}"


def attempts(day: str) -> str:
    """Return the hash of the attempts that started on a day: attempt id -> where its entry is."""
    return f"{LEDGER}:attempts:{day}"


def requests(day: str) -> str:
    """Return the hash of what was recorded on a day, once per request id: `request_field` -> its entry."""
    return f"{LEDGER}:requests:{day}"


def request_field(tenant: str, request_id: str) -> str:
    """Return a request's field; a tenant's name has no colon, so that no two tenants can collide."""
    return f"{tenant}:{request_id}"


def values(day: str) -> str:
    """Return the hash that counts a day's distinct values of labels and tasks by tenant."""
    return f"{LEDGER}:values:{day}"


def of_day(day: str) -> tuple[str, ...]:
    """Return every key that only serves to remember a day, and goes when the day is forgotten."""
    return attempts(day), requests(day), values(day)
