"""What the store knows of a deferred request besides its body: the fields of its hash."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum

from costsvc.store.attempts import microseconds

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND, _MILLISECOND = timedelta(microseconds=1), timedelta(milliseconds=1)


class State(Enum):
    """Where a deferred request is."""

    QUEUED = "queued"
    IN_BATCH = "in_batch"
    ALONE = "alone"  # sent by itself
    AGAIN = "again"  # sent by itself, and still in a batch
    ANSWERED = "answered"
    FAILED = "failed"
    CANCELED = "canceled"

    @property
    def has_ended(self) -> bool:
        """Whether it stays like this."""
        return self in {State.ANSWERED, State.FAILED, State.CANCELED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A deferred request, without its body; `batch` is ours that it is in, or was in when it was answered."""

    tenant: str
    id: str
    request_id: str
    task: str
    pool: str
    asked_at: datetime
    deadline: datetime
    call: timedelta
    webhook: str = ""
    state: State = State.QUEUED
    batch: str = ""
    size_bytes: int = 0
    ended_at: datetime | None = None

    @property
    def member(self) -> str:
        """What stands for it in the queue: a tenant's name has no colon."""
        return f"{self.tenant}:{self.id}"


def write_item(item: Item) -> list[str | int]:
    """Return the fields of a new item and their values, as a script adds them; it adds the state itself."""
    return [
        *("request_id", item.request_id, "task", item.task, "pool", item.pool, "webhook", item.webhook),
        *("size", item.size_bytes),
        *("asked", microseconds(item.asked_at), "deadline", microseconds(item.deadline)),
        *("call_ms", item.call // _MILLISECOND),
    ]


def read_item(member: str, fields: Mapping[bytes, bytes]) -> Item | None:
    """Return an item by its fields, None where there are none."""
    if not fields:
        return None
    tenant, id_ = member.split(":", 1)

    def text(name: bytes) -> str:
        return fields.get(name, b"").decode()

    def time(name: bytes) -> datetime:
        return _EPOCH + int(fields[name]) * _MICROSECOND

    return Item(
        tenant=tenant,
        id=id_,
        request_id=text(b"request_id"),
        task=text(b"task"),
        pool=text(b"pool"),
        asked_at=time(b"asked"),
        deadline=time(b"deadline"),
        call=int(fields[b"call_ms"]) * _MILLISECOND,
        webhook=text(b"webhook"),
        state=State(text(b"state")),
        batch=text(b"batch"),
        size_bytes=int(fields[b"size"]),
        ended_at=time(b"ended") if b"ended" in fields else None,
    )
