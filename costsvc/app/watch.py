"""Looking after the store: whether it answers, who it is, and what it has to be told when it is back.

There is one watch in a process. Whoever waits for the store in vain wakes it; until it has found the store
again nobody else asks. A store that answers after that, or that is another one (a fail-over, a restart), may
lack its last moments: what this process knows of them is put right first, and calls come after that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from time import monotonic
from typing import Protocol

import structlog

from costsvc.core.errors import StoreUnavailable
from costsvc.metrics import Metrics
from costsvc.store.ledger import Ledger
from costsvc.store.presence import Presence

CHECK_EVERY_S = 1.0
"""How often a store that is present is asked who it is."""

FIRST_WAIT_S, LONGEST_WAIT_S = 0.1, 1.0
"""Between two looks for a store that is away."""

log = structlog.get_logger()


class Recovers(Protocol):
    """Whoever has something to put right when the store is back."""

    async def recover(self, store_id: str, *, is_another: bool) -> None:
        """Put it right; called again from the beginning where this, or another, could not finish.

        Raises:
            StoreUnavailable: the store is away again.
        """


class StoreWatch:
    """Watches one store; `keep_watching` runs for as long as the process lives, in a task of its own."""

    def __init__(
        self, presence: Presence, ledger: Ledger, recoveries: Sequence[Recovers], metrics: Metrics
    ) -> None:
        self._presence = presence
        self._ledger = ledger
        self._recoveries = recoveries
        self._metrics = metrics
        self._store_id = ""
        self._wait_s = FIRST_WAIT_S

    async def arrive(self) -> None:
        """Meet the store for the first time.

        Raises:
            StoreUnavailable: it does not answer.
        """
        await self._look()
        self._metrics.store_available(available=True)

    async def keep_watching(self) -> None:
        """Notice when the store goes, and find it again."""
        while True:
            if self._presence.is_away:
                await self._search()
            with suppress(TimeoutError):
                async with asyncio.timeout(CHECK_EVERY_S):
                    await self._presence.until_lost()
            if not self._presence.is_away:
                self._wait_s = FIRST_WAIT_S  # it stayed for a while
                await self._check()

    async def _check(self) -> None:
        """See whether the store is still the same, and there at all."""
        try:
            if await self._ledger.store_id() != self._store_id:
                self._presence.lose("another store answers")
        except StoreUnavailable:
            pass
        except Exception as error:  # noqa: BLE001 - such as rights that it took from us: nothing here may end this task
            self._presence.lose(f"{type(error).__name__}: {error}")

    async def _search(self) -> None:
        """Look for the store until it is found, ever more seldom."""
        log.warning("store_away", problem=self._presence.problem)
        self._metrics.store_available(available=False)
        began_s, problem = monotonic(), ""
        while True:
            try:
                await self._look()
                break
            except StoreUnavailable:
                pass
            except Exception as error:
                if problem != (problem := f"{type(error).__name__}: {error}"):
                    log.exception("store_recovery_failed")
            await asyncio.sleep(self._wait_s)
            self._wait_s = min(2 * self._wait_s, LONGEST_WAIT_S)
        self._metrics.store_available(available=True)
        log.info("store_back", away_s=round(monotonic() - began_s, 3))

    async def _look(self) -> None:
        """Put everything right with the store that answers, and take it for present."""
        with self._presence.searching():
            store_id = await self._ledger.store_id()
            is_another = self._store_id not in ("", store_id)
            self._presence.store_id = store_id  # before the recoveries, which go by it
            for recovery in self._recoveries:
                await recovery.recover(store_id, is_another=is_another)
        self._store_id = store_id
        self._presence.find()
