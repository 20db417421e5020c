"""What costsvc takes as given from outside: the time, and the provider with its two ways to be asked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic
from typing import Any, Protocol


class Clock(Protocol):
    """The time, injected so that tests can set it."""

    def now(self) -> datetime:
        """Return the current time in UTC, with its zone."""

    def monotonic(self) -> float:
        """Return seconds that never go back."""


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """Return the current time in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return the machine's monotonic seconds."""
        return monotonic()


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamRequest:
    """One attempt at the provider: the body as it goes over the wire, and how long it may take."""

    attempt_id: str
    body: bytes
    timeout_s: float
    headers: Mapping[str, str]  # such as anthropic-beta; may be empty


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamAnswer:
    """A complete message, as bytes and as parsed JSON."""

    message_json: bytes
    message: Mapping[str, Any]
    provider_request_id: str


@dataclass(frozen=True, slots=True)
class ProviderEvent:
    """One server-sent event of a stream; `data` is the parsed JSON of `raw`."""

    type: str
    data: Mapping[str, Any]
    raw: str


class ProviderStream(Protocol):
    """A running stream: iterate for events; `provider_request_id` is known once it is open."""

    provider_request_id: str

    def __aiter__(self) -> AsyncIterator[ProviderEvent]:
        """Yield every event but pings, up to and including `message_stop`; raise ProviderError otherwise."""

    async def close(self) -> None:
        """Close the connection; the provider bills what it generated until then."""


class Upstream(Protocol):
    """The provider's Messages API. One call is one attempt: nothing is retried here."""

    async def send(self, request: UpstreamRequest) -> UpstreamAnswer:
        """Return the complete answer, or raise ProviderError."""

    async def open_stream(self, request: UpstreamRequest) -> ProviderStream:
        """Return an open stream, or raise ProviderError; the body says `"stream": true`."""

    async def close(self) -> None:
        """Release connections."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchBody:
    """A batch on its way to the provider: `pieces` yields its JSON anew each time, `byte_count` in all."""

    attempt_id: str
    byte_count: int
    pieces: Callable[[], AsyncIterator[bytes]]
    headers: Mapping[str, str]
    timeout_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderBatch:
    """What the provider says of a batch; until it has ended, all of its items are `processing`."""

    id: str
    has_ended: bool
    counts: Mapping[str, int]
    created_at: datetime
    results_url: str

    @property
    def item_count(self) -> int:
        """How many items it has."""
        return sum(self.counts.values())


@dataclass(frozen=True, slots=True)
class BatchPage:
    """Some of the workspace's batches, newest first; `after` is where to go on, "" at the end."""

    batches: tuple[ProviderBatch, ...]
    after: str


@dataclass(frozen=True, slots=True)
class ResultLine:
    """One line of a batch's results, and where in them, in bytes, the next one begins."""

    data: bytes
    end: int


class BatchUpstream(Protocol):
    """The provider's Message Batches API. Every method may raise ProviderError; nothing is retried here."""

    async def create(self, body: BatchBody) -> ProviderBatch:
        """Create a batch. Where the error `may_have_spent`, nobody knows whether there is one now."""

    async def retrieve(self, batch_id: str) -> ProviderBatch:
        """Return a batch as it is now."""

    async def page(self, *, after: str = "", count: int = 100) -> BatchPage:
        """Return some batches, from where `after` ended."""

    async def cancel(self, batch_id: str) -> ProviderBatch:
        """Ask a batch to end."""

    def results(self, batch: ProviderBatch, *, start: int = 0) -> AsyncIterator[ResultLine]:
        """Yield the lines of an ended batch's results from a byte on; their order is the same each time."""

    async def close(self) -> None:
        """Release connections."""
