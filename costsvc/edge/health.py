"""gRPC health: alive is one thing, ready for calls another.

The service "" is alive as long as the event loop answers. `costsvc.v1.CostService`, and with it the
operator's `costsvc.v1.AdminService`, is ready while the store answers and the journal takes settlements;
trouble with either takes a process out of the rotation and never restarts it.
"""

from __future__ import annotations

import asyncio
from typing import Any

import structlog
from grpc.aio import ServicerContext
from grpc_health.v1 import health, health_pb2

from costsvc.store.journal import Journal
from costsvc.store.presence import Presence

SERVICE = "costsvc.v1.CostService"
SERVICES = (SERVICE, "costsvc.v1.AdminService", "costsvc.v1.BatchService")
CHECK_EVERY_S = 1.0

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

log = structlog.get_logger()


class _Servicer(health.aio.HealthServicer):
    """Lets watches end with the process: a watcher would else keep it from stopping for the whole grace."""

    def __init__(self) -> None:
        super().__init__()
        self.over = asyncio.Event()

    async def Watch(  # noqa: N802 - the schema's name
        self, request: health_pb2.HealthCheckRequest, context: ServicerContext[Any, Any]
    ) -> None:
        """Tell of changes until the process ends."""
        watch = asyncio.ensure_future(super().Watch(request, context))
        over = asyncio.ensure_future(self.over.wait())
        try:
            await asyncio.wait({watch, over}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            watch.cancel()
            over.cancel()


class Health:
    """Tells probes how this process is. `parts` names what must be well for calls."""

    def __init__(self, presence: Presence, journal: Journal) -> None:
        self.servicer = _Servicer()
        self._presence = presence
        self._journal = journal
        self._parts = {"store": False, "journal": False, "running": True}

    def parts(self) -> dict[str, bool]:
        """Return what is well."""
        return dict(self._parts)

    async def watch(self) -> None:
        """Look at the store and the journal for as long as the process lives."""
        while True:
            await self.check()
            await asyncio.sleep(CHECK_EVERY_S)

    async def check(self) -> None:
        """Look once, and tell whoever watches when something changed."""
        found = {"store": not self._presence.is_away, "journal": self._journal.problem is None}
        if not found.items() <= self._parts.items():
            self._parts |= found
            log.info("readiness", **self._parts)
            await self._set(_SERVING if all(found.values()) else _NOT_SERVING)

    async def begin(self) -> None:
        """Say that this process is alive, and how it is."""
        await self._set(_NOT_SERVING)
        await self.check()

    async def stop(self) -> None:
        """Say that this process takes no more calls."""
        self._parts["running"] = False
        await self.servicer.enter_graceful_shutdown()

    def end_watches(self) -> None:
        """Let those go who watch; the connections that they watch on are about to close."""
        self.servicer.over.set()

    async def _set(self, status: Any) -> None:
        for service in SERVICES:
            await self.servicer.set(service, status)
