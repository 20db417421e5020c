"""Starts and stops the service: store, provider, journal, calls, gRPC, probes; in that order, and back."""

from __future__ import annotations

import asyncio
import errno
import gc
import signal
import socket
import sys
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import grpc
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from costsvc import v1
from costsvc.addresses import CannotListen, join_address, split_address
from costsvc.app.policies import PolicyInForce
from costsvc.config import load_catalog_files, load_policy_file
from costsvc.core.request import MAX_BODY_BYTES
from costsvc.edge.admission import Admission
from costsvc.edge.batch_servicer import BatchServicer
from costsvc.edge.calls import Calls, decoding, warm_up
from costsvc.edge.health import SERVICES
from costsvc.edge.ops import configuration, serve_ops
from costsvc.edge.stores import answered, in_background, open_cache, open_store
from costsvc.edge.webhook import WebhookClient
from costsvc.edge.wiring import Parts, wire
from costsvc.metrics import Metrics
from costsvc.ports import BatchUpstream, Clock, SystemClock, Upstream
from costsvc.settings import Settings
from costsvc.store.journal import Journal
from costsvc.store.presence import Presence
from costsvc.upstream import anthropic_batches, anthropic_upstream

MAX_MESSAGE_BYTES = 2 * MAX_BODY_BYTES
"""Above the largest body that is accepted, so that a larger one is refused by field and not by gRPC."""

SETTLE_S = 10.0
"""How long a stopping process waits for the store to take what is not booked yet."""

SWITCH_S = 0.0005
"""How soon the event loop gets the interpreter back from a thread that reads a large body; Python's own 5 ms
would come due several times in each call of a neighbour."""

SIMULATED_BILL_LINES = 100_000
"""How many calls the simulated provider inside the service remembers one by one."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A started service, and where it listens."""

    address: str
    ops_address: str
    parts: Parts


async def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then finish what runs; SIGHUP reads the policy again.

    Raises:
        CannotStart, CannotListen, CatalogError, StoreRefused: with a sentence for the operator.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with serving(settings) as running:
        loop.add_signal_handler(signal.SIGHUP, running.parts.policy_watch.ask)
        shown = settings.shown()
        log.info(
            "ready",
            listen=running.address,
            ops=running.ops_address,
            provider=settings.provider,
            upstream=shown["upstream_url"],
            store=shown["redis_url"] or f"its own in {settings.data_dir}",
        )
        await stop.wait()
        log.info("stopping", in_flight=len(running.parts.in_flight))


@asynccontextmanager
async def serving(settings: Settings, clock: Clock | None = None) -> AsyncIterator[Running]:
    """Run the whole service inside the running event loop; leaving the context stops it in order.

    A `clock` may run ahead of the machine's: batches go by it, and the requests that wait for them.
    """
    catalog = load_catalog_files(settings.catalog)
    in_force = PolicyInForce(load_policy_file(settings.policy, catalog))
    metrics, presence = Metrics(), Presence()
    async with AsyncExitStack() as stack:
        client = await open_store(settings, presence, stack)
        upstream, batch_api = await _open_upstream(settings, stack)
        parts = wire(
            settings,
            catalog=catalog,
            policy_in_force=in_force,
            client=client,
            presence=presence,
            cache=await open_cache(settings, client, presence, stack),
            upstream=upstream,
            batch_api=batch_api,
            post=(await stack.enter_async_context(WebhookClient())).post,
            journal=await _open_journal(settings, stack),
            calls=Calls(
                Admission(settings.admission), metrics, clock or SystemClock(), max_call_s=settings.max_call_s
            ),
        )
        await answered(parts.watch.arrive())
        await parts.cache.epochs.look()  # so that the first call finds what is stored
        await parts.health.begin()
        for work in _works(settings, parts):
            in_background(stack, work)
        ops = await stack.enter_async_context(
            await serve_ops(
                settings.ops,
                metrics=metrics,
                ready=parts.health.parts,
                configuration=lambda: configuration(settings, catalog, in_force.policy),
            )
        )
        server, address = _grpc_server(settings, parts)
        await _start(server)
        try:
            yield Running(address=address, ops_address=ops.address, parts=parts)
        finally:
            await _stop(settings, server, parts)


def _works(settings: Settings, parts: Parts) -> tuple[Coroutine[Any, Any, None], ...]:
    """Return what runs beside the calls, for as long as the service does."""
    return (
        parts.watch.keep_watching(),
        parts.settlement.keep_trying(),
        parts.settlement.keep_journal(),
        parts.holding.keep_tending(),
        parts.cache.hits.keep_booking(),
        parts.cache.epochs.keep_asking(),
        parts.alerting.keep_delivering(),
        parts.once.claiming.endings.keep_telling(),
        parts.retention.keep_sealing(),
        parts.router.learner.keep_writing(),
        parts.router.scores.keep_fresh(),
        parts.health.watch(),
        parts.batches.submitter.keep_submitting(),
        parts.batches.poller.keep_polling(),
        parts.deferral.batcher.keep_deciding(),
        parts.deferral.webhooks.keep_posting(),
        *((parts.policy_watch.keep_looking(),) if settings.policy else ()),
    )


