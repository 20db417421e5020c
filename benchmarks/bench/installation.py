"""Everything that a run needs, in place: the service alone on one core, all others on another."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import grpc

from benchmarks.bench.messages import COMPLETE, HIT, POLICY, QUESTION, ROUTE
from benchmarks.bench.processes import Program, cores, python
from costsvc import v1
from costsvc.data import read_text
from costsvc.store.embedded import EmbeddedValkey

CHANNEL_OPTIONS = (("grpc.max_receive_message_length", 64 << 20), ("grpc.use_local_subchannel_pool", 1))
STORED_S = 0.2
"""An answer is stored a moment after it was given."""

_SERVE = "import sys; from costsvc.cli import main; sys.argv = ['costsvc', *sys.argv[1:]]; main()"


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """The running programs and the stubs of those that speak gRPC; `core` is where what is measured runs."""

    server: Program
    costs: v1.CostServiceStub
    target: str
    echo: Program
    echoes: v1.CostServiceStub
    echo_target: str
    sdk: Program
    evalsha: Program
    provider_url: str
    server_start_rss_mb: float


async def install(stack: AsyncExitStack, profile: str | None = None) -> Installation:
    """Start everything; leaving the stack ends it, in the other order."""
    measured, others = cores()
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="costsvc-bench-")))
    os.sched_setaffinity(0, {others})
    provider_url = await _provider(stack, folder, others)
    store = await stack.enter_async_context(EmbeddedValkey(folder / "store"))
    policy = folder / "policy.toml"
    policy.write_text(read_text("policy.toml") + POLICY)
    places = ("--redis-url", store.url, "--upstream-url", provider_url, "--policy", str(policy))
    server = await stack.enter_async_context(serve(folder, measured, *places, profile=profile))
    target = await listening(server)
    start_rss_mb = server.rss_mb()
    costs = await _stub(stack, target)
    body = await _examples(folder, costs)
    echo = await stack.enter_async_context(
        Program(folder / "echo.log", measured, *python("-m", "benchmarks.bench.echo", str(folder)))
    )
    echo_target = (await echo.said("echo on")).split()[-1]
    return Installation(
        server=server,
        costs=costs,
        target=target,
        echo=echo,
        echoes=await _stub(stack, echo_target),
        echo_target=echo_target,
        sdk=await _client(stack, folder, measured, "sdk", provider_url, body),
        evalsha=await _client(stack, folder, measured, "evalsha", store.url),
        provider_url=provider_url,
        server_start_rss_mb=start_rss_mb,
    )


def serve(folder: Path, core: int, *options: str, profile: str | None = None) -> Program:
    """Return `costsvc serve` on free ports of its own."""
    program = ("-m", "benchmarks.bench.profiled", profile) if profile else ("-c", _SERVE)
    places = ("--listen", "127.0.0.1:0", "--ops", "127.0.0.1:0", "--data-dir", str(folder / "data"))
    command = python(*program, "serve", *places, *options)
    return Program(folder / "serve.log", core, *command, environment={"ANTHROPIC_API_KEY": "simulated"})


async def listening(server: Program) -> str:
    """Return where a service listens, once it says so."""
    return str(json.loads(await server.said('"event":"ready"'))["listen"])


async def start_up_s(core: int) -> float:
    """Return how long a service with a store and a provider of its own takes to its first answer."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="costsvc-bench-")))
        server = await stack.enter_async_context(serve(folder, core, "--upstream", "simulated"))
        costs = await _stub(stack, await listening(server))
        await costs.Complete(COMPLETE)
        return time.monotonic() - server.started_s


async def _provider(stack: AsyncExitStack, folder: Path, core: int) -> str:
    command = python("-c", _SERVE, "provider-sim", "--listen", "127.0.0.1:0")
    provider = await stack.enter_async_context(Program(folder / "provider.log", core, *command))
    return (await provider.said("simulated provider on")).split()[-1]


async def _stub(stack: AsyncExitStack, target: str) -> v1.CostServiceStub:
    channel = await stack.enter_async_context(grpc.aio.insecure_channel(target, options=CHANNEL_OPTIONS))
    return v1.CostServiceStub(channel)


async def _examples(folder: Path, costs: v1.CostServiceStub) -> str:
    """Leave real answers for the echo to give; return the body that the service sends to the provider."""
    (folder / "route").write_bytes((await costs.Route(ROUTE)).SerializeToString())
    (folder / "complete").write_bytes((await costs.Complete(COMPLETE)).SerializeToString())
    await costs.Complete(HIT)
    await asyncio.sleep(STORED_S)
    hit = await costs.Complete(HIT)
    assert hit.cache_outcome == v1.CACHE_OUTCOME_HIT, hit
    (folder / "hit").write_bytes(hit.SerializeToString())
    routed = await costs.Route(v1.RouteRequest(request=QUESTION, include_body=True))
    return bytes(routed.messages_json).decode()


async def _client(stack: AsyncExitStack, folder: Path, core: int, *arguments: str) -> Program:
    command = python("-m", "benchmarks.bench.clients", *arguments)
    client = Program(folder / f"{arguments[0]}.log", core, *command)
    return await stack.enter_async_context(client)
