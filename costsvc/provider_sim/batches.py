"""Batches: many requests answered later, at half price, each result known only once all of them are."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from typing import Any

from .clock import rfc3339
from .errors import ApiError, dumps, invalid, not_found
from .faults import Subject
from .prose import Dice
from .provider import Call, Provider

MAX_ITEMS = 100_000
EXPIRES_S = 24 * 3600
RESULTS_KEPT_S = 29 * 24 * 3600
_CANCEL_S = 0.2
_YIELD_EVERY = 50
_CUSTOM_ID = re.compile(r"^[a-zA-Z0-9_-]{1,64}$")
_OUTCOMES = ("succeeded", "errored", "canceled", "expired")


@dataclass(slots=True, kw_only=True)
class Batch:
    """One batch; `items` are dropped when it ends, `results` are JSON lines then."""

    id: str
    workspace: str
    version: str
    betas: str
    attempt: str | None
    items: list[dict[str, Any]]
    size: int
    created_s: float
    takes_s: float
    canceled_s: float | None = None
    ended_s: float | None = None
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_OUTCOMES, 0))
    results: list[bytes] = field(default_factory=list)

    def as_json(self, base_url: str) -> dict[str, Any]:
        """Return the batch object; the counts stay at zero until everything is done."""
        status = "in_progress" if self.canceled_s is None else "canceling"
        ended = self.ended_s is not None
        return {
            "id": self.id,
            "type": "message_batch",
            "processing_status": "ended" if ended else status,
            "request_counts": {"processing": 0 if ended else self.size, **self.counts},
            "created_at": rfc3339(self.created_s),
            "expires_at": rfc3339(self.created_s + EXPIRES_S),
            "ended_at": None if self.ended_s is None else rfc3339(self.ended_s),
            "archived_at": None,
            "cancel_initiated_at": None if self.canceled_s is None else rfc3339(self.canceled_s),
            "results_url": f"{base_url}/v1/messages/batches/{self.id}/results" if ended else None,
        }


class Batches:
    """All batches; they end when the clock says so, seen at the next look at them or at the bill."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._batches: dict[str, Batch] = {}
        self._running: asyncio.Task[None] | None = None

    def clear(self) -> None:
        """Forget all batches."""
        self._batches.clear()

    def create(self, body: Any, call: Call) -> Batch:
        """Take a batch; items are checked only when they are worked on."""
        items = _check(body)
        batch_id = self._provider.new_id("msgbatch")
        batch = Batch(
            id=batch_id,
            workspace=call.workspace,
            version=call.version,
            betas=call.betas,
            attempt=call.attempt,
            items=items,
            size=len(items),
            created_s=self._provider.clock.now_s(),
            takes_s=self._provider.settings.batch_takes_s(Dice(batch_id)),
        )
        self._batches[batch.id] = batch
        return batch

    async def find(self, batch_id: str, workspace: str) -> Batch:
        """Return a batch of the workspace, brought up to date; 404 if there is none."""
        await self.run_due()
        batch = self._batches.get(batch_id)
        if batch is None or batch.workspace != workspace:
            raise not_found(f"No batch found with id {batch_id}")
        return batch

    async def of(self, workspace: str) -> list[Batch]:
        """Return the batches of a workspace, newest first."""
        await self.run_due()
        return [batch for batch in reversed(self._batches.values()) if batch.workspace == workspace]

    async def cancel(self, batch_id: str, workspace: str) -> Batch:
        """Ask a batch to stop: what is done by now is kept and charged, the rest is canceled."""
        batch = await self.find(batch_id, workspace)
        if batch.ended_s is None and batch.canceled_s is None:
            batch.canceled_s = self._provider.clock.now_s()
        return batch

    async def delete(self, batch_id: str, workspace: str) -> None:
        """Remove an ended batch and its results."""
        batch = await self.find(batch_id, workspace)
        if batch.ended_s is None:
            raise invalid(f"Batch {batch_id} cannot be deleted while it is in progress; cancel it first")
        del self._batches[batch_id]

    def results(self, batch: Batch) -> list[bytes]:
        """Return the result lines; 404 before the end, and after the 29 days that they are kept."""
        if batch.ended_s is None:
            raise not_found(f"Batch {batch.id} has no results yet")
        if self._provider.clock.now_s() > batch.created_s + RESULTS_KEPT_S:
            raise not_found(f"The results of batch {batch.id} are no longer kept")
        return batch.results

    def running(self) -> dict[str, float]:
        """Return when each batch ends that has not, by its id, in seconds since the epoch."""
        return {batch.id: _end_of(batch) for batch in self._batches.values() if batch.ended_s is None}

    def takes_s(self, batch_id: str) -> float:
        """Return how long a batch takes, or would have taken that was canceled."""
        return self._batches[batch_id].takes_s

    async def run_due(self) -> None:
        """Work off every batch whose time has come."""
        now_s = self._provider.clock.now_s()
        while any(batch.ended_s is None and _end_of(batch) <= now_s for batch in self._batches.values()):
            if self._running is None or self._running.done():
                self._running = asyncio.ensure_future(self._run_all(now_s))
            await asyncio.shield(self._running)  # who asks may go away: each batch is worked on once

    async def _run_all(self, now_s: float) -> None:
        for batch in list(self._batches.values()):
            if batch.ended_s is None and _end_of(batch) <= now_s:
                await self._run(batch)

    async def _run(self, batch: Batch) -> None:
        done = _done_items(batch)
        for i, item in enumerate(batch.items):
            late = None
            if i >= done:
                late = "expired" if batch.canceled_s is None else "canceled"
            result = {"type": late} if late else self._answer(batch, item)
            batch.counts[result["type"]] += 1
            batch.results.append(dumps({"custom_id": item["custom_id"], "result": result}) + b"\n")
            if i % _YIELD_EVERY == _YIELD_EVERY - 1:
                await asyncio.sleep(0)
        _shuffle(batch.results, Dice(batch.id))
        batch.items = []
        batch.ended_s = _end_of(batch)

    def _answer(self, batch: Batch, item: dict[str, Any]) -> dict[str, Any]:
        """Return the result of one item; only successes are charged."""
        provider, params = self._provider, item["params"]
        fault = provider.faults.take(_subject(batch, item)) if len(provider.faults) else None
        try:
            if fault is not None and fault.kind == "item_expired":
                return {"type": "expired"}
            if fault is not None and fault.kind in {"item_errored", "error"}:
                raise fault.error()
            call = Call(
                body=params,
                request_id=provider.new_id("req"),
                workspace=batch.workspace,
                version=batch.version,
                betas=batch.betas,
                attempt=batch.attempt,
                batch_id=batch.id,
                custom_id=item["custom_id"],
            )
            run = provider.prepare(call, fault if fault is not None and fault.kind == "refusal" else None)
        except ApiError as error:
            return {"type": "errored", "error": error.envelope(None)}
        provider.begin(run)
        provider.bill.charge(run.line, output=run.answer.output_tokens, complete=True)
        return {"type": "succeeded", "message": run.message()}