async def _start(server: grpc.aio.Server) -> None:
    """Take calls, as fast as ever from the first on."""
    warm_up(v1.BatchRouteRequest(), v1.BatchEstimateRequest(), v1.CompleteRequest())
    warm_up(v1.ReleaseRequest(), v1.RouteRequest())
    warm_up(v1.StreamCompleteRequest(), v1.RecordRequest(), v1.ReportRequest())
    warm_up(v1.SetBudgetRequest(), v1.GetBudgetRequest(), v1.ResolveAtRiskRequest())
    await server.start()
    sys.setswitchinterval(SWITCH_S)
    gc.collect()
    gc.freeze()  # what lives as long as the process need not be looked at by every collection


def _grpc_server(settings: Settings, parts: Parts) -> tuple[grpc.aio.Server, str]:
    """Return a server that is bound but not started, and its address."""
    grace_ms = round((settings.max_call_s + settings.drain_s) * 1000)
    server = grpc.aio.server(
        options=[
            ("grpc.so_reuseport", 0),  # a second process on a port must fail, not share
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
            ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
            ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
            ("grpc.max_connection_age_ms", 300_000),  # so that clients spread over new replicas
            ("grpc.max_connection_age_grace_ms", grace_ms),
        ]
    )
    v1.add_CostServiceServicer_to_server(parts.servicer, _Decoding(server))  # type: ignore[arg-type]
    batch_servicer = BatchServicer(parts.calls, parts.batches, parts.deferral.deferral)
    v1.add_BatchServiceServicer_to_server(batch_servicer, _Decoding(server))  # type: ignore[arg-type]
    v1.add_AdminServiceServicer_to_server(parts.admin, _Decoding(server))  # type: ignore[arg-type]
    health_pb2_grpc.add_HealthServicer_to_server(parts.health.servicer, server)
    health_name = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
    reflection.enable_server_reflection((*SERVICES, health_name, reflection.SERVICE_NAME), server)
    try:
        port = server.add_insecure_port(settings.listen)
    except RuntimeError as error:
        raise CannotListen(settings.listen, "--listen", _bind_error(settings.listen)) from error
    host, _ = split_address(settings.listen)
    return server, join_address(host, port)


class _Decoding:
    """Registers handlers at a server with deserializers that never raise."""

    def __init__(self, server: grpc.aio.Server) -> None:
        self._server = server

    def add_generic_rpc_handlers(self, handlers: Any) -> None:
        """Ignore the handlers by full name; `add_registered_method_handlers` brings the same."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        """Register each method with a deserializer that hands on what it cannot read."""
        wrapped = {name: decoding(handler) for name, handler in handlers.items()}
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, wrapped),))
        self._server.add_registered_method_handlers(service, wrapped)


def _bind_error(address: str) -> OSError:
    """Ask the system why an address cannot be listened on: gRPC does not say."""
    host, port = split_address(address)
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.bind(place)
    except OSError as error:
        return error
    return OSError(errno.EADDRINUSE, "")


async def _open_journal(settings: Settings, stack: AsyncExitStack) -> Journal:
    """Return the journal in the data directory, which is this process's alone also where the store is not."""
    journal = Journal(settings.data_dir / "journal")
    await journal.open()
    stack.push_async_callback(journal.close)
    return journal


async def _open_upstream(settings: Settings, stack: AsyncExitStack) -> tuple[Upstream, BatchUpstream]:
    """Return the provider; the simulated one runs inside this process."""
    key = settings.anthropic_api_key.get_secret_value() if settings.anthropic_api_key else "unset"
    url = settings.upstream_url
    if settings.provider == "simulated":
        from costsvc.provider_sim.server import start  # noqa: PLC0415 - production does not load it

        simulated = await stack.enter_async_context(await start(max_bill_lines=SIMULATED_BILL_LINES))
        key, url = "simulated", simulated.url
        log.info("simulated_provider", url=url, why="no real call is made and nothing is charged")
    upstream = anthropic_upstream(api_key=key, base_url=url)
    stack.push_async_callback(upstream.close)
    batches = anthropic_batches(api_key=key, base_url=url)
    stack.push_async_callback(batches.close)
    return upstream, batches


async def _stop(settings: Settings, server: grpc.aio.Server, parts: Parts) -> None:
    """Leave the rotation, let calls end, and book what they cost."""
    await parts.health.stop()
    await parts.deferral.batcher.leave()
    await asyncio.sleep(settings.drain_s)
    parts.health.end_watches()
    await server.stop(settings.grace_s)
    unfinished = await parts.in_flight.drain(settings.grace_s)
    unbooked, untold = await asyncio.gather(parts.settlement.drain(SETTLE_S), _told(parts))
    await parts.cache.hits.flush()
    log.info("stopped", unfinished_calls=unfinished, unbooked_entries=unbooked, untold_ends=untold)


async def _told(parts: Parts) -> int:
    """Wait until the store knows how all calls ended; return what it does not know.

    Money that such a call holds would be at risk, and a repeat of its request_id would be in doubt.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(SETTLE_S):
            while parts.holding.untold_count or len(parts.once.claiming.endings):  # noqa: ASYNC110 - two tasks tell
                await asyncio.sleep(0.05)
    return parts.holding.untold_count + len(parts.once.claiming.endings)
