"""`make bench-side-by-side`: what a hit of the response cache costs here, and in LiteLLM's proxy.

Both answer the same question from their caches, which are on one server, in front of one simulated provider.
Each is one process on the same core, and they are measured in turn; the load, the cache and the provider run
on another core. LiteLLM has its Redis cache, one worker, no database, and asks for no key. It ends with 1
where a hit costs it less than 20 times the CPU.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from statistics import median

import aiohttp
import grpc

from benchmarks.bench.installation import CHANNEL_OPTIONS, listening, serve
from benchmarks.bench.load import Call, Load, load
from benchmarks.bench.messages import QUESTION
from benchmarks.bench.processes import ProcessFailed, Program, cores, python
from benchmarks.bench.table import Row, as_markdown, circumstances, spread
from costsvc import v1
from costsvc.data import read_text
from costsvc.store.connection import ask, open_store
from costsvc.store.embedded import EmbeddedValkey

ROUNDS, WARM_UP_CALLS, AT_ONCE = 10, 120, 8
CALLS = {"costsvc": 240, "LiteLLM": 40}
TIMES = 20.0
START_S, POLL_S = 90.0, 0.1
MODEL = "claude-haiku-4-5"
NAMESPACE = '[response_cache.side_by_side]\nttl_s = 3600\nallow = ["thinking"]\n'
_SIMULATE = "import sys; from costsvc.cli import main; sys.argv = ['costsvc', *sys.argv[1:]]; main()"


def litellm_config(provider_url: str, cache_port: int) -> str:
    """Return the proxy's configuration; JSON is YAML."""
    parameters = {"model": f"anthropic/{MODEL}", "api_base": provider_url, "api_key": "simulated"}
    cache = {"type": "redis", "host": "127.0.0.1", "port": cache_port, "ttl": 3600}
    return json.dumps(
        {
            "model_list": [{"model_name": MODEL, "litellm_params": parameters}],
            "litellm_settings": {"cache": True, "cache_params": cache},
            "general_settings": {"dangerously_permit_weak_or_unset_master_key": True},
        }
    )