def _check(body: Any) -> list[dict[str, Any]]:
    items = body.get("requests") if isinstance(body, dict) else None
    if not isinstance(items, list) or not items:
        raise invalid("requests: Field required")
    if len(items) > MAX_ITEMS:
        raise ApiError(413, f"requests: more than {MAX_ITEMS} requests in a batch")
    seen: set[str] = set()
    for i, item in enumerate(items):
        if not isinstance(item, dict) or not isinstance(item.get("params"), dict):
            raise invalid(f"requests.{i}.params: Field required")
        custom_id = item.get("custom_id")
        if not isinstance(custom_id, str) or not _CUSTOM_ID.match(custom_id):
            raise invalid(f"requests.{i}.custom_id: String should match pattern '{_CUSTOM_ID.pattern}'")
        if custom_id in seen:
            raise invalid(f"requests.{i}.custom_id: duplicate custom_id {custom_id!r}")
        seen.add(custom_id)
    return items


def _end_of(batch: Batch) -> float:
    ends_s = batch.created_s + min(batch.takes_s, EXPIRES_S)
    return ends_s if batch.canceled_s is None else min(ends_s, batch.canceled_s + _CANCEL_S)


def _done_items(batch: Batch) -> int:
    """Return how many items are worked on in time: they progress evenly over the time that it takes."""
    stop_s = batch.canceled_s if batch.canceled_s is not None else batch.created_s + EXPIRES_S
    share = 1.0 if batch.takes_s <= 0 else min(1.0, (stop_s - batch.created_s) / batch.takes_s)
    return int(batch.size * share)


def _subject(batch: Batch, item: dict[str, Any]) -> Subject:
    return Subject(
        path="/v1/messages/batches",
        raw=dumps(item["params"]),
        model=item["params"].get("model"),
        attempt=batch.attempt,
        custom_id=item["custom_id"],
    )


def _shuffle(lines: list[bytes], dice: Dice) -> None:
    for i in range(len(lines) - 1, 0, -1):
        j = dice.below(i + 1)
        lines[i], lines[j] = lines[j], lines[i]
