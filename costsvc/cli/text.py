"""Writes answers for people: aligned tables, and the words for tiers and techniques."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from google.protobuf.message import Message

from costsvc.core.money import format_usd
from costsvc.v1 import Savings, Tier


def table(headers: Sequence[str], rows: Iterable[Sequence[str]], *, left: int = 1) -> str:
    """Return rows under headers, the first `left` columns aligned left, the others right."""
    lines = [headers, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(_line(line, widths, left) for line in lines)


def tier_name(tier: int) -> str:
    """Return a tier in the policy's words; empty where none is stated."""
    return Tier.Name(tier).removeprefix("TIER_").lower() if tier else ""


def techniques(savings: Savings) -> str:
    """Return the techniques that saved or lost money, such as `routing $0.02, batch -$0.01`."""
    parts = _amounts(savings)
    return ", ".join(f"{name} {format_usd(amount)}" for name, amount in parts if amount)


def percent(part: int, whole: int) -> str:
    """Return a share for people; a dash where there is nothing to share."""
    return f"{100 * part / whole:.1f} %" if whole else "-"


def _amounts(savings: Message) -> Iterable[tuple[str, int]]:
    for field in savings.DESCRIPTOR.fields:
        if field.name != "total_nano_usd":
            name = field.name.removesuffix("_nano_usd").replace("_", " ")
            yield name, getattr(savings, field.name)


def _line(cells: Sequence[str], widths: Sequence[int], left: int) -> str:
    padded = (
        cell.ljust(width) if at < left else cell.rjust(width)
        for at, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "  ".join(padded).rstrip()
