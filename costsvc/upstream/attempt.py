"""What is known of one attempt: whether the provider can have it, and what it called it."""

from __future__ import annotations

from collections.abc import AsyncIterator

from aiohttp import BytesPayload
from aiohttp.abc import AbstractStreamWriter

CHUNK_BYTES = 256 * 1024


class Attempt:
    """The request body on its way out, which knows how far it got.

    The transport writes the first bytes once a connection stands, and the provider cannot act before it has
    the last ones. So `sent` divides the failures that cost nothing from those whose cost is unknown.
    """

    __slots__ = ("_source", "provider_request_id", "sent")

    def __init__(self, source: bytes) -> None:
        self._source = source
        self.sent = False
        self.provider_request_id = ""

    @property
    def body(self) -> BytesPayload | AsyncIterator[bytes]:
        """What the transport is to write: a small body goes out with its head, in one piece."""
        return _Whole(self, self._source) if len(self._source) <= CHUNK_BYTES else self._chunks()

    async def _chunks(self) -> AsyncIterator[bytes]:
        """Yield the body as it is, in pieces small enough not to hold up the event loop."""
        last = len(self._source) - CHUNK_BYTES
        for start in range(0, len(self._source), CHUNK_BYTES):
            self.sent = start >= last
            yield self._source[start : start + CHUNK_BYTES]


class _Whole(BytesPayload):
    """A small body, which is written once a connection stands; the attempt then counts as sent."""

    def __init__(self, attempt: Attempt, source: bytes) -> None:
        super().__init__(source, content_type="application/json")
        self._attempt = attempt

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        self._attempt.sent = True
        await super().write_with_length(writer, content_length)
