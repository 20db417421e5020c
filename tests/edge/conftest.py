"""The whole service, run in the test's own loop against a real store and a simulated provider."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
import structlog
from google.rpc.error_details_pb2 import (
    BadRequest,
    ErrorInfo,
    PreconditionFailure,
    QuotaFailure,
    ResourceInfo,
    RetryInfo,
)
from google.rpc.status_pb2 import Status
from redis.asyncio import Redis

from costsvc import v1
from costsvc.core.entry import Entry
from costsvc.core.money import ceil_nano
from costsvc.edge.server import Running, serving
from costsvc.logs import configure_logs
from costsvc.ports import Clock
from costsvc.provider_sim import RunningSim, start
from costsvc.settings import read_settings
from costsvc.store.connection import open_store
from costsvc.store.ledger import Ledger
from tests.policies import uncached

KEY = "sk-ant-canary-key"
QUESTION = "How does a bicycle stay upright?"


@dataclass(frozen=True)
class Refusal:
    """A failed call as programs see it: the rich status, unpacked."""

    code: grpc.StatusCode
    reason: str
    domain: str
    metadata: dict[str, str]
    violations: dict[str, str]
    models: dict[str, str]
    quotas: dict[str, str]
    resource: str
    retry_s: float | None
    pushback: str | None
    message: str
    raw: bytes


@dataclass
class Log:
    """What the service logs: the events at once, and the text, which is written a little later."""

    events: list[dict[str, Any]] = field(default_factory=list)
    out: io.StringIO = field(default_factory=io.StringIO)

    def keep(self, _logger: object, _method: str, event: dict[str, Any]) -> dict[str, Any]:
        """Take an event in, as a processor does."""
        self.events.append(dict(event))
        return event

    async def text(self) -> str:
        """Return the text of all events."""
        while self.out.getvalue().count("\n") < len(self.events):  # noqa: ASYNC110 - a text has no event
            await asyncio.sleep(0.005)
        return self.out.getvalue()


@dataclass
class Service:
    """A running service with a client, its provider, its ledger, and what it logs."""

    running: Running
    channel: grpc.aio.Channel
    stub: v1.CostServiceStub
    admin: v1.AdminServiceStub
    sim: RunningSim
    ledger: Ledger
    log: Log
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @staticmethod
    def request(text: str = QUESTION, **fields: Any) -> v1.Request:
        """Return a request of typed fields, or of `body`, which is JSON or bytes."""
        body = fields.pop("body", None)
        if body is not None:
            raw = body if isinstance(body, bytes) else json.dumps(body).encode()
            return v1.Request(messages_json=raw, **fields)
        return v1.Request(messages=[v1.Message(text=text)], **fields)

    async def complete(self, text: str = QUESTION, *, options: Any = None, **fields: Any) -> Any:
        """Answer a request; `options` are the call's: timeout, metadata."""
        request = v1.CompleteRequest(request=self.request(text, **fields))
        return await self.stub.Complete(request, **(options or {}))

    async def stream(
        self, text: str = QUESTION, *, form: int = 0, options: Any = None, **fields: Any
    ) -> list[Any]:
        """Answer a request as a stream, and return its events."""
        request = v1.StreamCompleteRequest(request=self.request(text, **fields), format=form)
        return [event async for event in self.stub.StreamComplete(request, **(options or {}))]

    async def route(self, text: str = QUESTION, *, include_body: bool = False, **fields: Any) -> Any:
        """Decide."""
        request = v1.RouteRequest(request=self.request(text, **fields), include_body=include_body)
        return await self.stub.Route(request)

    async def report(self, *, tenant: str = "default", hours: int = 1, **fields: Any) -> Any:
        """Add up this hour and `hours` around it."""
        query = v1.ReportRequest(**fields)
        query.start_time.FromDatetime(self.started_at - timedelta(hours=hours))
        query.end_time.FromDatetime(datetime.now(UTC) + timedelta(hours=hours))
        return await self.stub.Report(query, metadata=(("costsvc-tenant", tenant),))

    async def entries(self) -> list[Entry]:
        """Return all entries of calls that began since the service did."""
        found: list[Entry] = []
        hour, now = self.started_at, datetime.now(UTC)
        while hour.replace(minute=0, second=0, microsecond=0) <= now:
            found += (await self.ledger.entries(hour)).entries
            hour += timedelta(hours=1)
        return found

    async def booked(self, count: int = 1) -> list[Entry]:
        """Wait until so many entries are booked, and return them."""
        while len(found := await self.entries()) < count:  # noqa: ASYNC110 - the store has no event
            await asyncio.sleep(0.005)
        assert len(found) == count
        return found

    def lines(self, event: str = "rpc") -> list[dict[str, Any]]:
        """Return the log lines of one kind."""
        return [line for line in self.log.events if line["event"] == event]

    async def line(self, event: str = "rpc") -> dict[str, Any]:
        """Wait for the first line of a kind."""
        while not self.lines(event):  # noqa: ASYNC110 - nor has a text
            await asyncio.sleep(0.005)
        return self.lines(event)[0]

    def bill(self) -> dict[str, int]:
        """Return what the provider charged, rounded up to nano-USD, by attempt."""
        return {line.attempt or "": ceil_nano(line.pico_usd) for line in self.sim.bill.lines()}

    async def untouched(self) -> bool:
        """Tell whether nothing was spent, sent or booked."""
        return not self.sim.bill.lines() and not self.sim.requests and not await self.entries()


