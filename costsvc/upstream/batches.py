"""The Message Batches API: bodies stream out of files, results stream in line by line."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import aiohttp
from yarl import URL

from costsvc.ports import BatchBody, BatchPage, ProviderBatch, ResultLine
from costsvc.upstream.attempt import Attempt
from costsvc.upstream.errors import answered, malformed, provider_errors
from costsvc.upstream.transport import OK, Transport, read, read_if_possible

_MAX_CONNECTIONS = 20
_TIMEOUT_S = 60.0
_SILENCE_S = 60.0  # how long results may say nothing
_PARTIAL = 206
_COUNTS = ("processing", "succeeded", "errored", "canceled", "expired")


class AnthropicBatches:
    """The BatchUpstream port on the public API, or on whatever speaks it."""

    def __init__(self, *, api_key: str, base_url: str | None = None) -> None:
        self._transport = Transport(api_key=api_key, base_url=base_url, max_connections=_MAX_CONNECTIONS)

    async def create(self, body: BatchBody) -> ProviderBatch:
        """Create a batch, or raise ProviderError."""
        attempt = _Upload(body)
        with provider_errors(attempt):
            async with asyncio.timeout(body.timeout_s):
                headers = {
                    **self._transport.headers(body.headers),
                    "content-type": "application/json",
                    "content-length": str(body.byte_count),
                    "x-costsvc-attempt": body.attempt_id,
                }
                answer = await self._ask("POST", "", attempt, headers=headers, data=attempt.pieces())
        return _batch(answer, attempt)

    async def retrieve(self, batch_id: str) -> ProviderBatch:
        """Return a batch as it is now, or raise ProviderError."""
        return await self._about("GET", f"/{batch_id}")

    async def page(self, *, after: str = "", count: int = 100) -> BatchPage:
        """Return some batches, newest first, or raise ProviderError."""
        attempt = Attempt(b"")
        query = f"?limit={count}" + (f"&after_id={after}" if after else "")
        with provider_errors(attempt):
            async with asyncio.timeout(_TIMEOUT_S):
                answer = await self._ask("GET", query, attempt)
        rows, last = answer.get("data"), answer.get("last_id")
        if not isinstance(rows, list):
            raise malformed("a list of batches without data", attempt)
        more = answer.get("has_more") is True and isinstance(last, str)
        return BatchPage(tuple(_batch(row, attempt) for row in rows), str(last) if more else "")

    async def cancel(self, batch_id: str) -> ProviderBatch:
        """Ask a batch to end, or raise ProviderError."""
        return await self._about("POST", f"/{batch_id}/cancel")

    async def results(self, batch: ProviderBatch, *, start: int = 0) -> AsyncIterator[ResultLine]:
        """Yield the lines from a byte on, or raise ProviderError; a server without ranges is read over."""
        attempt = Attempt(b"")
        with provider_errors(attempt):
            headers = self._transport.headers({"accept": "application/binary"})
            if start:
                headers["range"] = f"bytes={start}-"
            async with asyncio.timeout(_TIMEOUT_S):
                response = await self._open("GET", self._results_url(batch), attempt, headers=headers)
            async with response:
                at = start if response.status == _PARTIAL else 0
                async for line in _lines(response, at):
                    if line.end > start:
                        yield line

    async def close(self) -> None:
        """Release all connections."""
        await self._transport.close()

    async def _about(self, method: str, path: str) -> ProviderBatch:
        attempt = Attempt(b"")
        with provider_errors(attempt):
            async with asyncio.timeout(_TIMEOUT_S):
                return _batch(await self._ask(method, path, attempt), attempt)

    async def _ask(
        self,
        method: str,
        path: str,
        attempt: Attempt,
        *,
        headers: dict[str, str] | None = None,
        data: AsyncIterator[bytes] | None = None,
    ) -> dict[str, Any]:
        url = self._transport.url(f"v1/messages/batches{path}")
        response = await self._open(method, url, attempt, headers=headers, data=data)
        return _object(await read(response), attempt)

    async def _open(
        self,
        method: str,
        url: URL,
        attempt: Attempt,
        *,
        headers: dict[str, str] | None = None,
        data: AsyncIterator[bytes] | None = None,
    ) -> aiohttp.ClientResponse:
        response = await self._transport.session.request(
            method, url, headers=headers or self._transport.headers(), data=data, allow_redirects=False
        )
        attempt.provider_request_id = response.headers.get("request-id", "")
        if response.status not in {OK, _PARTIAL}:
            raise answered(response.status, response.headers, await read_if_possible(response))
        return response

    def _results_url(self, batch: ProviderBatch) -> URL:
        """Return what the provider says, unless that is elsewhere: our key goes to no other address."""
        ours, said = self._transport.url(f"v1/messages/batches/{batch.id}/results"), URL(batch.results_url)
        return said if said.absolute and said.origin() == ours.origin() else ours


class _Upload(Attempt):
    """A body out of a file; it counts as sent with its last piece."""

    __slots__ = ("_body",)

    def __init__(self, body: BatchBody) -> None:
        super().__init__(b"")
        self._body = body

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the body, and note when the provider could have all of it."""
        left = self._body.byte_count
        async for piece in self._body.pieces():
            left -= len(piece)
            self.sent = left <= 0
            yield piece


async def _lines(response: aiohttp.ClientResponse, at: int) -> AsyncIterator[ResultLine]:
    """Yield whole lines; a body that ends before its length says so raises what the transport raises."""
    rest: list[bytes] = []
    chunks = response.content.iter_any()
    while True:
        async with asyncio.timeout(_SILENCE_S):
            chunk = await anext(chunks, None)
        if chunk is None:
            break
        *whole, last = chunk.split(b"\n")
        for data in whole:
            line = b"".join((*rest, data))
            rest.clear()
            at += len(line) + 1
            yield ResultLine(line, at)
        rest.append(last)
    if line := b"".join(rest):
        yield ResultLine(line, at + len(line))


def _object(body: bytes, attempt: Attempt) -> dict[str, Any]:
    try:
        data = json.loads(body)
    except (ValueError, RecursionError) as exc:
        raise malformed(f"an answer that is no JSON: {type(exc).__name__}", attempt) from exc
    if not isinstance(data, dict):
        raise malformed("an answer that is no object", attempt)
    return data


def _batch(data: Any, attempt: Attempt) -> ProviderBatch:
    try:
        return _read_batch(data)
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise malformed("an answer that is no batch", attempt) from exc


def _read_batch(data: Any) -> ProviderBatch:
    created_at = datetime.fromisoformat(data["created_at"])
    if created_at.tzinfo is None or not isinstance(data["id"], str):
        raise ValueError(data["id"])
    counts = data["request_counts"]
    return ProviderBatch(
        id=data["id"],
        has_ended=data["processing_status"] == "ended",
        counts={name: int(counts.get(name) or 0) for name in _COUNTS},
        created_at=created_at,
        results_url=data.get("results_url") or "",
    )
