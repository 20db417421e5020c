"""Lets one call write a prefix that many want at once, while the others wait for its first byte.

An entry of the provider's cache can be read once the answer that wrote it has begun (Claude docs: prompt
caching), so calls that come together all pay for the write. Here the first of them goes ahead, as a stream,
whose beginning is seen; the others wait, at most as long as the policy says, and are planned anew when the
entry is there. Where the first call fails, the next one goes ahead. Calls are told apart in one
process: with several, each writes once.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from costsvc.app.attempt import Attempt
from costsvc.app.planner import Planner
from costsvc.app.prompt_caching import PromptCaching
from costsvc.core.marked import Shared
from costsvc.metrics import Metrics
from costsvc.ports import Clock

MOST_REMEMBERED = 1_000
"""Prefixes whose writing has begun lately, beyond what the statistics know yet."""

_LEAST_SHARE = 0.5
"""Of its time a call keeps for itself, however long it may wait."""

Key = tuple[str, str, bytes]


@dataclass(slots=True)
class _Writing:
    """A prefix that is being written: `over` is set when its write has begun, or has come to nothing."""

    over: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True, slots=True)
class Turn:
    """An attempt whose turn it is. One that `writes` for others is a stream, and says when it has begun."""

    attempt: Attempt
    writes: bool = False
    began: Callable[[], None] = lambda: None


class FirstWrites:
    """The prefixes that this process is writing."""

    def __init__(
        self, prompt_caching: PromptCaching, planner: Planner, metrics: Metrics, clock: Clock
    ) -> None:
        self._prompt_caching = prompt_caching
        self._planner = planner
        self._metrics = metrics
        self._clock = clock
        self._writing: dict[Key, _Writing] = {}
        self._begun: OrderedDict[Key, Shared] = OrderedDict()

    @asynccontextmanager
    async def turn(self, attempt: Attempt) -> AsyncIterator[Turn]:
        """Give an attempt its turn, when another that writes the same prefix has begun."""
        if not self._planner.policy.first_write_wait_ms:
            yield Turn(attempt)
            return
        until_s: float | None = self._waits_until_s(attempt)
        while True:
            attempt = self._with_begun(attempt)
            shared = self._shared(attempt)
            if shared is None or until_s is None:
                yield Turn(attempt)
                return
            key = _key(attempt, shared)
            writing = self._writing.get(key)
            if writing is None:
                break
            attempt, is_over = await self._waited(attempt, writing, until_s)
            until_s = until_s if is_over else None
        writing = self._writing[key] = _Writing()

        def began() -> None:
            self._remember(key, shared)
            self._end(key, writing)

        try:
            yield Turn(attempt, writes=True, began=began)
        finally:
            self._end(key, writing)

    def _waits_until_s(self, attempt: Attempt) -> float:
        now_s = self._clock.monotonic()
        wait_s = self._planner.policy.first_write_wait_ms / 1_000
        return now_s + min(wait_s, attempt.left_s(now_s) * _LEAST_SHARE)

    async def _waited(self, attempt: Attempt, writing: _Writing, until_s: float) -> tuple[Attempt, bool]:
        """Wait; return the attempt with the time that is left of it, and whether it waited long enough."""
        since_s, is_over = self._clock.monotonic(), True
        try:
            async with asyncio.timeout(max(until_s - since_s, 0)):
                await writing.over.wait()
        except TimeoutError:
            is_over = False
        now_s = self._clock.monotonic()
        self._metrics.first_write("waited" if is_over else "too_long", now_s - since_s)
        left_s = attempt.left_s(now_s)
        waited = replace(attempt, started_at=self._clock.now(), started_s=now_s, timeout_s=left_s)
        return waited, is_over

    def _shared(self, attempt: Attempt) -> Shared | None:
        """Return what this attempt would write that others want, too."""
        marking = attempt.plan.markers
        return marking.shared_write(at_s=int(attempt.started_at.timestamp())) if marking else None

    def _with_begun(self, attempt: Attempt) -> Attempt:
        """Return an attempt that counts on a prefix whose writing has begun in the meantime."""
        shared = self._shared(attempt)
        begun = self._begun.get(_key(attempt, shared)) if shared else None
        if begun is None or begun.until_s <= self._clock.now().timestamp():
            return attempt
        plan = self._prompt_caching.with_live(attempt.plan, attempt.tenant, begun, attempt.started_at)
        return replace(attempt, plan=plan)

    def _remember(self, key: Key, shared: Shared) -> None:
        self._begun[key] = shared
        self._begun.move_to_end(key)
        if len(self._begun) > MOST_REMEMBERED:
            self._begun.popitem(last=False)

    def _end(self, key: Key, writing: _Writing) -> None:
        writing.over.set()
        if self._writing.get(key) is writing:
            del self._writing[key]


def _key(attempt: Attempt, shared: Shared) -> Key:
    return attempt.tenant, attempt.plan.decision.model.id, shared.digest
