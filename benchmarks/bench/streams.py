"""Streams: CPU per 1,000 tokens in both formats, from a provider without delay and from a slow one."""

from __future__ import annotations

import aiohttp

from benchmarks.bench.installation import Installation
from benchmarks.bench.load import load
from benchmarks.bench.messages import STREAM_EVENTS, STREAM_TEXT
from benchmarks.bench.table import Row, spread
from costsvc import v1

STREAMS = 12
PACED_STREAMS = 40
PACED_MS_A_TOKEN = 10
_FORMATS = {"text": STREAM_TEXT, "provider events": STREAM_EVENTS}


async def measure_streams(at: Installation, rounds: int) -> list[Row]:
    """Return the rows of StreamComplete."""
    figures: dict[str, list[float]] = {name: [] for name in _FORMATS}
    tokens = 0.0
    for _ in range(rounds):
        for name, request in _FORMATS.items():
            cpu_us, tokens = await _load(at, request, STREAMS, 1)
            figures[name].append(cpu_us)
    what = f"CPU per 1,000 tokens in answers of {tokens:.0f}"
    rows = [Row(f"StreamComplete, {name}: {what}", spread(cpu, "us")) for name, cpu in figures.items()]
    await _set_pace(at.provider_url, PACED_MS_A_TOKEN)
    for name, request in _FORMATS.items():
        cpu_us, _ = await _load(at, request, PACED_STREAMS, PACED_STREAMS)
        what = f"the same, {name}, {PACED_STREAMS} at once, {PACED_MS_A_TOKEN} ms a token"
        rows.append(Row(what, f"{cpu_us:,.0f} us"))
    await _set_pace(at.provider_url, 0)
    return rows


async def _load(
    at: Installation, request: v1.StreamCompleteRequest, count: int, at_once: int
) -> tuple[float, float]:
    """Return the service's CPU in microseconds per 1,000 tokens, and the tokens of an answer."""
    tokens: list[int] = []

    async def one() -> None:
        events = [event async for event in at.costs.StreamComplete(request)]
        tokens.append(events[-1].completed.bill.usage.output_tokens)

    spent = await load(at.server, one, count, at_once)
    assert all(tokens), "a stream without `completed`"
    return spent.cpu_us / sum(tokens) * 1000, sum(tokens) / count


async def _set_pace(provider_url: str, ms_a_token: int) -> None:
    latency = {"ms_per_token": ms_a_token}
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{provider_url}/_sim/latency", json=latency) as reply,
    ):
        reply.raise_for_status()
