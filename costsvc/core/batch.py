"""Batches of requests that can wait: what is kept of one, of its parts at the provider, and of its items.

A part is one batch at the provider. Every submission of a part has an id of its own, and the provider's
custom ids are that id and the item's position: a result, and a line of the bill, belongs to one attempt.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum

from costsvc.core.errors import InvalidRequest, Violation
from costsvc.core.request import CacheMode, ModelRequest

MAX_PART_ITEMS = 100_000
MAX_PART_BYTES = 256_000_000
"""Of a batch at the provider, which says 256 MB (Claude docs: batch processing); the smaller reading."""

MAX_ITEMS = 500_000
"""Of a batch here, so that what is known of its items fits into memory beside much else."""

RESULTS_KEPT = timedelta(days=29)
"""How long the provider keeps results, from creation on."""

LONGEST = timedelta(hours=24)
"""When the provider gives up what it has not answered."""

_CUSTOM_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_NOT_IN_BATCHES = ("stream", "speed", "thread", "fallbacks", "store")
_ENVELOPE_BYTES = len('{"custom_id":"","params":},')
_PART_ID_LENGTH = 32


class PartState(Enum):
    """Where a part is."""

    WAITING = "waiting"  # sent again: its money is to be held first
    ACCEPTED = "accepted"  # on the disk of a replica
    CREATING = "creating"  # on its way to the provider
    UNKNOWN = "unknown"  # the provider may have it, under an id that nobody knows
    RUNNING = "running"  # at the provider
    DOUBTFUL = "doubtful"  # not found, and sent again as another part
    DONE = "done"


class PartEnd(Enum):
    """How a part ended."""

    SETTLED = "settled"  # every result is booked
    CANCELED = "canceled"  # before it was sent
    REJECTED = "rejected"  # the provider did not take it
    LOST = "lost"  # the only replica that had it is gone
    ABSENT = "absent"  # the provider never had it; another part took its place
    GONE = "gone"  # its results are gone before they were read: its money is at risk


UNSENT = frozenset({PartEnd.CANCELED, PartEnd.REJECTED, PartEnd.LOST})
"""Ends of parts whose items have no result at the provider, and cost nothing."""


class Outcome(Enum):
    """How an item ended, in the provider's words; `REFUSED` in ours."""

    SUCCEEDED = "succeeded"
    ERRORED = "errored"
    CANCELED = "canceled"
    EXPIRED = "expired"
    REFUSED = "refused"


class Kind(Enum):
    """What is done about an item."""

    SENT = "s"
    REFUSED = "x"


