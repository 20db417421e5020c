"""Stored answers to near-identical questions, and what was said of them.

Pairs of questions that are not the same after all are remembered whatever is invalidated.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import timedelta

from redis.asyncio import Redis

from costsvc.core.namespace import LONGEST_TTL
from costsvc.core.response_key import Scope
from costsvc.store import keys, response_codec
from costsvc.store.connection import ask, translated
from costsvc.store.exchange import Exchange, Pending
from costsvc.store.response_codec import StoredAnswer

_MILLISECOND = timedelta(milliseconds=1)
_KEPT_MS = LONGEST_TTL // _MILLISECOND


@dataclass(frozen=True, slots=True)
class NearPlace:
    """Where the answer to near-identical questions is kept."""

    scope: Scope
    fingerprint: str

    @property
    def answer(self) -> str:
        """The key of the answer."""
        return keys.near_answer(self.scope.prefix, self.fingerprint)

    @property
    def blocked(self) -> str:
        """The key of the pairs that are not the same."""
        return keys.blocked_pairs(self.scope.tenant, self.scope.namespace, self.fingerprint)


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """How often near-identical answers of a scope were served, and how often that was a mistake."""

    served_count: int
    mistake_count: int


def _verified(data: bytes, place: NearPlace) -> StoredAnswer | None:
    """Return an answer that says itself that it belongs here."""
    try:
        answer = response_codec.decode(data)
    except ValueError:
        return None
    is_here = (answer.tenant, answer.fingerprint) == (place.scope.tenant, place.fingerprint)
    return answer if is_here else None


def _pairs(members: list[bytes]) -> Collection[str]:
    return {member.decode() for member in members}


class NearAnswers:
    """The answers to near-identical questions of all tenants."""

    def __init__(self, client: Redis) -> None:
        self._client = client

    def ask(self, exchange: Exchange, place: NearPlace) -> Pending[StoredAnswer | None]:
        """Ask for the stored answer."""

        def read(data: bytes | None) -> StoredAnswer | None:
            return None if data is None else _verified(data, place)

        return exchange.ask(self._client, "GET", place.answer, read=read)

    def ask_blocked(self, exchange: Exchange, place: NearPlace) -> Pending[Collection[str]]:
        """Ask for the pairs of questions that were said not to be the same: those of one place are few."""
        return exchange.ask(self._client, "SMEMBERS", place.blocked, read=_pairs)

    async def keep(self, place: NearPlace, answer: StoredAnswer, *, ttl: timedelta) -> None:
        """Store an answer for near-identical questions, in the place of the one before.

        Raises:
            StoreUnavailable: it may have happened or not; repeat it.
        """
        data = response_codec.encode(replace(answer, fingerprint=place.fingerprint))
        async with translated():
            await ask(self._client, "SET", place.answer, data, "PX", max(ttl // _MILLISECOND, 1))

    async def evict(self, place: NearPlace) -> None:
        """Remove the answer.

        Raises:
            StoreUnavailable: it may have happened or not; repeat it.
        """
        async with translated():
            await ask(self._client, "UNLINK", place.answer)

    async def block(self, place: NearPlace, pair: str) -> None:
        """Remove the answer, and never again take the two questions for the same.

        Raises:
            StoreUnavailable: some may have happened; repeat it.
        """
        async with translated():
            await ask(self._client, "SADD", place.blocked, pair)
            await ask(self._client, "PEXPIRE", place.blocked, _KEPT_MS)
            await ask(self._client, "UNLINK", place.answer)

    async def count(self, scope: Scope, what: str) -> Audit:
        """Count an answer that was `served`, a reported one of the `mistakes`, or what a comparison showed.

        Raises:
            StoreUnavailable: it may be counted or not.
        """
        key = keys.near_audit(scope.prefix)
        async with translated():
            await ask(self._client, "HINCRBY", key, what, 1)
            await ask(self._client, "PEXPIRE", key, _KEPT_MS)
            served, mistakes = await ask(self._client, "HMGET", key, "served", "mistakes")
        return Audit(served_count=int(served or 0), mistake_count=int(mistakes or 0))
