"""The control surface `/_sim/`: script faults, move the clock, read the bill. For tests and demos only.

| request | does |
|---|---|
| GET, POST, DELETE /_sim/faults | list, add (an object, a list, or {"faults": [...]}), forget |
| GET, POST, DELETE /_sim/questions | the same for questions of known difficulty, {"questions": [...]} |
| GET, POST /_sim/clock | read, or {"advance_s": 3600} |
| GET /_sim/bill?after=SEQ&limit=N, ?attempt=ID | lines, oldest first; `next_after` goes on from there |
| GET /_sim/bill/total | calls and exact sums, by model too |
| POST /_sim/latency | {"first_byte_ms": 20, "ms_per_token": 1} |
| GET /_sim/requests | the requests kept, when the simulator was told to keep some |
| POST /_sim/reset | empty bill, cache, faults, questions and batches; the clock stays |
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from aiohttp import web

from . import faults, questions, wire
from .batches import Batches
from .clock import rfc3339
from .errors import ApiError, invalid, not_found
from .provider import Provider

_MAX_PAGE = 10_000


class Control:
    """The operator's side of the simulator."""

    def __init__(self, provider: Provider, batches: Batches, seen: Iterable[Any]) -> None:
        self._provider = provider
        self._batches = batches
        self._seen = seen
        self._routes: dict[tuple[str, str], Callable[[web.BaseRequest], Awaitable[Any]]] = {
            ("GET", "/_sim/faults"): self._list_faults,
            ("POST", "/_sim/faults"): self._add_faults,
            ("DELETE", "/_sim/faults"): self._clear_faults,
            ("GET", "/_sim/questions"): self._list_questions,
            ("POST", "/_sim/questions"): self._add_questions,
            ("DELETE", "/_sim/questions"): self._clear_questions,
            ("GET", "/_sim/clock"): self._read_clock,
            ("POST", "/_sim/clock"): self._advance_clock,
            ("GET", "/_sim/bill"): self._bill,
            ("GET", "/_sim/bill/total"): self._total,
            ("POST", "/_sim/latency"): self._set_latency,
            ("GET", "/_sim/requests"): self._requests,
            ("POST", "/_sim/reset"): self._reset,
        }

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request of the operator."""
        try:
            route = self._routes.get((request.method, request.path.rstrip("/")))
            if route is None:
                raise not_found(f"no such control: {request.method} {request.path}")
            return wire.json_response(await route(request), {})
        except (ValueError, TypeError) as error:
            return wire.json_response(invalid(str(error)).envelope(None), {}, status=400)
        except ApiError as error:
            return wire.json_response(error.envelope(None), {}, status=error.status)

    async def _list_faults(self, _: web.BaseRequest) -> Any:
        return {"faults": [faults.as_json(fault) for fault in self._provider.faults]}

    async def _add_faults(self, request: web.BaseRequest) -> Any:
        given = await _several(request, "faults")
        if not all("kind" in one for one in given):
            raise ValueError("a fault is an object with a kind")
        for one in given:
            self._provider.faults.add(**one)
        return await self._list_faults(request)

    async def _clear_faults(self, request: web.BaseRequest) -> Any:
        self._provider.faults.clear()
        return await self._list_faults(request)

    async def _list_questions(self, _: web.BaseRequest) -> Any:
        return {"questions": [questions.as_json(question) for question in self._provider.questions]}

    async def _add_questions(self, request: web.BaseRequest) -> Any:
        for one in await _several(request, "questions"):
            self._provider.questions.add(**one)
        return await self._list_questions(request)

    async def _clear_questions(self, request: web.BaseRequest) -> Any:
        self._provider.questions.clear()
        return await self._list_questions(request)

    async def _read_clock(self, _: web.BaseRequest) -> Any:
        now_s = self._provider.clock.now_s()
        return {"now": rfc3339(now_s), "now_s": now_s}

    async def _advance_clock(self, request: web.BaseRequest) -> Any:
        self._provider.clock.advance(float((await _json(request))["advance_s"]))
        await self._batches.run_due()
        return await self._read_clock(request)

    async def _bill(self, request: web.BaseRequest) -> Any:
        await self._batches.run_due()
        bill = self._provider.bill
        attempt = request.query.get("attempt")
        if attempt is not None:
            return {"lines": [line.as_json() for line in bill.of(attempt)]}
        after = wire.query_int(request, "after", 0, 0, 2**62)
        limit = wire.query_int(request, "limit", 1000, 1, _MAX_PAGE)
        lines = bill.lines(after=after, limit=limit + 1)
        page = lines[:limit]
        return {
            "lines": [line.as_json() for line in page],
            "has_more": len(lines) > limit,
            "next_after": page[-1].seq if page else after,
        }

    async def _total(self, _: web.BaseRequest) -> Any:
        await self._batches.run_due()
        return self._provider.bill.total()

    async def _set_latency(self, request: web.BaseRequest) -> Any:
        given = await _json(request)
        settings = self._provider.settings
        settings.first_byte_s = float(given.get("first_byte_ms", settings.first_byte_s * 1000)) / 1000
        settings.token_s = float(given.get("ms_per_token", settings.token_s * 1000)) / 1000
        return {"first_byte_ms": settings.first_byte_s * 1000, "ms_per_token": settings.token_s * 1000}

    async def _requests(self, _: web.BaseRequest) -> Any:
        return {
            "requests": [
                {"path": one.path, "headers": one.headers, "body": one.body.decode("utf-8", "replace")}
                for one in self._seen
            ]
        }

    async def _reset(self, _: web.BaseRequest) -> Any:
        self._provider.bill.reset()
        self._provider.cache.clear()
        self._provider.faults.clear()
        self._provider.questions.clear()
        self._batches.clear()
        return self._provider.bill.total()


async def _json(request: web.BaseRequest) -> Any:
    raw = await wire.read_body(request, wire.MEGABYTE)
    value = json.loads(raw or b"{}")
    if not isinstance(value, dict | list):
        raise TypeError("the body is a JSON object or list")
    return value


async def _several(request: web.BaseRequest, name: str) -> list[dict[str, Any]]:
    """Return the objects of a body that is one, a list of them, or an object that holds the list."""
    given = await _json(request)
    if isinstance(given, dict):
        given = given.get(name, [given])
    if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
        raise ValueError(f"{name} are objects")
    return given
