"""Sends a large request to Route again and again: the neighbour that others should not feel.

    python -m benchmarks.bench.big_sender TARGET SHAPE

The first line on standard input starts it, the second ends it; then it says in JSON from when to when each
call ran, in seconds of the monotonic clock. The bytes are made before the start, and the process gives way to
others, so that what it costs them is the server's doing.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable

import grpc

from benchmarks.bench.messages import big_route
from costsvc import v1

PAUSE_S = 0.2
"""Longer than the small calls take to settle, so that the server is disturbed and not merely full."""

_SIZE = ("grpc.max_send_message_length", 64 << 20)


async def _answer(call: Awaitable[v1.RouteResponse]) -> None:
    """Wait for a decision; that no model holds so much text is one, reached by reading all of it."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.FAILED_PRECONDITION:
            raise


async def main(target: str, shape: str) -> None:
    """Send until told to stop."""
    os.nice(10)
    body = big_route(shape).SerializeToString()
    async with grpc.aio.insecure_channel(target, options=[_SIZE]) as channel:
        route = channel.unary_unary(
            "/costsvc.v1.CostService/Route", response_deserializer=v1.RouteResponse.FromString
        )
        print(len(body), flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        stop = asyncio.ensure_future(asyncio.to_thread(sys.stdin.readline))
        sent: list[tuple[float, float]] = []
        while not stop.done():
            start_s = time.monotonic()
            await _answer(route(body, timeout=60))
            sent.append((start_s, time.monotonic()))
            await asyncio.wait([stop], timeout=PAUSE_S)
        print(json.dumps(sent), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
