"""Rate-limit headers: what is left of this minute. Nothing is enforced; a 429 is scripted as a fault."""

from __future__ import annotations

from .clock import rfc3339_z

REQUESTS_PER_MINUTE = 10_000
INPUT_TOKENS_PER_MINUTE = 10_000_000
OUTPUT_TOKENS_PER_MINUTE = 2_000_000
_WINDOW_S = 60


class Limits:
    """One window of a minute for the whole organisation; cache reads do not count, as at the provider."""

    def __init__(self) -> None:
        self._window = -1
        self._reset = ""
        self._requests = self._input = self._output = 0

    def count(self, now_s: float, *, input_tokens: int = 0, output_tokens: int = 0) -> dict[str, str]:
        """Count a call and return the headers of its answer; token counts are rounded to thousands."""
        window = int(now_s) // _WINDOW_S
        if window != self._window:
            self._window = window
            self._reset = rfc3339_z((window + 1) * _WINDOW_S)
            self._requests = self._input = self._output = 0
        self._requests += 1
        self._input += input_tokens
        self._output += output_tokens
        reset = self._reset
        requests = str(max(0, REQUESTS_PER_MINUTE - self._requests))
        left_in = max(0, INPUT_TOKENS_PER_MINUTE - self._input) // 1000 * 1000
        left_out = max(0, OUTPUT_TOKENS_PER_MINUTE - self._output) // 1000 * 1000
        return {
            "anthropic-ratelimit-requests-limit": str(REQUESTS_PER_MINUTE),
            "anthropic-ratelimit-requests-remaining": requests,
            "anthropic-ratelimit-requests-reset": reset,
            "anthropic-ratelimit-input-tokens-limit": str(INPUT_TOKENS_PER_MINUTE),
            "anthropic-ratelimit-input-tokens-remaining": str(left_in),
            "anthropic-ratelimit-input-tokens-reset": reset,
            "anthropic-ratelimit-output-tokens-limit": str(OUTPUT_TOKENS_PER_MINUTE),
            "anthropic-ratelimit-output-tokens-remaining": str(left_out),
            "anthropic-ratelimit-output-tokens-reset": reset,
            "anthropic-ratelimit-tokens-limit": str(INPUT_TOKENS_PER_MINUTE + OUTPUT_TOKENS_PER_MINUTE),
            "anthropic-ratelimit-tokens-remaining": str(left_in + left_out),
            "anthropic-ratelimit-tokens-reset": reset,
        }
