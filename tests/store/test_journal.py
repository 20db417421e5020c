"""Tests of the journal with real files, and with disks that are really full, read-only or in use."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costsvc.core.errors import JournalFailed
from costsvc.store import journal_commit
from costsvc.store.connection import StoreRefused
from costsvc.store.journal import Journal, Limits, Ticket
from costsvc.store.journal_commit import SYNC_EVERY_S
from costsvc.store.journal_file import DAMAGED, SUFFIX, Kind, Record, encode, scan

SMALL = Limits(segment_bytes=4_096)

RECORDS = st.lists(
    st.builds(Record, st.sampled_from(Kind), st.binary(max_size=255), st.binary(max_size=100)), max_size=8
)


def written(records: list[Record]) -> bytes:
    """Return the bytes of records, one after the other."""
    return b"".join(encode(*record) for record in records)


@given(RECORDS, st.integers(min_value=0, max_value=64))
def test_records_are_read_as_they_were_written(records, zeros):
    """Everything comes back, in order, also from a segment that is not full yet."""
    found = scan(written(records) + bytes(zeros))
    assert (found.records, found.is_whole) == (records, True)
    assert found.size_bytes == len(written(records))


@given(RECORDS, st.data())
def test_a_prefix_of_the_file_holds_a_prefix_of_the_records(records, data):
    """Wherever a file ends, what is read is what was written whole, and nothing else."""
    whole = written(records)
    end = data.draw(st.integers(min_value=0, max_value=len(whole)))
    found = scan(whole[:end])
    assert found.records == records[: len(found.records)]
    assert found.size_bytes == len(written(found.records)) <= end
    more = records[: len(found.records) + 1]
    assert more == found.records or len(written(more)) > end


@given(RECORDS.filter(bool), st.data())
def test_a_flipped_bit_is_detected(records, data):
    """The record with the bit, and all behind it, are not believed; those before it are."""
    whole = bytearray(written(records))
    bit = data.draw(st.integers(min_value=0, max_value=8 * len(whole) - 1))
    whole[bit // 8] ^= 1 << bit % 8
    found = scan(bytes(whole))
    intact = sum(len(written(records[: n + 1])) <= bit // 8 for n in range(len(records)))
    assert found.records == records[:intact]
    assert not found.is_whole


@asynccontextmanager
async def opened(directory: Path, limits: Limits | None = None) -> AsyncIterator[Journal]:
    """Open a journal, and close it as an orderly end does."""
    journal = Journal(directory, limits)
    await journal.open()
    try:
        yield journal
    finally:
        await journal.close()


async def waiting(journal: Journal) -> list[bytes]:
    """Take all that waits out of a journal, as if the store had it now."""
    found = []
    while some := await journal.next_waiting():
        for one in some:
            found.append(one.data)
            journal.ack(one.ticket)
    return found


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a program to its end."""
    return subprocess.run(command, capture_output=True, text=True, check=False)


def files(directory: Path, suffix: str = SUFFIX) -> list[Path]:
    """Return the segments, oldest first."""
    return sorted(directory.glob(f"*{suffix}"))


async def test_what_is_not_acknowledged_waits_at_the_next_start(tmp_path):
    """Left and lost settlements come back in their order; acknowledged ones do not."""
    async with opened(tmp_path) as journal:
        tickets = [journal.append(f"a-{n}", b"%d" % n) for n in range(5)]
        for n in (0, 3):
            journal.ack(tickets[n])
        journal.leave(tickets[1])
    async with opened(tmp_path) as journal:
        assert journal.waiting_count == 3
        assert await waiting(journal) == [b"1", b"2", b"4"]
    async with opened(tmp_path) as journal:
        assert await waiting(journal) == []


@asynccontextmanager
async def slow_disk(journal: Journal) -> AsyncIterator[list[object]]:
    """Hold back what the journal asks of the disk until the end; give what was asked."""
    worker, asked = journal._commits._worker, []
    submit, worker.submit = worker.submit, lambda *job: asked.append(job)
    yield asked
    worker.submit = submit
    for job in asked:
        submit(*job)


