"""Tests of sealing: entries leave the store once, whatever is interrupted, and no sum changes."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from redis.asyncio import Redis

from costsvc.app.report import Granularity, GroupBy, Query, Reporter
from costsvc.config import load_catalog_files
from costsvc.core.budget import Kind, Scope
from costsvc.core.entry import Entry
from costsvc.core.errors import InvalidRequest
from costsvc.core.windows import Calendar, Rolling, Unit
from costsvc.store import keys, sealing
from costsvc.store.archive import Archive, read_archive
from costsvc.store.audit import Audit, audit
from costsvc.store.charges import charge_of
from costsvc.store.job_lease import JobLease
from costsvc.store.sealing import Sealing
from tests.store.money import AT, POLICY_IN_FORCE, Bench, amounts, budget, entry, opening

CATALOG = load_catalog_files()
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NOW = AT + 30 * DAY
CUTOFF = AT + DAY  # the day of AT and those before it are sealed
LABELS = frozenset({"team"})


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make an hour several files, without pauses."""
    monkeypatch.setattr(sealing, "AT_ONCE", 7)
    monkeypatch.setattr(sealing, "_PAUSE_S", 0)


@pytest.fixture
async def bench(store: Redis) -> Bench:
    """Give a store with entries of four days, two of them to be sealed, and with long budgets."""
    bench, random = Bench(store), Random(5)
    await bench.define(
        budget("month", limit_nano_usd=10**9, window=Calendar(Unit.MONTH)),
        budget("rolling", limit_nano_usd=10**9, window=Rolling(60 * DAY)),
        budget("tenants", limit_nano_usd=10**9, scope=Scope(Kind.EACH_TENANT)),
    )
    for number in range(100):
        await spend(bench, random, number)
    return bench


async def spend(bench: Bench, random: Random, number: int) -> Entry:
    """Make one call, in one of a few hours, so that these have many entries."""
    attempt = opening(
        f"a{number}",
        tenant=random.choice(["acme", "b"]),
        task=random.choice(["", "faq", "chat"]),
        labels={"team": random.choice("xyz")},
        started_at=AT + random.choice([-20, -19, -2, 0, 20, 44]) * HOUR,
    )
    await bench.hold(attempt, amounts(50, 90))
    charges = tuple(charge_of(each) for each in bench.applications(attempt))
    settled = entry(attempt, random.randrange(1, 80), charges=charges, answering_model=random.choice("sml"))
    await bench.ledger.settle(settled, label_keys=LABELS)
    return settled


def sealer(store: Redis, path: Path, owner: str = "one") -> Sealing:
    """Return what seals into a directory."""
    return Sealing(store, Archive(path), JobLease(store, owner, keys.SEALING))


async def seal(store: Redis, path: Path, owner: str = "one", *, now: datetime = NOW) -> int:
    """Seal what is older than the cutoff."""
    return await sealer(store, path, owner).seal_before(CUTOFF, now=now)


async def live(store: Redis) -> list[Entry]:
    """Return the entries in the store."""
    bench, found = Bench(store), []
    for hours in range(-48, 72):
        found += (await bench.ledger.entries(AT + hours * HOUR)).entries
    return found


def files_of(path: Path) -> list[Path]:
    """Return the files of an archive."""
    return sorted(path.rglob("*.jsonl.gz"))


def archived(path: Path) -> list[Entry]:
    """Return the entries in the files."""
    return [each for file in files_of(path) for each in read_archive(file)]


async def audited(store: Redis) -> Audit:
    """Return an audit, of which nothing may come."""
    found = await audit(store, CATALOG, owner="auditor")
    assert found.findings == ()
    return found


async def reports(store: Redis) -> list[Any]:
    """Return reports of every kind over whole days."""
    reporter = Reporter(Bench(store).ledger.rollups, Bench(store).holds, POLICY_IN_FORCE)
    start = AT.replace(hour=0, minute=0) - 2 * DAY
    return [
        await reporter.report(
            Query(
                tenant=tenant,
                start=start,
                end=start + 5 * DAY,
                granularity=granularity,
                group_by=group_by,
                label_key="team" if group_by is GroupBy.LABEL else "",
            )
        )
        for tenant in ("acme", "b")
        for granularity in (Granularity.WHOLE, Granularity.DAY, Granularity.MONTH)
        for group_by in GroupBy
    ]


