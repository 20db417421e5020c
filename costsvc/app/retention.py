"""Keeping the ledger small: what is older than the retention is archived, and its sums stay."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import structlog

from costsvc.core.errors import StoreUnavailable
from costsvc.ports import Clock
from costsvc.store.sealing import Sealing

SEAL_EVERY_S = 600.0

log = structlog.get_logger()


class Retention:
    """Seals hours, in one process at a time; `keep_sealing` runs beside the service, in a task of its own."""

    def __init__(self, sealing: Sealing, clock: Clock, *, days: int) -> None:
        self._sealing = sealing
        self._clock = clock
        self._kept = timedelta(days=days)

    async def keep_sealing(self) -> None:
        """Seal what has become old, for as long as the process lives."""
        while True:
            try:
                await self.seal()
            except StoreUnavailable:
                pass  # whoever watches the store says so; what is left is sealed in the next round
            except OSError as error:
                log.error("archive_failed", problem=str(error))  # noqa: TRY400 - the disk is to blame, not a line
            except Exception:
                log.exception("sealing_failed")  # tried again: nothing here may end this task
            await asyncio.sleep(SEAL_EVERY_S)

    async def seal(self) -> None:
        """Seal once.

        Raises:
            StoreUnavailable, OSError: the rest is left for the next time.
        """
        now = self._clock.now()
        sealed = await self._sealing.seal_before(now - self._kept, now=now)
        if sealed:
            log.info("entries_sealed", count=sealed)