@dataclass(frozen=True, slots=True, kw_only=True)
class PartHold:
    """What a part holds on one set of budgets, and the item that stands for those held for."""

    q_nano_usd: int
    w_nano_usd: int
    labels: Mapping[str, str]
    task: str
    requested_model: str
    model: str
    baseline_model: str
    tier: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of a batch; `version` counts its changes.

    `spool` names the disk, and `file` the file on it, where its items are. `head` was the workspace's newest
    batch when `creator` began to create it at `creating_at`; `rejected` are batches that turned out not to be
    it.
    """

    id: str
    file: str
    spool: str
    item_count: int
    byte_count: int
    headers: Mapping[str, str]
    holds: tuple[PartHold, ...]
    started_at: datetime
    state: PartState = PartState.ACCEPTED
    version: int = 0
    end: PartEnd | None = None
    problem: str = ""
    provider_id: str = ""
    head: str = ""
    creator: str = ""
    creating_at: datetime | None = None
    retry_at: datetime | None = None
    rejected: tuple[str, ...] = ()
    replaced_by: str = ""

    def hold_id(self, number: int) -> str:
        """Return what a hold of the part is known by to the store."""
        return f"{self.id}.g{number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What the results that are booked of a part add up to."""

    outcomes: Mapping[Outcome, int] = field(default_factory=dict)
    unpriced_count: int = 0
    cost_nano_usd: int = 0
    standard_nano_usd: int = 0
    freed_w_nano_usd: int = 0
    read_bytes: int = 0

    @property
    def item_count(self) -> int:
        """How many items of the part are booked."""
        return sum(self.outcomes.values()) + self.unpriced_count


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchOptions:
    """How a batch is treated; `origin` says what made it: api, or a use of our own."""

    request_id: str = ""
    all_or_nothing: bool = False
    dry_run: bool = False
    origin: str = "api"


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A batch. `fingerprint` stands for its requests; counts are those of creation, tallies those of results.

    It is not `accepted` while its money is being held.
    """

    id: str
    tenant: str
    options: BatchOptions
    fingerprint: str
    created_at: datetime
    item_count: int
    refused_count: int
    expected_nano_usd: int
    parts: tuple[Part, ...]
    tallies: Mapping[str, Tally] = field(default_factory=dict)
    accepted: bool = False
    canceled: bool = False
    ended_at: datetime | None = None

    def tally(self, part: Part) -> Tally:
        """Return what is booked of a part."""
        return self.tallies.get(part.id, Tally())

    @property
    def current_parts(self) -> list[Part]:
        """The parts whose results are the batch's: not those that were sent again."""
        return [part for part in self.parts if not part.replaced_by]

    def count(self, outcome: Outcome) -> int:
        """Return how many items that were sent ended so."""
        ended = sum(self.tally(part).outcomes.get(outcome, 0) for part in self.current_parts)
        if outcome is Outcome.ERRORED:
            ended += sum(self.tally(part).unpriced_count for part in self.current_parts)
        unsent = {Outcome.CANCELED: {PartEnd.CANCELED}, Outcome.ERRORED: UNSENT - {PartEnd.CANCELED}}
        ends = unsent.get(outcome, set())
        return ended + sum(part.item_count for part in self.current_parts if part.end in ends)

    @property
    def is_settled(self) -> bool:
        """Whether every item has its result."""
        return all(part.state is PartState.DONE for part in self.current_parts)

    def part(self, part_id: str) -> Part | None:
        """Return the part of an id."""
        return next((part for part in self.parts if part.id == part_id), None)

    @property
    def held_nano_usd(self) -> int:
        """What is still held, or at risk, for what is not known, at its worst."""
        return sum(
            sum(hold.w_nano_usd for hold in part.holds) - self.tally(part).freed_w_nano_usd
            for part in self.parts
            if part.state is not PartState.DONE
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """What is kept of an item: enough to book its result without its request.

    `part` is the position of its part, `hold` that of its hold in the part.
    """

    index: int
    custom_id: str
    kind: Kind
    request_id: str = ""
    task: str = ""
    conversation_id: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    requested_model: str = ""
    model: str = ""
    baseline_model: str = ""
    tier: str = ""
    marked: bool = False
    q_nano_usd: int = 0
    w_nano_usd: int = 0
    part: int = 0
    hold: int = 0
    reason: str = ""
    problem: str = ""


def check_item(custom_id: str, request: ModelRequest) -> None:
    """Let an item by that the provider would take in a batch, as far as its shape says.

    Raises:
        InvalidRequest: naming each member that is in the way.
    """
    violations = []
    if not _CUSTOM_ID.fullmatch(custom_id):
        violations.append(Violation("custom_id", "must be 1 to 64 of A-Z a-z 0-9 _ and -"))
    violations += [
        Violation(f"request.messages_json.{name}", "is not for batches")
        for name in _NOT_IN_BATCHES
        if request.get(name)
    ]
    if request.get("max_tokens") == 0:
        violations.append(Violation("request.messages_json.max_tokens", "0 is not for batches"))
    if request.cache_mode is CacheMode.ONLY:
        violations.append(Violation("request.cache_mode", "CACHE_MODE_ONLY is not for batches"))
    if violations:
        raise InvalidRequest(*violations)


def attempt_id(part_id: str, index: int) -> str:
    """Return what an item of a part is to the provider and to the ledger."""
    return f"{part_id}_{index}"


def index_of(custom_id: object, part_id: str) -> int | None:
    """Return the position of the item that a result is of, None where it is of another part."""
    if not isinstance(custom_id, str):
        return None
    found, _, digits = custom_id.partition("_")
    return int(digits) if found == part_id and digits.isdecimal() and len(digits) < _PART_ID_LENGTH else None


def line_bytes(index: int, params_bytes: int) -> int:
    """Return how much of a part's body an item takes."""
    return _ENVELOPE_BYTES + _PART_ID_LENGTH + 1 + len(str(index)) + params_bytes
