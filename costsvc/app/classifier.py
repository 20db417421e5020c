"""Asking a small model how hard a request is, when nothing else says it and that is worth its cost.

What it costs is an attempt of its own, held for, settled and booked to the call, and counts against the
savings of routing. Whatever goes wrong with it, the call goes on as without it: on the middle tier.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from costsvc.app.attempt import Attempt, Completed
from costsvc.app.in_flight import InFlight
from costsvc.app.plan import Plan
from costsvc.app.planner import Planner
from costsvc.app.side_calls import SideCalls
from costsvc.core.candidates import Reason
from costsvc.core.classifier import (
    VERSION,
    WORTH,
    VerdictShares,
    expected_saving_nano_usd,
    question_about,
    read_verdict,
)
from costsvc.core.entry import Entry
from costsvc.core.errors import CostsvcError, StoreUnavailable
from costsvc.core.escalation import SideCall
from costsvc.core.json_text import Member
from costsvc.core.money import format_usd
from costsvc.core.request import CacheMode, ModelRequest, Tier
from costsvc.core.response_key import fingerprint
from costsvc.metrics import Metrics
from costsvc.ports import Clock
from costsvc.store.verdicts import VerdictBook

PROVIDER_S = 30.0
"""How long the provider may take. The call waits much shorter; but the end of an answer has its bill."""

MOST_TIME_SHARE = 0.25
"""How much of its time a call waits for a verdict at most: the rest is for the answer."""

MOST_KEPT, KEPT_S = 10_000, 60.0
"""How many verdicts a process remembers, and for how long: the store has them for longer."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """A question about a request: the plan for asking it, and what its verdict is kept under."""

    plan: Plan
    tenant: str
    fingerprint: str

    @property
    def model(self) -> str:
        return self.plan.decision.model.id

    @property
    def cost_nano_usd(self) -> int:
        return self.plan.decision.expected_cost_nano_usd


@dataclass(frozen=True, slots=True, kw_only=True)
class _Heard:
    """What came of a question; `side_call` is None where nothing was billed that is known of."""

    was_held: bool
    tier: Tier | None = None
    side_call: SideCall | None = None


class Classifier:
    """Sorts requests into tiers, where the policy has it."""

    def __init__(
        self,
        *,
        planner: Planner,
        side_calls: SideCalls,
        in_flight: InFlight,
        verdicts: VerdictBook,
        secret: bytes,
        metrics: Metrics,
        clock: Clock,
        new_id: Callable[[], str],
    ) -> None:
        self._planner = planner
        self._side_calls = side_calls
        self._in_flight = in_flight
        self._verdicts = verdicts
        self._secret = secret
        self._metrics = metrics
        self._clock = clock
        self._new_id = new_id
        self._shares = VerdictShares()
        self._kept: OrderedDict[tuple[str, str], tuple[Tier, float]] = OrderedDict()

    async def classified(self, attempt: Attempt) -> Attempt:
        """Return the attempt on the tier that its request turns out to be of; itself where none is found."""
        if not attempt.plan.unclear:
            return attempt
        asked = self._asked(attempt.plan, attempt.tenant, attempt.started_at)
        if asked is None:
            return attempt
        tier = await self._known(asked)
        if tier is not None:
            self._metrics.classified(tier.label, "kept")
            return replace(attempt, plan=self._planner.classify(attempt.plan, tier, _kept_words(asked)))
        if self._saving_nano_usd(attempt.plan, asked) <= WORTH * asked.cost_nano_usd:
            self._shares.doubt(_work(asked))
            self._metrics.classified("none", "not_worth_it")
            return attempt
        return await self._ask(attempt, asked)

    async def foretold(self, plan: Plan, tenant: str, at: datetime) -> Plan:
        """Return the plan with what `classified` would find or do, at no cost."""
        asked = self._asked(plan, tenant, at) if plan.unclear else None
        if asked is None:
            return plan
        tier = await self._known(asked)
        if tier is not None:
            return self._planner.classify(plan, tier, _kept_words(asked))
        saving_nano_usd = self._saving_nano_usd(plan, asked)
        if saving_nano_usd <= WORTH * asked.cost_nano_usd:
            return plan
        cost, saving = format_usd(asked.cost_nano_usd), format_usd(round(saving_nano_usd))
        detail = f"{asked.model} would be asked for about {cost}, to save about {saving}"
        return replace(plan, decision=plan.decision.with_reasons([Reason("classifier_would_run", detail)]))

    def _asked(self, plan: Plan, tenant: str, at: datetime) -> _Asked | None:
        """Return the question about a request, to the model that answers it cheapest; None without any."""
        policy = self._planner.policy
        found: list[Plan] = []
        for name in policy.classifying.models(policy.tiers[Tier.SIMPLE]):
            members = question_about(plan.request, self._planner.catalog.models[name])
            if members:
                with suppress(CostsvcError):  # not in the geography, say, that the caller wants
                    found.append(self._planner.plan(_question(plan.request, members, name), tenant, at))
        if not found:
            return None
        cheapest = min(found, key=lambda each: each.decision.expected_cost_nano_usd)
        model, data = cheapest.decision.model.id, cheapest.request.get("messages")
        form = {"classifier": VERSION, "model": model, "asked": data}
        return _Asked(plan=cheapest, tenant=tenant, fingerprint=fingerprint(self._secret, form))

    def _saving_nano_usd(self, plan: Plan, asked: _Asked) -> float:
        otherwise_nano_usd, shares = plan.decision.expected_cost_nano_usd, self._shares.shares(_work(asked))
        return expected_saving_nano_usd(plan.unclear, otherwise_nano_usd, shares)

    async def _known(self, asked: _Asked) -> Tier | None:
        """Return the verdict on the same text, None where none is kept, or the store is away."""
        key = asked.tenant, asked.fingerprint
        tier, until_s = self._kept.get(key, (None, 0.0))
        if tier is not None and self._clock.monotonic() < until_s:
            return tier
        with suppress(StoreUnavailable):
            tier = await self._verdicts.find(*key)
            if tier is not None:
                self._remember(asked, tier)
            return tier
        return None

    def _remember(self, asked: _Asked, tier: Tier) -> None:
        lasts_s = min(KEPT_S, self._planner.policy.classifying.ttl / timedelta(seconds=1))
        self._kept[asked.tenant, asked.fingerprint] = tier, self._clock.monotonic() + lasts_s
        if len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)

    async def _ask(self, attempt: Attempt, asked: _Asked) -> Attempt:
        """Return the attempt that follows the question, with or without a verdict."""
        limit_s = self._planner.policy.classifying.timeout_s
        limit_s = min(limit_s, MOST_TIME_SHARE * attempt.left_s(self._clock.monotonic()))
        question = replace(attempt, plan=asked.plan, timeout_s=PROVIDER_S)
        asking = self._in_flight.start(self._heard(question, asked))
        done, _ = await asyncio.wait({asking}, timeout=limit_s)
        heard = asking.result() if done else _Heard(was_held=True)
        if not done:
            self._metrics.classified("none", "late")
        return self._following(attempt, asked, heard)

    async def _heard(self, question: Attempt, asked: _Asked) -> _Heard:
        """Ask, book and keep the verdict, also when the call has stopped waiting; raise nothing."""
        reserved = None
        try:
            reserved = await self._side_calls.hold(question)
            completed, entry = await self._side_calls.make(question, reserved)
            return await self._taken(completed, entry, asked)
        except CostsvcError as error:
            self._metrics.classified("none", "failed")
            log.warning("classifier_failed", attempt_id=question.attempt_id, error=type(error).__name__)
        except Exception:
            log.exception("classifier_failed", attempt_id=question.attempt_id)
        return _Heard(was_held=reserved is not None)

    async def _taken(self, completed: Completed, entry: Entry, asked: _Asked) -> _Heard:
        """Return what was said, and keep it: of anything but a verdict, nothing is learnt but that."""
        tier = read_verdict(completed.text, completed.stop_reason)
        policy = self._planner.policy
        self._shares.learn(_work(asked), tier or policy.default_tier)
        self._metrics.classified(tier.label if tier else "none", "asked", entry.cost_nano_usd)
        if tier is not None:
            self._remember(asked, tier)
            with suppress(StoreUnavailable):
                await self._verdicts.keep(asked.tenant, asked.fingerprint, tier, policy.classifying.ttl)
        side_call = SideCall(entry_id=entry.entry_id, usage=entry.usage, cost_nano_usd=entry.cost_nano_usd)
        return _Heard(was_held=True, tier=tier, side_call=side_call)

    def _following(self, attempt: Attempt, asked: _Asked, heard: _Heard) -> Attempt:
        """Return the attempt after a question; its id must not be the one of a hold that was refused."""
        now_s = self._clock.monotonic()
        if heard.was_held:
            attempt = replace(attempt, number=attempt.number + 1)
        else:
            attempt = replace(attempt, response_id=self._new_id())
        side_call = heard.side_call
        plan, cost = attempt.plan, f" for {format_usd(side_call.cost_nano_usd)}" if side_call else ""
        if heard.tier is None:
            reason = Reason("classifier", f"{asked.model} gave no verdict{cost}")
            plan = replace(plan, decision=plan.decision.with_reasons([reason]))
        else:
            plan = self._planner.classify(plan, heard.tier, f"{asked.model} says so{cost}")
        return replace(
            attempt,
            plan=plan,
            side_calls=(*attempt.side_calls, side_call) if side_call else attempt.side_calls,
            started_at=self._clock.now(),
            started_s=now_s,
            timeout_s=max(attempt.left_s(now_s), 0.0),
        )


def _question(request: ModelRequest, members: Mapping[str, Member], model: str) -> ModelRequest:
    """Return the question as a request: for the same work, but with nothing else that the caller wants."""
    return ModelRequest(
        members=members,
        request_id=request.request_id,
        labels=request.labels,
        task=request.task,
        conversation_id=request.conversation_id,
        model=model,
        cache_mode=CacheMode.BYPASS,
        caller_markers_only=True,
        is_beside=True,
    )


def _work(asked: _Asked) -> tuple[str, str]:
    """Return what verdicts are counted by."""
    return asked.tenant, asked.plan.request.task


def _kept_words(asked: _Asked) -> str:
    return f"{asked.model} said so of the same text before"
