"""A provider that answers byte for byte what a test scripts: for the answers that no sane server gives."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest

from costsvc.ports import UpstreamRequest
from costsvc.upstream.messages import AnthropicUpstream


@dataclass(frozen=True)
class Received:
    """One request as it arrived; the head is in lower case."""

    head: str
    body: bytes

    def header(self, name: str) -> str:
        """Return the value of a header, or an empty string."""
        lines = (line.partition(":") for line in self.head.split("\r\n")[1:])
        return next((value.strip() for key, _, value in lines if key.lower() == name), "")


@dataclass
class ScriptedProvider:
    """Writes `script` piece by piece after each request; then cuts the connection, hangs or keeps it."""

    script: list[bytes] = field(default_factory=list)
    then: str = "keep"
    reads_body: bool = True
    received: list[Received] = field(default_factory=list)
    connection_count: int = 0
    was_called: asyncio.Event = field(default_factory=asyncio.Event)
    was_left: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""

    def answers(self, body: bytes, *, status: str = "200 OK", headers: str = "") -> None:
        """Script one ordinary HTTP answer."""
        head = f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\nrequest-id: req_1\r\n{headers}\r\n"
        self.script = [head.encode() + body]

    def streams(self, *pieces: bytes, then: str = "end") -> None:
        """Script a chunked answer, one chunk a piece; `end` also sends the chunk that ends the body."""
        head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nrequest-id: req_1\r\n\r\n"
        chunks = [f"{len(piece):x}\r\n".encode() + piece + b"\r\n" for piece in pieces]
        self.script = [head.encode(), *chunks, *([b"0\r\n\r\n"] if then == "end" else [])]
        self.then = "keep" if then == "end" else then

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection until it ends."""
        self.connection_count += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while await self._answer(reader, writer):
                pass
        self.was_left.set()
        writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        size = int(Received(head, b"").header("content-length") or 0)
        self.received.append(Received(head, await reader.readexactly(size) if self.reads_body else b""))
        self.was_called.set()
        for piece in self.script:
            writer.write(piece)
            await writer.drain()
        if self.then == "hang":
            await reader.read(1)
        return self.then == "keep"


@pytest.fixture
async def provider() -> AsyncIterator[ScriptedProvider]:
    """Give a listening provider that answers what the test scripts."""
    scripted = ScriptedProvider()
    tasks = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.create_task(scripted.serve(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    scripted.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield scripted
    server.close()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
async def upstream(provider: ScriptedProvider) -> AsyncIterator[AnthropicUpstream]:
    """Give an adapter that calls the scripted provider."""
    adapter = AnthropicUpstream(api_key="secret", base_url=provider.url)
    yield adapter
    await adapter.close()


@pytest.fixture
def request_of() -> Callable[..., UpstreamRequest]:
    """Give a maker of requests; keywords are headers."""

    def build(body: bytes = b"{}", *, timeout_s: float = 10.0, **headers: str) -> UpstreamRequest:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return UpstreamRequest(attempt_id="attempt-1", body=body, timeout_s=timeout_s, headers=names)

    return build


@pytest.fixture
def message_json() -> bytes:
    """Give a whole message, with spaces and characters that a rewrite would change."""
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-haiku-5-5",
        "content": [{"type": "text", "text": "na\u00efve"}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 3, "output_tokens": 5},
    }
    return json.dumps(message, ensure_ascii=False, indent=1).encode()
