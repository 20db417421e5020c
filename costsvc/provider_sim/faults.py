"""Scripted misbehaviour: what goes wrong, for which calls, and how often.

Kinds, with the fields that they read:

- `error`: any `status` with `type`, `message`, `code`, `retry_after`; `rate_limit` (429), `server_error`
  (500), `overloaded` (529) and `spend_limit` (a 429 that waiting does not cure) have the usual values
- `slow`: `delay_s` before the answer, or after `after_events` events of a stream, with a ping every
  `ping_every_s`
- `hang`: silence without end, before the headers, or after `after_events` events of a stream
- `cut_before_headers`, `cut_after_headers`, `cut_mid_stream` (`after_events`, default 3): the connection
  closes
- `error_mid_stream`: an `error` event after `after_events` events, `type` and `message` as given
- `refusal`: HTTP 200 with stop_reason refusal, `category` and `explanation`; with `after_events` some text
  comes first
- `malformed`: HTTP 200 with a body, or after `after_events` an event, that is not JSON
- `odd_events`: a stream with an event of an unknown type and a second message_delta
- `item_errored`, `item_expired`: for items of batches

`billed` says whether the call is charged although it fails; where generation had begun it is by default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from .errors import OVERLOADED_STATUS, ApiError

KINDS = frozenset(
    {
        "error",
        "slow",
        "hang",
        "cut_before_headers",
        "cut_after_headers",
        "cut_mid_stream",
        "error_mid_stream",
        "refusal",
        "malformed",
        "odd_events",
        "item_errored",
        "item_expired",
    }
)
_SHORTHANDS: dict[str, dict[str, Any]] = {
    "rate_limit": {"status": 429, "message": "Number of requests has exceeded your per-minute rate limit."},
    "server_error": {"status": 500, "message": "Internal server error"},
    "overloaded": {"status": OVERLOADED_STATUS, "message": "Overloaded"},
    "spend_limit": {
        "status": 429,
        "code": "enforced_spend_limit_reached",
        "message": "You have reached your monthly spend limit.",
    },
}
_SHORTHANDS |= {"429": _SHORTHANDS["rate_limit"], "500": _SHORTHANDS["server_error"]}
_SHORTHANDS |= {"529": _SHORTHANDS["overloaded"]}
MATCH_KEYS = frozenset({"model", "attempt", "text", "path", "stream", "custom_id"})
CATEGORIES = (None, "cyber", "bio", "frontier_llm", "reasoning_extraction", "general_harms")
BILLED_REFUSALS = frozenset({"bio", "frontier_llm", "reasoning_extraction"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a fault can be matched on."""

    path: str
    raw: bytes
    model: str | None = None
    attempt: str | None = None
    stream: bool = False
    custom_id: str | None = None


@dataclass(slots=True, kw_only=True)
class Fault:
    """One scripted fault; `count` None never runs out, `skip` lets that many matching calls pass first."""

    kind: str
    count: int | None = 1
    skip: int = 0
    match: Mapping[str, Any] = field(default_factory=dict)
    status: int = 500
    type: str | None = None
    message: str | None = None
    code: str | None = None
    retry_after: float | None = None
    delay_s: float = 1.0
    ping_every_s: float = 1.0
    after_events: int | None = None
    category: str | None = None
    explanation: str | None = None
    billed: bool | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown fault kind {self.kind!r}")
        if set(self.match) - MATCH_KEYS:
            raise ValueError(f"match knows only {sorted(MATCH_KEYS)}")
        if self.category not in CATEGORIES:
            raise ValueError(f"unknown refusal category {self.category!r}")

    def fits(self, subject: Subject) -> bool:
        """Return whether a call is one that this fault is for: by default any Messages call."""
        match = self.match
        if subject.path != match.get("path", "/v1/messages"):
            return False
        text = match.get("text")
        if text is not None and str(text).encode() not in subject.raw:
            return False
        return all(
            match.get(key) in (None, getattr(subject, key))
            for key in ("model", "attempt", "stream", "custom_id")
        )

    def error(self) -> ApiError:
        """Return the error that an `error` fault answers with."""
        headers = {} if self.retry_after is None else {"retry-after": f"{self.retry_after:g}"}
        if self.status == 429 and self.code is None:  # noqa: PLR2004 - too many requests
            headers["x-should-retry"] = "true"
        return ApiError(
            self.status, self.message or "Simulated failure", type_=self.type, code=self.code, headers=headers
        )


class Faults:
    """The script: faults in the order added; the first that fits a call applies to it."""

    def __init__(self) -> None:
        self._pending: list[Fault] = []

    def __len__(self) -> int:
        return len(self._pending)

    def __iter__(self) -> Any:
        return iter(self._pending)

    def add(self, kind: str, **settings: Any) -> Fault:
        """Script a fault; raises ValueError or TypeError when it makes no sense."""
        settings = {**_SHORTHANDS.get(kind, {}), **settings}
        fault = Fault(kind="error" if kind in _SHORTHANDS else kind, **settings)
        self._pending.append(fault)
        return fault

    def clear(self) -> None:
        """Forget the script."""
        self._pending.clear()

    def take(self, subject: Subject) -> Fault | None:
        """Return the fault for a call, and count it; None when it goes well."""
        for fault in self._pending:
            if not fault.fits(subject):
                continue
            if fault.skip > 0:
                fault.skip -= 1
                continue
            if fault.count is not None:
                fault.count -= 1
                if fault.count <= 0:
                    self._pending = [other for other in self._pending if other is not fault]
            return replace(fault)
        return None


def as_json(fault: Fault) -> dict[str, Any]:
    """Return a fault for the control surface."""
    return {f.name: getattr(fault, f.name) for f in fields(fault) if getattr(fault, f.name) is not None}
