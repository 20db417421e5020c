"""An address that stays: a process that passes connections to its port on to a socket.

    python forwarder.py SOCKET

It prints its port. Every line that it reads is another socket: connections end, and new ones go there. A
process of its own, so that nothing else that a test does delays what passes.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress

_CHUNK_BYTES = 65_536


class Forwarder:
    """The connections, and where new ones go."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._writers: set[asyncio.StreamWriter] = set()

    def point(self, path: str) -> None:
        """End what is connected, and pass new connections on to another socket."""
        self._path = path
        for writer in self._writers:
            writer.transport.abort()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass one connection on; it ends where the socket does not answer."""
        try:
            far_reader, far_writer = await asyncio.open_unix_connection(self._path)
        except OSError:
            writer.transport.abort()
            return
        await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        with suppress(OSError):
            while data := await reader.read(_CHUNK_BYTES):
                writer.write(data)
                await writer.drain()
        self._writers.discard(writer)
        writer.transport.abort()


async def _run(path: str) -> None:
    forwarder = Forwarder(path)
    server = await asyncio.start_server(forwarder.accept, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201 - its only answer
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := await lines.readline():
        forwarder.point(line.decode().strip())


if __name__ == "__main__":
    asyncio.run(_run(sys.argv[1]))
