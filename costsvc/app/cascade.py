"""What follows an answered attempt: nothing where the answer passes its checks, else one on a higher tier.

Each answer is paid for and booked. What a failed one cost counts against the savings of routing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

import structlog

from costsvc.app.attempt import Attempt, Completed
from costsvc.app.audience import Audience
from costsvc.app.planner import Planner
from costsvc.core.accept import Verdict, verify
from costsvc.core.entry import Entry
from costsvc.core.errors import CostsvcError
from costsvc.core.escalation import Checked, Escalation
from costsvc.core.savings import spent_in_vain
from costsvc.metrics import Metrics
from costsvc.ports import Clock

Booked = tuple[Completed, Entry]

Make = Callable[[Attempt], Awaitable[Booked]]
"""Makes an attempt, and those that follow when it fails; the answer has been judged and booked."""

log = structlog.get_logger()


class CappedByBudget(CostsvcError):
    """A full soft budget caps calls at a tier that this call has left behind."""


class Cascade:
    """The answers of one call, tier after tier, for those who want it."""

    def __init__(
        self, first: Attempt, audience: Audience, planner: Planner, metrics: Metrics, clock: Clock
    ) -> None:
        self.audience = audience
        self._planner = planner
        self._metrics = metrics
        self._clock = clock
        self._ends_s = first.started_s + first.timeout_s
        self._escalations: tuple[Escalation, ...] = ()
        self._following: Attempt | None = None

    @property
    def is_under_way(self) -> bool:
        """Whether an answer has failed its checks, and another follows."""
        return self._following is not None

    async def answer(self, first: Attempt, make: Make) -> Booked:
        """Return the answer that stands.

        What fails after an answer has been paid for does not take it away from the caller: the call is then
        still under way.
        """
        booked = await make(first)
        while (attempt := self._following) is not None:
            try:
                booked = await make(attempt)
            except CostsvcError as error:
                log.warning("escalation_failed", attempt_id=attempt.attempt_id, error=type(error).__name__)
                break
        return booked

    def judge(self, completed: Completed) -> Completed:
        """Return the answer with its verdict; where another will follow, with an account that says so."""
        checks = completed.attempt.plan.request.checks
        self._following = None
        if checks is None:
            return completed
        verdict = verify(checks, text=completed.text, stop_reason=completed.stop_reason)
        plan, tenant = completed.attempt.plan, completed.attempt.tenant
        self._planner.learn_checks(plan, tenant, failed=not verdict.is_accepted)
        judged = replace(completed, checked=Checked(verdict=verdict, escalations=self._escalations))
        self._following = self._next(judged, verdict)
        outcome = "accepted" if verdict.is_accepted else "escalated" if self._following else "not_accepted"
        self._metrics.checked(outcome)
        if self._following is None:
            return judged
        self._escalations += (_escalation(judged, verdict),)
        return replace(judged, account=spent_in_vain(judged.account.cost_nano_usd))

    def _next(self, completed: Completed, verdict: Verdict) -> Attempt | None:
        """Return the attempt on the next tier, None where no other should follow: then the answer stands."""
        attempt, now_s = completed.attempt, self._clock.monotonic()
        left_s = self._ends_s - now_s
        if verdict.is_accepted or any(failed.is_final for failed in verdict.failed) or self.audience.is_gone:
            return None
        if left_s <= now_s - attempt.started_s:  # a higher tier is not quicker
            return None
        now = self._clock.now()
        plan = self._planner.escalate(
            attempt.plan,
            attempt.tenant,
            now,
            failed=[failed.check for failed in verdict.failed],
            spent_nano_usd=completed.bill.cost_nano_usd,
        )
        if plan is None:
            return None
        return replace(
            attempt,
            number=attempt.number + 1,
            plan=plan,
            started_at=now,
            started_s=now_s,
            timeout_s=left_s,
        )


def _escalation(completed: Completed, verdict: Verdict) -> Escalation:
    return Escalation(
        entry_id=completed.attempt.attempt_id,
        model=completed.model,
        failed=verdict.failed,
        usage=completed.reported.totals,
        cost_nano_usd=completed.account.cost_nano_usd,
    )
