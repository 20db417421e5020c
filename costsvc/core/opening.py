"""What is known of an attempt before its answer: enough to book it by when the answer never comes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """An attempt as it begins; `model` is the one that it is sent to."""

    attempt_id: str
    response_id: str
    request_id: str
    tenant: str
    labels: Mapping[str, str] = field(default_factory=dict)
    task: str = ""
    conversation_id: str = ""
    requested_model: str
    model: str
    baseline_model: str
    tier: str
    started_at: datetime
