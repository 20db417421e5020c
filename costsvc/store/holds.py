"""Holds in the store: money that is reserved for an attempt before it is made, and what becomes of it.

An attempt is held, and then released, settled (by the ledger), or at risk until it is settled or resolved.
Everything is done once per attempt id, by scripts, so it may be repeated until it is known to have arrived.
A hold lives as long as the lease of its owner, the process that made it; afterwards any process turns it into
a risk. Reservations have an owner of their own for each second in which they may expire, whose lease ends
then: no process's death ends them early.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from redis.asyncio import Redis

from costsvc.core.budget import Application
from costsvc.core.errors import StoreUnavailable
from costsvc.core.holds import Hold
from costsvc.core.opening import Opening
from costsvc.store import keys
from costsvc.store.attempts import AtRisk, held_record, read_at_risk
from costsvc.store.connection import Script, ask, translated
from costsvc.store.hold_call import Held, Refused, Stale, Unseeded, hold_call, hold_reply, seed_call
from costsvc.store.leases import Lease, lease_end_ms, milliseconds
from costsvc.store.spent import Spent

OWNER_LOST, RESERVATION_EXPIRED = "owner_lost", "reservation_expired"

_SECOND = timedelta(seconds=1)
_RESERVED = "reserved."  # what an owner's name begins with that is no process
_SWEPT_AT_ONCE = 200
_READ_BUDGET_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskPage:
    """Some attempts at risk, and what to pass as `after` to read on; "" at the end."""

    rows: tuple[AtRisk, ...]
    after: str


class RiskSums(NamedTuple):
    """How many attempts are at risk, and their bounds added up."""

    attempt_count: int
    lower_nano_usd: int
    upper_nano_usd: int


class Holds:
    """Holds of one process. `owner` is the process's own name, another after every start."""

    def __init__(self, client: Redis, *, owner: str) -> None:
        self.lease = Lease(client, owner=owner)
        self._client = client
        self._owner = owner
        self._hold = Script.load("hold")
        self._seed = Script.load("seed")
        self._release = Script.load("release")
        self._lose = Script.load("lose")
        self._resolve = Script.load("resolve")
        self._retire = Script.load("retire")
        self._doubtful: dict[str, tuple[datetime, datetime]] = {}

    @property
    def doubtful_count(self) -> int:
        """How many holds may be in the store, or come there, for attempts that are not made."""
        return len(self._doubtful)

    async def hold(
        self,
        opening: Opening,
        applications: Sequence[Application],
        hold: Hold,
        *,
        version: int,
        now: datetime,
        not_after: datetime,
        until: datetime | None = None,
    ) -> Held | Refused | Stale | Unseeded:
        """Hold money on every budget that applies, or on none, and record the attempt.

        It is a reservation where `until`, a whole second, says when it ends.

        `version` is that of the definitions that `applications` came from. The server does nothing after
        `not_after`, by its own clock. A hold whose outcome is unknown is released by `renew`, unless it is
        repeated.

        Raises:
            StoreUnavailable: no answer in time, or too late; or the attempt has ended before.
        """
        outcome = await self._ask(
            opening, applications, hold, version=version, now=now, not_after=not_after, until=until
        )
        if isinstance(outcome, str):
            raise StoreUnavailable(f"hold of {opening.attempt_id}: {outcome}")
        return outcome

    async def hold_again(
        self,
        opening: Opening,
        applications: Sequence[Application],
        hold: Hold,
        *,
        now: datetime,
        not_after: datetime,
    ) -> bool:
        """Hold, whatever the limits, for an attempt under way; return False where it has ended before.

        So owners assert holds that a store has lost, or has not heard of.

        Raises:
            StoreUnavailable: no answer in time, or too late; repeat it.
        """
        outcome = await self._ask(opening, applications, hold, version=None, now=now, not_after=not_after)
        if outcome == "late":
            raise StoreUnavailable(f"hold of {opening.attempt_id}: {outcome}")
        return isinstance(outcome, Held)

    async def _ask(
        self,
        opening: Opening,
        applications: Sequence[Application],
        hold: Hold,
        *,
        version: int | None,
        now: datetime,
        not_after: datetime,
        until: datetime | None = None,
    ) -> Held | Refused | Stale | Unseeded | str:
        """Return the outcome, or the word of the script for none."""
        attempt_id = opening.attempt_id
        self._doubtful[attempt_id] = (opening.started_at, not_after)
        asked = hold_call(
            opening,
            applications,
            hold,
            owner=f"{_RESERVED}{milliseconds(until)}" if until else self._owner,
            version=version,
            lease_ms=milliseconds(until) if until else lease_end_ms(now),
            not_after=not_after,
        )
        async with translated():
            reply = await self._hold.run(self._client, *asked)
        self._doubtful.pop(attempt_id, None)
        return hold_reply(reply, applications) or str(reply[0].decode())

    async def seed(self, application: Application, spent: Spent, *, version: int) -> bool:
        """Give a balance what `Ledger.spent` found; return False where another was first, or a bill came in.

        So it is where the definitions have changed since `version`. Either way hold again, which says whether
        it is still to be seeded.

        Raises:
            StoreUnavailable: it may have happened or not.
        """
        async with translated():
            return bool(await self._seed.run(self._client, *seed_call(application, spent, version)))

    async def release(self, attempt_id: str, started_at: datetime) -> bool:
        """Free the hold of an attempt that spent nothing; return whether it was held.

        Raises:
            StoreUnavailable: it may have happened or not; repeat it.
        """
        day = keys.day_of(started_at)
        async with translated():
            return bool(
                await self._release.run(
                    self._client, [keys.attempts(day), keys.BALANCE, keys.HOLDS], [attempt_id, day]
                )
            )

    async def lose(
        self,
        attempt_id: str,
        started_at: datetime,
        *,
        lower_nano_usd: int = 0,
        upper_nano_usd: int | None = None,
        reason: str,
        unheld: tuple[Opening, Hold, Sequence[str]] | None = None,
    ) -> bool:
        """Turn a hold into a risk: its worst, or `upper_nano_usd`, counts until it is known what was spent.

        An attempt without a record, of a time when the store was away or of a store that lost its tail, is
        booked only with `unheld`: its opening, hold and charges. Returns whether it is at risk by this call.

        Raises:
            StoreUnavailable: it may have happened or not; repeat it.
        """
        record = held_record(self._owner, *unheld) if unheld else ""
        day = keys.day_of(started_at)
        upper = "" if upper_nano_usd is None else upper_nano_usd
        args: list[str | bytes | int] = [attempt_id, day, lower_nano_usd, reason, "", record, upper]
        async with translated():
            return bool(await self._lose.run(self._client, _lose_keys(day), args))

    async def resolve(self, attempt_id: str, started_at: datetime) -> bool:
        """End a risk as one that spent nothing; return whether this call ended it.

        One that spent is ended by an entry, which the ledger books.

        Raises:
            StoreUnavailable: it may have happened or not; repeat it.
        """
        day = keys.day_of(started_at)
        script_keys = [
            *(keys.attempts(day), keys.BALANCE, keys.AT_RISK, keys.AT_RISK_INDEX, keys.AT_RISK_SUMS),
            keys.DAYS,
        ]
        async with translated():
            return bool(await self._resolve.run(self._client, script_keys, [attempt_id, day]))

    async def renew(self, now: datetime) -> None:
        """Renew this process's lease: call it every few seconds. Also releases holds of unknown outcome.

        Raises:
            StoreUnavailable: the lease is as it was.
        """
        await self.lease.renew(now)
        for attempt_id, (started_at, not_after) in list(self._doubtful.items()):
            if not_after + _SECOND < now:
                await self.release(attempt_id, started_at)
                self._doubtful.pop(attempt_id, None)

    async def sweep(self, now: datetime) -> int:
        """Turn holds of owners whose lease ended into risks; return how many, at most some hundreds a call.

        Several processes may do it at once: each hold is lost once. None is lost while nobody can say who is
        gone.

        Raises:
            StoreUnavailable: some are done.
        """
        if not self.lease.judges(now):
            return 0
        now_ms, swept = milliseconds(now), 0
        async with translated():
            owners: list[bytes] = await ask(
                self._client, "ZRANGEBYSCORE", keys.LEASES, "-inf", now_ms, "LIMIT", 0, _SWEPT_AT_ONCE
            )
        for owner in (each.decode() for each in owners):
            async with translated(_READ_BUDGET_S):
                members: list[bytes] = await ask(
                    self._client, "SRANDMEMBER", keys.holds(owner), _SWEPT_AT_ONCE - swept
                )
            for member in members:
                day, attempt_id = member.decode().split(":", 1)
                swept += await self._sweep_one(owner, day, attempt_id, now)
            async with translated():
                await self._retire.run(self._client, [keys.LEASES, keys.holds(owner)], [owner, now_ms])
            if swept >= _SWEPT_AT_ONCE:
                break
        return swept

    async def at_risk(self, *, tenant: str = "", after: str = "", count: int = 100) -> RiskPage:
        """Return attempts at risk, of one tenant or of all, by tenant, oldest first."""
        first = f"({after}" if after else f"[{tenant}:" if tenant else "-"
        last = f"({tenant};" if tenant else "+"  # the character behind the colon
        async with translated(_READ_BUDGET_S):
            members: list[bytes] = await ask(
                self._client, "ZRANGEBYLEX", keys.AT_RISK_INDEX, first, last, "LIMIT", 0, count
            )
            ids = [member.split(b":", 2)[2] for member in members]
            found: list[bytes | None] = await ask(self._client, "HMGET", keys.AT_RISK, *ids) if ids else []
        rows = tuple(read_at_risk(record) for record in found if record is not None)
        return RiskPage(rows=rows, after=members[-1].decode() if len(members) == count else "")

    async def at_risk_sums(self, tenant: str) -> RiskSums:
        """Return what of a tenant is at risk."""
        fields = [f"{tenant}:{name}" for name in ("count", "lower", "upper")]
        async with translated():
            found: list[bytes | None] = await ask(self._client, "HMGET", keys.AT_RISK_SUMS, *fields)
        return RiskSums(*(int(value or 0) for value in found))

    async def _sweep_one(self, owner: str, day: str, attempt_id: str, now: datetime) -> bool:
        reason = RESERVATION_EXPIRED if owner.startswith(_RESERVED) else OWNER_LOST
        args: list[str | bytes | int] = [attempt_id, day, 0, reason, milliseconds(now), "", ""]
        async with translated():
            if await self._lose.run(self._client, _lose_keys(day), args):
                return True
            kept: bytes | None = await ask(self._client, "HGET", keys.attempts(day), attempt_id)
            if kept is None:  # forgotten with its day
                await ask(self._client, "SREM", keys.holds(owner), f"{day}:{attempt_id}")
        return False


def _lose_keys(day: str) -> list[str]:
    return [
        *(keys.attempts(day), keys.BALANCE, keys.HOLDS, keys.AT_RISK, keys.AT_RISK_INDEX, keys.AT_RISK_SUMS),
        *(keys.LEASES, keys.DAYS, keys.BUDGETS_COUNTED, keys.BALANCES, keys.ALERTS),
    ]
