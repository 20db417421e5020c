"""Batches, their parts and their items as the store keeps them: JSON, which newer versions may add to."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any

from costsvc.core.batch import (
    Batch,
    BatchOptions,
    Item,
    Kind,
    Outcome,
    Part,
    PartEnd,
    PartHold,
    PartState,
    Tally,
)

ROWS_AT_ONCE = 1_000
"""Items that are packed together."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_PART, _TALLY = "part:", "t:"
_COUNTS = ("item_count", "refused_count", "expected_nano_usd")
_OUTCOMES = {outcome.value: outcome for outcome in Outcome}
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def head(batch: Batch) -> dict[str, str | bytes]:
    """Return the fields of a new batch."""
    table = {
        "id": batch.id,
        "tenant": batch.tenant,
        "request_id": batch.options.request_id,
        "origin": batch.options.origin,
        "fingerprint": batch.fingerprint,
        "created_at": micros(batch.created_at),
        **{name: getattr(batch, name) for name in _COUNTS},
    }
    parts = {part_field(number): part(each) for number, each in enumerate(batch.parts)}
    return {"head": _encode(table), **parts}


def part_field(number: int) -> str:
    """Return the field of a part."""
    return f"{_PART}{number}"


def tally_prefix(part_id: str) -> str:
    """Return what the fields of a part's sums begin with."""
    return f"{_TALLY}{part_id}:"


def part(each: Part) -> str:
    """Return a part: its version, then the rest."""
    table: dict[str, Any] = {field.name: getattr(each, field.name) for field in fields(Part)}
    del table["version"]
    table["holds"] = [
        {field.name: getattr(hold, field.name) for field in fields(PartHold)} for hold in each.holds
    ]
    table["headers"] = dict(each.headers)
    table["state"], table["end"] = each.state.value, each.end.value if each.end else ""
    for name in ("started_at", "creating_at", "retry_at"):
        table[name] = micros(table[name])
    return f"{each.version}\n{_encode(table)}"


def read_batch(table: Mapping[bytes, bytes]) -> Batch | None:
    """Return a batch by its fields, None where they are those of none."""
    if b"head" not in table:
        return None
    told = json.loads(table[b"head"])
    texts = {name.decode(): value.decode() for name, value in table.items()}
    numbers = sorted(int(name.removeprefix(_PART)) for name in texts if name.startswith(_PART))
    return Batch(
        id=told["id"],
        tenant=told["tenant"],
        options=BatchOptions(request_id=told["request_id"], origin=told["origin"]),
        fingerprint=told["fingerprint"],
        created_at=at(told["created_at"]) or _EPOCH,
        **{name: told[name] for name in _COUNTS},
        parts=tuple(_read_part(texts[part_field(number)]) for number in numbers),
        tallies=_read_tallies(texts),
        accepted="accepted" in texts,
        canceled="canceled" in texts,
        ended_at=at(int(texts["ended"])) if "ended" in texts else None,
    )


def pack(items: Sequence[Item]) -> bytes:
    """Return some items, packed."""
    return zlib.compress("\n".join(map(_row, items)).encode(), 6)


def unpack(packed: bytes) -> list[bytes]:
    """Return the rows of what `pack` made; `read_item` reads one."""
    return zlib.decompress(packed).split(b"\n")


def read_item(row: bytes) -> Item:
    """Return the item of a row."""
    table = json.loads(row)
    table["kind"] = Kind(table["kind"])
    return Item(**table)


def micros(when: datetime | None) -> int:
    """Return an instant as microseconds since 1970, 0 for none."""
    return (when - _EPOCH) // _MICROSECOND if when else 0


def at(microseconds: int) -> datetime | None:
    """Return the instant of `micros`."""
    return _EPOCH + microseconds * _MICROSECOND if microseconds else None


def _row(item: Item) -> str:
    """Return an item as JSON, without what is as it mostly is."""
    table = {name: value for name in _ITEM_FIELDS if (value := getattr(item, name)) != _DEFAULTS.get(name)}
    table["kind"] = item.kind.value
    table["labels"] = dict(item.labels)
    return _encode(table)


_ITEM_FIELDS = tuple(field.name for field in fields(Item))
_DEFAULTS = {field.name: field.default for field in fields(Item)}


def _read_part(text: str) -> Part:
    version, _, rest = text.partition("\n")
    table = {name: value for name, value in json.loads(rest).items() if name in Part.__dataclass_fields__}
    table["holds"] = tuple(PartHold(**hold) for hold in table["holds"])
    table["rejected"] = tuple(table["rejected"])
    table["state"] = PartState(table["state"])
    table["end"] = PartEnd(table["end"]) if table["end"] else None
    for name in ("creating_at", "retry_at"):
        table[name] = at(table[name])
    table["started_at"] = at(table["started_at"]) or _EPOCH
    return Part(version=int(version), **table)


def _read_tallies(texts: Mapping[str, str]) -> dict[str, Tally]:
    sums: dict[str, dict[str, int]] = {}
    for name, value in texts.items():
        if name.startswith(_TALLY):
            _, part_id, what = name.split(":")
            sums.setdefault(part_id, {})[what] = int(value)
    return {
        part_id: Tally(
            outcomes={outcome: found[name] for name, outcome in _OUTCOMES.items() if name in found},
            unpriced_count=found.get("unpriced", 0),
            cost_nano_usd=found.get("cost", 0),
            standard_nano_usd=found.get("standard", 0),
            freed_w_nano_usd=found.get("freed", 0),
            read_bytes=found.get("read", 0),
        )
        for part_id, found in sums.items()
    }
