"""An answer as the bytes that the store keeps for repeats: what was booked, what was decided, what was said.

Compressed: one line of compact JSON, versioned, then the message as the provider wrote it. A field never
changes its meaning; new ones go at the end of their list.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import astuple, dataclass
from typing import Any

from costsvc.core.accept import Failed, Verdict
from costsvc.core.candidates import Candidate, Reason
from costsvc.core.catalog import Catalog
from costsvc.core.entry import Entry
from costsvc.core.escalation import Checked, Escalation, SideCall
from costsvc.core.json_text import to_json
from costsvc.core.request import Tier
from costsvc.core.routing import Decision
from costsvc.core.usage import Usage
from costsvc.store import entry_codec

VERSION = 1
_FAST = 1  # of zlib's levels: half the size for a tenth of the time


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptAnswer:
    """A complete answer: its entry, the decision behind it, what helped, and the provider's message."""

    entry: Entry
    decision: Decision
    message_json: bytes
    checked: Checked | None = None
    side_calls: tuple[SideCall, ...] = ()


def encode(answer: KeptAnswer) -> bytes:
    """Return the answer's bytes; `decode` gives back an equal answer."""
    head = {
        "v": VERSION,
        "e": entry_codec.encode(answer.entry).decode(),
        "d": _write_decision(answer.decision),
    }
    if answer.checked is not None:
        head["c"] = _write_checked(answer.checked)
    if answer.side_calls:
        head["h"] = [[each.entry_id, astuple(each.usage), each.cost_nano_usd] for each in answer.side_calls]
    return zlib.compress(to_json(head).encode() + b"\n" + answer.message_json, _FAST)


def decode(data: bytes, catalog: Catalog) -> KeptAnswer:
    """Return the answer that `encode` wrote.

    Raises:
        ValueError: not an answer, one of a newer version, or one of a model that the catalogue lacks.
    """
    try:
        head, _, message_json = zlib.decompress(data).partition(b"\n")
        read = json.loads(head)
        if read["v"] > VERSION:
            raise ValueError(f"answer of version {read['v']}, known is {VERSION}")
        return KeptAnswer(
            entry=entry_codec.decode(read["e"].encode()),
            decision=_read_decision(read["d"], catalog),
            message_json=message_json,
            checked=_read_checked(read["c"]) if "c" in read else None,
            side_calls=tuple(_read_side_call(each) for each in read.get("h", ())),
        )
    except (zlib.error, LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"not a kept answer: {error!r}") from error


def _write_checked(checked: Checked) -> list[Any]:
    verdict = checked.verdict
    before = [
        [each.entry_id, each.model, _write_failed(each.failed), astuple(each.usage), each.cost_nano_usd]
        for each in checked.escalations
    ]
    return [verdict.passed, _write_failed(verdict.failed), before]


def _read_checked(fields: list[Any]) -> Checked:
    passed, failed, before = fields[:3]
    return Checked(
        verdict=Verdict(passed=tuple(passed), failed=_read_failed(failed)),
        escalations=tuple(_read_escalation(each) for each in before),
    )


def _read_escalation(fields: list[Any]) -> Escalation:
    entry_id, model, failed, usage, cost_nano_usd = fields[:5]
    return Escalation(
        entry_id=entry_id,
        model=model,
        failed=_read_failed(failed),
        usage=entry_codec.positional(Usage, usage),
        cost_nano_usd=cost_nano_usd,
    )


def _read_side_call(fields: list[Any]) -> SideCall:
    entry_id, usage, cost_nano_usd = fields[:3]
    return SideCall(
        entry_id=entry_id, usage=entry_codec.positional(Usage, usage), cost_nano_usd=cost_nano_usd
    )


def _write_failed(failed: tuple[Failed, ...]) -> list[Any]:
    return [[each.check, each.problem, each.is_final] for each in failed]


def _read_failed(fields: list[Any]) -> tuple[Failed, ...]:
    return tuple(Failed(*each[:3]) for each in fields)


def _write_decision(decision: Decision) -> list[Any]:
    return [
        decision.model.id,
        decision.tier,
        decision.baseline.id,
        [
            [each.model.id, each.tier, each.expected_cost_nano_usd, each.ruled_out]
            for each in decision.candidates
        ],
        [[each.code, each.detail] for each in decision.reasons],
        decision.expected_cost_nano_usd,
        decision.expected_baseline_nano_usd,
    ]


def _read_decision(fields: list[Any], catalog: Catalog) -> Decision:
    model, tier, baseline, candidates, reasons, expected, expected_baseline = fields[:7]
    return Decision(
        model=catalog.models[model],
        tier=_tier(tier),
        baseline=catalog.models[baseline],
        candidates=tuple(_read_candidate(each, catalog) for each in candidates),
        reasons=tuple(Reason(*each[:2]) for each in reasons),
        expected_cost_nano_usd=expected,
        expected_baseline_nano_usd=expected_baseline,
    )


def _read_candidate(fields: list[Any], catalog: Catalog) -> Candidate:
    model, tier, cost_nano_usd, ruled_out = fields[:4]
    return Candidate(
        model=catalog.models[model],
        tier=_tier(tier),
        expected_cost_nano_usd=cost_nano_usd,
        ruled_out=ruled_out,
    )


def _tier(number: int | None) -> Tier | None:
    return None if number is None else Tier(number)
