"""One thread for what blocks on the disk, at a fraction of what the event loop's executor costs a job.

The thread takes jobs in order and tells the loop of each outcome by a callback: a put and a callback are a
few microseconds, where an executor's future and its wrapping are some tens.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

T = TypeVar("T")
Job = Callable[[], T]
Done = Callable[[T | OSError], None]


class Worker:
    """Runs jobs in a thread of its own; make it inside the running event loop, and `end` it there."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._jobs: SimpleQueue[tuple[Job[Any], Done[Any]] | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, job: Job[T], done: Done[T]) -> None:
        """Run `job`, which raises nothing but OSError, and then `done` in the loop with what came of it."""
        self._jobs.put((job, done))

    async def run(self, job: Job[T]) -> T | OSError:
        """Run `job` after what was submitted before, and return what came of it."""
        future: asyncio.Future[T | OSError] = self._loop.create_future()
        self.submit(job, lambda outcome: None if future.done() else future.set_result(outcome))
        return await future

    async def end(self, timeout_s: float) -> None:
        """End the thread after what was submitted; a disk that hangs holds nobody up for longer."""
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join, timeout_s)

    def _run(self) -> None:
        while (item := self._jobs.get()) is not None:
            job, done = item
            try:
                outcome = job()
            except OSError as error:
                outcome = error
            with suppress(RuntimeError):  # the loop is closed: a disk hung for longer than its stop took
                self._loop.call_soon_threadsafe(done, outcome)
