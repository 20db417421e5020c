"""Where the difference between the baseline and the bill came from, each dollar counted once.

Savings are differences along one chain of prices for the same work:
baseline -> answering model (routing) -> token reduction -> caller's markers -> prompt cache -> batch ->
response cache -> what was paid. The parts telescope, so they sum exactly to baseline minus actual; a
technique that lost money shows a negative part.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Savings:
    """Signed nano-USD by technique; negative where the technique cost more than it saved."""

    routing_nano_usd: int = 0
    token_reduction_nano_usd: int = 0
    caller_nano_usd: int = 0
    prompt_cache_nano_usd: int = 0
    batch_nano_usd: int = 0
    response_cache_nano_usd: int = 0

    @property
    def total_nano_usd(self) -> int:
        """Baseline minus actual."""
        return sum(astuple(self))
