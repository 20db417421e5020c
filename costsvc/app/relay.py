"""Between a provider's stream and its caller: a bounded buffer, and deltas joined into few messages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Generic, TypeVar

from costsvc.core.errors import StreamUnread

COALESCE_S = 0.02
MAX_BUFFERED_CHARS = 256 * 1024


T = TypeVar("T")


class Relay(Generic[T]):
    """What the provider has said and the caller has not yet taken, after a beginning of type T.

    A full buffer makes the reading of the provider's stream wait, so that a slow caller costs bounded memory.
    Once the caller is gone the buffer is emptied and reading goes on, because the end has the bill.
    """

    def __init__(
        self,
        *,
        provider_events: bool = False,
        stall_s: float = 60.0,
        max_chars: int = MAX_BUFFERED_CHARS,
    ) -> None:
        self.provider_events = provider_events
        self._items: list[str] = []
        self._chars = 0
        self._max_chars = max_chars
        self._stall_s = stall_s
        self._abandoned = False
        self._is_stalled = False
        self._beginning: T | None = None
        self._opened = asyncio.Event()
        self._ended = asyncio.Event()
        self._filled = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    @property
    def is_open(self) -> bool:
        """Whether the provider has begun to answer, so that the caller may have seen something."""
        return self._beginning is not None

    def open(self, beginning: T) -> None:
        """Say that the provider has begun to answer."""
        self._beginning = beginning
        self._opened.set()

    async def opened(self) -> T | None:
        """Wait for the beginning; None when it ended before it began."""
        await self._opened.wait()
        return self._beginning

    async def put(self, item: str) -> None:
        """Add an item, when there is room for it; a caller who takes none for too long gets no more."""
        if not self._room.is_set():
            try:
                async with asyncio.timeout(self._stall_s):
                    await self._room.wait()
            except TimeoutError:
                self._is_stalled = True
                self.abandon()
        if self._abandoned:
            return
        self._items.append(item)
        self._chars += len(item)
        self._filled.set()
        if self._chars >= self._max_chars:
            self._room.clear()

    def end(self) -> None:
        """Say that no item follows."""
        self._opened.set()
        self._ended.set()
        self._filled.set()

    def abandon(self) -> None:
        """Say that nobody takes items any more."""
        self._abandoned = True
        self._take()
        self._filled.set()

    async def batches(self) -> AsyncIterator[list[str]]:
        """Yield items as they come: the first at once, later ones joined for up to `COALESCE_S`.

        Raises:
            StreamUnread: items were left out, because the taker was too slow.
        """
        while True:
            await self._filled.wait()
            if self._is_stalled:
                raise StreamUnread
            items = self._take()
            if items:
                yield items
            if self._ended.is_set() and not self._items:
                return
            await self._pause()

    async def _pause(self) -> None:
        """Wait for more to come together, unless the end comes first."""
        try:
            async with asyncio.timeout(COALESCE_S):
                await self._ended.wait()
        except TimeoutError:
            return

    def _take(self) -> list[str]:
        items, self._items, self._chars = self._items, [], 0
        if not self._ended.is_set():
            self._filled.clear()
        self._room.set()
        return items
