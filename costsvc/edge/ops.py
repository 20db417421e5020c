"""Probes, metrics and the configuration in force over HTTP, in the event loop that also answers calls.

A probe that answers thus says that calls could be answered. Readiness never restarts a process: it only
takes it out of the list of those that get calls.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import timedelta
from enum import Enum
from fractions import Fraction
from typing import Any, Self

from aiohttp import web

from costsvc.addresses import CannotListen, join_address, split_address
from costsvc.core.catalog import Catalog
from costsvc.core.policy import Policy
from costsvc.metrics import CONTENT_TYPE, Metrics
from costsvc.settings import Settings

_CLOSE_S = 1.0
_READY, _NOT_READY = 200, 503

Parts = Mapping[str, bool]


class OpsServer:
    """The running HTTP server; an async context manager that closes it. `address` is host:port as bound."""

    def __init__(self, runner: web.AppRunner) -> None:
        self._runner = runner
        self.address = join_address(*runner.addresses[0][:2])

    async def close(self) -> None:
        """Stop listening and end open connections."""
        await self._runner.cleanup()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


async def serve_ops(
    address: str,
    *,
    metrics: Metrics,
    ready: Callable[[], Parts],
    configuration: Callable[[], Mapping[str, Any]],
) -> OpsServer:
    """Listen on host:port (0 takes a free port). `ready` names the parts that must all be well.

    Raises:
        CannotListen: the address is in use or not ours.
    """
    runner = web.AppRunner(
        _application(metrics, ready, configuration), access_log=None, shutdown_timeout=_CLOSE_S
    )
    await runner.setup()
    host, port = split_address(address)
    try:
        await web.TCPSite(runner, host, port, reuse_port=False).start()
    except OSError as error:
        await runner.cleanup()
        raise CannotListen(address, "--ops", error) from error
    return OpsServer(runner)


def configuration(settings: Settings, catalog: Catalog, policy: Policy) -> dict[str, Any]:
    """Return what is in force as JSON values, without secrets."""
    return {
        "catalog": {"hash": catalog.hash, "models": list(catalog.models)},
        "policy": _plain(policy),
        "settings": settings.shown(),
    }


def _application(
    metrics: Metrics, ready: Callable[[], Parts], configuration: Callable[[], Mapping[str, Any]]
) -> web.Application:
    async def healthz(_: web.Request) -> web.Response:
        return web.json_response({"alive": True})

    async def readyz(_: web.Request) -> web.Response:
        parts = dict(ready())
        is_ready = all(parts.values())
        return web.json_response(
            {"ready": is_ready, "parts": parts}, status=_READY if is_ready else _NOT_READY
        )

    async def exposition(_: web.Request) -> web.Response:
        return web.Response(body=metrics.text(), headers={"content-type": CONTENT_TYPE})

    async def configz(_: web.Request) -> web.Response:
        return web.json_response(configuration())

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", exposition)
    app.router.add_get("/configz", configz)
    return app


def _plain(value: object) -> Any:
    """Return a value of the domain as JSON values."""
    match value:
        case Mapping():
            return {_word(key): _plain(inner) for key, inner in value.items()}
        case frozenset():
            return sorted(map(_word, value))
        case tuple():
            return [_plain(inner) for inner in value]
        case _ if is_dataclass(value):
            return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
        case _:
            return _word(value)


def _word(value: object) -> Any:
    """Return what JSON has no word for in words; enum members become their lower-case names."""
    match value:
        case Enum():
            return value.name.lower()
        case re.Pattern():
            return value.pattern
        case timedelta() | Fraction():
            return str(value)
        case _:
            return value
