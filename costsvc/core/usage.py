"""What a call used, in classes of tokens that never overlap.

The provider's `usage` object overlaps with itself: `cache_creation_input_tokens` is the sum of a 5-minute
and a 1-hour part, and `iterations`, where present, restates the top level call by call. `Usage` is disjoint
by construction, so that a price is one multiplication a class and nothing is charged twice.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Token counts by price class; `input_tokens` is the uncached rest of the prompt only."""

    input_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    cache_read_tokens: int = 0
    output_tokens: int = 0
    web_search_count: int = 0

    @property
    def prompt_tokens(self) -> int:
        """Everything the model read: the length that long-prompt price tiers compare."""
        return (
            self.input_tokens
            + self.cache_write_5m_tokens
            + self.cache_write_1h_tokens
            + self.cache_read_tokens
        )