async def test_sealing_changes_no_sum(bench: Bench, store: Redis, tmp_path: Path) -> None:
    """Entries go from the store into files, each once; reports, balances and the audit stay as they were."""
    before, entries, balances = await reports(store), await live(store), await bench.balance("month")
    sealed = await seal(store, tmp_path)
    old = [each for each in entries if each.started_at < CUTOFF.replace(hour=0, minute=0)]
    assert 0 < sealed == len(old) < len(entries)
    assert await live(store) == [each for each in entries if each not in old]
    assert sorted(e.entry_id for e in archived(tmp_path)) == sorted(e.entry_id for e in old)
    assert all(each in archived(tmp_path) for each in old)
    assert await reports(store) == before
    assert await bench.balance("month") == balances
    found = await audited(store)
    assert (found.sealed_count, found.entry_count) == (sealed, len(entries) - sealed)
    assert await seal(store, tmp_path) == 0


async def test_hours_are_gone_with_their_entries(bench: Bench, store: Redis, tmp_path: Path) -> None:
    """Of a sealed day a report has no hours, and says so; a part of it is widened to the day."""
    assert bench
    await seal(store, tmp_path)
    reporter = Reporter(Bench(store).ledger.rollups, Bench(store).holds, POLICY_IN_FORCE)
    hourly = Query(tenant="acme", start=AT, end=AT + HOUR, granularity=Granularity.HOUR)
    with pytest.raises(InvalidRequest) as refused:
        await reporter.report(hourly)
    assert [v.field for v in refused.value.violations] == ["granularity"]
    part = Query(tenant="acme", start=AT, end=AT + HOUR)
    midnight = AT.replace(hour=0, minute=0)
    whole = Query(tenant="acme", start=midnight, end=midnight + DAY)
    assert (await reporter.report(part)).totals == (await reporter.report(whole)).totals
    hours = [name async for name in store.scan_iter(f"{keys.rollups('acme')}{AT:%Y%m%d}[0-9]*")]
    assert hours == []
    later = Query(tenant="acme", start=midnight + DAY, end=AT + 2 * DAY, granularity=Granularity.HOUR)
    assert (await reporter.report(later)).rows


async def test_an_entry_that_comes_late_is_sealed_in_the_next_round(
    bench: Bench, store: Redis, tmp_path: Path
) -> None:
    """It counts in its day at once, and has a file of its own behind the others of its hour."""
    await seal(store, tmp_path)
    late = entry(opening("late", labels={"team": "x"}), 17)
    totals = [report.totals for report in await reports(store)]
    await bench.ledger.settle(late, label_keys=LABELS)
    assert [report.totals for report in await reports(store)] != totals
    after = await reports(store)
    await audited(store)
    files = set(files_of(tmp_path))
    assert await seal(store, tmp_path) == 1
    [file] = set(files_of(tmp_path)) - files
    assert read_archive(file) == [late]
    assert await reports(store) == after
    assert (await audited(store)).sealed_count == len(archived(tmp_path))


async def test_two_processes_that_seal_at_once_seal_each_entry_once(
    bench: Bench, store: Redis, tmp_path: Path
) -> None:
    """Also where one has lost its lease without knowing, as after a long pause."""
    assert bench
    before, entries = await reports(store), await live(store)
    counts = await asyncio.gather(
        *(seal(store, tmp_path / str(n), f"p{n}", now=NOW + n * HOUR) for n in range(3))
    )
    await seal(store, tmp_path / "0", "last", now=NOW + 9 * HOUR)
    assert sum(counts) > 0
    assert await reports(store) == before
    kept = {e.entry_id for e in await live(store)} | {e.entry_id for e in archived(tmp_path)}
    assert kept == {e.entry_id for e in entries}
    found = await audited(store)
    assert found.sealed_count + found.entry_count == len(entries)


