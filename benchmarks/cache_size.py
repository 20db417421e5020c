"""`make bench-cache-size`: whether a million stored answers are found as fast as ten thousand.

A server of its own on one core, without a disk, gets answers as the service stores them, of 1 KB
in the middle. At each size look-ups are timed one at a time, of random answers and of missing ones,
and the server's own CPU is read before and after; of several rounds the best counts, because noise only adds.
It ends with 1 where CPU grows by more than half.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

from redis.asyncio import Redis

from benchmarks.bench.processes import cores, on_core
from benchmarks.bench.table import Row, as_markdown, circumstances
from costsvc.core.errors import StoreUnavailable
from costsvc.core.json_text import to_json
from costsvc.core.response_key import Scope
from costsvc.provider_sim.prose import Dice, paragraphs
from costsvc.store import response_codec
from costsvc.store.connection import ask, open_store
from costsvc.store.embedded import EmbeddedValkey
from costsvc.store.response_codec import StoredAnswer
from costsvc.store.responses import Place, Responses

SIZES = (10_000, 100_000, 1_000_000)
ROUNDS, LOOK_UPS, WARM_UP = 7, 1_500, 500
MIDDLE_BYTES, SPREAD = 1_000, 0.7
AT_ONCE, KINDS = 2_000, 400
MOST_GROWTH = 1.5
SCOPE = Scope(tenant="acme", namespace="help", epoch=1_795_000_000_000)
TTL_MS = timedelta(hours=1) // timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What was measured at one size; CPU is the server's, in microseconds a look-up."""

    count: int
    bytes_an_entry: float
    p50_us: float
    p99_us: float
    hit_cpu_us: float
    miss_cpu_us: float


def place(number: int) -> Place:
    return Place(SCOPE, sha256(b"%d" % number).hexdigest())


def messages() -> list[bytes]:
    """Return answers of many lengths, as the provider writes them."""
    dice = Random(4)
    found = []
    for number in range(KINDS):
        size = round(dice.lognormvariate(0, SPREAD) * MIDDLE_BYTES)
        prose = paragraphs(Dice("size", str(number)), size // 4, ("chains", "brakes", "wheels", "orders"))
        text = prose[: max(size - 350, 20)]
        usage = {"input_tokens": 412, "cache_read_input_tokens": 0, "output_tokens": size // 5}
        message = {
            "id": f"msg_{number:024x}",
            "type": "message",
            "role": "assistant",
            "model": "claude-haiku-5-5",
            "content": [{"type": "text", "text": text}],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": usage,
        }
        found.append(to_json(message).encode())
    return found


async def fill(client: Redis, start: int, end: int, bodies: list[bytes]) -> None:
    """Store answers by number, as `Responses.keep` writes them."""
    now = datetime.now(UTC)
    for first in range(start, end, AT_ONCE):
        async with client.pipeline(transaction=False) as pipe:
            for number in range(first, min(first + AT_ONCE, end)):
                at = place(number)
                answer = StoredAnswer(
                    tenant=SCOPE.tenant,
                    fingerprint=at.fingerprint,
                    response_id=f"{number:032x}",
                    model="claude-haiku-5-5",
                    stored_at=now,
                    version=SCOPE.epoch,
                    labels={"team": "support"},
                    message_json=bodies[number % len(bodies)],
                )
                pipe.set(at.answer, response_codec.encode(answer), px=TTL_MS)
            await pipe.execute()


async def info(client: Redis, section: str) -> dict[str, Any]:
    return dict(await ask(client, "INFO", section))


async def cpu_s(client: Redis) -> float:
    used = await info(client, "cpu")
    return float(used["used_cpu_user"]) + float(used["used_cpu_sys"])


async def look_ups(client: Redis, numbers: list[int]) -> tuple[list[float], float]:
    """Return how long each look-up took, and the server's CPU a look-up, in microseconds."""
    responses, taken_us = Responses(client), []
    before_s = await cpu_s(client)
    for number in numbers:
        began = time.perf_counter()
        with suppress(StoreUnavailable):  # later than a call would wait: the machine has other work
            await responses.look_up(place(number))
        taken_us.append((time.perf_counter() - began) * 1e6)
    return taken_us, (await cpu_s(client) - before_s) / len(numbers) * 1e6


async def measured(client: Redis, count: int, empty_bytes: int) -> Found:
    dice = Random(count)
    used_bytes = int((await info(client, "memory"))["used_memory"])
    await look_ups(client, dice.choices(range(count), k=WARM_UP))
    hits, misses = [], []
    for _ in range(ROUNDS):
        hits.append(await look_ups(client, dice.choices(range(count), k=LOOK_UPS)))
        misses.append(await look_ups(client, [-number for number in range(1, LOOK_UPS + 1)]))
    return Found(
        count=count,
        bytes_an_entry=(used_bytes - empty_bytes) / count,
        p50_us=min(median(taken_us) for taken_us, _ in hits),
        p99_us=min(sorted(taken_us)[LOOK_UPS * 99 // 100] for taken_us, _ in hits),
        hit_cpu_us=min(cpu_us for _, cpu_us in hits),
        miss_cpu_us=min(cpu_us for _, cpu_us in misses),
    )


async def measure() -> list[Found]:
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="costsvc-size-")))
        with on_core(cores()[0]):
            server = await stack.enter_async_context(EmbeddedValkey(folder))
        os.sched_setaffinity(0, {cores()[1]})
        client = open_store(server.url)
        stack.push_async_callback(client.aclose)
        await ask(client, "CONFIG", "SET", "appendonly", "no")
        empty_bytes = int((await info(client, "memory"))["used_memory"])
        bodies, found, filled = messages(), [], 0
        for count in SIZES:
            await fill(client, filled, count, bodies)
            found.append(await measured(client, count, empty_bytes))
            filled = count
        return found


def rows(found: list[Found]) -> list[Row]:
    table = []
    for each in found:
        name = f"{each.count:,} stored answers"
        cpu = f"{each.hit_cpu_us:.1f} us, of a missing one {each.miss_cpu_us:.1f} us"
        table += [
            Row(f"{name}: memory of each", f"{each.bytes_an_entry:,.0f} B"),
            Row(f"{name}: look-up, p50", f"{each.p50_us:.0f} us (p99 {each.p99_us:.0f})"),
            Row(f"{name}: look-up, CPU of the server", cpu),
        ]
    growth = found[-1].hit_cpu_us / found[0].hit_cpu_us
    what = f"CPU of the server for a look-up, {SIZES[-1]:,} by {SIZES[0]:,}"
    return [*table, Row.judged(what, f"{growth:.2f} x", growth, MOST_GROWTH, "x")]


def main() -> int:
    table = rows(asyncio.run(measure()))
    sizes = sorted(len(body) for body in messages())
    print(f"{circumstances('make bench-cache-size')}\n")
    print(f"Messages of {sizes[0]:,} to {sizes[-1]:,} bytes, the middle one {median(sizes):,.0f}.\n")
    print(as_markdown(table))
    return 0 if table[-1].met else 1


if __name__ == "__main__":
    sys.exit(main())
