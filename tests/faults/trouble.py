"""What befalls servers and store while callers call, at moments that a seed decides."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.faults.load import Load
from tests.faults.processes import EndedEarly, Provider, Server, close, serve
from tests.faults.stores import Store

FREEZE_S = 2.0
_FIRST, _LAST = 0.08, 0.85  # as shares of the calls


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """How often what happens."""

    server_kills: int
    store_freezes: int
    store_kills: int
    fail_overs: int


@dataclass
class Fleet:
    """Server processes on one store, each with a data directory of its own that outlives it."""

    path: Path
    provider: Provider
    store_url: str
    running: dict[int, Server] = field(default_factory=dict)
    _started: list[Server] = field(default_factory=list)

    def servers(self) -> list[Server]:
        """Return what runs."""
        return list(self.running.values())

    async def start(self, place: int) -> None:
        """Start the server of a place; one that the store is away for tries again, as a supervisor would."""
        while True:
            log = self.path / f"server-{place}-{len(self._started)}.log"
            data = self.path / f"server-{place}"
            try:
                server = await serve(log, data, self.provider.url, "--redis-url", self.store_url)
            except EndedEarly:
                continue
            self._started.append(server)
            self.running[place] = server
            return

    async def kill(self, place: int) -> None:
        """Kill the server of a place; start another there. Its channel stays, for those who call it now."""
        server = self.running.pop(place)
        server.process.kill()
        await asyncio.to_thread(server.process.wait)
        await self.start(place)

    async def close(self) -> None:
        """Kill what runs."""
        for server in self._started:
            await close(server)

    def logs(self) -> list[Path]:
        """Return the log of every server that ran."""
        return sorted(self.path.glob("server-*.log"))


@asynccontextmanager
async def fleet_of(count: int, path: Path, provider: Provider, store: Store) -> AsyncIterator[Fleet]:
    """Run so many servers."""
    fleet = Fleet(path, provider, store.url)
    try:
        for place in range(count):
            await fleet.start(place)
        yield fleet
    finally:
        await fleet.close()


async def make_trouble(
    trouble: Trouble, load: Load, call_count: int, fleet: Fleet, store: Store, dice: Random
) -> list[str]:
    """Do all of it while the calls are made: servers beside the store. Return what was done, in order."""
    done: list[str] = []
    servers = ["kill server"] * trouble.server_kills
    stores = ["freeze store"] * trouble.store_freezes + ["kill store"] * trouble.store_kills
    stores += ["fail over"] * trouble.fail_overs
    dice.shuffle(stores)
    acts: dict[str, Callable[[], Awaitable[None]]] = {
        "kill server": lambda: fleet.kill(dice.choice(sorted(fleet.running))),
        "freeze store": lambda: store.freeze(FREEZE_S),
        "kill store": store.restart,
        "fail over": lambda: store.fail_over(dice.uniform(0.2, 1.0)),
    }

    async def one_after_the_other(names: list[str]) -> None:
        moments = sorted(round(call_count * dice.uniform(_FIRST, _LAST)) for _ in names)
        for name, moment in zip(names, moments, strict=True):
            await load.reached(moment)
            done.append(f"{name} at call {load.begun}")
            await acts[name]()
            done.append(f"{name} over at call {load.begun}")

    async with asyncio.TaskGroup() as group:
        group.create_task(one_after_the_other(servers))
        group.create_task(one_after_the_other(stores))
    return done
