"""One run: a crowd of callers, some trouble, silence, and then the books."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from redis.asyncio import Redis

from costsvc import v1
from costsvc.config import load_catalog_files
from costsvc.core.entry import Entry
from costsvc.store import keys
from costsvc.store.audit import audit
from costsvc.store.connection import ask, open_store
from costsvc.store.ledger import Ledger
from tests.faults.judge import Books, problems_of
from tests.faults.load import PATIENCE_S, Load, Outcome
from tests.faults.processes import Provider, log_lines, until
from tests.faults.stores import Store
from tests.faults.trouble import Fleet, Trouble, fleet_of, make_trouble

LATENCY = ("--first-byte-ms", "25", "--ms-per-token", "0.25")
QUIET_S = 40.0
_CENT = 10_000_000
_AGREE_S = 60.0
_SETTLED_PAGE = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """How much is done. The seed decides everything that is left to chance."""

    seed: int
    call_count: int
    server_count: int
    trouble: Trouble
    at_once: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What was done and seen, and what is wrong: nothing, or sentences, each with the story behind it."""

    done: list[str]
    outcomes: list[Outcome]
    books: Books
    problems: list[str]

    def codes(self) -> Counter[str]:
        """Count the outcomes of calls."""
        return Counter(f"{each.code} {each.reason}".strip() for each in self.outcomes)


def budgets(call_count: int) -> list[v1.Budget]:
    """Return budgets of every kind; the hard ones are too small for all the calls that they apply to."""
    month = v1.BudgetWindow(calendar=v1.CalendarWindow(unit=v1.CALENDAR_UNIT_MONTH, zone="Europe/Berlin"))
    hour = v1.BudgetWindow()
    hour.duration.FromTimedelta(timedelta(hours=1))
    per_call = call_count * _CENT // 100

    def of(kind: v1.BudgetKind, key: str = "", value: str = "") -> v1.BudgetScope:
        return v1.BudgetScope(kind=kind, key=key, value=value)

    hard, soft, shadow = v1.BUDGET_MODE_HARD, v1.BUDGET_MODE_SOFT, v1.BUDGET_MODE_SHADOW
    tenant = v1.BUDGET_KIND_TENANT
    return [
        v1.Budget(
            id="strict", scope=of(tenant, value="strict"), mode=hard, strict=True,
            window=month, limit_nano_usd=per_call,
        ),
        v1.Budget(
            id="hard", scope=of(tenant, value="hard"), mode=hard, overshoot_permille=200,
            window=month, limit_nano_usd=per_call,
        ),
        v1.Budget(
            id="hour", scope=of(tenant, value="hard"), mode=hard,
            window=hour, limit_nano_usd=100 * per_call,
        ),
        v1.Budget(
            id="team", scope=of(v1.BUDGET_KIND_EACH_LABEL, "team"), mode=soft, cap_tier=v1.TIER_SIMPLE,
            window=hour, limit_nano_usd=per_call,
        ),
        v1.Budget(
            id="everyone", scope=of(v1.BUDGET_KIND_EACH_TENANT), mode=soft,
            window=month, limit_nano_usd=2 * per_call,
        ),
        v1.Budget(
            id="all", scope=of(v1.BUDGET_KIND_EVERYTHING), mode=shadow,
            window=month, limit_nano_usd=per_call,
        ),
    ]  # fmt: skip


async def play(scenario: Scenario, path: Path) -> Verdict:
    """Run a scenario in a directory, which keeps every log, and judge."""
    dice = Random(scenario.seed)
    async with (
        Provider(path / "provider.log", *LATENCY) as provider,
        Store(path) as store,
        fleet_of(scenario.server_count, path, provider, store) as fleet,
    ):
        admin = v1.AdminServiceStub(fleet.servers()[0].channel)
        for budget in budgets(scenario.call_count):
            await admin.SetBudget(v1.SetBudgetRequest(budget=budget))
        load = Load(provider, fleet.servers, scenario.seed)
        async with asyncio.TaskGroup() as group:
            group.create_task(load.run(scenario.call_count, scenario.at_once))
            trouble = group.create_task(
                make_trouble(scenario.trouble, load, scenario.call_count, fleet, store, dice)
            )
        await asyncio.sleep(PATIENCE_S)  # what was begun for callers who left ends with their deadlines
        problems = await silence(fleet, store)
        books, found = await agreement(provider, fleet, store)
        problems += found
        if not problems:
            await resolve(fleet, books)
            _, found = await agreement(provider, fleet, store, resolved=True)
            problems += [f"after resolution: {problem}" for problem in found]
        stories = [story(problem, load.outcomes, books, fleet) for problem in problems[:10]]
    return Verdict(
        done=trouble.result(), outcomes=load.outcomes, books=books, problems=[*problems[10:], *stories]
    )


async def silence(fleet: Fleet, store: Store) -> list[str]:
    """Wait until nothing is left to be done: no hold, no settlement that waits. Return what does not end."""
    async with open_store(store.url, connect_timeout_s=5) as client:

        async def is_quiet() -> bool:
            held = [key async for key in client.scan_iter(match=f"{keys.HOLDS}*")]
            waiting = [await server.metric("costsvc_pending_settlements") for server in fleet.servers()]
            ready = [await server.is_ready() for server in fleet.servers()]
            return not held and not any(waiting) and all(ready)

        try:
            await until(is_quiet, QUIET_S)
        except TimeoutError:
            held = [
                f"{attempt.decode()}: still held"
                async for key in client.scan_iter(match=f"{keys.HOLDS}*")
                for attempt in await ask(client, "SMEMBERS", key)
            ]
            return held or ["no hold, and yet no silence"]
    return []


