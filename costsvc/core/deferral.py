"""Which deferred requests are sent now, and how: in a batch at half price, or alone before it is too late.

A tolerance is kept by one rule: every unanswered request could still be sent alone, all of them together, on
the lanes there are. From that each has a moment by which it must be sent (`latest_starts`). Until then it may
be in a batch. A batch that has not ended shortly before is canceled: what it has done is billed once, at half
price, and the rest, which is not billed, is sent alone. Only where the provider does not confirm that in time
is a request in two places at once, and may be paid twice.

So a batch that fails costs nothing but its wait, and is tried wherever there is a fair chance. Requests share
a batch only with others of about the same time left: urgent ones do not wait with slow ones, and are not the
reason that slow ones are canceled.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from costsvc.core.batch_times import Ran, shortest_worth_trying

_ALIKE = 1.25
"""How many times the time left of its most urgent request another one of the same batch may have."""

_PATIENCE_SHARE, _LEAD_SHARE = 10, 10
"""Which part of a tolerance may go by waiting for others, and for the end of a batch that is canceled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deferred:
    """An unanswered request; `call` is how long it takes alone, at most and likely, with its retries.

    Requests of different pools cannot share a batch: what a batch is created with counts for all of it.
    """

    id: str
    pool: str = ""
    asked_at: datetime
    deadline: datetime
    call: timedelta
    size_bytes: int

    def share(self, part: int, most: timedelta) -> timedelta:
        """Return a part of the tolerance, but no more than `most`."""
        return min((self.deadline - self.asked_at) / part, most)


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A batch at the provider, with those of its requests that still want its answer."""

    id: str
    requests: tuple[Deferred, ...]
    is_canceled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How large a batch may be, how long a request waits for others, and how many calls run side by side.

    `cancel_lead` is how long the provider may take to end a batch that is canceled.
    """

    most_requests: int
    most_bytes: int
    longest_wait: timedelta
    cancel_lead: timedelta
    lanes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Moves:
    """What to do now, most urgent first: ids of requests, those of a batch together, and ids of batches.

    `again` are in a batch that does not end in time. `next_at` is when there may be more to do, without news.
    """

    batches: tuple[tuple[str, ...], ...] = ()
    alone: tuple[str, ...] = ()
    again: tuple[str, ...] = ()
    cancel: tuple[str, ...] = ()
    next_at: datetime | None = None


def decide(
    now: datetime, queued: Sequence[Deferred], running: Sequence[Running], ran: Sequence[Ran], limits: Limits
) -> Moves:
    """Return what to do now about all unanswered requests; `ran` are the batches of late."""
    due = _due((*queued, *(request for batch in running for request in batch.requests)), limits)
    least = shortest_worth_trying(ran)
    urgent = sorted(queued, key=lambda request: due.send_by[request.id])
    patient = [request for request in urgent if due.batch_by[request.id] - now > least]
    groups = list(_groups(now, patient, due, limits))
    alone = {request.id: None for request in urgent}
    for request in patient:
        del alone[request.id]
    again = [each.id for batch in running for each in batch.requests if due.send_by[each.id] <= now]
    times = (*_times_of_groups(groups, due, limits, least), *_times_of_batches(running, due))
    return Moves(
        batches=tuple(
            tuple(request.id for request in group) for group in groups if _is_ready(now, group, limits)
        ),
        alone=tuple(alone),
        again=tuple(sorted(again, key=due.send_by.__getitem__)),
        cancel=tuple(batch.id for batch in running if _is_late(now, batch, due)),
        next_at=min((at for at in times if at > now), default=None),
    )


def latest_starts(requests: Iterable[Deferred], lanes: int) -> dict[str, datetime]:
    """Return when each request must be sent alone at the latest, so that all meet their deadlines.

    `lanes` calls run side by side. From its deadline backwards each request takes the lane that is free last.
    """
    starts: dict[str, datetime] = {}
    free: list[float] = []  # when each lane is free until, negative: a heap gives the least
    for request in sorted(requests, key=lambda request: request.deadline, reverse=True):
        end_s = request.deadline.timestamp()
        if len(free) >= lanes:
            end_s = min(end_s, -heapq.heappop(free))
        start_s = end_s - request.call.total_seconds()
        heapq.heappush(free, -start_s)
        starts[request.id] = datetime.fromtimestamp(start_s, request.deadline.tzinfo)
    return starts


@dataclass(frozen=True, slots=True)
class _Due:
    """By when each request must be sent alone, and by when the batch must have ended that it is in."""

    send_by: Mapping[str, datetime]
    batch_by: Mapping[str, datetime]


def _due(unanswered: Sequence[Deferred], limits: Limits) -> _Due:
    send_by = latest_starts(unanswered, limits.lanes)
    lead = limits.cancel_lead
    return _Due(send_by, {each.id: send_by[each.id] - each.share(_LEAD_SHARE, lead) for each in unanswered})


def _groups(
    now: datetime, patient: Sequence[Deferred], due: _Due, limits: Limits
) -> Iterator[list[Deferred]]:
    """Yield requests of a pool with about the same time left, as many as fit into a batch."""
    group: list[Deferred] = []
    size_bytes, until = 0, now
    for request in sorted(patient, key=lambda request: (request.pool, due.batch_by[request.id])):
        full = len(group) >= limits.most_requests or size_bytes + request.size_bytes > limits.most_bytes
        if group and (full or due.batch_by[request.id] > until or request.pool != group[0].pool):
            yield group
            group, size_bytes = [], 0
        if not group:
            until = now + (due.batch_by[request.id] - now) * _ALIKE
        group.append(request)
        size_bytes += request.size_bytes
    if group:
        yield group


def _is_ready(now: datetime, group: Sequence[Deferred], limits: Limits) -> bool:
    if len(group) >= limits.most_requests:
        return True
    if 2 * sum(request.size_bytes for request in group) > limits.most_bytes:
        return True
    return any(_waits_until(request, limits) <= now for request in group)


def _waits_until(request: Deferred, limits: Limits) -> datetime:
    return request.asked_at + request.share(_PATIENCE_SHARE, limits.longest_wait)


def _is_late(now: datetime, batch: Running, due: _Due) -> bool:
    """Tell whether a batch must be canceled: it is out of time, or nobody wants its answers any more."""
    by = min((due.batch_by[request.id] for request in batch.requests), default=now)
    return by <= now and not batch.is_canceled


def _times_of_groups(
    groups: Iterable[Sequence[Deferred]], due: _Due, limits: Limits, least: timedelta
) -> Iterator[datetime]:
    """Yield when queued requests have waited long enough, and when no batch is worth trying any more."""
    for request in (request for group in groups for request in group):
        yield _waits_until(request, limits)
        yield due.batch_by[request.id] - least


def _times_of_batches(running: Iterable[Running], due: _Due) -> Iterator[datetime]:
    """Yield when batches are late, and when their requests must be sent alone all the same."""
    for request in (request for batch in running for request in batch.requests):
        yield due.batch_by[request.id]
        yield due.send_by[request.id]
