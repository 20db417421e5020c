"""Start and stop the simulated provider: inside an event loop, or as a program."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from aiohttp import web

from .batches import Batches
from .bill import Bill
from .clock import Now, VirtualClock
from .faults import Faults
from .provider import Provider, Settings
from .questions import Questions
from .routes import Routes, Seen

_CLOSE_S = 0.5  # hung answers are cut after this when the simulator closes


class RunningSim:
    """A simulated provider that listens; an async context manager that closes it."""

    def __init__(self, provider: Provider, routes: Routes, runner: web.ServerRunner, url: str) -> None:
        self._provider = provider
        self._routes = routes
        self._runner = runner
        self.url = url

    @property
    def bill(self) -> Bill:
        """What was charged so far; a batch that is due is charged at a look at it, or by `settle_batches`."""
        return self._provider.bill

    @property
    def faults(self) -> Faults:
        """The script of faults."""
        return self._provider.faults

    @property
    def questions(self) -> Questions:
        """The questions of known difficulty."""
        return self._provider.questions

    @property
    def clock(self) -> VirtualClock:
        """The provider's clock."""
        return self._provider.clock

    @property
    def settings(self) -> Settings:
        """Latencies and delays; changes hold for the next request."""
        return self._provider.settings

    @property
    def batches(self) -> Batches:
        """The batches."""
        return self._routes.batches

    @property
    def requests(self) -> list[Seen]:
        """The last requests, as many as `keep_requests` asked for."""
        return list(self._routes.seen)

    async def settle_batches(self) -> None:
        """Work off the batches whose time has come."""
        await self._routes.batches.run_due()

    async def close(self) -> None:
        """Stop listening and cut what is still open."""
        await self._runner.cleanup()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


async def start(
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    clock: Now | None = None,
    first_byte_ms: float = 0,
    ms_per_token: float = 0,
    batch_delay_s: float = 1.0,
    max_bill_lines: int | None = None,
    keep_requests: int = 0,
) -> RunningSim:
    """Start a simulated provider in the running loop; port 0 takes a free one, see `url`.

    Raises:
        OSError: the address is in use or not ours.
    """
    settings = Settings(
        first_byte_s=first_byte_ms / 1000,
        token_s=ms_per_token / 1000,
        batch_delay_s=batch_delay_s,
        max_bill_lines=max_bill_lines,
        keep_requests=keep_requests,
    )
    provider = Provider(VirtualClock(clock), settings)
    routes = Routes(provider)
    server = web.Server(routes.handle, handler_cancellation=True, access_log=None)
    runner = web.ServerRunner(server, shutdown_timeout=_CLOSE_S)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port, reuse_port=False)
        await site.start()
    except OSError:
        await runner.cleanup()
        raise
    return RunningSim(provider, routes, runner, _url_of(runner, host))


async def serve(
    host: str = "127.0.0.1",
    port: int = 8787,
    *,
    first_byte_ms: float = 0,
    ms_per_token: float = 0,
    batch_delay_s: float = 1.0,
    max_bill_lines: int | None = None,
    started: asyncio.Future[str] | None = None,
) -> None:
    """Run until cancelled; `started` gets the URL once it listens."""
    sim = await start(
        host,
        port,
        first_byte_ms=first_byte_ms,
        ms_per_token=ms_per_token,
        batch_delay_s=batch_delay_s,
        max_bill_lines=max_bill_lines,
    )
    async with sim:
        if started is not None:
            started.set_result(sim.url)
        await asyncio.Event().wait()


def _url_of(runner: web.ServerRunner, host: str) -> str:
    address = runner.addresses[0]
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{address[1]}"
