"""Telling people that a budget has reached a threshold: in the log, in a metric, and by a webhook.

Every process does it, for all: each alert is claimed by one of them. The log and the metric come once, unless
a process dies in that very moment; the webhook until it was taken, always with the same id.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

import structlog

from costsvc.core.alert import Alert, sign, wait_before, write_body
from costsvc.core.errors import StoreUnavailable
from costsvc.metrics import Metrics
from costsvc.ports import Clock
from costsvc.store.alerts import AlertQueue, Claimed
from costsvc.store.budgets import BudgetBook

ASK_EVERY_S = 1.0
"""How often the store is asked for alerts: one short script."""

GIVE_UP_AFTER = timedelta(hours=24)
"""For how long a webhook is tried."""

ID_HEADER, SIGNATURE_HEADER = "X-Costsvc-Alert-Id", "X-Costsvc-Signature"

_AT_ONCE = 50

Post = Callable[[str, bytes, Mapping[str, str]], Awaitable[str]]
"""Posts a body to a URL; returns what was wrong, "" where it was taken."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """Where alerts go that have no URL of their budget, and the key of signatures; each may be empty."""

    url: str = ""
    secret: bytes = b""


class Alerting:
    """Delivers alerts. `keep_delivering` runs beside everything else, in a task of its own."""

    def __init__(
        self,
        *,
        queue: AlertQueue,
        book: BudgetBook,
        webhook: Webhook,
        post: Post,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._queue = queue
        self._book = book
        self._webhook = webhook
        self._post = post
        self._metrics = metrics
        self._clock = clock

    async def keep_delivering(self) -> None:
        """Deliver what is due, for as long as the process lives."""
        while True:
            if await self.deliver() < _AT_ONCE:
                await asyncio.sleep(ASK_EVERY_S)

    async def deliver(self) -> int:
        """Deliver some alerts that are due; return how many were claimed."""
        try:
            claimed = await self._queue.claim(_AT_ONCE)
        except StoreUnavailable:  # the watch logs when the store goes and comes
            return 0
        except Exception:
            log.exception("alerts_failed")  # tried again: nothing here may end this task
            return 0
        await asyncio.gather(*map(self._deliver, claimed))
        return len(claimed)

    async def _deliver(self, claimed: Claimed) -> None:
        try:
            with suppress(StoreUnavailable):  # somebody goes on when the claim ends
                await self._deliver_one(claimed, claimed.alert())
        except Exception:
            log.exception("alert_failed")  # one bad alert must not hold up the others

    async def _deliver_one(self, claimed: Claimed, alert: Alert) -> None:
        if claimed.is_new:
            self._tell(alert)
            claimed = await self._queue.told(claimed)
        budget = await self._book.get(alert.budget_id)
        url = (budget.webhook_url if budget else "") or self._webhook.url
        problem = await self._send(url, alert.id, write_body(alert, budget)) if url else ""
        if not problem:
            await self._queue.done(claimed)
        elif self._clock.now() - alert.raised_at < GIVE_UP_AFTER:
            await self._retry(claimed, alert, problem)
        else:
            self._note_dropped(alert.id, problem)
            await self._queue.done(claimed)

    def _tell(self, alert: Alert) -> None:
        self._metrics.budget_alert(alert.threshold_permille)
        log.warning(
            "budget_threshold",
            alert_id=alert.id,
            budget_id=alert.budget_id,
            instance=alert.instance,
            threshold_permille=alert.threshold_permille,
            spent_nano_usd=alert.spent_nano_usd,
            at_risk_nano_usd=alert.at_risk_nano_usd,
            limit_nano_usd=alert.limit_nano_usd,
            window=alert.window_key,
            raised_at=alert.raised_at.isoformat(),
        )
        if alert.displaced_id:
            self._note_dropped(alert.displaced_id, "too many alerts wait")

    async def _send(self, url: str, alert_id: str, body: bytes) -> str:
        """Post a body; return what was wrong, which never holds the URL: that of a chat is a secret."""
        headers = {"Content-Type": "application/json", ID_HEADER: alert_id}
        if self._webhook.secret:
            headers[SIGNATURE_HEADER] = sign(self._webhook.secret, body, self._clock.now())
        problem = await self._post(url, body, headers)
        self._metrics.alert_webhook("failed" if problem else "sent")
        return problem

    async def _retry(self, claimed: Claimed, alert: Alert, problem: str) -> None:
        if not claimed.failures:
            log.warning("alert_webhook_failed", alert_id=alert.id, budget_id=alert.budget_id, problem=problem)
        await self._queue.again(claimed, wait_before(claimed.failures + 1))

    def _note_dropped(self, alert_id: str, problem: str) -> None:
        self._metrics.alert_webhook("dropped")
        log.error("alert_dropped", alert_id=alert_id, problem=problem)
