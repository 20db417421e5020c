"""The ledger in the store: entries in the order of their settlement, and the sums that reports read.

An entry is appended and added to its rollup cells by one script, once per attempt id, so a settlement may be
repeated until it is known to have arrived. Hours and days are those of the attempt's start in UTC: they do
not depend on when, or how often, a settlement arrives.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from redis.asyncio import Redis

from costsvc.core.budget import Application
from costsvc.core.entry import CORRECTED, RESOLVED, REVERSED, Entry
from costsvc.store import entry_codec, keys
from costsvc.store.connection import Script, ask, translated
from costsvc.store.many import run_all
from costsvc.store.presence import STORE_BUDGET_S
from costsvc.store.rollups import Rollups, pack
from costsvc.store.spent import Spent, read_spent

REMEMBERED_DAYS = 7
"""For how many days before today a recorded request is looked for, and an attempt has to be remembered."""
DISTINCT_VALUES = 1_000
"""How many values of one label key (or of the task) a tenant has in a day; the rest count as `_other`."""

_KINDS = {RESOLVED: "resolution", CORRECTED: "difference", REVERSED: "reversal"}
_READ_BUDGET_S = 1.0  # of one round trip of a report or a sweep, which no call waits for


@dataclass(frozen=True, slots=True)
class Settled:
    """Where a settlement ended: in a new entry, or in the one that was there before."""

    entry_id: str
    duplicate: bool


@dataclass(frozen=True, slots=True)
class Resolved:
    """People resolved the attempt's cost, as `entry`, before its bill came: `core.entry.correction`."""

    entry: Entry


@dataclass(frozen=True, slots=True)
class Outdated:
    """The definitions of budgets have changed: see what the entry counts against, and settle again."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some entries of an hour, and what to pass as `after` to read on; the hour may still grow."""

    entries: tuple[Entry, ...]
    after: str


class Ledger:
    """Entries and rollups of all tenants."""

    def __init__(self, client: Redis) -> None:
        self.rollups = Rollups(client)
        self._client = client
        self._settle = Script.load("settle")

    async def store_id(self) -> str:
        """Return what is another when another server answers, or the same one after a restart.

        Raises:
            StoreUnavailable: no answer in time.
        """
        async with translated():
            info: Mapping[str, Any] = await ask(self._client, "INFO", "server", "replication")
        return f"{info.get('run_id')}:{info.get('master_replid')}"

    async def settle(
        self,
        entry: Entry,
        *,
        label_keys: Collection[str],
        once_per: str = "",
        encoded: bytes = b"",
        version: int | None = None,
    ) -> Settled | Resolved | Outdated:
        """Append the entry and add it to its rollups and budgets, unless its attempt is settled already.

        It ends the hold or the risk of its attempt, where the store knows one; the cost counts in the
        balances that were held and in those that the entry names, once each. `version` is that of the
        definitions by which the entry names them, None for any.

        A bill that finds the attempt resolved changes nothing: settle the `correction` instead, and after one
        that takes the resolution back the bill again. A resolution needs a risk to end; without one it is a
        duplicate, as is a correction whose resolution is amended already.

        With `once_per`, a request id, also unless that request of the tenant was recorded on the day
        of the settlement, the `REMEMBERED_DAYS` before it, or the day after. Repeating it is
        safe. `encoded` is what `entry_codec.encode` made of the entry, where that is at hand.

        Raises:
            StoreUnavailable: it may have happened or not; repeat it.
        """
        script_keys, args = _settle_call(entry, label_keys, once_per, encoded, version)
        async with translated():
            reply = await self._settle.run(self._client, script_keys, args)
        return _outcome(entry, reply)

    async def settle_all(
        self,
        entries: Sequence[Entry],
        *,
        label_keys: Collection[str],
        version: int | None = None,
        budget_s: float = STORE_BUDGET_S,
    ) -> list[Settled | Resolved | Outdated]:
        """Settle entries in one trip, each by itself; safe to repeat like `settle`.

        Raises:
            StoreUnavailable: some are booked.
        """
        calls = [_settle_call(entry, label_keys, "", b"", version) for entry in entries]
        async with translated(budget_s):
            replies = await run_all(self._client, self._settle, calls)
        return [_outcome(entry, reply) for entry, reply in zip(entries, replies, strict=True)]

    async def spent(self, application: Application, until: datetime) -> Spent:
        """Return what the entries of an application's window up to an instant add up to, for `Holds.seed`.

        It reads rollups: of a label that reports do not have, only what began with the window's first,
        incomplete hour is found.
        """
        return await read_spent(self, self._client, application, until)

    async def entries(self, hour: datetime, *, after: str = "", count: int = 500) -> Page:
        """Return up to `count` entries of the UTC hour that contains `hour`, from where `after` ended."""
        first = int(after or 0)
        async with translated(_READ_BUDGET_S):
            rows: list[bytes] = await ask(
                self._client, "LRANGE", keys.entries(keys.hour_of(hour)), first, first + count - 1
            )
        return Page(tuple(entry_codec.decode(row) for row in rows), str(first + len(rows)))

    async def entry_by_attempt(self, attempt_id: str, day: datetime) -> Entry | None:
        """Return the last entry of an attempt that started on the UTC day of `day`, while it is kept."""
        async with translated():
            record: bytes | None = await ask(
                self._client, "HGET", keys.attempts(keys.day_of(day)), attempt_id
            )
            place = place_of(record)
            if not place:  # held, at risk, or known not to have spent
                return None
            hour, index, _ = place.split(":", 2)
            row: bytes | None = await ask(self._client, "LINDEX", keys.entries(hour), index)
        return entry_codec.decode(row) if row is not None else None

    async def tenants(self) -> list[str]:
        """Return every tenant that has an entry, sorted."""
        async with translated(_READ_BUDGET_S):
            members: Collection[bytes] = await ask(self._client, "SMEMBERS", keys.TENANTS)
        return sorted(member.decode() for member in members)

    async def forget_attempts(self, before_day: date) -> int:
        """Remove what was remembered of the UTC days before `before_day`; return how many days that were.

        Entries and rollups stay. An attempt that is settled again after this counts again.
        """
        async with translated(_READ_BUDGET_S):
            members: Collection[bytes] = await ask(self._client, "SMEMBERS", keys.DAYS)
        past = [day for member in members if (day := member.decode()) < before_day.strftime("%Y%m%d")]
        for day in past:
            async with translated(_READ_BUDGET_S):
                await ask(self._client, "UNLINK", *keys.of_day(day))
                await ask(self._client, "SREM", keys.DAYS, day)
        return len(past)


