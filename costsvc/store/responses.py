"""Stored answers, and who asks the provider for one that is missing.

An answer lies under the tenant, the namespace, the epoch and the fingerprint of what was asked, and says
itself whose it is and what it answers: what does not match is never served. Everything has a time to live. Of
all callers on all replicas that miss the same answer one leads, by a token, for a short time that it renews.
"""

from __future__ import annotations

import random
import secrets
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import Any

import structlog
from redis.asyncio import Redis

from costsvc.core.response_key import Scope
from costsvc.store import keys, response_codec
from costsvc.store.connection import Script, ask, translated
from costsvc.store.exchange import Exchange, Pending, ask_alone
from costsvc.store.response_codec import StoredAnswer

LEAD = timedelta(seconds=3)
"""How long a leader leads without renewing: a dead one holds up the others for that long."""

_MILLISECOND = timedelta(milliseconds=1)
_JITTER = 0.1
_SECRET_BYTES = 32
_START_BUDGET_S = 5.0  # no call waits for it

log = structlog.get_logger()


async def cache_secret(client: Redis) -> bytes:
    """Return the secret of all replicas, which the first of them creates.

    Raises:
        StoreUnavailable: no answer in time.
    """
    fresh = secrets.token_hex(_SECRET_BYTES)
    async with translated(_START_BUDGET_S):
        found: Any = await client.set(keys.CACHE_SECRET, fresh, nx=True, get=True)
    return found or fresh.encode()


class Turn(Enum):
    """What a caller without an answer is to do."""

    LEAD = b"lead"
    FOLLOW = b"follow"
    NONE = b"none"  # nobody leads, and the caller did not ask to


@dataclass(frozen=True, slots=True)
class Place:
    """Where the answer to a question is kept."""

    scope: Scope
    fingerprint: str

    @property
    def answer(self) -> str:
        """The key of the answer."""
        return keys.stored_answer(self.scope.prefix, self.fingerprint)

    @property
    def lead(self) -> str:
        """The key of who leads."""
        return keys.answer_lead(self.scope.prefix, self.fingerprint)


class Responses:
    """The stored answers of all tenants."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._look_up = Script.load("look_up")
        self._lead_on = Script.load("lead_on")
        self._keep = Script.load("keep_answer")

    def ask(
        self, exchange: Exchange, place: Place, *, token: str = ""
    ) -> Pending[StoredAnswer | Turn | None]:
        """Ask for the stored answer, or else whose turn it is to ask the provider for one.

        `token` stands for the caller, who leads where nobody does; without it, it does not. None is for an
        answer that cannot be served: then see `take_turn`. Without a result, the caller may lead or not.
        """

        def read(reply: list[Any]) -> StoredAnswer | Turn | None:
            return self._verified(reply[1], place) if reply[0] == b"found" else Turn(reply[0])

        args: list[str | bytes | int] = [token, LEAD // _MILLISECOND, 0]
        return exchange.run(self._client, self._look_up, [place.answer, place.lead], args, read=read)

    async def look_up(self, place: Place, *, token: str = "") -> StoredAnswer | Turn:
        """Return the stored answer, or else whose turn it is, as `ask` does, in a trip of its own.

        Raises:
            StoreUnavailable: no answer in time; the caller may lead or not.
        """
        exchange = Exchange()
        found = await ask_alone(exchange, self.ask(exchange, place, token=token))
        return found or await self.take_turn(place, token)

    async def take_turn(self, place: Place, token: str) -> Turn:
        """Return whose turn it is to ask for an answer where the stored one will not do.

        Raises:
            StoreUnavailable: no answer in time; the caller may lead or not.
        """
        async with translated():
            reply = await self._look_up.run(
                self._client, [place.answer, place.lead], [token, LEAD // _MILLISECOND, 1]
            )
        return Turn(reply[0])

    async def read(self, place: Place) -> StoredAnswer | None:
        """Return the stored answer, and lead in no case.

        Raises:
            StoreUnavailable: no answer in time.
        """
        async with translated():
            data: bytes | None = await ask(self._client, "GET", place.answer)
        return None if data is None else self._verified(data, place)

    async def keep(self, place: Place, answer: StoredAnswer, *, ttl: timedelta, token: str) -> None:
        """Store an answer for at most `ttl`, and give up the lead.

        Raises:
            StoreUnavailable: it may have happened or not; repeat it.
        """
        ttl_ms = max(round(ttl / _MILLISECOND * random.uniform(1 - _JITTER, 1)), 1)  # noqa: S311 - no secret
        async with translated():
            await self._keep.run(
                self._client, [place.answer, place.lead], [token, response_codec.encode(answer), ttl_ms]
            )

    async def lead_on(self, place: Place, token: str) -> bool:
        """Renew the lead; return False where another leads by now.

        Raises:
            StoreUnavailable: it may be renewed or not.
        """
        async with translated():
            return bool(await self._lead_on.run(self._client, [place.lead], [token, LEAD // _MILLISECOND]))

    async def give_up(self, place: Place, token: str) -> None:
        """Let another lead.

        Raises:
            StoreUnavailable: it may have happened or not; the lead ends by itself.
        """
        async with translated():
            await self._lead_on.run(self._client, [place.lead], [token, 0])

    async def evict(self, place: Place) -> bool:
        """Remove an answer; return whether there was one.

        Raises:
            StoreUnavailable: it may have happened or not; repeat it.
        """
        async with translated():
            return bool(await ask(self._client, "UNLINK", place.answer))

    def _verified(self, data: bytes, place: Place) -> StoredAnswer | None:
        """Return an answer that says itself that it belongs here."""
        try:
            answer = response_codec.decode(data)
        except ValueError:
            log.exception("stored_answer_unreadable", namespace=place.scope.namespace)
            return None
        if (answer.tenant, answer.fingerprint) != (place.scope.tenant, place.fingerprint):
            log.error("stored_answer_of_another", tenant=place.scope.tenant, namespace=place.scope.namespace)
            return None
        return answer