async def litellm_hit(
    stack: AsyncExitStack, folder: Path, provider_url: str, cache_port: int
) -> tuple[Program, Call]:
    """Start the proxy; return it with a call that it answers from its cache."""
    config, port = folder / "litellm.yaml", free_port()
    config.write_text(litellm_config(provider_url, cache_port))
    program = ("sh", "-c", 'exec "$0" "$@" >/dev/null', os.environ["LITELLM"])  # it says a line a request
    options = ("--config", str(config), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1")
    environment = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_TELEMETRY": "False", "NO_PROXY": "*"}
    log = folder / "litellm.log"
    proxy = await stack.enter_async_context(
        Program(log, cores()[0], *program, *options, environment=environment)
    )
    http = await stack.enter_async_context(aiohttp.ClientSession())
    url = f"http://127.0.0.1:{port}"
    question = {"role": "user", "content": QUESTION.messages[0].text}
    body = {"model": MODEL, "max_tokens": QUESTION.max_tokens, "messages": [question]}

    async def call() -> None:
        async with http.post(f"{url}/v1/chat/completions", json=body) as reply:
            reply.raise_for_status()
            await reply.read()

    deadline_s = time.monotonic() + START_S
    while not await answers(http, f"{url}/health/liveliness"):
        if time.monotonic() > deadline_s:
            raise proxy.failed("does not answer")
        await asyncio.sleep(POLL_S)
    return proxy, call


async def answers(http: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with http.get(url) as reply:
            return reply.status == 200
    except aiohttp.ClientError:
        return False


async def costsvc_hit(
    stack: AsyncExitStack, folder: Path, provider_url: str, store_url: str
) -> tuple[Program, Call]:
    """Start the service; return it with a call that it answers from its cache."""
    policy = folder / "policy.toml"
    policy.write_text(read_text("policy.toml") + NAMESPACE)
    places = ("--redis-url", store_url, "--upstream-url", provider_url, "--policy", str(policy))
    server = await stack.enter_async_context(serve(folder, cores()[0], *places))
    target = await listening(server)
    channel = await stack.enter_async_context(grpc.aio.insecure_channel(target, options=CHANNEL_OPTIONS))
    costs, request = v1.CostServiceStub(channel), v1.CompleteRequest(request=QUESTION)
    request.request.model, request.request.cache_namespace = MODEL, "side_by_side"
    return server, lambda: costs.Complete(request)


@asynccontextmanager
async def provider(folder: Path) -> AsyncIterator[str]:
    """Run the simulated provider."""
    command = python("-c", _SIMULATE, "provider-sim", "--listen", "127.0.0.1:0")
    async with Program(folder / "provider.log", cores()[1], *command) as simulated:
        yield (await simulated.said("simulated provider on")).split()[-1]


async def billed(provider_url: str) -> int:
    """Return how many calls have reached the provider."""
    async with aiohttp.ClientSession() as http, http.get(f"{provider_url}/_sim/bill?limit=1000") as reply:
        return len((await reply.json())["lines"])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


async def measure() -> dict[str, tuple[list[Load], list[Load]]]:
    """Return what was measured of each: one call at a time, and several at once, by round."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)  # so that nothing runs on
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="costsvc-side-")))
        os.sched_setaffinity(0, {cores()[1]})
        url = await stack.enter_async_context(provider(folder))
        store = await stack.enter_async_context(EmbeddedValkey(folder / "store"))
        port = free_port()
        async with open_store(store.url) as client:
            await ask(client, "CONFIG", "SET", "port", port)
        both = {
            "costsvc": await costsvc_hit(stack, folder, url, store.url),
            "LiteLLM": await litellm_hit(stack, folder, url, port),
        }
        for program, call in both.values():
            await call()
            await asyncio.sleep(1)  # the answer is stored a moment later
            await load(program, call, WARM_UP_CALLS)
        before = await billed(url)
        found: dict[str, tuple[list[Load], list[Load]]] = {name: ([], []) for name in both}
        for _ in range(ROUNDS):
            for name, (program, call) in both.items():
                found[name][0].append(await load(program, call, CALLS[name]))
                found[name][1].append(await load(program, call, CALLS[name], AT_ONCE))
        if before != 2 or await billed(url) != before:
            raise ProcessFailed(f"{await billed(url)} calls reached the provider, which were to be hits")
    return found


def rows(found: dict[str, tuple[list[Load], list[Load]]]) -> list[Row]:
    """Return the table; judged is CPU, one call at a time, by round."""
    table = []
    for name, (single, at_once) in found.items():
        table += [
            Row(f"{name}: a hit, CPU", spread([each.cpu_us_a_call for each in single], "us")),
            Row(f"{name}: a hit, p50", spread([median(each.latencies_us) / 1000 for each in single], "ms")),
            Row(
                f"{name}: a hit, CPU, {AT_ONCE} at once",
                spread([each.cpu_us_a_call for each in at_once], "us"),
            ),
            Row(
                f"{name}: hits a second, {AT_ONCE} at once",
                spread([each.calls_per_s for each in at_once], "/s"),
            ),
        ]
    pairs = zip(found["LiteLLM"][0], found["costsvc"][0], strict=True)
    times = [theirs.cpu_us_a_call / ours.cpu_us_a_call for theirs, ours in pairs]
    what, middle = "CPU of a hit in LiteLLM, as a multiple of that in costsvc", median(times)
    return [*table, Row(what, spread(times, "x"), None, f">= {TIMES:g} x", middle >= TIMES)]


def main() -> int:
    try:
        table = rows(asyncio.run(measure()))
    except ProcessFailed as error:
        print(error, file=sys.stderr)
        return 2
    except asyncio.CancelledError:
        return 130
    print(f"{circumstances('make bench-side-by-side')}\n\n{as_markdown(table)}")
    return 0 if table[-1].met else 1


if __name__ == "__main__":
    sys.exit(main())
