"""Work that must run to its end once money may have been spent, whether or not its caller still waits."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class InFlight:
    """The calls that this process still has to finish."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run `work` in a task of its own, which nobody's cancellation reaches."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Return the result of `work`; when the caller is cancelled, `work` goes on."""
        outcome: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.start(self._tell(outcome, work))  # `shield` would take another turn of the loop
        return await outcome

    async def drain(self, timeout_s: float) -> int:
        """Wait for what is running, at most `timeout_s`; return how many are left."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_s)
        return len(self._tasks)

    async def _tell(self, outcome: asyncio.Future[T], work: Coroutine[Any, Any, T]) -> None:
        """Do the work, and tell its outcome to whoever still waits."""
        try:
            result = await work
        except BaseException as error:
            if outcome.done():
                raise
            outcome.set_exception(error)
        else:
            if not outcome.done():
                outcome.set_result(result)
        finally:
            task = asyncio.current_task()
            assert task is not None
            self._tasks.discard(task)

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # seen by the caller, or logged where it arose; not a surprise of the loop's