async def test_settlements_that_come_together_are_one_sync(tmp_path):
    """Those that come while the disk is busy are made durable together."""
    async with opened(tmp_path) as journal:
        async with slow_disk(journal) as asked:
            tickets = [journal.append(f"a-{n}", b"%d" % n) for n in range(50)]
            assert [ticket.at for ticket in tickets] == list(range(50))
            waits = [asyncio.ensure_future(journal.durable(ticket)) for ticket in tickets]
            await asyncio.sleep(0)
            late = journal.append("late", b"")
            waits.append(asyncio.ensure_future(journal.durable(late)))
            await asyncio.sleep(0)
            assert len(asked) == 1
            assert not any(wait.done() for wait in waits)
        await asyncio.gather(*waits)
        assert late.segment.durable_count == 51


async def test_what_nobody_waits_for_becomes_durable_soon(tmp_path):
    """One sync for all, without a wait; and one more for what comes after it."""
    async with opened(tmp_path) as journal:
        for count in (20, 40):
            ticket = [journal.append(f"a-{n}", b"") for n in range(20)][-1]
            assert ticket.segment.durable_count == count - 20
            async with asyncio.timeout(5):
                while ticket.segment.durable_count < count:  # noqa: ASYNC110 - it is what nobody is told
                    await asyncio.sleep(SYNC_EVERY_S / 5)


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from costsvc.store.journal import Journal

async def main():
    journal = Journal(Path(sys.argv[1]))
    await journal.open()
    for n in range(100):
        journal.append(f"a-{n}", b"%d" % n)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


async def test_a_kill_right_after_a_write_does_not_lose_it(tmp_path):
    """What was appended is read by the next start, although nothing was ever synced."""
    assert run(sys.executable, "-c", KILLED, tmp_path).returncode == -signal.SIGKILL
    async with opened(tmp_path) as journal:
        assert await waiting(journal) == [b"%d" % n for n in range(100)]


async def test_a_sync_that_fails_is_a_state_that_ends(tmp_path):
    """Nobody is told that it is durable, calls are refused, and a new segment is begun."""
    async with opened(tmp_path) as journal:
        first = journal.append("a", b"first")
        await journal.durable(first)
        second = journal.append("b", b"second")
        file = os.open(tmp_path, os.O_RDONLY)
        read_end, write_end = os.pipe()
        os.dup2(write_end, journal._commits._current.file._file)  # a pipe cannot be synced
        with pytest.raises(JournalFailed, match="Invalid argument"):
            await journal.durable(second)
        with pytest.raises(JournalFailed, match="Invalid argument"):
            journal.check()
        with pytest.raises(JournalFailed):
            journal.append("c", b"")
        await journal.durable(first)
        for descriptor in (file, read_end, write_end):
            os.close(descriptor)
        await until_taken(journal)
        with pytest.raises(JournalFailed, match="Invalid argument"):
            await journal.durable(second)
        third = journal.append("c", b"third")
        await journal.durable(third)
    async with opened(tmp_path) as journal:
        assert await waiting(journal) == [b"first", b"second", b"third"]


async def test_a_disk_that_hangs_is_a_state_that_ends(tmp_path, monkeypatch):
    """Those who wait are told after a while, and once the disk answers all is well by itself."""
    monkeypatch.setattr(journal_commit, "STALL_S", 0.01)
    async with opened(tmp_path) as journal:
        async with slow_disk(journal):
            wait = asyncio.ensure_future(journal.durable(journal.append("a", b"1")))
            async with asyncio.timeout(5):
                while journal.problem is None:
                    await journal.tend()
                    await asyncio.sleep(0)
            with pytest.raises(JournalFailed, match="longer than"):
                await wait
            await journal.tend()
            assert journal.problem
        await until_taken(journal)
        await kept(journal, "b", b"2")
    async with opened(tmp_path) as journal:
        assert await waiting(journal) == [b"1", b"2"]


