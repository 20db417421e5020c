"""Giving new balances what the ledger has for them, beside the calls that need them.

Reading a month of a large ledger takes longer than a call may wait. So it is read once for all who ask, to
its end, and whoever cannot wait for that comes back later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextvars import Context
from datetime import datetime

from costsvc.core.budget import Application
from costsvc.store.connection import translated
from costsvc.store.holds import Holds
from costsvc.store.ledger import Ledger

_Key = tuple[int, str, str, str]


class Seeding:
    """What is being read at the moment."""

    def __init__(self, holds: Holds, ledger: Ledger) -> None:
        self._holds = holds
        self._ledger = ledger
        self._running: dict[_Key, asyncio.Task[None]] = {}

    async def seed(self, applications: Iterable[Application], version: int, now: datetime) -> None:
        """Give balances their first sums, by the definitions of a version.

        Hold again afterwards, which says whether one is still without.

        Raises:
            StoreUnavailable: not yet.
        """
        running = [asyncio.shield(self._start(each, version, now)) for each in applications]
        async with translated():
            await asyncio.gather(*running)

    def _start(self, application: Application, version: int, now: datetime) -> asyncio.Task[None]:
        key = version, application.budget.id, application.window.key, application.instance
        task = self._running.get(key)
        if task is None:  # in a context of its own: what this call may wait is not what reading may take
            work = self._seed(application, version, now)
            task = asyncio.get_running_loop().create_task(work, context=Context())
            self._running[key] = task
            task.add_done_callback(lambda done: self._ended(key, done))
        return task

    async def _seed(self, application: Application, version: int, now: datetime) -> None:
        spent = await self._ledger.spent(application, now)
        await self._holds.seed(application, spent, version=version)

    def _ended(self, key: _Key, task: asyncio.Task[None]) -> None:
        del self._running[key]
        if not task.cancelled():
            task.exception()  # seen by whoever waits; the next call tries again
