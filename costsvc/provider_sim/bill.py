"""The provider's own bill: one line for every call that it charges for, exact to the pico-dollar.

What is billed when: a call is on the bill from the moment its generation begins. A refused request (4xx,
429, 5xx before generation) never is. A unary call is generated to its end, whether or not the answer can be
delivered; a stream whose reader goes away is billed for the prompt and for what was generated until then.
Such lines say `complete: false`. Without latency a whole stream is generated before its first byte.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

from .clock import rfc3339
from .rates import PICO_PER_USD, Metered, charge_pico


@dataclass(slots=True)
class Line:
    """One charged call; `pico_usd` follows `used` while a stream runs."""

    seq: int
    at_s: float
    request_id: str
    attempt: str | None
    workspace: str
    model: str
    used: Metered
    terms: frozenset[str]
    free: bool = False  # listed, but charged nothing: a refusal of a category that is not billed
    complete: bool = False
    stop_reason: str | None = None
    message_id: str = ""
    custom_id: str | None = None
    batch_id: str | None = None
    pico_usd: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return the line for the control surface; money is a decimal string of whole pico-USD."""
        used = self.used
        return {
            "seq": self.seq,
            "time": rfc3339(self.at_s),
            "request_id": self.request_id,
            "attempt": self.attempt,
            "workspace": self.workspace,
            "message_id": self.message_id,
            "model": self.model,
            "usage": {
                "input_tokens": used.input,
                "cache_creation_5m_input_tokens": used.write_5m,
                "cache_creation_1h_input_tokens": used.write_1h,
                "cache_read_input_tokens": used.read,
                "output_tokens": used.output,
                "thinking_tokens": used.thinking,
                "web_search_requests": used.web_searches,
            },
            "batch": "batch" in self.terms,
            "speed": "fast" if "fast" in self.terms else "standard",
            "inference_geo": "us" if "us" in self.terms else "global",
            "pico_usd": str(self.pico_usd),
            "complete": self.complete,
            "stop_reason": self.stop_reason,
            "custom_id": self.custom_id,
            "batch_id": self.batch_id,
        }


class Bill:
    """All lines since the start or the last reset; the totals stay exact when old lines are dropped."""

    def __init__(self, max_lines: int | None = None) -> None:
        self._lines: deque[Line] = deque()
        self._max_lines = max_lines
        self._by_attempt: dict[str, list[Line]] = {}
        self.reset()

    def reset(self) -> None:
        """Start a new bill."""
        self._lines.clear()
        self._by_attempt.clear()
        self._next_seq = 1
        self.calls = 0
        self.total_pico_usd = 0
        self._by_model: dict[str, list[int]] = {}

    def open(self, line: Line) -> Line:
        """Put a call on the bill as it begins: the prompt, and the output that exists already."""
        line.seq = self._next_seq
        self._next_seq += 1
        self.calls += 1
        self._by_model.setdefault(line.model, [0, 0])[0] += 1
        self._lines.append(line)
        if line.attempt:
            self._by_attempt.setdefault(line.attempt, []).append(line)
        if self._max_lines is not None and len(self._lines) > self._max_lines:
            self._drop_oldest()
        self.charge(line)
        return line

    def charge(self, line: Line, *, output: int | None = None, complete: bool = False) -> None:
        """Bring a line up to date with what was generated."""
        if output is not None:
            line.used.output = output
            line.used.thinking = min(line.used.thinking, output)
        line.complete = complete
        pico = 0 if line.free else charge_pico(line.model, line.used, line.terms, line.at_s)
        change = pico - line.pico_usd
        line.pico_usd = pico
        self.total_pico_usd += change
        self._by_model[line.model][1] += change

    def lines(self, *, after: int = 0, limit: int | None = None) -> list[Line]:
        """Return the kept lines with a higher number than `after`, oldest first."""
        found = [line for line in self._lines if line.seq > after]
        return found if limit is None else found[:limit]

    def of(self, attempt: str) -> list[Line]:
        """Return the lines of one attempt: usually one, none if it was never charged."""
        return list(self._by_attempt.get(attempt, ()))

    def total(self) -> dict[str, Any]:
        """Return the sums for the control surface."""
        return {
            "calls": self.calls,
            "pico_usd": str(self.total_pico_usd),
            "usd": usd(self.total_pico_usd),
            "by_model": {
                model: {"calls": calls, "pico_usd": str(pico)}
                for model, (calls, pico) in sorted(self._by_model.items())
            },
        }

    def _drop_oldest(self) -> None:
        line = self._lines.popleft()
        if line.attempt:
            rest = [other for other in self._by_attempt[line.attempt] if other is not line]
            if rest:
                self._by_attempt[line.attempt] = rest
            else:
                del self._by_attempt[line.attempt]


def usd(pico: int) -> str:
    """Return an exact decimal string of US dollars."""
    whole, rest = divmod(abs(pico), PICO_PER_USD)
    sign = "-" if pico < 0 else ""
    return f"{sign}{whole}.{rest:012d}"