def _outcome(entry: Entry, reply: Any) -> Settled | Resolved | Outdated:
    match reply:
        case bytes():
            return Settled(reply.decode().split(":", 2)[2] if reply else "", duplicate=True)
        case [b"stale"]:
            return Outdated()
        case [b"resolved", row]:
            return Resolved(entry_codec.decode(row))
    return Settled(entry.entry_id, duplicate=False)


def place_of(record: bytes | None) -> str:
    """Return where the entry of an attempt is, `<hour>:<index>:<entry id>`, by its record; "" without one."""
    if record is None:
        return ""
    if record.startswith(b"p\n"):
        return record.split(b"\n", 2)[1].decode()
    return record.decode() if record[:1].isdigit() else ""


def _settle_call(
    entry: Entry, label_keys: Collection[str], once_per: str, encoded: bytes, version: int | None
) -> tuple[list[str], list[str | bytes | int]]:
    """Return keys and arguments of `settle.lua`."""
    hour = keys.hour_of(entry.started_at)
    day = hour[:8]
    script_keys = _settle_keys(entry.tenant, hour)
    settled_on, request = "", ""
    if once_per:
        days = [keys.day_of(at) for at in _remembered(entry.settled_at)]
        script_keys += [keys.requests(day) for day in days]
        settled_on, request = days[0], keys.request_field(entry.tenant, once_per)
    uncapped, capped = fields_of(entry, label_keys)
    args: list[str | bytes | int] = [
        entry.attempt_id,
        entry.entry_id,
        entry_codec.counted(
            encoded or entry_codec.encode(entry), [key for key in entry.labels if key in label_keys]
        ),
        pack(entry.measures()),
        entry.tenant,
        hour,
        day,
        settled_on,
        request,
        DISTINCT_VALUES,
        len(uncapped),
        entry.cost_nano_usd,
        len(entry.charges),
        _KINDS.get(entry.state, "bill"),
        "" if version is None else version,
        *entry.charges,
        *uncapped,
        *capped,
    ]
    return script_keys, args


def _settle_keys(tenant: str, hour: str) -> list[str]:
    day = hour[:8]
    return [
        keys.attempts(day),
        keys.entries(hour),
        keys.rollups(tenant),
        keys.values(day),
        keys.TENANTS,
        keys.HOURS,
        keys.DAYS,
        keys.BALANCE,
        keys.HOLDS,
        keys.AT_RISK,
        keys.AT_RISK_INDEX,
        keys.AT_RISK_SUMS,
        keys.BUDGETS_COUNTED,
        keys.BALANCES,
        keys.ALERTS,
        keys.BUDGETS_VERSION,
    ]


def fields_of(entry: Entry, label_keys: Collection[str]) -> tuple[list[str], list[str]]:
    """Return the cells that an entry belongs to: of dimensions with few values, and of capped ones."""
    uncapped = [f"model={entry.answering_model}", f"tier={entry.tier}"]
    capped = [f"label:{key}={value}" for key, value in entry.labels.items() if key in label_keys]
    if entry.task:
        capped.append(f"task={entry.task}")
    return uncapped, capped


def _remembered(today: datetime) -> list[datetime]:
    """Return today, then the other days to look at; also tomorrow, where a replica's clock may be already."""
    return [today + timedelta(days=days) for days in (0, 1, *range(-1, -REMEMBERED_DAYS - 1, -1))]
