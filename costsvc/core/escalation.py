"""What a call has paid for besides the answer that stands: answers that failed, and side calls."""

from __future__ import annotations

from dataclasses import dataclass

from costsvc.core.accept import Failed, Verdict
from costsvc.core.usage import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Escalation:
    """A paid answer that failed its checks and was followed by one of a higher tier."""

    entry_id: str
    model: str
    failed: tuple[Failed, ...]
    usage: Usage
    cost_nano_usd: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SideCall:
    """Something that was paid for to decide about a call, and is no answer."""

    entry_id: str
    usage: Usage
    cost_nano_usd: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """The verdict on the answer that stands, and the answers before it, oldest first."""

    verdict: Verdict
    escalations: tuple[Escalation, ...] = ()