async def test_a_segment_grows_until_the_next_is_there(tmp_path):
    """A burst that is faster than the disk makes files is taken all the same."""
    async with opened(tmp_path, SMALL) as journal:
        async with slow_disk(journal) as asked:
            tickets = [journal.append(f"a-{n}", bytes(1_000)) for n in range(20)]
            assert len({ticket.segment.number for ticket in tickets}) == 1
            assert len(asked) == 1
        await journal.durable(tickets[-1])
        assert journal.append("b", b"").segment is not tickets[0].segment
    async with opened(tmp_path) as journal:
        assert len(await waiting(journal)) == 21


async def test_a_store_that_changes_while_a_segment_is_begun_is_noted_in_it(tmp_path):
    """Acknowledgements in the new segment count for the store that gave them."""
    async with opened(tmp_path, SMALL) as journal:
        journal.follow("one")
        async with slow_disk(journal):
            tickets = [journal.append(f"a-{n}", bytes(1_000)) for n in range(4)]
            journal.follow("two")
        await journal.durable(tickets[0])
        journal.ack(await kept(journal, "b", b"booked"))
    async with opened(tmp_path) as journal:
        assert not journal.follow("two")
        assert len(await waiting(journal)) == 4


async def until_taken(journal: Journal) -> None:
    """Do what is done once a second until the journal takes settlements again."""
    async with asyncio.timeout(5):
        while journal.problem:
            await journal.tend()
            await asyncio.sleep(0)


async def kept(journal: Journal, attempt_id: str, data: bytes) -> Ticket:
    """Append a settlement, and wait until it, and segments that were due, are on the disk."""
    ticket = journal.append(attempt_id, data)
    await journal.durable(ticket)
    return ticket


