"""The provider's endpoints: which path and method does what."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from . import models, wire
from .batches import Batches
from .capabilities import check_version
from .control import Control
from .errors import ApiError, invalid, not_found
from .exchange import Exchange
from .faults import Fault, Subject
from .provider import Call, Provider

_BATCH = re.compile(r"^/v1/messages/batches/([^/]+)(/cancel|/results)?$")


@dataclass(frozen=True, slots=True)
class Seen:
    """A request as it came, kept for tests that look at what was sent."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True)
class _Caller:
    """Who asks, and how the answer is labelled."""

    request: web.BaseRequest
    request_id: str
    workspace: str = ""

    @property
    def headers(self) -> dict[str, str]:
        return wire.identity(self.request_id, self.workspace)


class Routes:
    """Dispatches requests; everything that can go wrong becomes the provider's JSON error."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.batches = Batches(provider)
        self.seen: deque[Seen] = deque(maxlen=provider.settings.keep_requests)
        self._control = Control(provider, self.batches, self.seen)
        self._fixed: dict[tuple[str, str], Callable[[_Caller], Awaitable[web.StreamResponse]]] = {
            ("POST", "/v1/messages"): self._messages,
            ("POST", "/v1/messages/count_tokens"): self._count_tokens,
            ("POST", "/v1/messages/batches"): self._create_batch,
            ("GET", "/v1/messages/batches"): self._list_batches,
            ("GET", "/v1/models"): self._list_models,
        }

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one HTTP request."""
        path = request.path
        if path.startswith("/_sim"):
            return await self._control.handle(request)
        caller = _Caller(request, self.provider.new_id("req"))
        try:
            caller.workspace = wire.check_key(request)
            return await self._dispatch(caller, path)
        except ApiError as error:
            return wire.error_response(error, caller.request_id, caller.headers)
        except ConnectionError:  # the caller went away in the middle of an answer
            return web.Response()

    async def _dispatch(self, caller: _Caller, path: str) -> web.StreamResponse:
        fixed = self._fixed.get((caller.request.method, path))
        if fixed is not None:
            return await fixed(caller)
        if found := _BATCH.match(path):
            return await self._one_batch(caller, found[1], found[2] or "")
        if path.startswith("/v1/models/") and caller.request.method == "GET":
            return self._one_model(caller, path.removeprefix("/v1/models/"))
        raise not_found("Not Found")

    async def _messages(self, caller: _Caller) -> web.StreamResponse:
        raw, body, call = await self._read(caller, wire.MAX_BODY_BYTES)
        streams = isinstance(body, dict) and body.get("stream") is True
        fault = self._fault(raw, call, "/v1/messages", streams=streams)
        if fault is not None and fault.kind == "error":
            raise self._scripted_error(fault, call)
        run = self.provider.prepare(call, fault if fault is not None and fault.kind == "refusal" else None)
        limits = self.provider.limits.count(
            self.provider.clock.now_s(),
            input_tokens=run.used.prompt - run.used.read,
            output_tokens=run.answer.output_tokens,
        )
        exchange = Exchange(
            provider=self.provider,
            request=caller.request,
            run=run,
            headers={**caller.headers, **limits},
            fault=None if fault is not None and fault.kind == "refusal" else fault,
            streams=streams,
        )
        return await (exchange.stream() if streams else exchange.answer())

    def _scripted_error(self, fault: Fault, call: Call) -> ApiError:
        """Return the error, after charging for the lost generation if the script says so."""
        if fault.billed:
            run = self.provider.prepare(call)
            self.provider.begin(run)
            self.provider.bill.charge(run.line, output=run.answer.output_tokens)
        return fault.error()

    async def _count_tokens(self, caller: _Caller) -> web.StreamResponse:
        raw, body, call = await self._read(caller, wire.MAX_BODY_BYTES)
        fault = self._fault(raw, call, "/v1/messages/count_tokens")
        if fault is not None and fault.kind == "error":
            raise fault.error()
        count = self.provider.count(body, version=call.version)
        return wire.json_response({"input_tokens": count}, caller.headers)

    async def _create_batch(self, caller: _Caller) -> web.StreamResponse:
        raw, body, call = await self._read(caller, wire.MAX_BATCH_BYTES)
        fault = self._fault(raw, call, "/v1/messages/batches#create")
        if fault is not None and fault.kind == "error":
            raise fault.error()
        if fault is not None and fault.kind == "cut_before_headers":
            if fault.billed is not False:
                self.batches.create(body, call)
            return _cut(caller.request)
        batch = self.batches.create(body, call)
        return wire.json_response(batch.as_json(_base_url(caller)), caller.headers)

    async def _list_batches(self, caller: _Caller) -> web.StreamResponse:
        batches = await self.batches.of(caller.workspace)
        page = _page(caller.request, [batch.as_json(_base_url(caller)) for batch in batches])
        return wire.json_response(page, caller.headers)

    async def _one_batch(self, caller: _Caller, batch_id: str, action: str) -> web.StreamResponse:
        method, workspace = caller.request.method, caller.workspace
        if (method, action) == ("POST", "/cancel"):
            batch = await self.batches.cancel(batch_id, workspace)
        elif (method, action) == ("DELETE", ""):
            await self.batches.delete(batch_id, workspace)
            return wire.json_response({"id": batch_id, "type": "message_batch_deleted"}, caller.headers)
        elif method == "GET":
            batch = await self.batches.find(batch_id, workspace)
        else:
            raise ApiError(405, "Method Not Allowed")
        if action == "/results":
            lines = self.batches.results(batch)
            return web.Response(
                body=b"".join(lines), headers=caller.headers, content_type="application/x-jsonl"
            )
        return wire.json_response(batch.as_json(_base_url(caller)), caller.headers)

    async def _list_models(self, caller: _Caller) -> web.StreamResponse:
        check_version(caller.request.headers.get("anthropic-version"))
        now_s = self.provider.clock.now_s()
        served = [model for model in models.MODELS.values() if model.lifecycle(now_s) != "retired"]
        newest_first = sorted(served, key=lambda model: model.released, reverse=True)
        page = _page(caller.request, [models.info(model, now_s) for model in newest_first])
        return wire.json_response(page, caller.headers)

    def _one_model(self, caller: _Caller, name: str) -> web.StreamResponse:
        now_s = self.provider.clock.now_s()
        model = models.MODELS.get(models.ALIASES.get(name, name))
        if model is None:
            raise not_found(f"model: {name}")
        return wire.json_response(models.info(model, now_s), caller.headers)

    async def _read(self, caller: _Caller, limit: int) -> tuple[bytes, Any, Call]:
        """Return the body, raw and parsed, and who asks for it."""
        headers = caller.request.headers
        version = check_version(headers.get("anthropic-version"))
        raw = await wire.read_body(caller.request, limit)
        if self.provider.settings.keep_requests:
            self.seen.append(Seen(caller.request.path, dict(headers), raw))
        body = wire.parse(raw)
        call = Call(
            body=body,
            request_id=caller.request_id,
            workspace=caller.workspace,
            version=version,
            betas=headers.get("anthropic-beta", ""),
            attempt=headers.get("x-costsvc-attempt"),
        )
        return raw, body, call

    def _fault(self, raw: bytes, call: Call, path: str, *, streams: bool = False) -> Fault | None:
        if not len(self.provider.faults):
            return None
        model = call.body.get("model") if isinstance(call.body, dict) else None
        subject = Subject(path=path, raw=raw, model=model, attempt=call.attempt, stream=streams)
        return self.provider.faults.take(subject)


def _cut(request: web.BaseRequest) -> web.Response:
    """Close the connection instead of answering."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _base_url(caller: _Caller) -> str:
    return f"{caller.request.scheme}://{caller.request.host}"


def _page(request: web.BaseRequest, items: list[dict[str, Any]]) -> dict[str, Any]:
    """Return one page of a list, by the cursors after_id and before_id."""
    limit = wire.query_int(request, "limit", 20, 1, 1000)
    ids = [item["id"] for item in items]
    after, before = request.query.get("after_id"), request.query.get("before_id")
    if after is not None and before is not None:
        raise invalid("Only one of after_id and before_id may be given")
    start, end = 0, len(items)
    if after is not None:
        start = ids.index(after) + 1 if after in ids else end
    if before is not None:
        end = ids.index(before) if before in ids else 0
        start = max(0, end - limit)
    page = items[start : min(end, start + limit)]
    more = start > 0 if before is not None else start + limit < end
    return {
        "data": page,
        "has_more": more,
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
    }
