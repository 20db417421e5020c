"""Whether the store answers, as this process sees it, and how long one call may wait for it.

Whoever waits for the store in vain says so to its `Presence`. From then on nobody waits: every use of a
client fails at once, until the one who looks after the store (`app/watch.py`) has found it again. A call that
makes several trips to the store waits for all of them together no longer than for one. What it waits for a
server that holds stored answers only does not count: money must not be refused because of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from time import monotonic

STORE_BUDGET_S = 0.1
SILENCE_S = 0.05
"""A wait in vain says nothing of a store that has answered others in this time: it is we who are late."""


class Presence:
    """The state of one store, shared by all that use its client; it begins as away, until it is found.

    `store_id` is which store it is that answers, or that is being told what it may lack; `is_apart` says that
    it holds no money.
    """

    def __init__(self, *, is_apart: bool = False) -> None:
        self.is_apart = is_apart
        self.problem = "not asked yet"
        self.store_id = ""
        self._answered_s = 0.0
        self._here = asyncio.Event()
        self._lost = asyncio.Event()
        self._lost.set()

    @property
    def is_away(self) -> bool:
        """Whether using the store fails at once."""
        return not self._here.is_set()

    @property
    def is_closed(self) -> bool:
        """Whether whoever asks now must not use the store: it is away, and they do not look for it."""
        return self.is_away and not _searching.get()

    def note_answer(self) -> None:
        """The store has just answered somebody."""
        self._answered_s = monotonic()

    def is_silent(self) -> bool:
        """Whether the store has answered nobody for a while."""
        return monotonic() - self._answered_s > SILENCE_S

    def lose(self, problem: str) -> None:
        """Take the store for away; the first problem counts."""
        if not self.is_away:
            self.problem = problem
            self._here.clear()
            self._lost.set()

    def find(self) -> None:
        """Take the store for present."""
        self.problem = ""
        self._lost.clear()
        self._here.set()

    async def until_here(self) -> None:
        """Return once the store is present."""
        await self._here.wait()

    async def until_lost(self) -> None:
        """Return once the store is away."""
        await self._lost.wait()

    @contextmanager
    def searching(self) -> Iterator[None]:
        """Let what is inside use the store also while it is away."""
        token = _searching.set(True)
        try:
            yield
        finally:
            _searching.reset(token)


@dataclass(slots=True)
class _Purse:
    """What one call may still wait; trips at the same time count once."""

    left_s: float
    depth: int = 0
    since_s: float = 0.0
    counts: bool = False

    def enter(self) -> float:
        now_s = monotonic()
        if self.depth == 0:
            self.since_s, self.counts = now_s, False
        self.depth += 1
        return self.left_s - (now_s - self.since_s)

    def leave(self, *, counts: bool) -> None:
        self.depth -= 1
        self.counts |= counts
        if self.depth == 0 and self.counts:
            self.left_s -= monotonic() - self.since_s


_searching: ContextVar[bool] = ContextVar("searching", default=False)
_purse: ContextVar[_Purse | None] = ContextVar("purse", default=None)


@contextmanager
def one_call(budget_s: float = STORE_BUDGET_S) -> Iterator[None]:
    """Let all trips to the store inside, and in the tasks that are started inside, wait so long together."""
    token = _purse.set(_Purse(budget_s))
    try:
        yield
    finally:
        _purse.reset(token)


class trip:  # noqa: N801 - reads as a function; one is made for every use of the store
    """Give how long a trip to the store may take: `budget_s`, or what its call has left.

    `counts` tells at its end whether the call has less left by it.
    """

    __slots__ = ("_budget_s", "_counts", "_purse")

    def __init__(self, budget_s: float, counts: Callable[[], bool] = lambda: True) -> None:
        self._budget_s = budget_s
        self._counts = counts

    def __enter__(self) -> float:
        self._purse = _purse.get()
        return self._budget_s if self._purse is None else min(self._budget_s, self._purse.enter())

    def __exit__(self, *_: object) -> None:
        if self._purse is not None:
            self._purse.leave(counts=self._counts())
