"""The scheduler of deferred calls: tolerances are kept, and almost all are paid once, at half price."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costsvc.core.batch_times import Ran, chance, shortest_worth_trying
from costsvc.core.deferral import Deferred, Limits, Moves, Running, decide, latest_starts
from tests.core.deferring import Takes, any_time, defer_all, in_spells

START = datetime(2026, 11, 22, tzinfo=UTC)
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
LIMITS = Limits(
    most_requests=10_000, most_bytes=64_000_000, longest_wait=5 * MINUTE, cancel_lead=MINUTE, lanes=32
)
QUICK = [Ran(10 * MINUTE, has_ended=True)] * 20


def deferred(name: str = "a", tolerance: timedelta = HOUR, **fields: object) -> Deferred:
    """Return a request that was deferred at the start."""
    request = Deferred(id=name, asked_at=START, deadline=START + tolerance, call=20 * SECOND, size_bytes=1000)
    return replace(request, **fields)  # type: ignore[arg-type]


def after(span: timedelta, *queued: Deferred, running: list[Running] | None = None) -> Moves:
    """Return what is to do some time after the start."""
    return decide(START + span, queued, running or [], QUICK, LIMITS)


def test_a_request_waits_for_others_for_a_part_of_its_tolerance() -> None:
    """Five minutes at most, and a tenth of what there is."""
    slow, quick = deferred(tolerance=3 * HOUR), deferred(tolerance=30 * MINUTE)
    assert after(4 * MINUTE, slow) == Moves(next_at=START + 5 * MINUTE)
    assert after(5 * MINUTE, slow).batches == (("a",),)
    assert after(2 * MINUTE, quick) == Moves(next_at=START + 3 * MINUTE)
    assert after(3 * MINUTE, quick).batches == (("a",),)


def test_a_full_batch_waits_for_nobody() -> None:
    """It is submitted at once, and what does not fit waits for its own turn."""
    limits = replace(LIMITS, most_requests=2)
    queued = [deferred(name, tolerance=HOUR + i * SECOND) for i, name in enumerate("abc")]
    assert decide(START, queued, [], QUICK, limits).batches == (("a", "b"),)
    limits = replace(LIMITS, most_bytes=2500)
    assert decide(START, queued, [], QUICK, limits).batches == (("a", "b"),)


def test_urgent_requests_do_not_wait_with_slow_ones() -> None:
    """Each batch has requests with about the same time left, the most urgent first."""
    queued = [deferred("slow", 20 * HOUR), deferred("urgent", HOUR), deferred("urgent, too", 65 * MINUTE)]
    assert after(5 * MINUTE, *queued).batches == (("urgent", "urgent, too"), ("slow",))


def test_what_a_batch_is_created_with_is_the_same_for_all_of_it() -> None:
    """Requests of different pools go into different batches."""
    queued = [deferred("a", pool="beta"), deferred("b"), deferred("c", pool="beta")]
    assert after(6 * MINUTE, *queued).batches == (("b",), ("a", "c"))


def test_a_request_that_no_batch_would_answer_in_time_is_sent_alone() -> None:
    """At once: there is nothing to wait for."""
    assert after(timedelta(0), deferred(tolerance=2 * MINUTE)).alone == ("a",)
    assert after(55 * MINUTE, deferred(tolerance=HOUR)).alone == ("a",)


def test_a_batch_that_does_not_end_is_canceled_while_its_requests_can_still_be_sent() -> None:
    """Then they are sent where the provider does not confirm it."""
    running = Running(id="b", requests=(deferred(tolerance=HOUR),))
    by = HOUR - 20 * SECOND
    assert after(by - MINUTE - SECOND, running=[running]) == Moves(next_at=START + by - MINUTE)
    assert after(by - MINUTE, running=[running]) == Moves(cancel=("b",), next_at=START + by)
    canceled = replace(running, is_canceled=True)
    assert after(by - SECOND, running=[canceled]) == Moves(next_at=START + by)
    assert after(by, running=[canceled]) == Moves(again=("a",))


def test_a_batch_whose_answers_nobody_wants_any_more_is_canceled() -> None:
    """All its requests were answered, or canceled by their callers."""
    assert after(MINUTE, running=[Running(id="b", requests=())]).cancel == ("b",)


def test_batches_are_tried_less_where_they_were_slow() -> None:
    """And again when those are forgotten."""
    slow = [Ran(3 * HOUR, has_ended=False)] * 30
    queued = [deferred(tolerance=2 * HOUR)]
    assert decide(START, queued, [], slow, LIMITS).alone == ("a",)
    assert decide(START, queued, [], slow[:2], LIMITS).alone == ()
    assert shortest_worth_trying([]) == MINUTE


@given(st.lists(st.builds(Ran, st.timedeltas(timedelta(0), 24 * HOUR), st.booleans())), st.data())
def test_more_time_is_never_less_chance(ran: list[Ran], data: st.DataObject) -> None:
    """So that there is one least time from which on a batch is worth trying."""
    short, long = sorted(data.draw(st.tuples(*[st.timedeltas(timedelta(0), 24 * HOUR)] * 2)))
    assert 0 <= chance(ran, short) <= chance(ran, long) <= 1
    least = shortest_worth_trying(ran)
    likely = chance(ran, least)
    assert likely > 0.1 * (1 - likely) or least == 24 * HOUR


calls = st.builds(
    lambda tolerance_s, call_s: deferred(
        tolerance=timedelta(seconds=tolerance_s), call=timedelta(seconds=call_s)
    ),
    st.integers(60, 5000),
    st.integers(1, 60),
)
many = st.lists(calls, max_size=30).map(
    lambda found: [replace(each, id=str(i)) for i, each in enumerate(found)]
)


@given(many, st.integers(1, 5))
def test_all_deadlines_are_met_by_who_sends_each_request_at_its_latest_start(
    requests: list[Deferred], lanes: int
) -> None:
    """Never more calls run side by side than there are lanes, and none ends too late."""
    starts = latest_starts(requests, lanes)
    ends = {each.id: starts[each.id] + each.call for each in requests}
    assert all(ends[each.id] <= each.deadline for each in requests)
    for each in requests:
        at = starts[each.id]
        assert sum(starts[other.id] <= at < ends[other.id] for other in requests) <= lanes


@given(
    many,
    st.integers(0, 5000),
    st.lists(st.builds(Ran, st.timedeltas(MINUTE, HOUR), st.booleans())),
    st.booleans(),
)
def test_a_request_is_never_left_where_a_call_would_not_fit_any_more(
    requests: list[Deferred], now_s: int, ran: list[Ran], is_canceled: bool
) -> None:
    """Whatever is neither sent now nor later by this decision's own next look could still be sent then."""
    now = START + now_s * SECOND
    half = len(requests) // 2
    running = [Running(id="b", requests=tuple(requests[half:]), is_canceled=is_canceled)]
    moves = decide(now, requests[:half], running, ran, LIMITS)
    sent = {*moves.alone, *moves.again}
    starts = latest_starts(requests, LIMITS.lanes)
    for each in requests[half:]:
        assert each.id in sent or (moves.next_at is not None and moves.next_at <= starts[each.id])
    for each in requests[:half]:
        if each.id not in sent:
            assert starts[each.id] > now
            assert any(each.id in batch for batch in moves.batches) or moves.next_at is not None
    assert not {*moves.alone} & {each for batch in moves.batches for each in batch}


@pytest.mark.parametrize(("takes", "number"), [(any_time, 5_000), (in_spells, 2_500)])
def test_thousands_of_tolerances_are_kept_and_nearly_all_calls_are_paid_once(
    takes: Takes, number: int
) -> None:
    """At half price where batches take below half of the tolerance; they take 1 minute to 20 hours."""
    outcome = defer_all(number, takes, LIMITS, seed=7)
    assert outcome.kept_share == 1
    assert outcome.paid_once_share >= 0.99
    assert outcome.patient_count > 1_000
    assert outcome.half_price_share >= 0.95
