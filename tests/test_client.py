"""Tests of the Python client, against servers of its own API."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from costsvc import v1
from costsvc.client import SERVICE_CONFIG, Client, error_info, error_reason, status_of

SHARED = Path(__file__).parent.parent / "clients" / "service_config.json"
Handler = Callable[[Any, grpc.aio.ServicerContext[Any, Any]], Any]


@asynccontextmanager
async def serving(**handlers: Handler) -> AsyncIterator[str]:
    """Serve some RPCs on a free port; give the target."""
    service = type("Service", (v1.CostServiceServicer,), {n: staticmethod(h) for n, h in handlers.items()})
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", 80 << 20)])
    v1.add_CostServiceServicer_to_server(service(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)


def rich(reason: str, domain: str = "costsvc.v1") -> tuple[tuple[str, bytes]]:
    """Return trailing metadata with an ErrorInfo."""
    detail = AnyMessage()
    detail.Pack(ErrorInfo(reason=reason, domain=domain, metadata={"model": "x"}))
    status = Status(code=5, message="no model", details=[detail])
    return (("grpc-status-details-bin", status.SerializeToString()),)


def test_every_language_shares_one_service_config() -> None:
    """The file that other clients embed says what this client does."""
    assert json.loads(SHARED.read_text()) == SERVICE_CONFIG


def test_calls_that_may_spend_are_never_retried_by_the_channel() -> None:
    """Only calls that spend nothing have a retry policy."""
    (retried,) = SERVICE_CONFIG["methodConfig"]  # type: ignore[misc]
    names = {name["method"] for name in retried["name"]}  # type: ignore[index]
    assert names == {"Route", "BatchRoute", "Estimate", "BatchEstimate", "Report"}


async def test_the_tenant_goes_with_every_call() -> None:
    """Beside what a call adds itself, also on streams."""
    seen: list[dict[str, str | bytes]] = []

    async def unary(_: object, context: grpc.aio.ServicerContext[Any, Any]) -> v1.RouteResponse:
        seen.append(dict(context.invocation_metadata() or ()))
        return v1.RouteResponse()

    async def stream(_: object, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[object]:
        seen.append(dict(context.invocation_metadata() or ()))
        yield v1.StreamCompleteResponse(text_delta="a")

    async with (
        serving(Route=unary, StreamComplete=stream) as target,
        Client(target, tenant="search") as costs,
    ):
        await costs.Route(v1.RouteRequest(), metadata=(("x-trace", "1"),))
        events = [event async for event in costs.StreamComplete(v1.StreamCompleteRequest())]
    assert [event.text_delta for event in events] == ["a"]
    assert [metadata["costsvc-tenant"] for metadata in seen] == ["search", "search"]
    assert seen[0]["x-trace"] == "1"


async def test_a_call_without_timeout_has_a_deadline() -> None:
    """Short for decisions, as long as the service allows for answers; a caller's own wins."""
    remaining_s: list[float] = []

    async def note(_: object, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        remaining_s.append(context.time_remaining() or -1)
        return v1.RouteResponse()

    async def note_complete(_: object, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        remaining_s.append(context.time_remaining() or -1)
        return v1.CompleteResponse()

    async with serving(Route=note, Complete=note_complete) as target, Client(target) as costs:
        await costs.Route(v1.RouteRequest())
        await costs.Complete(v1.CompleteRequest())
        await costs.Route(v1.RouteRequest(), timeout=77)
    for found_s, expected_s in zip(remaining_s, (2, 600, 77), strict=True):
        assert abs(found_s - expected_s) < 1.5


async def test_only_calls_that_spend_nothing_are_retried() -> None:
    """Route is asked again while the service is unavailable; Complete fails at once."""
    asked = {"Route": 0, "Complete": 0}

    async def route(_: object, context: grpc.aio.ServicerContext[Any, Any]) -> v1.RouteResponse:
        asked["Route"] += 1
        if asked["Route"] < 3:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "away")
        return v1.RouteResponse()

    async def complete(_: object, context: grpc.aio.ServicerContext[Any, Any]) -> v1.CompleteResponse:
        asked["Complete"] += 1
        await context.abort(grpc.StatusCode.UNAVAILABLE, "away")
        return v1.CompleteResponse()

    async with serving(Route=route, Complete=complete) as target, Client(target) as costs:
        await costs.Route(v1.RouteRequest(), timeout=20)
        with pytest.raises(grpc.aio.AioRpcError):
            await costs.Complete(v1.CompleteRequest())
    assert asked == {"Route": 3, "Complete": 1}


async def test_large_bodies_pass_both_ways() -> None:
    """A body of 32 MB and its answer fit, which gRPC's own limit of 4 MB would not allow."""

    async def echo(request: v1.RouteRequest, _: object) -> v1.RouteResponse:
        return v1.RouteResponse(messages_json=request.request.messages_json)

    body = b"x" * (32 << 20)
    async with serving(Route=echo) as target, Client(target) as costs:
        request = v1.RouteRequest(request=v1.Request(messages_json=body))
        assert len((await costs.Route(request, timeout=30)).messages_json) == len(body)


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        (rich("UNKNOWN_MODEL"), v1.ERROR_REASON_UNKNOWN_MODEL),
        (rich("OF_A_NEWER_SERVICE"), v1.ERROR_REASON_UNSPECIFIED),
        (rich("UNKNOWN_MODEL", "example.org"), v1.ERROR_REASON_UNSPECIFIED),
        ((), v1.ERROR_REASON_UNSPECIFIED),
    ],
)
async def test_the_reason_of_an_error_is_a_value_to_match_on(metadata: Any, expected: int) -> None:
    """Errors of others, or of a newer service, have none."""

    async def fail(_: object, context: grpc.aio.ServicerContext[Any, Any]) -> v1.CompleteResponse:
        await context.abort(grpc.StatusCode.NOT_FOUND, "no model", metadata)
        return v1.CompleteResponse()

    async with serving(Complete=fail) as target, Client(target) as costs:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await costs.Complete(v1.CompleteRequest())
    assert error_reason(failed.value) == expected
    assert status_of(failed.value).message == "no model"
    if expected:
        info = error_info(failed.value)
        assert info is not None
        assert info.metadata == {"model": "x"}


async def test_leaving_the_client_closes_its_channel() -> None:
    """A call after that is refused, not left hanging."""
    async with serving() as target:
        async with Client(target) as costs:
            pass
        with pytest.raises((grpc.aio.UsageError, asyncio.CancelledError, grpc.aio.AioRpcError)):
            await costs.Route(v1.RouteRequest())


def test_the_client_needs_nothing_of_the_server() -> None:
    """It runs on the base install: gRPC and protobuf."""
    program = "import sys, costsvc.client; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    extra = {"aiohttp", "anthropic", "click", "pydantic", "redis", "structlog", "prometheus_client"}
    assert not extra & set(loaded.stdout.split())
