"""Tests of who looks after the store, where that is more than away."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

from costsvc.app.watch import StoreWatch
from costsvc.metrics import Metrics
from costsvc.store.connection import open_store
from costsvc.store.embedded import EmbeddedValkey
from costsvc.store.ledger import Ledger
from costsvc.store.presence import Presence


async def test_a_store_that_takes_rights_away_is_found_again(tmp_path: Path) -> None:
    """What it refuses is no answer; when it does answer, it is present."""
    presence = Presence()
    async with (
        EmbeddedValkey(tmp_path / "store") as server,
        open_store(server.url, presence) as client,
        open_store(server.url) as operator,
    ):
        watch = StoreWatch(presence, Ledger(client), (), Metrics())
        await watch.arrive()
        watching = asyncio.ensure_future(watch.keep_watching())
        await operator.execute_command("ACL", "SETUSER", "default", "-info")
        await asyncio.wait(
            {watching, asyncio.ensure_future(presence.until_lost())}, return_when="FIRST_COMPLETED"
        )
        assert presence.is_away
        await operator.execute_command("ACL", "SETUSER", "default", "+info")
        await presence.until_here()
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
