"""Telling callers that what they deferred has ended: by a webhook, at least once, always with the same id.

Every process does it, for all. The body names the request and never quotes it, nor its answer.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from datetime import timedelta

import structlog

from costsvc.app.alerts import SIGNATURE_HEADER, Post
from costsvc.core.alert import sign, wait_before
from costsvc.core.errors import StoreUnavailable
from costsvc.metrics import Metrics
from costsvc.ports import Clock
from costsvc.store.deferred_items import Item
from costsvc.store.deferred_queue import DeferredQueue
from costsvc.store.deferred_webhooks import Due, WebhookQueue

ASK_EVERY_S = 1.0
ID_HEADER = "X-Costsvc-Deferred-Id"
GIVE_UP_AFTER = timedelta(hours=24)
"""For how long a webhook is tried, if what it is about is known as long."""

_AT_ONCE = 50

log = structlog.get_logger()


class DeferredWebhooks:
    """Posts webhooks. `keep_posting` runs beside everything else, in a task of its own."""

    def __init__(
        self,
        *,
        webhooks: WebhookQueue,
        queue: DeferredQueue,
        post: Post,
        secret: bytes,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._webhooks = webhooks
        self._queue = queue
        self._post = post
        self._secret = secret
        self._metrics = metrics
        self._clock = clock

    async def keep_posting(self) -> None:
        """Post what is due, for as long as the process lives."""
        while True:
            if await self.post() < _AT_ONCE:
                await asyncio.sleep(ASK_EVERY_S)

    async def post(self) -> int:
        """Post some webhooks that are due; return how many were claimed."""
        try:
            claimed = await self._webhooks.claim(_AT_ONCE)
            items = await self._queue.items([due.member for due in claimed]) if claimed else {}
            await asyncio.gather(*(self._tell(due, items.get(due.member)) for due in claimed))
        except StoreUnavailable:  # the watch logs when the store goes and comes
            return 0
        except Exception:
            log.exception("webhooks_failed")  # tried again: nothing here may end this task
            return 0
        return len(claimed)

    async def _tell(self, due: Due, item: Item | None) -> None:
        with suppress(StoreUnavailable):  # somebody goes on when the claim ends
            if item is None or item.ended_at is None:
                await self._webhooks.done(due)
                return
            problem = await self._send(item)
            if problem and self._clock.now() - item.ended_at < GIVE_UP_AFTER:
                await self._webhooks.again(due, wait_before(due.failures + 1))
            else:
                await self._webhooks.done(due)

    async def _send(self, item: Item) -> str:
        body = _body(item)
        headers = {"Content-Type": "application/json", ID_HEADER: item.id}
        if self._secret:
            headers[SIGNATURE_HEADER] = sign(self._secret, body, self._clock.now())
        problem = await self._post(item.webhook, body, headers)
        self._metrics.deferred("webhook_failed" if problem else "webhook_sent")
        if problem:
            log.warning("deferred_webhook_failed", deferred_id=item.id, tenant=item.tenant, problem=problem)
        return problem


def _body(item: Item) -> bytes:
    table = {
        "type": "deferred_ended",
        "deferred_id": item.id,
        "state": item.state.value,
        "tenant": item.tenant,
        "request_id": item.request_id,
        "task": item.task,
        "time": item.ended_at.isoformat() if item.ended_at else None,
    }
    return json.dumps(table, separators=(",", ":")).encode()