async def test_nobody_seals_while_another_has_the_lease(bench: Bench, store: Redis, tmp_path: Path) -> None:
    """The lease is another's until it ends, or is given back."""
    assert bench
    other = JobLease(store, "other", keys.SEALING)
    assert await other.take(NOW)
    assert await seal(store, tmp_path) == 0
    await JobLease(store, "one", keys.SEALING).give_back(NOW)  # not its own
    assert await seal(store, tmp_path) == 0
    assert await seal(store, tmp_path, now=NOW + timedelta(minutes=1)) > 0


class Killed(BaseException):
    """The process ends here."""


def dying(sealing: Sealing, after: int) -> Sealing:
    """Let a process end after so many steps; a step is an exchange with the store, or a file."""
    steps = iter(range(after))

    def counted(work: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any) -> Any:
            if next(steps, None) is None:
                raise Killed
            return work(*args)

        return step

    for owner, name in ((sealing, "_ask"), (sealing, "_run"), (sealing._archive, "write")):
        setattr(owner, name, counted(getattr(owner, name)))
    return sealing


async def test_a_crash_at_any_step_loses_nothing_and_doubles_nothing(
    bench: Bench, store: Redis, tmp_path: Path
) -> None:
    """After each, entries are in the store or in a file, sums are right, and another process goes on."""
    assert bench
    before, entries = await reports(store), await live(store)
    crashes = 0
    for after in range(200):
        try:
            await dying(sealer(store, tmp_path, f"p{after}"), after % 11).seal_before(
                CUTOFF, now=NOW + after * HOUR
            )
        except Killed:
            crashes += 1
        else:
            break
        assert await reports(store) == before
        kept = {e.entry_id: e for e in (*await live(store), *archived(tmp_path))}
        assert kept == {e.entry_id: e for e in entries}
        if after % 5 == 0:
            await audited(store)
    assert crashes > 10
    await seal(store, tmp_path, "last", now=NOW + 300 * HOUR)
    assert len(archived(tmp_path)) == (await audited(store)).sealed_count


async def test_a_disk_that_cannot_be_written_seals_nothing(
    bench: Bench, store: Redis, tmp_path: Path
) -> None:
    """Entries stay in the store until they are in a file."""
    assert bench
    entries = await live(store)
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        await seal(store, tmp_path / "file")
    assert await live(store) == entries
    await audited(store)


async def test_what_is_sealed_has_no_time_to_live(bench: Bench, store: Redis, tmp_path: Path) -> None:
    """Checkpoints are money."""
    assert bench
    await seal(store, tmp_path)
    names = [name async for name in store.scan_iter()]
    assert {await store.ttl(name) for name in names} == {-1}
    assert any(b":checkpoint:" in name for name in names)


async def test_a_new_long_budget_knows_what_is_sealed(bench: Bench, store: Redis, tmp_path: Path) -> None:
    """A budget that is defined now begins with the ledger's sum, from days where there are no hours."""
    await seal(store, tmp_path)
    spent = sum(each.cost_nano_usd for each in (*await live(store), *archived(tmp_path)))
    later = opening("new", started_at=AT + 3 * DAY)
    await bench.define(budget("new", limit_nano_usd=10**9, window=Rolling(60 * DAY)), created_at=AT + 3 * DAY)
    await bench.hold(later, amounts(1))
    assert (await bench.balance("new", at=AT + 3 * DAY)).spent_nano_usd == spent
    await audited(store)


def test_an_archive_is_readable_line_by_line(tmp_path: Path) -> None:
    """Each line is an entry with full names, whole numbers, and times for people."""
    path = Archive(tmp_path).write("2026030412", 3, [entry(opening("a"), 9_007_199_254_740_993)])
    assert path.relative_to(tmp_path) == Path("20260304/12-00000003.jsonl.gz")
    [line] = gzip.decompress(path.read_bytes()).decode().splitlines()
    assert json.loads(line)["cost_nano_usd"] == 9_007_199_254_740_993
    assert json.loads(line)["started_at"] == AT.astimezone(UTC).isoformat()
    assert read_archive(path) == [entry(opening("a"), 9_007_199_254_740_993)]
