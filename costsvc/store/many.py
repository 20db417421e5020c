"""Many runs of one script in one trip."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis import exceptions as driver
from redis.asyncio import Redis

from costsvc.store.connection import Script, exchanged


async def run_all(
    client: Redis, script: Script, calls: Sequence[tuple[Sequence[str], Sequence[str | bytes | int]]]
) -> list[Any]:
    """Run a script many times in one trip; each by itself, in their order."""
    replies = await exchanged(
        client, [("EVALSHA", script.sha, len(keys), *keys, *args) for keys, args in calls]
    )
    for at, reply in enumerate(replies):
        if isinstance(reply, driver.NoScriptError):
            replies[at] = await script.run(client, *calls[at])
        elif isinstance(reply, Exception):
            raise reply
    return replies