async def agreement(
    provider: Provider, fleet: Fleet, store: Store, *, resolved: bool = False
) -> tuple[Books, list[str]]:
    """Return the books, once nothing is wrong with them, or after a while what is."""
    books, problems = Books(lines=(), entries=(), risks=(), budgets=()), ["not read"]

    async def is_agreed() -> bool:
        nonlocal books, problems
        books = await read_books(provider, fleet, store)
        problems = problems_of(books) + await audited(store)
        if resolved:
            problems += [f"{risk.attempt_id}: still at risk" for risk in books.risks]
        return not problems

    with suppress(TimeoutError):
        await until(is_agreed, _AGREE_S)
    return books, problems


async def audited(store: Store) -> list[str]:
    """Return what the service's own audit finds."""
    async with open_store(store.url, connect_timeout_s=5) as client:
        found = await audit(client, load_catalog_files(), owner="judge")
    return [
        f"{each.where}: {each.kind.name} {each.what} {each.kept}, not {each.expected}"
        for each in found.findings
    ]


async def read_books(provider: Provider, fleet: Fleet, store: Store) -> Books:
    """Read everything that there is about money."""
    admin = v1.AdminServiceStub(fleet.servers()[0].channel)
    async with open_store(store.url, connect_timeout_s=5) as client:
        entries = [entry async for entry in _entries(client)]
    risks, request = [], v1.ListAtRiskRequest(page_size=1_000)
    while True:
        page = await admin.ListAtRisk(request)
        risks += page.attempts
        request.page_token = page.next_page_token
        if not page.next_page_token:
            break
    definitions = (await admin.ListBudgets(v1.ListBudgetsRequest())).budgets
    found = [
        (await admin.GetBudget(v1.GetBudgetRequest(id=budget.id, page_size=1_000))).status
        for budget in definitions
    ]
    return Books(lines=await provider.bill(), entries=entries, risks=risks, budgets=found)


async def _entries(client: Redis) -> AsyncIterator[Entry]:
    """Yield every entry of the last hours."""
    ledger, now = Ledger(client), datetime.now(UTC)
    for hour in (now - timedelta(hours=1), now):
        page = await ledger.entries(hour, count=_SETTLED_PAGE)
        while page.entries:
            for entry in page.entries:
                yield entry
            page = await ledger.entries(hour, after=page.after, count=_SETTLED_PAGE)


async def resolve(fleet: Fleet, books: Books) -> None:
    """End every risk by what the bill says."""
    admin = v1.AdminServiceStub(fleet.servers()[-1].channel)
    lines = {line["attempt"]: line for line in books.lines}
    for risk in books.risks:
        line = lines.get(risk.attempt_id)
        request = v1.ResolveAtRiskRequest(attempt_id=risk.attempt_id)
        if line is None or line["pico_usd"] == "0":
            request.not_spent = True
        else:
            usage = json.dumps(usage_of(line)).encode()
            request.usage.CopyFrom(v1.AttemptUsage(model=line["model"], usage_json=usage))
        await admin.ResolveAtRisk(request)


def usage_of(line: Mapping[str, Any]) -> dict[str, Any]:
    """Return the usage object that the provider would have answered with, from a line of its bill."""
    used = line["usage"]
    short, long = used["cache_creation_5m_input_tokens"], used["cache_creation_1h_input_tokens"]
    return {
        "input_tokens": used["input_tokens"],
        "cache_creation_input_tokens": short + long,
        "cache_read_input_tokens": used["cache_read_input_tokens"],
        "cache_creation": {"ephemeral_5m_input_tokens": short, "ephemeral_1h_input_tokens": long},
        "output_tokens": used["output_tokens"],
        "service_tier": "standard",
        "inference_geo": line["inference_geo"],
    }


def story(problem: str, outcomes: Sequence[Outcome], books: Books, fleet: Fleet) -> str:
    """Return a problem with all that is known about its attempt: bill, books, caller and logs."""
    attempt = problem.removeprefix("after resolution: ").split(": ")[0].split(":")[-1]
    told = [f"bill: {line}" for line in books.lines if line["attempt"] == attempt]
    entries = [entry for entry in books.entries if entry.attempt_id == attempt]
    risks = [risk for risk in books.risks if risk.attempt_id == attempt]
    told += [f"entry: {entry}" for entry in entries] + [f"at risk: {risk}" for risk in risks]
    calls = {owner.labels.get("call") for owner in (*entries, *risks)}
    response_id = attempt.rpartition(".")[0] or attempt
    told += [
        f"caller: {each}"
        for each in outcomes
        if str(each.call.number) in calls or each.response_id == response_id
    ]
    told += [
        f"{log.name}: {line}"
        for log in fleet.logs()
        for line in log_lines(log)
        if response_id in json.dumps(line)
    ]
    return "\n    ".join([problem, *told])
