"""Two bare clients that measure themselves: the provider's SDK, and the store's driver.

    python -m benchmarks.bench.clients sdk URL BODY
    python -m benchmarks.bench.clients evalsha URL

Each line on standard input is a number of calls and how many of them at once; each line of output is their
CPU, in microseconds a call.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

Call = Callable[[], Awaitable[Any]]

_SCRIPT = "return redis.call('INCR', KEYS[1])"


async def sdk_post(url: str, body: str) -> Call:
    """Return the SDK's low-level call on its aiohttp transport, with the service's own body."""
    import anthropic  # noqa: PLC0415 - slow to import, and one of the two is enough
    import httpx2  # noqa: PLC0415

    sdk = anthropic.AsyncAnthropic(
        api_key="simulated", base_url=url, max_retries=0, http_client=anthropic.DefaultAioHttpClient()
    )
    data = json.loads(body)
    return lambda: sdk.post("/v1/messages", body=data, cast_to=httpx2.Response)


async def evalsha(url: str) -> Call:
    """Return one EVALSHA as the driver does it by itself, with timeouts: the unit E."""
    from redis.asyncio import Redis  # noqa: PLC0415 - as above

    redis = Redis.from_url(url, socket_timeout=1.0, socket_connect_timeout=1.0)
    digest = await redis.script_load(_SCRIPT)
    return lambda: redis.evalsha(digest, 1, "bench:unit")


async def cpu_us(call: Call, count: int, at_once: int) -> float:
    """Return this process's CPU a call, in microseconds."""

    async def lane() -> None:
        for _ in range(count // at_once):
            await call()

    start_ns = time.process_time_ns()
    await asyncio.gather(*(lane() for _ in range(at_once)))
    return (time.process_time_ns() - start_ns) / count / 1000


def main(kind: str, *arguments: str) -> None:
    """Measure as often as is asked."""
    with asyncio.Runner() as runner:
        call = runner.run({"sdk": sdk_post, "evalsha": evalsha}[kind](*arguments))
        for line in sys.stdin:
            count, at_once = map(int, line.split())
            print(runner.run(cpu_us(call, count, at_once)), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
