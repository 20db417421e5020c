"""What is known of one attempt: whether the provider can have it, and what it called it."""

from __future__ import annotations

from collections.abc import AsyncIterator

CHUNK_BYTES = 256 * 1024


class Attempt:
    """The request body on its way out, which knows how far it got.

    The transport asks for the first bytes once a connection stands, and the provider cannot act before it has
    the last ones. So `sent` divides the failures that cost nothing from those whose cost is unknown.
    """

    __slots__ = ("_body", "provider_request_id", "sent")

    def __init__(self, body: bytes) -> None:
        self._body = body
        self.sent = False
        self.provider_request_id = ""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the body as it is, in pieces small enough not to hold up the event loop."""
        last = max(len(self._body) - CHUNK_BYTES, 0)
        for start in range(0, max(len(self._body), 1), CHUNK_BYTES):
            self.sent = start >= last
            yield self._body[start : start + CHUNK_BYTES]
