"""What the store keeps of an attempt that has no entry yet: lines of text that scripts read too.

The last lines are charges, one each; no value holds a line's end. Scripts read lines by their number.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from operator import attrgetter

from costsvc.core.holds import Hold
from costsvc.core.opening import Opening

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_ENCODER = json.JSONEncoder(separators=(",", ":"))
_FIELDS = tuple(field.name for field in fields(Opening))
_values_of = attrgetter(*_FIELDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class AtRisk:
    """An attempt that may have spent from `lower` to `upper`, and nobody knows what; `since` when.

    `charges` name the balances that its upper bound counts against.
    """

    attempt_id: str
    opening: Opening
    lower_nano_usd: int
    upper_nano_usd: int
    since: datetime
    reason: str
    charges: tuple[str, ...] = ()


def held_record(owner: str, opening: Opening, hold: Hold, charges: Iterable[str]) -> str:
    """Return the record of an attempt that begins."""
    head = ("h", owner, opening.tenant, str(hold.q_nano_usd), str(hold.most_nano_usd))
    return "".join(f"{line}\n" for line in (*head, _write_opening(opening), *charges))


def read_at_risk(record: bytes) -> AtRisk:
    """Read what `lose.lua` made of the record of an attempt."""
    _, member, _, lower, upper, reason, opening, *charges = record.decode().removesuffix("\n").split("\n")
    since_us = int(member.split(":", 2)[1])
    read = _read_opening(opening)
    return AtRisk(
        attempt_id=read.attempt_id,
        opening=read,
        lower_nano_usd=int(lower),
        upper_nano_usd=int(upper),
        since=_EPOCH + since_us * _MICROSECOND,
        reason=reason,
        charges=tuple(charges),
    )


def read_held(record: bytes) -> tuple[Opening, Hold, tuple[str, ...]]:
    """Read what `held_record` wrote: the opening, the hold, and the charges."""
    _, _, _, q_nano_usd, w_nano_usd, opening, *charges = record.decode().split("\n")[:-1]
    hold = Hold(q_nano_usd=int(q_nano_usd), w_nano_usd=int(w_nano_usd))
    return _read_opening(opening), hold, tuple(charges)


def microseconds(at: datetime) -> int:
    """Return an instant as microseconds since 1970."""
    return (at - _EPOCH) // _MICROSECOND


def _write_opening(opening: Opening) -> str:
    table = dict(zip(_FIELDS, _values_of(opening), strict=True))
    table["labels"] = dict(opening.labels)
    table["started_at"] = microseconds(opening.started_at)
    return _ENCODER.encode(table)


def _read_opening(text: str) -> Opening:
    table = json.loads(text)
    table["started_at"] = _EPOCH + table["started_at"] * _MICROSECOND
    return Opening(**{name: table[name] for name in Opening.__dataclass_fields__ if name in table})
