"""An entry as the bytes that the store keeps: compact JSON, versioned, defaults left out.

Names are short because an entry is written ten million times a month. A name never changes its meaning; a
new field gets a new name and a default, so that older entries still read, and a reader skips names that it
does not know. Times are whole microseconds since 1970 UTC: exact both ways.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any, TypeVar

from costsvc.core.entry import Entry
from costsvc.core.savings import LeverSaving, Savings
from costsvc.core.usage import Usage

VERSION = 1

_Counts = TypeVar("_Counts", Usage, Savings)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_ENCODER = json.JSONEncoder(separators=(",", ":"))

_PLAIN = (  # short name, field, the value that is left out
    ("id", "entry_id", ""),
    ("at", "attempt_id", ""),
    ("re", "response_id", ""),
    ("rq", "request_id", ""),
    ("pr", "provider_request_id", ""),
    ("te", "tenant", ""),
    ("ta", "task", ""),
    ("co", "conversation_id", ""),
    ("ac", "account", ""),
    ("rm", "requested_model", ""),
    ("am", "answering_model", ""),
    ("bm", "baseline_model", ""),
    ("ti", "tier", ""),
    ("ge", "inference_geo", ""),
    ("sp", "speed", "standard"),
    ("st", "service_tier", ""),
    ("sr", "stop_reason", ""),
    ("ru", "raw_usage_json", ""),
    ("c", "cost_nano_usd", 0),
    ("b", "baseline_nano_usd", 0),
    ("ch", "catalog_hash", ""),
    ("s", "state", "settled"),
    ("cc", "cache_outcome", "disabled"),
    ("cr", "cache_ref", ""),
    ("fb", "first_byte_ms", 0),
    ("ms", "total_ms", 0),
)
_plain_values = attrgetter(*(name for _, name, _ in _PLAIN))
_usage_values = attrgetter(*(field.name for field in fields(Usage)))
_savings_values = attrgetter(*(field.name for field in fields(Savings)))


def encode(entry: Entry) -> bytes:
    """Return the entry's bytes; `decode` gives back an equal entry."""
    values = zip(_PLAIN, _plain_values(entry), strict=True)
    record: dict[str, Any] = {"v": VERSION}
    record |= {short: value for (short, _, default), value in values if value != default}
    if entry.labels:
        record["la"] = dict(entry.labels)
    if entry.charges:
        record["cg"] = entry.charges
    if any(usage := _usage_values(entry.usage)):
        record["u"] = usage
    if any(avoided := _usage_values(entry.avoided)):
        record["av"] = avoided
    if any(savings := _savings_values(entry.savings)):
        record["sv"] = savings
    if entry.levers:
        record["lv"] = [[lever.lever, lever.nano_usd] for lever in entry.levers]
    record["t0"] = _microseconds(entry.started_at)
    record["t1"] = _microseconds(entry.settled_at)
    return _ENCODER.encode(record).encode()


def decode(data: bytes) -> Entry:
    """Return the entry that `encode` wrote.

    Raises:
        ValueError: not an entry, or one of a newer version.
    """
    record = json.loads(data)
    if record["v"] > VERSION:
        raise ValueError(f"entry of version {record['v']}, known is {VERSION}")
    plain = {name: record.get(short, default) for short, name, default in _PLAIN}
    return Entry(
        **plain,
        labels=record.get("la", {}),
        charges=tuple(record.get("cg", ())),
        usage=positional(Usage, record.get("u", ())),
        avoided=positional(Usage, record.get("av", ())),
        savings=positional(Savings, record.get("sv", ())),
        levers=tuple(LeverSaving(*each[:2]) for each in record.get("lv", ())),
        started_at=_EPOCH + record["t0"] * _MICROSECOND,
        settled_at=_EPOCH + record["t1"] * _MICROSECOND,
    )


def counted(data: bytes, label_keys: Sequence[str]) -> bytes:
    """Return an entry's bytes with the keys of the labels that it is added up by: so sums can be checked.

    They depend on the policy of the moment, so they are no part of the entry.
    """
    if not label_keys:
        return data
    return b'%s,"lk":%s}' % (data[:-1], _ENCODER.encode(label_keys).encode())


def counted_label_keys(data: bytes) -> Sequence[str]:
    """Return what `counted` added."""
    keys: Sequence[str] = json.loads(data).get("lk", ())
    return keys


def _microseconds(at: datetime) -> int:
    return (at - _EPOCH) // _MICROSECOND


def positional(kind: type[_Counts], values: Sequence[int]) -> _Counts:
    """Fill the fields in their order; fields that are newer than the entry keep their default."""
    return kind(**dict(zip((field.name for field in fields(kind)), values, strict=False)))
