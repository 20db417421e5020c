"""Many runs of one script in one trip."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis import exceptions as driver
from redis.asyncio import Redis

from costsvc.store.connection import Script


async def run_all(
    client: Redis, script: Script, calls: Sequence[tuple[Sequence[str], Sequence[str | bytes | int]]]
) -> list[Any]:
    """Run a script many times in one trip; each by itself, in their order."""
    async with client.pipeline(transaction=False) as pipe:
        for script_keys, args in calls:
            pipe.execute_command("EVALSHA", script.sha, len(script_keys), *script_keys, *args)
        replies: list[Any] = await pipe.execute(raise_on_error=False)
    for at, reply in enumerate(replies):
        if isinstance(reply, driver.NoScriptError):
            replies[at] = await script.run(client, *calls[at])
        elif isinstance(reply, Exception):
            raise reply
    return replies
