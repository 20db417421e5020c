"""Placing cache breakpoints by what is known of a prompt's prefixes, and learning from each answer.

What is known is read with the rest that a call asks of the store, and what was seen is written beside the
settlement: no call waits for it. While the store is away, prompts are marked by what is likely of any.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from costsvc.app.attempt import Completed
from costsvc.app.explaining import Explaining
from costsvc.app.plan import Plan
from costsvc.app.planner import Planner
from costsvc.core.candidates import Reason
from costsvc.core.errors import StoreUnavailable
from costsvc.core.marked import UNKNOWN, Known, Prompt, Shared, plan_prompt, words
from costsvc.core.model import Model
from costsvc.core.prefix_walk import read_prefixes
from costsvc.core.prefixes import Prefixes, cache_scope
from costsvc.core.request import ModelRequest
from costsvc.core.sightings import sight
from costsvc.core.tokens import is_shorter
from costsvc.core.traits import Traits
from costsvc.metrics import Metrics
from costsvc.store.exchange import Exchange, Pending
from costsvc.store.prefixes import PrefixBook

log = structlog.get_logger()

WORKSPACE = "default"
"""Of the one account that there is; the provider keeps the caches of workspaces apart."""


@dataclass(frozen=True, slots=True)
class PromptLook:
    """What the store was asked of a prompt's prefixes, on each model that may answer."""

    request: ModelRequest
    prefixes: Prefixes
    pending: Mapping[str, Pending[Known]]
    before: Pending[dict[str, Traits]]

    def result(self) -> Prompt:
        """Return what the store says; nothing is known where it is away."""
        known = {model: _known(pending) for model, pending in self.pending.items()}
        before = dict[str, Traits]()
        with suppress(StoreUnavailable):
            before = self.before.result()
        return Prompt(self.request, self.prefixes, known, before)


class PromptCaching:
    """The breakpoints of prompts."""

    def __init__(self, book: PrefixBook, explaining: Explaining, planner: Planner, metrics: Metrics) -> None:
        self._book = book
        self._explaining = explaining
        self._planner = planner
        self._metrics = metrics

    def ask(self, exchange: Exchange, plan: Plan, tenant: str) -> PromptLook | None:
        """Add what is to be asked about a prompt; None where no breakpoint of ours can come of it."""
        request = plan.levers.request
        if not self._planner.marks(request) or not self._is_long(plan, tenant):
            return None
        prefixes = read_prefixes(request)
        if not prefixes.spots:
            return None
        models = self._models(plan)
        return PromptLook(
            request,
            prefixes,
            {
                model: self._book.ask(exchange, tenant, cache_scope(model, WORKSPACE), request.task, prefixes)
                for model in models
            },
            self._explaining.ask(exchange, tenant, request, models),
        )

    def marked(self, plan: Plan, tenant: str, at: datetime, *, batch: bool = False) -> Plan:
        """Return a plan with the breakpoints for the model that answers."""
        if plan.prompt is None or plan.markers is not None:
            return plan
        model = plan.decision.model
        request, prefixes = plan.levers.request, plan.prompt.prefixes
        if request is not plan.prompt.request:  # another model than was asked about gets it otherwise
            prefixes = read_prefixes(request)
        input_tokens = self._planner.expect_input(tenant, model, plan.levers.content).expected
        marking = plan_prompt(
            prefixes,
            model,
            model.rates(at, prompt_tokens=input_tokens),
            plan.prompt.on(model.id),
            input_tokens=input_tokens,
            now_s=int(at.timestamp()),
            batch=batch,
        )
        added = [Reason("marker_added", words(marker)) for marker in marking.plan.ours]
        return replace(plan, marking=marking, decision=plan.decision.with_reasons(added))

    def with_live(self, plan: Plan, tenant: str, shared: Shared, at: datetime) -> Plan:
        """Return a plan with breakpoints that count on a prefix being in the provider's cache."""
        if plan.prompt is None:
            return plan
        model = plan.decision.model.id
        known = plan.prompt.on(model).with_live(shared, at_s=int(at.timestamp()))
        prompt = replace(plan.prompt, known={**plan.prompt.known, model: known})
        kept = tuple(reason for reason in plan.decision.reasons if reason.code != "marker_added")
        decision = replace(plan.decision, reasons=kept)
        return self.marked(replace(plan, prompt=prompt, marking=None, decision=decision), tenant, at)

    async def answered(self, completed: Completed, settled_at: datetime) -> None:
        """Count what an answer says of the prefixes of its prompt, and why it was not read from the cache."""
        exchange, attempt = Exchange(), completed.attempt
        marking = attempt.plan.markers
        if marking is not None:
            usage, at_s = completed.reported.totals, int(attempt.started_at.timestamp())
            seen = sight(marking.views, marking.prefixes, marking.plan, usage, at_s=at_s)
            relied, read = sum(each.tried for each in seen), sum(each.read for each in seen)
            self._metrics.prefixes(relied=relied, read=read)
            scope = cache_scope(marking.model.id, WORKSPACE)
            task = attempt.plan.request.task
            self._book.observe(exchange, attempt.tenant, scope, task, seen, at_s=at_s)
        try:
            self._explaining.add(exchange, completed, settled_at)
        except Exception:  # an answer that is paid must not be lost because nobody can explain its price
            log.exception("prompt_not_explained", attempt_id=attempt.attempt_id)
        await exchange.send()

    def _is_long(self, plan: Plan, tenant: str) -> bool:
        """Tell whether any model that may answer would cache the prompt at all."""
        least = min(self._model(name).min_cacheable_tokens for name in self._models(plan))
        content = plan.levers.content
        if is_shorter(content, least):
            return False
        return self._planner.expect_input(tenant, plan.decision.model, content).upper >= least

    def _models(self, plan: Plan) -> tuple[str, ...]:
        """Return the models that may come to answer: more than one where something may move the call."""
        others = [candidate.model.id for candidate in (*plan.ladder, *plan.unclear)]
        if plan.request.conversation_id and not plan.request.model:
            others += self._planner.policy.first_models
        return tuple(dict.fromkeys((plan.decision.model.id, *others)))

    def _model(self, name: str) -> Model:
        return self._planner.catalog.models[name]


def _known(pending: Pending[Known]) -> Known:
    with suppress(StoreUnavailable):
        return pending.result()
    return UNKNOWN
