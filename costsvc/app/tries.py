"""What follows a failed attempt: the same model again after a while, another one, or the error."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace

from costsvc.app.attempt import Attempt
from costsvc.app.plan import Plan
from costsvc.app.planner import Planner
from costsvc.core.errors import ProviderError
from costsvc.core.retry import may_fall_back, wait_before_retry
from costsvc.ports import Clock


class Tries:
    """The attempts of one call. A pinned model is tried again, never replaced."""

    def __init__(self, first: Attempt, planner: Planner, clock: Clock) -> None:
        self._planner = planner
        self._clock = clock
        self._ends_s = first.started_s + first.timeout_s
        self._on_this_model = 0
        chosen = first.plan.decision.model.id
        self._fallbacks = list(() if first.plan.request.model else planner.policy.fallbacks.get(chosen, ()))

    async def after(self, attempt: Attempt, error: ProviderError) -> Attempt | None:
        """Wait, and return the next attempt; None where the error stands."""
        self._on_this_model += 1
        retries = self._planner.policy.retries
        wait_s = wait_before_retry(
            retries,
            error,
            attempts_made=self._on_this_model,
            remaining_s=self._ends_s - self._clock.monotonic(),
            chance=random.random(),  # noqa: S311 - spreads callers, keeps no secret
        )
        if wait_s is not None:
            await asyncio.sleep(wait_s)
            return self._again(attempt, attempt.plan)
        plan = self._other_plan(attempt, error) if may_fall_back(retries, error) else None
        return self._again(attempt, plan) if plan else None

    def _other_plan(self, attempt: Attempt, error: ProviderError) -> Plan | None:
        """Return the plan on the next fallback that can answer."""
        while self._fallbacks and self._clock.monotonic() < self._ends_s:
            name = self._fallbacks.pop(0)
            plan = self._planner.fall_back(
                attempt.plan, name, attempt.tenant, self._clock.now(), f"is {error.failure.value}"
            )
            if plan is not None:
                self._on_this_model = 0
                return plan
        return None

    def _again(self, attempt: Attempt, plan: Plan) -> Attempt:
        now_s = self._clock.monotonic()
        return replace(
            attempt,
            number=attempt.number + 1,
            plan=plan,
            started_at=self._clock.now(),
            started_s=now_s,
            timeout_s=max(self._ends_s - now_s, 0.0),
        )
