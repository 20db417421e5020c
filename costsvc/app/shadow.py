"""Comparing what routing chose with what the baseline model says, for a share of calls that the policy sets.

It runs after the call, which nothing here can delay or fail. What it costs has attempts and entries of its
own, under tasks of its own, so that reports show it apart; it is no part of any call's bill, and counts
against the savings of routing, which it is there to justify.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

import structlog

from costsvc.app.attempt import Attempt, Completed
from costsvc.app.in_flight import InFlight
from costsvc.app.outcomes import Outcomes
from costsvc.app.plan import Plan
from costsvc.app.planner import Planner
from costsvc.app.side_calls import SideCalls
from costsvc.core.batchable import is_batchable
from costsvc.core.cascade import Chance
from costsvc.core.classifier import newest_text
from costsvc.core.entry import Entry
from costsvc.core.errors import CostsvcError, StoreUnavailable, UnknownResponse
from costsvc.core.json_text import Member
from costsvc.core.judging import SCORES, Preference, question_for, read_preference
from costsvc.core.policy import Policy
from costsvc.core.prospect import hold_for
from costsvc.core.request import CacheMode, ModelRequest, Tier
from costsvc.core.shadowing import Judging
from costsvc.metrics import Metrics
from costsvc.ports import Clock
from costsvc.store.keys import day_of
from costsvc.store.pairs import Pair, PairBook, Side

SHADOW_TASK, JUDGE_TASK = "costsvc.shadow", "costsvc.judge"
"""The tasks under which reports show what comparing costs."""

LONGEST_UNARY_MAX_TOKENS = 21_333
LARGEST_TEXT = 64 * 1024
"""Longer prompts and answers are not compared: pairs are kept, and judges have to read them."""

PROVIDER_S = 300.0
MOST_AT_ONCE = 32
"""Of one process: beside a provider that is slow already, more would only add to what waits."""

_FINAL_STOPS = frozenset({"end_turn", "stop_sequence"})

log = structlog.get_logger()


class BudgetSpent(CostsvcError):
    """Comparing has cost what it may cost on a day."""


class NothingToCompare(CostsvcError):
    """The baseline model gave no whole answer in words."""


class Shadows:
    """Has a share of routed calls answered by the baseline model too."""

    def __init__(
        self,
        *,
        planner: Planner,
        side_calls: SideCalls,
        in_flight: InFlight,
        pairs: PairBook,
        outcomes: Outcomes,
        metrics: Metrics,
        clock: Clock,
        new_id: Callable[[], str],
        chance: Chance = random.random,
    ) -> None:
        self._planner = planner
        self._side_calls = side_calls
        self._in_flight = in_flight
        self._pairs = pairs
        self._outcomes = outcomes
        self._metrics = metrics
        self._clock = clock
        self._new_id = new_id
        self._chance = chance
        self._running = 0

    def consider(self, completed: Completed) -> None:
        """Begin to compare an answer, if its turn has come; wait for nothing."""
        policy = self._planner.policy
        if not policy.shadowing.shares:
            return
        share = policy.shadowing.share(completed.attempt.plan.request.task)
        if self._chance() >= share or not _is_comparable(completed, policy):
            return
        if self._running >= MOST_AT_ONCE:
            self._metrics.compared("too_many")
            return
        self._running += 1
        self._in_flight.start(self._compare(completed, policy)).add_done_callback(self._ended)

    def _ended(self, _: asyncio.Task[None]) -> None:
        self._running -= 1

    async def _compare(self, completed: Completed, policy: Policy) -> None:
        """Ask the baseline model, and the judge if there is one, and keep the pair; raise nothing."""
        try:
            pair = await self._pair(completed, policy)
            judging = policy.shadowing.judging
            preference = await self._judged(pair, judging, completed, policy) if judging else None
            pair = replace(pair, preference=preference.value if preference else "")
            await self._pairs.keep(pair, policy.shadowing.kept)
            self._metrics.compared(pair.preference or "kept")
            if preference is not None:
                await self._teach(pair, preference)
        except CostsvcError as error:
            self._metrics.compared("failed")
            log.warning(
                "shadow_failed", response_id=completed.attempt.response_id, error=type(error).__name__
            )
        except Exception:
            log.exception("shadow_failed", response_id=completed.attempt.response_id)

    async def _pair(self, completed: Completed, policy: Policy) -> Pair:
        attempt = completed.attempt
        request, now = attempt.plan.request, self._clock.now()
        members = dict(request.members) | {"max_tokens": Member(attempt.plan.needs.max_tokens)}
        plan = self._plan(request, members, policy.baseline_model, SHADOW_TASK, attempt.tenant, now)
        baseline, entry = await self._make(plan, attempt.tenant, policy)
        if baseline.stop_reason not in _FINAL_STOPS or not 0 < len(baseline.text) <= LARGEST_TEXT:
            raise NothingToCompare
        return Pair(
            tenant=attempt.tenant,
            task=request.task,
            response_id=attempt.response_id,
            asked=newest_text(request),
            answered=Side(
                model=completed.model,
                attempt_id=attempt.attempt_id,
                cost_nano_usd=completed.bill.cost_nano_usd,
                text=completed.text,
            ),
            baseline=Side(
                model=baseline.model,
                attempt_id=entry.attempt_id,
                cost_nano_usd=entry.cost_nano_usd,
                text=baseline.text,
            ),
            made_at=now,
        )

    async def _judged(
        self, pair: Pair, judging: Judging, completed: Completed, policy: Policy
    ) -> Preference | None:
        """Return what the judge says in both orders, None where it says anything else."""
        model, request = self._planner.catalog.models[judging.model], completed.attempt.plan.request
        found: list[Preference | None] = []
        for swapped in (False, True):
            members = question_for(
                model,
                judging.rubric,
                asked=pair.asked,
                answered=pair.answered.text,
                baseline=pair.baseline.text,
                swapped=swapped,
            )
            if "inference_geo" in request.members:
                members["inference_geo"] = request.members["inference_geo"]
            plan = self._plan(request, members, model.id, JUDGE_TASK, pair.tenant, self._clock.now())
            try:
                said, _ = await self._make(plan, pair.tenant, policy)
            except CostsvcError:
                return None  # the pair is worth keeping all the same
            found.append(read_preference(said.text, said.stop_reason, swapped=swapped))
        return found[0] if found[0] is found[1] else None

    def _plan(  # noqa: PLR0917 - the circumstances of one call
        self,
        request: ModelRequest,
        members: Mapping[str, Member],
        model: str,
        task: str,
        tenant: str,
        at: datetime,
    ) -> Plan:
        side = ModelRequest(
            members=members,
            labels=request.labels,
            task=task,
            model=model,
            betas=request.betas if task == SHADOW_TASK else (),
            cache_mode=CacheMode.BYPASS,
            is_beside=True,
        )
        return self._planner.plan(side, tenant, at)

    async def _make(self, plan: Plan, tenant: str, policy: Policy) -> tuple[Completed, Entry]:
        """Make a call within the budget of the day.

        Raises:
            CostsvcError: there is no answer; what it may have cost counts against the day.
        """
        now, catalog = self._clock.now(), self._planner.catalog
        likely_nano_usd = hold_for(catalog, self._planner.foresee(plan, tenant), at=now).q_nano_usd
        day, limit_nano_usd = day_of(now), policy.shadowing.daily_nano_usd
        if not await self._pairs.spend(day, likely_nano_usd, limit_nano_usd):
            raise BudgetSpent
        attempt = Attempt(
            response_id=self._new_id(),
            number=1,
            tenant=tenant,
            plan=plan,
            started_at=now,
            started_s=self._clock.monotonic(),
            timeout_s=PROVIDER_S,
        )
        completed, entry = await self._side_calls.make(attempt, await self._side_calls.hold(attempt))
        with suppress(StoreUnavailable):  # else the day has a little less than it might
            await self._pairs.spend(day, entry.cost_nano_usd - likely_nano_usd, limit_nano_usd)
        return completed, entry

    async def _teach(self, pair: Pair, preference: Preference) -> None:
        """Record what the judge says as outcomes of both tiers, where the task is learned."""
        answered, baseline = SCORES[preference]
        policy = self._planner.policy
        scores: dict[Tier | None, float] = {None: answered}
        if pair.baseline.model == policy.first_models[-1]:
            scores[Tier.COMPLEX] = baseline
        with suppress(UnknownResponse):
            await self._outcomes.record(pair.response_id, scores)


def _is_comparable(completed: Completed, policy: Policy) -> bool:
    """Tell whether routing chose a cheaper model, and there is a whole answer in words to compare."""
    plan = completed.attempt.plan
    request, decision = plan.request, plan.decision
    return (
        not (request.model or request.baseline_only or completed.is_replay)
        and decision.model.id != policy.baseline_model
        and completed.stop_reason in _FINAL_STOPS
        and 0 < len(completed.text) <= LARGEST_TEXT
        and plan.needs.max_tokens <= LONGEST_UNARY_MAX_TOKENS
        and 0 < len(newest_text(request)) <= LARGEST_TEXT
        and is_batchable(request)
    )
