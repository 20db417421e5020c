"""Two virtual days of deferred calls, through the whole service: python -m benchmarks.deferral [COUNT].

The service runs in this process on a real store, against the simulated provider, whose batches take from a
minute to twenty hours. Batches and tolerances go by a clock that jumps from one event to the next; calls take
real time. What comes out is held against the provider's own bill.
"""

from __future__ import annotations

import asyncio
import logging
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import structlog

from costsvc import v1
from costsvc.core.entry import Entry
from costsvc.core.errors import StoreUnavailable
from costsvc.core.money import ceil_nano, format_usd
from costsvc.edge.server import serving
from costsvc.edge.wiring import Parts
from costsvc.provider_sim import RunningSim, start
from costsvc.settings import read_settings
from costsvc.store.connection import open_store
from costsvc.store.deferred_items import State
from costsvc.store.ledger import Ledger

COUNT, BURSTS, EVERY = 5_000, 4, timedelta(hours=3)
SHORTEST_S, LONGEST_S = 300, 86_400
BATCH_S = (60.0, 20 * 3_600.0)
_TENANTS = ("acme", "globex")
_AT_ONCE = 20
_LONG_S = 60.0
_TRIES = 60
"""The store may not answer in time on a machine that does much else; repeating Defer is safe."""

_CALM = 3  # looks in a row that find nothing more to do


@dataclass(frozen=True)
class SlowClock:
    """The simulated provider's time, for what takes hours."""

    sim: RunningSim

    def now(self) -> datetime:
        """Return the time."""
        return datetime.fromtimestamp(self.sim.clock.now_s(), UTC)

    def monotonic(self) -> float:
        """Return real seconds."""
        return time.monotonic()


