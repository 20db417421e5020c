"""Batches through a service that is killed, with a foreign batch of the same size beside each of them."""

from __future__ import annotations

import asyncio
import signal
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

import aiohttp
import grpc

from costsvc import v1
from costsvc.config import load_catalog_files
from costsvc.core.money import ceil_nano
from costsvc.store import keys
from costsvc.store.audit import audit
from costsvc.store.connection import open_store
from costsvc.store.embedded import EmbeddedValkey
from costsvc.store.ledger import Ledger
from tests.faults.processes import Provider, Server, close, serve

SETTINGS = {"COSTSVC_BATCHES__POLL_S": "0.2", "COSTSVC_BATCHES__ADOPT_S": "20"}
ITEMS_A_MESSAGE = 500
_HEADERS = {"x-api-key": "simulated", "anthropic-version": "2026-10-21"}
_CHANNEL = [("grpc.max_send_message_length", 64 << 20), ("grpc.max_receive_message_length", 64 << 20)]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a batch: how long it took, and what does not add up."""

    seconds: float
    peak_mb: float
    results: int
    problems: tuple[str, ...]
    events: tuple[str, ...] = ()


@dataclass
class Installation:
    """A provider, a store and a service, each a process of its own; the service may be killed."""

    directory: Path
    peak_kb: int = 0
    server: Server | None = None
    _open: AsyncExitStack = field(default_factory=AsyncExitStack)
    _starts: int = 0

    async def __aenter__(self) -> Self:
        self.provider = await self._open.enter_async_context(Provider(self.directory / "provider.log"))
        self.store = await self._open.enter_async_context(EmbeddedValkey(self.directory / "store"))
        self.client = open_store(self.store.url)
        self._open.push_async_callback(self.client.aclose)
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.server is not None:
            self.note_memory()
            await close(self.server)
        await self._open.aclose()

    async def start(self) -> None:
        """Start the service on the data of the last one."""
        self._starts += 1
        log = self.directory / f"service-{self._starts}.log"
        data, options = self.directory / "data", ("--redis-url", self.store.url)
        self.server = await serve(log, data, self.provider.url, *options, **SETTINGS)

    async def kill(self) -> None:
        """Kill the service without a warning, and start it again."""
        assert self.server is not None
        self.note_memory()
        await self.server.end(signal.SIGKILL)
        await self.start()

    def note_memory(self) -> None:
        """Take in how much memory the service had at most."""
        assert self.server is not None
        with suppress(OSError):
            lines = Path(f"/proc/{self.server.process.pid}/status").read_text().splitlines()
            peak = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
            self.peak_kb = max(self.peak_kb, peak)

    @property
    def stub(self) -> v1.BatchServiceStub:
        """The service as it runs now."""
        assert self.server is not None
        [ready] = self.server.events("ready")
        return v1.BatchServiceStub(grpc.aio.insecure_channel(ready["listen"], _CHANNEL))

    async def foreign(self, count: int) -> None:
        """Create a batch in the same workspace that is not ours."""
        params = {
            "model": "claude-haiku-5-5",
            "max_tokens": 5,
            "messages": [{"role": "user", "content": "Hi"}],
        }
        rows = [{"custom_id": f"foreign-{n}", "params": params} for n in range(count)]
        url = f"{self.provider.url}/v1/messages/batches"
        whole = aiohttp.ClientTimeout(total=None)
        async with (
            aiohttp.ClientSession(timeout=whole) as http,
            http.post(url, json={"requests": rows}, headers=_HEADERS) as reply,
        ):
            reply.raise_for_status()


def small_items(count: int) -> Callable[[], AsyncIterator[list[v1.BatchItem]]]:
    """Return the way to make so many small items, in messages."""

    async def made() -> AsyncIterator[list[v1.BatchItem]]:
        for first in range(0, count, ITEMS_A_MESSAGE):
            yield [
                _item(n, f"What is {n} plus one?") for n in range(first, min(first + ITEMS_A_MESSAGE, count))
            ]

    return made


def large_items(megabytes: int, item_bytes: int = 64_000) -> Callable[[], AsyncIterator[list[v1.BatchItem]]]:
    """Return the way to make items of so many megabytes in all, in messages of a megabyte."""
    text = "All work and no play makes Jack a dull boy. " * (item_bytes // 44)
    count = megabytes * 1_000_000 // (len(text) + 200)

    async def made() -> AsyncIterator[list[v1.BatchItem]]:
        for first in range(0, count, 16):
            yield [_item(n, f"{n} {text}") for n in range(first, min(first + 16, count))]

    return made


async def run(
    there: Installation, items: Callable[[], AsyncIterator[list[v1.BatchItem]]], *, kill_after_s: float | None
) -> Outcome:
    """Put a batch through, killing the service once, and hold what came out against the bill."""
    started_s, started_at = time.monotonic(), datetime.now(UTC)
    count = sum([len(some) async for some in items()])
    await there.foreign(count)
    killer = asyncio.ensure_future(_kill(there, kill_after_s)) if kill_after_s is not None else None
    batch_id = await _created(there, items)
    await there.foreign(count)
    batch = await _ended(there, batch_id)
    if killer is not None:
        await killer
    results = await _results(there, batch_id)
    there.note_memory()
    problems = [problem async for problem in _problems(there, batch, count, results, started_at)]
    return Outcome(
        seconds=time.monotonic() - started_s,
        peak_mb=there.peak_kb / 1024,
        results=len(results),
        problems=tuple(problems),
        events=tuple(part.state for part in batch.parts),
    )


async def _kill(there: Installation, after_s: float) -> None:
    await asyncio.sleep(after_s)
    await there.kill()


async def _created(there: Installation, items: Callable[[], AsyncIterator[list[v1.BatchItem]]]) -> str:
    """Create the batch, and repeat that until it is answered."""
    request_id = uuid.uuid4().hex

    async def messages() -> AsyncIterator[v1.CreateBatchStreamRequest]:
        yield v1.CreateBatchStreamRequest(options=v1.BatchOptions(request_id=request_id))
        async for some in items():
            yield v1.CreateBatchStreamRequest(requests=some)

    while True:
        try:
            made = await there.stub.CreateBatchStream(messages(), timeout=300)
        except (grpc.aio.AioRpcError, ValueError):
            await asyncio.sleep(0.2)
        else:
            assert not made.refused, made.refused[0]
            return made.batch.batch_id


async def _ended(there: Installation, batch_id: str) -> v1.Batch:
    async with asyncio.timeout(600):
        while True:
            with suppress(grpc.aio.AioRpcError, ValueError):
                batch = (await there.stub.GetBatch(v1.GetBatchRequest(batch_id=batch_id), timeout=5)).batch
                if batch.state == v1.BATCH_STATE_ENDED:
                    return batch
            await asyncio.sleep(0.2)


async def _results(there: Installation, batch_id: str) -> set[str]:
    found: set[str] = set()
    request = v1.StreamBatchResultsRequest(batch_id=batch_id)
    async for page in there.stub.StreamBatchResults(request, timeout=600):
        names = {result.custom_id for result in page.results if result.outcome == v1.BATCH_OUTCOME_SUCCEEDED}
        assert not names & found
        found |= names
    return found


async def _problems(
    there: Installation, batch: v1.Batch, count: int, results: set[str], since: datetime
) -> AsyncIterator[str]:
    """Yield what is lost, doubled, or not booked as billed."""
    ours = {part.part_id for part in batch.parts}
    billed: dict[str, int] = {}
    for line in await there.provider.bill():
        if (line["custom_id"] or "").split("_")[0] in ours:
            if line["custom_id"] in billed:
                yield f"{line['custom_id']} is billed twice"
            billed[line["custom_id"]] = ceil_nano(int(line["pico_usd"]))
    booked = await _booked(there, ours, since)
    if len(results) != count:
        yield f"{len(results)} results of {count} items"
    if len(billed) != count:
        yield f"{len(billed)} items are billed, of {count}"
    if booked != billed:
        wrong = [name for name in booked.keys() | billed.keys() if booked.get(name) != billed.get(name)]
        yield f"{len(wrong)} entries are not as billed, such as {wrong[0]}"
    if batch.cost_nano_usd != sum(billed.values()):
        yield f"the batch cost {batch.cost_nano_usd}, {sum(billed.values())} are billed"
    if batch.held_nano_usd:
        yield f"{batch.held_nano_usd} are still held"


async def findings(there: Installation) -> list[str]:
    """Return what an audit of the whole store finds; a killed sealer keeps nobody waiting."""
    await there.client.delete(keys.SEALING)
    return [str(each) for each in (await audit(there.client, load_catalog_files(), owner="judge")).findings]


async def _booked(there: Installation, ours: set[str], since: datetime) -> dict[str, int]:
    ledger, booked, hour = Ledger(there.client), dict[str, int](), since.replace(minute=0, second=0)
    while hour <= datetime.now(UTC):
        after, more = "", True
        while more:
            page = await ledger.entries(hour, after=after)
            for entry in page.entries:
                if entry.attempt_id.split("_")[0] in ours:
                    assert entry.attempt_id not in booked
                    booked[entry.attempt_id] = entry.cost_nano_usd
            more, after = bool(page.entries), page.after
        hour += timedelta(hours=1)
    return booked


def _item(number: int, text: str) -> v1.BatchItem:
    request = v1.Request(
        messages=[v1.Message(text=text)], max_tokens=100, model="claude-haiku-5-5", labels={"team": "batch"}
    )
    return v1.BatchItem(custom_id=f"item-{number}", request=request)
