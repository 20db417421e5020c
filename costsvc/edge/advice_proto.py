"""Advice as messages of the API."""

from __future__ import annotations

from costsvc import v1
from costsvc.core.proposals import Proposal


def proposal(value: Proposal) -> v1.Proposal:
    """Return one way to save."""
    return v1.Proposal(
        code=value.code,
        text=value.text,
        assumption=value.assumption,
        thousand_calls_saving_nano_usd=value.thousand_calls_nano_usd,
        monthly_call_count=value.monthly_call_count,
        monthly_saving_nano_usd=value.monthly_nano_usd,
    )
