"""What of the response cache was invalidated when: one number for each scope, whatever it holds.

A process keeps the numbers and asks again several times a second whether they have changed, so that look-ups
need no further trip; numbers that are not fresh are never used. Whoever invalidates waits for as long as
numbers are fresh: then no replica serves what was stored before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from time import monotonic
from typing import Any

import structlog
from redis.asyncio import Redis

from costsvc.core.errors import StoreUnavailable
from costsvc.core.namespace import LONGEST_TTL
from costsvc.core.response_key import Scope
from costsvc.store import keys
from costsvc.store.connection import Script, translated
from costsvc.store.presence import Presence

FRESH_S = 1.0
"""For how long the numbers are used after they were asked for."""

ASK_EVERY_S = 0.3
MOST_SCOPES = 10_000

_MILLISECOND = timedelta(milliseconds=1)
_KEPT_MS = (LONGEST_TTL + timedelta(days=1)) // _MILLISECOND
EVERYTHING = "*"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """The numbers at one moment. `version` is the newest; a scope that is not here was never invalidated."""

    version: int
    scopes: Mapping[str, int] = field(default_factory=dict)

    def scope(self, tenant: str, namespace: str) -> Scope:
        """Return where the answers of a tenant's namespace are to be found now."""
        invalidated = (EVERYTHING, scope_of(tenant), scope_of(tenant, namespace))
        epoch = max(self.scopes.get(name, 0) for name in invalidated)
        return Scope(tenant=tenant, namespace=namespace, epoch=epoch)

    def serves_near(self, scope: Scope) -> bool:
        """Tell whether near-identical answers were not switched off since the scope began."""
        return self.scopes.get(near_scope(scope.tenant, scope.namespace), -1) <= scope.epoch

    def spare(self, tenant: str, labels: Mapping[str, str], version: int) -> bool:
        """Tell whether none of the labels was invalidated after a version."""
        names = (label_scope(tenant, key, value) for key, value in labels.items())
        return all(self.scopes.get(name, 0) <= version for name in names)


def scope_of(tenant: str, namespace: str = "") -> str:
    """Return the name of a tenant's scope, or of one of its namespaces'."""
    return f"n:{tenant}:{namespace}" if namespace else f"t:{tenant}"


def label_scope(tenant: str, key: str, value: str) -> str:
    """Return the name of the scope of all answers that a tenant paid for under a label."""
    return f"l:{tenant}:{key}={value}"


def near_scope(tenant: str, namespace: str) -> str:
    """Return the name under which near-identical answers of a namespace are switched off."""
    return f"off:{tenant}:{namespace}"


class Epochs:
    """The numbers as this process knows them. `keep_asking` runs beside it, in a task of its own."""

    def __init__(self, client: Redis, presence: Presence | None = None) -> None:
        """Use a client; its `presence` is given where nobody else looks for its server."""
        self._client = client
        self._presence = presence
        self._read = Script.load("epochs")
        self._invalidate = Script.load("invalidate")
        self._numbers = Numbers(version=-1)
        self._fresh_until_s = 0.0
        self._is_said_away = False

    async def numbers(self) -> Numbers:
        """Return numbers that are fresh.

        Raises:
            StoreUnavailable: they are not, and the store cannot be asked.
        """
        if monotonic() >= self._fresh_until_s:
            await self.ask()
        return self._numbers

    async def ask(self) -> None:
        """Ask the store for the numbers.

        Raises:
            StoreUnavailable: nothing has changed.
        """
        asked_s = monotonic()
        async with translated():
            reply: list[Any] = await self._read.run(
                self._client, [keys.CACHE_EPOCHS], [self._numbers.version, _KEPT_MS]
            )
        if reply:
            scopes = {
                name.decode(): int(number) for name, number in zip(reply[::2], reply[1::2], strict=True)
            }
            self._numbers = Numbers(version=scopes.pop("version"), scopes=scopes)
        self._fresh_until_s = asked_s + FRESH_S

    async def invalidate(self, scope: str) -> None:
        """Give a scope a new number; when this returns, no replica uses the one before.

        Raises:
            StoreUnavailable: it may have happened or not; repeat it.
        """
        async with translated():
            await self._invalidate.run(self._client, [keys.CACHE_EPOCHS], [scope, _KEPT_MS, MOST_SCOPES])
        await asyncio.sleep(FRESH_S)
        await self.ask()

    async def look(self) -> None:
        """Ask for the numbers if somebody can be asked."""
        if self._presence is None:
            with suppress(StoreUnavailable):
                await self.ask()
        else:
            await self._look_after(self._presence)

    async def keep_asking(self) -> None:
        """Keep the numbers fresh, for as long as the process lives; say once when their own server goes."""
        while True:
            await self.look()
            await asyncio.sleep(ASK_EVERY_S)

    async def _look_after(self, presence: Presence) -> None:
        """Find a server that nobody else looks for, or take it for away."""
        try:
            with presence.searching():
                await self.ask()
        except StoreUnavailable as error:
            if presence.is_away:
                self._say_away(str(error))
        except Exception as error:  # noqa: BLE001 - such as rights that it took from us: nothing here may end this task
            problem = f"{type(error).__name__}: {error}"
            presence.lose(problem)
            self._say_away(problem)
        else:
            presence.find()
            if self._is_said_away:
                log.info("cache_back")
            self._is_said_away = False

    def _say_away(self, problem: str) -> None:
        if not self._is_said_away:
            log.warning("cache_away", problem=problem)
        self._is_said_away = True