@dataclass
class Days:
    """What is deferred, and what becomes of it."""

    parts: Parts
    sim: RunningSim
    channel: grpc.aio.Channel
    clock: SlowClock
    dice: random.Random = field(default_factory=lambda: random.Random(7))
    asked: dict[str, v1.Deferred] = field(default_factory=dict)
    ended: dict[str, v1.Deferred] = field(default_factory=dict)
    first_batch: dict[str, tuple[str, str]] = field(default_factory=dict)

    async def run(self, count: int) -> None:
        """Defer all, some at a time, and go on until the last is answered."""
        began, done = self.clock.now(), 0
        for burst in range(BURSTS):
            await self._until(began + burst * EVERY)
            many = range(done, count * (burst + 1) // BURSTS)
            done = many.stop
            for at in range(many.start, many.stop, _AT_ONCE):
                await asyncio.gather(*(self._defer(i) for i in range(at, min(at + _AT_ONCE, many.stop))))
        while await self._settled():
            await self._step()
        for at in range(0, count, _AT_ONCE):
            await asyncio.gather(*(self._get(key) for key in list(self.asked)[at : at + _AT_ONCE]))

    async def _defer(self, number: int) -> None:
        tenant, request_id = _TENANTS[number % len(_TENANTS)], f"c-{number}"
        text = f"Classify this ticket as billing, bug or praise: number {number} came by mail. " * 3
        request = v1.Request(messages=[v1.Message(text=text)], request_id=request_id, max_tokens=300)
        message = v1.DeferRequest(request=request)
        ratio = LONGEST_S / SHORTEST_S
        message.tolerance.FromSeconds(round(SHORTEST_S * ratio ** self.dice.random()))
        stub = v1.BatchServiceStub(self.channel)
        for _ in range(_TRIES):
            with suppress(grpc.aio.AioRpcError):
                response = await stub.Defer(message, metadata=(("costsvc-tenant", tenant),))
                break
            await asyncio.sleep(1)
        self.asked[f"{tenant}:{response.deferred.deferred_id}"] = response.deferred

    async def _get(self, key: str) -> None:
        tenant, id_ = key.split(":")
        request = v1.GetDeferredRequest(deferred_id=id_)
        stub = v1.BatchServiceStub(self.channel)
        response = await stub.GetDeferred(request, metadata=(("costsvc-tenant", tenant),))
        self.ended[key] = response.deferred

    async def _until(self, at: datetime) -> None:
        while self.clock.now() < at:
            await self._settled()
            await self._step(at)

    async def _step(self, at: datetime | None = None) -> None:
        """Go to the next moment at which something happens, or to this one."""
        due = self.parts.deferral.batcher.due_at
        ends = [datetime.fromtimestamp(end_s, UTC) for end_s in self.sim.batches.running().values()]
        times = [each for each in (at, due, *ends) if each is not None]
        ahead = min(times) - self.clock.now() if times else timedelta(seconds=30)
        self.sim.clock.advance(max(ahead.total_seconds(), 1.0))

    async def _settled(self) -> int:
        """Let everything happen that is due; return how many requests are not answered."""
        parts, calm, before = self.parts, 0, None
        while calm < _CALM:
            with suppress(StoreUnavailable):  # on a machine that does much else; all of it may be repeated
                await parts.deferral.batcher.look()
                while len(parts.in_flight):
                    await parts.in_flight.drain(_LONG_S)
                await parts.batches.submitter.submit()
                await parts.batches.poller.poll()
            items = parts.deferral.batcher.view.items
            for key, item in items.items():
                if item.batch and item.state is not State.QUEUED:
                    self.first_batch.setdefault(key, (item.tenant, item.batch))
            now = {key: item.state for key, item in items.items()}
            calm = calm + 1 if now == before else 0
            before = now
        return len(before or ())

    async def batch_times(self) -> dict[str, float]:
        """Return how long the first batch of each request took, or would have taken, in seconds."""
        known: dict[tuple[str, str], float] = {}
        for tenant, batch_id in set(self.first_batch.values()):
            batch = await self.parts.batches.get(tenant, batch_id)
            ids = [part.provider_id for part in batch.parts if part.provider_id]
            if ids:
                known[tenant, batch_id] = max(map(self.sim.batches.takes_s, ids))
        return {key: known[batch] for key, batch in self.first_batch.items() if batch in known}


@dataclass(frozen=True)
class Outcome:
    """What came out; patient are requests that tolerate twice the time of their first batch."""

    count: int
    kept_share: float
    paid_once_share: float
    patient_count: int
    half_price_share: float
    batch_count: int
    is_exact: bool
    cost_nano_usd: int
    standard_nano_usd: int


async def outcome_of(days: Days, entries: list[Entry]) -> Outcome:
    """Hold what came out against the ledger and the provider's bill."""
    takes_s = await days.batch_times()
    paid = Counter(f"{entry.tenant}:{entry.request_id}" for entry in entries)
    in_batch = {f"{entry.tenant}:{entry.request_id}" for entry in entries if entry.service_tier == "batch"}
    kept = half = patient = once = 0
    for key, ended in days.ended.items():
        name = f"{key.split(':')[0]}:{ended.request_id}"
        is_answered = ended.state == v1.DEFERRED_STATE_ANSWERED
        kept += is_answered and ended.end_time.ToNanoseconds() <= ended.deadline_time.ToNanoseconds()
        once += paid[name] == 1
        tolerance_s = (ended.deadline_time.ToNanoseconds() - ended.create_time.ToNanoseconds()) / 1e9
        if key in takes_s and tolerance_s > 2 * takes_s[key]:
            patient += 1
            half += paid[name] == 1 and name in in_batch
    bill = sorted(ceil_nano(line.pico_usd) for line in days.sim.bill.lines())
    cost = sum(entry.cost_nano_usd for entry in entries)
    return Outcome(
        count=len(days.ended),
        kept_share=kept / len(days.ended),
        paid_once_share=once / len(days.ended),
        patient_count=patient,
        half_price_share=half / max(patient, 1),
        batch_count=len(set(days.first_batch.values())),
        is_exact=bill == sorted(entry.cost_nano_usd for entry in entries),
        cost_nano_usd=cost,
        standard_nano_usd=cost + sum(entry.savings.batch_nano_usd for entry in entries),
    )


@asynccontextmanager
async def service(folder: Path) -> AsyncIterator[tuple[Days, Ledger]]:
    """Run everything; the loops that look at batches and at the queue hardly run by themselves."""
    async with await start(batch_delay_s=BATCH_S[0]) as sim:
        sim.settings.batch_delay_most_s = BATCH_S[1]
        clock = SlowClock(sim)
        options = {
            "listen": "127.0.0.1:0",
            "ops": "127.0.0.1:0",
            "data_dir": folder,
            "batches": {"poll_s": 60},
        }
        settings = read_settings({**options, "upstream_url": sim.url, "ANTHROPIC_API_KEY": "simulated"})
        async with serving(settings, clock) as running:
            channel = grpc.aio.insecure_channel(running.address)
            client = open_store(f"unix://{folder}/store/valkey.sock")
            try:
                yield Days(running.parts, sim, channel, clock), Ledger(client)
            finally:
                await client.aclose()
                await channel.close()


async def entries_of(ledger: Ledger, first: datetime, last: datetime) -> list[Entry]:
    """Return everything that was booked."""
    found, hour = [], first - timedelta(hours=1)
    while hour <= last + timedelta(hours=1):
        page = await ledger.entries(hour)
        while page.entries:
            found += page.entries
            page = await ledger.entries(hour, after=page.after)
        hour += timedelta(hours=1)
    return found


async def measure(count: int) -> Outcome:
    """Run two virtual days, and return what came out."""
    with tempfile.TemporaryDirectory(prefix="costsvc-deferral-") as folder:
        async with service(Path(folder)) as (days, ledger):
            began = days.clock.now()
            await days.run(count)
            return await outcome_of(days, await entries_of(ledger, began, days.clock.now()))


def main() -> None:
    """Print what came out."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    began_s = time.monotonic()
    outcome = asyncio.run(measure(int(sys.argv[1]) if len(sys.argv) > 1 else COUNT))
    saved = 1 - outcome.cost_nano_usd / max(outcome.standard_nano_usd, 1)
    count, patient = outcome.count, outcome.patient_count
    print(f"{count:,} deferred calls, tolerances of 5 min to 24 h, batches of 1 min to 20 h")
    print(f"tolerances kept             {outcome.kept_share:8.2%}   target 100 %")
    print(f"paid once                   {outcome.paid_once_share:8.2%}   target 99 %")
    print(f"half price where patient    {outcome.half_price_share:8.2%}   target 95 %, of {patient:,} calls")
    print(f"entries equal the bill      {'yes' if outcome.is_exact else 'NO':>8}")
    print(f"cost {format_usd(outcome.cost_nano_usd)}, {saved:.1%} below standard")
    print(f"first batches {outcome.batch_count:,}, {time.monotonic() - began_s:.0f} s")


if __name__ == "__main__":
    main()
