"""A bare grpc.aio server with the service's own messages: what gRPC costs before any work is done.

    python -m benchmarks.bench.echo FOLDER

FOLDER has `route`, `complete` and `hit`, the serialized answers to give. The address is
said on standard error.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

import grpc

from costsvc import v1

_SIZE = ("grpc.max_receive_message_length", 64 << 20)


class Echo(v1.CostServiceServicer):
    """Gives the same answers whatever is asked."""

    def __init__(self, folder: Path) -> None:
        self._route = v1.RouteResponse.FromString((folder / "route").read_bytes())
        self._complete = v1.CompleteResponse.FromString((folder / "complete").read_bytes())
        self._hit = v1.CompleteResponse.FromString((folder / "hit").read_bytes())

    async def Route(self, _request: v1.RouteRequest, _context: Any) -> v1.RouteResponse:  # noqa: N802 - the schema's
        """Answer."""
        return self._route

    async def Complete(self, request: v1.CompleteRequest, _context: Any) -> v1.CompleteResponse:  # noqa: N802 - too
        """Answer."""
        return self._hit if request.request.cache_namespace else self._complete


async def main(folder: Path) -> None:
    """Serve until told to stop."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    server = grpc.aio.server(options=[_SIZE])
    v1.add_CostServiceServicer_to_server(Echo(folder), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"echo on 127.0.0.1:{port}", file=sys.stderr, flush=True)
    await stop.wait()
    await server.stop(None)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
