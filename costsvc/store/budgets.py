"""Definitions of budgets, and what each counts at the moment.

Definitions and money stand in different keys: a definition may change or go, and what was spent stays.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from urllib.parse import unquote

from redis.asyncio import Redis

from costsvc.core.budget import Application, Budget, Definitions, define
from costsvc.core.budget_json import read_budget, write_budget
from costsvc.core.holds import Balance
from costsvc.core.windows import Rolling, buckets_at, window_at
from costsvc.store import keys
from costsvc.store.connection import Script, ask, translated

MOST_BALANCES = 1_000
"""How many of a budget's instances are shown."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND, _SECOND = timedelta(microseconds=1), timedelta(seconds=1)
_DEFINITIONS = (keys.BUDGETS, keys.BUDGETS_SINCE, keys.BUDGETS_VERSION)
_AT_ONCE = 200
_READ_BUDGET_S = 1.0


class BudgetBook:
    """All definitions. Every change raises a version, by which a hold tells that its definitions are old."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._define = Script.load("define_budget")
        self._delete = Script.load("delete_budget")
        self._sweep = Script.load("sweep_windows")

    async def put(self, budget: Budget, *, created_at: datetime) -> None:
        """Define a budget, or define it anew; it is enforced from the next hold on, and its spend stays.

        `created_at` is now: it is kept of the first time. What it counts begins anew, from the ledger's sum,
        where its scope or window changes.

        Raises:
            StoreUnavailable: it may have happened or not; repeat it.
        """
        text = write_budget(budget)
        table = json.loads(text)
        shape = json.dumps([table["scope"], table["window"]], separators=(",", ":"))
        args: list[str | bytes | int] = [budget.id, text, (created_at - _EPOCH) // _MICROSECOND, shape]
        async with translated():
            await self._define.run(self._client, _DEFINITIONS, args)

    async def get(self, budget_id: str) -> Budget | None:
        """Return a definition, None where there is none of that id."""
        async with translated():
            text: bytes | None = await ask(self._client, "HGET", keys.BUDGETS, budget_id)
        return read_budget(text) if text is not None else None

    async def created_at(self, budget_id: str) -> datetime | None:
        """Return when a budget was first defined."""
        async with translated():
            text: bytes | None = await ask(self._client, "HGET", keys.BUDGETS_SINCE, budget_id)
        return _EPOCH + int(text.split(b" ")[1]) * _MICROSECOND if text is not None else None

    async def list(self) -> Sequence[Budget]:
        """Return all definitions, by id."""
        async with translated(_READ_BUDGET_S):
            texts: Mapping[bytes, bytes] = await ask(self._client, "HGETALL", keys.BUDGETS)
        return sorted((read_budget(text) for text in texts.values()), key=lambda budget: budget.id)

    async def delete(self, budget_id: str) -> bool:
        """Remove a definition; return whether there was one. What it counted goes with its windows."""
        async with translated():
            return bool(await self._delete.run(self._client, _DEFINITIONS, [budget_id]))

    async def version(self) -> int:
        """Return the version of the definitions, to tell whether those at hand are old."""
        async with translated():
            return int(await ask(self._client, "GET", keys.BUDGETS_VERSION) or 0)

    async def load(self) -> tuple[int, Definitions]:
        """Return all definitions with their version.

        Raises:
            UnreadableBudget: a newer version of costsvc wrote one; leaving it out could overspend it.
        """
        async with translated(_READ_BUDGET_S), self._client.pipeline(transaction=True) as pipeline:
            pipeline.get(keys.BUDGETS_VERSION)
            pipeline.hvals(keys.BUDGETS)
            version, texts = await pipeline.execute()
        budgets = sorted((read_budget(text) for text in texts), key=lambda budget: budget.id)
        return int(version or 0), define(budgets)

    async def balances(self, budget_id: str, at: datetime) -> Sequence[tuple[str, str, Balance]]:
        """Return instance, window key and balance in the windows around an instant, by instance.

        Only what has a balance is there: a budget that no call has met since has none. Of more than
        `MOST_BALANCES` instances, some are left out.
        """
        budget = await self.get(budget_id)
        if budget is None:
            return []
        window = window_at(budget.window, at)
        found: list[tuple[str, str, Balance]] = []
        async for members in self._members(budget, f"{window.key}:", at):
            async with translated(_READ_BUDGET_S), self._client.pipeline(transaction=False) as pipeline:
                for member in members:
                    pipeline.hgetall(keys.balance(budget_id, member))
                tables: list[dict[bytes, bytes]] = await pipeline.execute()
            found += [
                (unquote(member.split(":", 1)[1]), window.key, _balance(budget, table, at))
                for member, table in zip(members, tables, strict=True)
            ]
            if len(found) >= MOST_BALANCES:
                break
        return sorted(found[:MOST_BALANCES], key=lambda row: row[0])

    async def peek(self, applications: Sequence[Application], at: datetime) -> Sequence[Balance]:
        """Return what budgets count for a call that would begin at an instant, without holding anything.

        What no call has met yet counts nothing here, whatever the ledger has.

        Raises:
            StoreUnavailable: the store cannot be asked.
        """
        if not applications:
            return []
        async with translated(_READ_BUDGET_S), self._client.pipeline(transaction=False) as pipeline:
            for each in applications:
                member = keys.balance_member(each.window.key, each.instance)
                pipeline.hgetall(keys.balance(each.budget.id, member))
            tables: list[dict[bytes, bytes]] = await pipeline.execute()
        return [_balance(each.budget, table, at) for each, table in zip(applications, tables, strict=True)]

    async def sweep_windows(self, before: datetime, *, count: int = 1_000) -> int:
        """Remove the balances of windows that ended before an instant, `count` a step; return how many.

        It must lie further back than an attempt is remembered.
        """
        before_s = (before - _EPOCH) // _SECOND
        async with translated(_READ_BUDGET_S):
            budget_ids: set[bytes] = await ask(self._client, "SMEMBERS", keys.BUDGETS_COUNTED)
        removed = 0
        for budget_id in sorted(each.decode() for each in budget_ids):
            swept = count
            while swept == count:
                async with translated(_READ_BUDGET_S):
                    swept = await self._sweep.run(
                        self._client, [keys.balances(budget_id), keys.BALANCE], [budget_id, before_s, count]
                    )
                removed += swept
        return removed

    async def _members(self, budget: Budget, prefix: str, at: datetime) -> AsyncIterator[Sequence[str]]:
        """Yield the index's members of one window, some at a time."""
        at_s = (at - _EPOCH) // _SECOND
        first = 0
        while True:
            async with translated(_READ_BUDGET_S):
                rows: list[bytes] = await ask(
                    self._client,
                    *("ZRANGEBYSCORE", keys.balances(budget.id), f"({at_s}", "+inf"),
                    *("LIMIT", first, _AT_ONCE),
                )
            if not rows:
                return
            yield [member for row in rows if (member := row.decode()).startswith(prefix)]
            first += len(rows)


def _balance(budget: Budget, table: Mapping[bytes, bytes], at: datetime) -> Balance:
    """Read a balance; of a rolling window the buckets that count now, for its sums are of its last hold."""
    values = {name.decode(): int(table.get(name, 0)) for name in (b"spent", b"at_risk", b"q", b"w")}
    if isinstance(budget.window, Rolling):
        counted = buckets_at(budget.window, at).counted
        values["spent"] = sum(int(table.get(b"s%d" % number, 0)) for number in counted)
        values["at_risk"] = sum(int(table.get(b"r%d" % number, 0)) for number in counted)
    return Balance(
        spent_nano_usd=values["spent"],
        at_risk_nano_usd=values["at_risk"],
        sum_q_nano_usd=values["q"],
        sum_w_nano_usd=values["w"],
    )
