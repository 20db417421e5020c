"""Keeping a store of our own running."""

from __future__ import annotations

import asyncio
from time import monotonic

import structlog

from costsvc.store.connection import StoreRefused
from costsvc.store.embedded import EmbeddedValkey

FIRST_WAIT_S, LONGEST_WAIT_S = 0.1, 30.0
STEADY_S = 60.0
"""A server that ran so long is started again without waiting for what went before."""

_LOOK_EVERY_S = 0.1

log = structlog.get_logger()


async def keep_running(server: EmbeddedValkey) -> None:
    """Start a server again whenever it ends: run this in a task of its own, which ends before the server.

    Its data is on the disk; its clients find out by themselves when it answers again. One that keeps ending
    is started ever more seldom.
    """
    wait_s, started_s = FIRST_WAIT_S, monotonic()
    while True:
        await asyncio.sleep(_LOOK_EVERY_S)
        if server.exit_code is None:
            continue
        log.error("store_ended", code=server.exit_code, last_words=server.last_words)
        if monotonic() - started_s > STEADY_S:
            wait_s = FIRST_WAIT_S
        await asyncio.sleep(wait_s)
        wait_s, started_s = min(2 * wait_s, LONGEST_WAIT_S), monotonic()
        await _restart(server)


async def _restart(server: EmbeddedValkey) -> None:
    try:
        await server.restart()
    except (StoreRefused, OSError) as error:
        log.error("store_not_restarted", problem=str(error))  # noqa: TRY400 - its message says it all
    else:
        log.warning("store_restarted", pid=server.pid)
