"""What the leader of the queue of deferred requests knows of it: all that is not answered, up to date."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from costsvc.core.batch_times import Ran
from costsvc.core.deferral import Deferred, Running
from costsvc.store.deferred_items import Item, State
from costsvc.store.deferred_queue import DeferredQueue

_LONGEST_REST, _REST_PART = timedelta(minutes=1), 20

_IN_BATCH = frozenset({State.IN_BATCH, State.AGAIN})
_ALONE = frozenset({State.ALONE, State.AGAIN})


@dataclass(slots=True)
class Batch:
    """A batch with deferred requests; `is_noted` once the view has its requests in it."""

    tenant: str
    began_at: datetime
    is_canceled: bool = False
    is_noted: bool = False


class View:
    """The queue as of the last look. `ran` are the batches of late."""

    def __init__(self, queue: DeferredQueue) -> None:
        self.items: dict[str, Item] = {}
        self.batches: dict[str, Batch] = {}
        self.ran: Sequence[Ran] = ()
        self._queue = queue
        self._number: int | None = None
        self._rests: dict[str, datetime] = {}

    def forget(self) -> None:
        """Know nothing any more: another process may lead."""
        self.items.clear()
        self.batches.clear()
        self._number = None

    async def look(self) -> bool:
        """Bring it up to date; return whether anything has changed.

        Raises:
            StoreUnavailable: some of it is old.
        """
        known = list(self.batches.values())
        if self._number is None:
            self._number, self.items = await self._queue.all()
            changed = True
        else:
            changed = await self._follow(self._number)
        if changed:
            self.ran = await self._queue.ran()
        for batch in known:
            batch.is_noted = True
        return changed

    def queued(self, now: datetime) -> list[Deferred]:
        """Return what waits, and does not rest."""
        self._rests = {member: until for member, until in self._rests.items() if until > now}
        return [
            _deferred(item)
            for member, item in self.items.items()
            if item.state is State.QUEUED and member not in self._rests
        ]

    def rest(self, item: Item, now: datetime) -> None:
        """Leave a request alone for a while: it was refused for something that may pass."""
        self._rests[item.member] = now + min(_LONGEST_REST, (item.deadline - now) / _REST_PART)

    def running(self) -> list[Running]:
        """Return the batches, each with those of its requests that are not sent alone as well."""
        of_batches = self.of_batches()
        return [
            Running(
                id=id_,
                requests=tuple(
                    _deferred(item) for item in of_batches.get(id_, ()) if item.state is State.IN_BATCH
                ),
                is_canceled=batch.is_canceled,
            )
            for id_, batch in self.batches.items()
            if batch.is_noted
        ]

    def sent_alone(self) -> list[Item]:
        """Return what is sent alone, or was when the process died that led before."""
        return [item for item in self.items.values() if item.state in _ALONE]

    def of_batches(self) -> Mapping[str, list[Item]]:
        """Return what is in batches, by batch."""
        found: dict[str, list[Item]] = {}
        for item in self.items.values():
            if item.state in _IN_BATCH:
                found.setdefault(item.batch, []).append(item)
        return found

    async def _follow(self, number: int) -> bool:
        self._number, changed, found = await self._queue.changed(number)
        for member in changed:
            self.items.pop(member, None)
        for item in found:
            if not item.state.has_ended:
                self.items[item.member] = item
        return bool(changed)


def _deferred(item: Item) -> Deferred:
    return Deferred(
        id=item.member,
        pool=item.pool,
        asked_at=item.asked_at,
        deadline=item.deadline,
        call=item.call,
        size_bytes=item.size_bytes,
    )