async def test_what_is_left_while_the_journal_is_read_waits_for_the_next_reading(tmp_path):
    """A settlement that comes between the question and the disk's answer is neither lost nor refused."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(max_workers=1))
    disk_is_free = threading.Event()
    async with opened(tmp_path) as journal:
        journal.leave(journal.append("a", b"first"))
        busy = asyncio.ensure_future(asyncio.to_thread(disk_is_free.wait))
        reading = asyncio.ensure_future(waiting(journal))
        await asyncio.sleep(0)  # both have begun
        journal.leave(journal.append("b", b"second"))
        disk_is_free.set()
        assert await reading == [b"first", b"second"]
        assert await busy


async def test_an_attempt_that_began_and_never_ended_waits_at_the_next_start(tmp_path):
    """A process that is killed leaves the openings of its attempts; those that ended say so themselves."""
    async with opened(tmp_path) as journal:
        for name, end in (("lives", None), ("settled", Kind.SETTLEMENT), ("freed", Kind.RELEASE)):
            opening = journal.append(name, b"opening", Kind.OPENING)
            if end is not None:
                ended = journal.append(name, b"end", end)
                journal.supersede(opening, by=ended)
                journal.ack(ended)
        assert journal.waiting_count == 0
    async with opened(tmp_path) as journal:
        [one] = await journal.next_waiting()
        assert (one.kind, one.attempt_id, one.data) == (Kind.OPENING, "lives", b"opening")
        journal.ack(one.ticket)
        journal.follow("another store")
        assert sorted([one.attempt_id for one in await journal.next_waiting()]) == [
            "freed",
            "lives",
            "settled",
        ]


async def fill(journal: Journal) -> None:
    """Write settlements, which the store takes, until the next segment is written to."""
    before = journal._commits.current
    while journal._commits.current is before:
        ticket = journal.append("filler", bytes(1_000))
        journal.ack(ticket)
        await journal.durable(ticket)


async def test_an_end_is_kept_as_long_as_its_beginning(tmp_path):
    """Without its end an attempt would count as lost: a file goes after those that it ends attempts of."""
    async with opened(tmp_path, Limits(segment_bytes=4_096, keep_s=0)) as journal:
        opening = journal.append("a", b"opening", Kind.OPENING)
        stuck = journal.append("b", b"stuck")
        await fill(journal)
        ended = journal.append("a", b"end", Kind.RELEASE)
        journal.supersede(opening, by=ended)
        journal.ack(ended)
        await fill(journal)
        both = {opening.segment, ended.segment}
        assert len(both) == 2
        await journal.tend()
        assert both <= {*journal._segments}
        journal.ack(stuck)
        await journal.tend()
        assert not both & {*journal._segments}


async def test_another_store_makes_everything_wait_that_is_kept(tmp_path):
    """Acknowledgements count for the store that gave them, before and after a start."""
    async with opened(tmp_path) as journal:
        assert journal.follow("one")
        first = journal.append("a", b"first")
        journal.ack(first)
        assert not journal.follow("one")
    async with opened(tmp_path) as journal:
        assert not journal.follow("one")
        assert journal.waiting_count == 0
        late = journal.append("b", b"late")
        assert journal.follow("two")
        journal.ack(late)
        [again] = await journal.next_waiting()
        assert (again.data, again.is_again) == (b"first", True)
        assert journal.waiting_count == 2
        assert await waiting(journal) == [b"first", b"late"]
    async with opened(tmp_path) as journal:
        assert journal.waiting_count == 0
        journal.follow("three")
        assert await waiting(journal) == [b"first", b"late"]


async def test_a_torn_tail_is_cut_off(tmp_path):
    """A crash in the middle of a write loses what nobody was told to be durable, and nothing before it."""
    async with opened(tmp_path) as journal:
        for n in range(3):
            journal.append(f"a-{n}", b"%d" % n)
    [path] = files(tmp_path)
    whole = path.stat().st_size
    with path.open("r+b") as file:
        file.truncate(whole - 1)
    async with opened(tmp_path) as journal:
        assert await waiting(journal) == [b"0", b"1"]
        assert path.stat().st_size < whole - 1
    async with opened(tmp_path) as journal:
        assert await waiting(journal) == []
    assert not files(tmp_path, DAMAGED)


async def test_a_damaged_segment_does_not_hide_the_next(tmp_path):
    """What is good before a bad record and in later segments is kept; the bad file is set aside."""
    async with opened(tmp_path, SMALL) as journal:
        for n in range(10):
            await kept(journal, f"a-{n}", b"%d" % n + bytes(1_000))
    assert len(files(tmp_path)) > 2
    raw = bytearray(files(tmp_path)[0].read_bytes())
    raw[len(raw) // 2] ^= 1
    files(tmp_path)[0].write_bytes(raw)
    limits = Limits(segment_bytes=4_096, keep_s=0)
    async with opened(tmp_path, limits) as journal:
        found = [int(data.rstrip(b"\0")) for data in await waiting(journal)]
        assert found == [0, *range(4, 10)]
        await journal.tend()
    assert len(files(tmp_path, DAMAGED)) == 1


async def test_segments_go_when_the_store_has_had_them_for_long_enough(tmp_path):
    """A segment is kept while anything in it waits, and for `keep_s` after."""
    async with opened(tmp_path, Limits(segment_bytes=4_096, keep_s=0.05)) as journal:
        tickets = [await kept(journal, f"a-{n}", bytes(1_000)) for n in range(10)]
        assert len(files(tmp_path)) == 3
        for ticket in tickets[1:]:
            journal.ack(ticket)
        await journal.tend()
        assert len(files(tmp_path)) == 3
        await asyncio.sleep(0.06)
        await journal.tend()
        assert len(files(tmp_path)) == 2, "the first has an open settlement, the last is written to"
        journal.ack(tickets[0])
        await journal.tend()
        await asyncio.sleep(0.06)
        await journal.tend()
        assert len(files(tmp_path)) == 1


async def test_the_bound_refuses_calls_only_for_what_waits(tmp_path):
    """Where room is short, what the store has goes first; what waits stays, and then no call is begun."""
    async with opened(tmp_path, Limits(segment_bytes=4_096, max_bytes=20_000)) as journal:
        for _ in range(50):
            journal.ack(await kept(journal, "a", bytes(1_000)))
            await journal.tend()
            journal.check()
        assert journal.size_bytes <= 20_000
        for n in range(25):
            journal.leave(await kept(journal, f"b-{n}", bytes(1_000)))
        await journal.tend()
        with pytest.raises(JournalFailed, match="20000 bytes"):
            journal.check()
        journal.leave(journal.append("of a call that runs", bytes(1_000)))
        assert len(await waiting(journal)) == 26
        await journal.tend()
        journal.check()


async def test_two_processes_do_not_share_a_journal(tmp_path):
    """The second is told who has it, in one sentence, and the directory is free when the first ends."""
    program = (
        "import asyncio, sys\nfrom pathlib import Path\nfrom costsvc.store.journal import Journal\n"
        "asyncio.run(Journal(Path(sys.argv[1])).open())"
    )
    async with opened(tmp_path):
        with pytest.raises(StoreRefused, match=r"is used by process \d+: stop it, or name another"):
            await Journal(tmp_path).open()
        done = run(sys.executable, "-c", program, tmp_path)
        assert "StoreRefused" in done.stderr
    async with opened(tmp_path):
        pass


async def test_a_directory_that_cannot_be_used_is_one_sentence(tmp_path):
    """A path through a file is refused at the start."""
    (tmp_path / "file").touch()
    with pytest.raises(StoreRefused, match="make it writable, or name another --data-dir"):
        await Journal(tmp_path / "file" / "journal").open()


async def test_a_read_only_disk_is_a_state_that_ends(small_disk):
    """The journal opens, refuses, and works as soon as the disk does."""
    async with opened(small_disk / "journal", SMALL):
        pass
    assert run("mount", "-o", "remount,ro", small_disk).returncode == 0
    with pytest.raises(StoreRefused, match="Read-only"):
        await Journal(small_disk / "journal").open()
    assert run("mount", "-o", "remount,rw", small_disk).returncode == 0
    async with opened(small_disk / "journal", SMALL) as journal:
        journal.append("a", b"1")


LIMITED = """
import asyncio, resource, sys
from pathlib import Path
from costsvc.core.errors import JournalFailed
from costsvc.store.journal import Journal, Limits, Ticket

async def main():
    journal = Journal(Path(sys.argv[1]), Limits(segment_bytes=4_096))
    await journal.open()
    journal.append("a-0", b"kept")
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_024, resource.RLIM_INFINITY))
    failed = 0
    for n in range(1, 10):
        try:
            journal.append(f"a-{n}", bytes(1_000))
        except JournalFailed:
            failed += 1
    assert failed, "files could grow"
    assert journal.problem and "too large" in journal.problem, journal.problem
    await journal.tend()
    assert journal.problem
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    async with asyncio.timeout(5):
        while journal.problem:
            await journal.tend()
            await asyncio.sleep(0)
    journal.append("b", b"after")
    await journal.close()
    print(9 - failed)

asyncio.run(main())
"""


async def test_files_that_may_not_grow_are_a_state_that_ends(tmp_path):
    """A limit that the system really sets fails appends, and what was durable before and after is kept."""
    done = run(sys.executable, "-c", LIMITED, tmp_path)
    assert done.returncode == 0, done.stderr
    async with opened(tmp_path) as journal:
        found = [data for data in await waiting(journal) if data.strip(b"\0")]
    assert found == [b"kept", b"after"]
    assert not files(tmp_path, DAMAGED)