Serve = Callable[..., AbstractAsyncContextManager[Service]]


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[Log]:
    """Collect every line that the service writes, as it would be written."""
    for name, module in list(sys.modules.items()):
        if name.startswith("costsvc.") and isinstance(
            getattr(module, "log", None), structlog.typing.BindableLogger
        ):
            monkeypatch.setattr(module, "log", structlog.get_logger())  # an earlier test's may be cached
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    log = Log()
    configure_logs(stream=log.out, pretty=False)
    structlog.configure(processors=[log.keep, *structlog.get_config()["processors"]])
    yield log
    logging.captureWarnings(capture=False)
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


@pytest.fixture
async def sim() -> AsyncIterator[RunningSim]:
    """Run a provider that keeps what it was sent."""
    async with await start(keep_requests=500) as running:
        yield running


@pytest.fixture
async def serve(store: Redis, valkey: str, sim: RunningSim, log: Log, tmp_path: Any) -> AsyncIterator[Serve]:
    """Give the way to run a service with settings of one's own; the store is empty."""
    assert store
    policy = tmp_path / "uncached.toml"
    policy.write_text(uncached())

    @asynccontextmanager
    async def run(clock: Clock | None = None, **settings: Any) -> AsyncIterator[Service]:
        options = {
            "listen": "127.0.0.1:0",
            "ops": "127.0.0.1:0",
            "data_dir": tmp_path / "data",
            "redis_url": valkey,
            "upstream_url": sim.url,
            "ANTHROPIC_API_KEY": KEY,
            "shutdown_grace_s": 10,
            "policy": policy,
            **settings,
        }
        client = open_store(options["redis_url"] or valkey)
        channel_options = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
        stack.push_async_callback(client.aclose)
        async with serving(read_settings(options), clock) as running:
            channel = grpc.aio.insecure_channel(running.address, channel_options)
            stack.push_async_callback(channel.close)
            stub, admin = v1.CostServiceStub(channel), v1.AdminServiceStub(channel)
            yield Service(running, channel, stub, admin, sim, Ledger(client), log)

    async with AsyncExitStack() as stack:  # what outlives a service, so that it can be seen to stop
        yield run


@pytest.fixture
async def service(serve: Serve) -> AsyncIterator[Service]:
    """Run a service with the settings as they come."""
    async with serve() as running:
        yield running


@pytest.fixture
def refused() -> Callable[[Awaitable[Any]], Awaitable[Refusal]]:
    """Give the way to await a call that must fail, and to read its status."""

    async def read(call: Awaitable[Any]) -> Refusal:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        return _refusal(caught.value)

    return read


@pytest.fixture
def unpacked() -> Callable[[Status], dict[str, Any]]:
    """Give the way to read the details of a status that is part of a response."""
    return _details


def _refusal(error: grpc.aio.AioRpcError) -> Refusal:
    trailing = dict(list(error.trailing_metadata() or ()))  # not all versions of it are mappings
    raw = trailing.get("grpc-status-details-bin", b"")
    status = Status.FromString(raw)
    assert status.code == error.code().value[0], (error.code(), error.details())
    found = _details(status)
    return Refusal(
        code=error.code(),
        pushback=trailing.get("grpc-retry-pushback-ms"),
        message=error.details() or "",
        raw=raw + (error.details() or "").encode(),
        **found,
    )


def _details(status: Status) -> dict[str, Any]:
    kinds = (ErrorInfo, BadRequest, PreconditionFailure, ResourceInfo, RetryInfo, QuotaFailure)
    info, bad, failed, resource, retry, quota = (kind() for kind in kinds)
    for detail in status.details:
        assert any(detail.Unpack(into) for into in (info, bad, failed, resource, retry, quota))
    has_retry = any(detail.Is(RetryInfo.DESCRIPTOR) for detail in status.details)
    return {
        "reason": info.reason,
        "domain": info.domain,
        "metadata": dict(info.metadata),
        "violations": {v.field: v.description for v in bad.field_violations},
        "models": {v.subject: v.description for v in failed.violations},
        "quotas": {v.subject: v.description for v in quota.violations},
        "resource": resource.resource_name,
        "retry_s": retry.retry_delay.ToTimedelta().total_seconds() if has_retry else None,
    }
