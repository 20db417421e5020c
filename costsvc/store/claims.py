"""Claims on request ids in the store: of all calls with one id, on any replica, one runs.

A claim belongs to a call, by its token, and lives as long as the lease of the call's process. What became of
it is remembered for a day: answered (with the answer itself for a shorter time), or lost where money may be
gone. A call that spent nothing leaves no trace. Everything may be repeated.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from redis.asyncio import Redis

from costsvc.core.errors import StoreUnavailable
from costsvc.store import keys
from costsvc.store.attempts import microseconds
from costsvc.store.connection import Script, translated
from costsvc.store.exchange import Exchange, Pending, ask_alone
from costsvc.store.leases import Lease, lease_end_ms, milliseconds

REMEMBERED = timedelta(hours=24)
"""How long after its last word a claim is known."""

LARGEST_ANSWER_BYTES = 64 * 1024
"""Larger answers are not kept: a repeat is told that it is answered, and what it cost."""

_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A call's claim on a request id; `token` stands for the call, `fingerprint` for what it asks."""

    tenant: str
    request_id: str
    fingerprint: str
    token: str

    @property
    def keys(self) -> list[str]:
        """The keys of the claim and of its answer."""
        return [
            keys.claim(self.tenant, self.request_id),
            keys.kept_answer(self.tenant, self.request_id),
        ]


@dataclass(frozen=True, slots=True)
class Claimed:
    """The call may run. `again` says that an earlier one may have spent."""

    again: bool


@dataclass(frozen=True, slots=True)
class Answered:
    """The id was answered; `answer` is empty where it is not kept, or not any more."""

    entry_id: str
    cost_nano_usd: int
    answer: bytes


class Standing(Enum):
    """Why a call may neither run nor be answered."""

    RUNNING = b"running"  # another call, whose process lives
    LOST = b"lost"  # an earlier call may have spent, and none may run again
    REUSED = b"reused"  # the id stands for another request


class Fate(Enum):
    """How a call ended."""

    ANSWERED = "answered"
    FREE = "free"  # without an answer, and it spent nothing
    LOST = "lost"  # without an answer, and it may have spent


@dataclass(frozen=True, slots=True)
class Ending:
    """How a call ended; where it was answered, as which entry, and what repeats get for how long."""

    fate: Fate
    entry_id: str = ""
    cost_nano_usd: int = 0
    answer: bytes = b""
    answer_ttl: timedelta = timedelta(0)


class Claims:
    """Claims of one process."""

    def __init__(self, client: Redis, lease: Lease) -> None:
        self._client = client
        self._lease = lease
        self._claim = Script.load("claim")
        self._end = Script.load("end_claim")

    def ask(
        self, exchange: Exchange, claim: Claim, *, now: datetime, not_after: datetime, repeats_lost: bool
    ) -> Pending[Claimed | Answered | Standing]:
        """Ask for a request id for a call that is about to run; if it is taken, the answer says by what.

        A claim whose process is gone counts as lost; `repeats_lost` says whether a lost call may run again.
        The server does nothing after `not_after`, by its own clock: then, as without an answer in time,
        the result is StoreUnavailable, and it may have happened or not.
        """
        args: list[str | bytes | int] = [
            claim.fingerprint,
            claim.token,
            self._lease.owner,
            lease_end_ms(now),
            milliseconds(now) if self._lease.judges(now) else "",
            microseconds(not_after),
            REMEMBERED // _MILLISECOND,
            int(repeats_lost),
        ]
        return exchange.run(self._client, self._claim, [*claim.keys, keys.LEASES], args, read=_read)

    async def claim(
        self, claim: Claim, *, now: datetime, not_after: datetime, repeats_lost: bool
    ) -> Claimed | Answered | Standing:
        """Ask for a request id, as `ask` does, in a trip of its own.

        Raises:
            StoreUnavailable: no answer in time, or too late; it may have happened or not, until `not_after`.
        """
        exchange = Exchange()
        asked = self.ask(exchange, claim, now=now, not_after=not_after, repeats_lost=repeats_lost)
        return await ask_alone(exchange, asked)

    async def end(self, claim: Claim, ending: Ending) -> bool:
        """End a claim; return False where it is another's by now, or answered.

        Raises:
            StoreUnavailable: it may have happened or not; repeat it.
        """
        args: list[str | bytes | int] = [
            claim.token,
            claim.fingerprint,
            ending.fate.value,
            REMEMBERED // _MILLISECOND,
            ending.entry_id,
            ending.cost_nano_usd,
            ending.answer if len(ending.answer) <= LARGEST_ANSWER_BYTES else b"",
            ending.answer_ttl // _MILLISECOND,
        ]
        async with translated():
            return bool(await self._end.run(self._client, claim.keys, args))


def _read(reply: list[Any]) -> Claimed | Answered | Standing:
    match reply:
        case [b"claimed", again]:
            return Claimed(again=bool(again))
        case [b"answered", entry_id, cost, answer]:
            return Answered(entry_id.decode(), int(cost), answer)
        case [b"late"]:
            raise StoreUnavailable("a claim came too late")
        case [standing]:
            return Standing(standing)
    raise AssertionError(reply)
