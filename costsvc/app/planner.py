"""Deciding what will be sent for a request.

Route, Estimate and Complete share this step, so that what is announced is what is done.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from costsvc.app.local_scores import LocalScores, is_learned
from costsvc.app.observations import Observations
from costsvc.app.plan import Plan, adjustments
from costsvc.app.policies import PolicyInForce
from costsvc.core.candidates import Candidate, Question, Reason, consider, tier_of
from costsvc.core.cascade import Chance, Step, best_start
from costsvc.core.catalog import Catalog, Model
from costsvc.core.classifier import each_verdict
from costsvc.core.constraints import Needs, needs_of
from costsvc.core.conversation import Pin
from costsvc.core.errors import InvalidRequest, Violation
from costsvc.core.ladder import above, find_ladder
from costsvc.core.levers import Levers, pull, untouched
from costsvc.core.local_score import Score
from costsvc.core.policy import Markers, Policy, Sampling
from costsvc.core.prompt_cache import Prefix
from costsvc.core.prospect import Prospect, foresee, hold_for
from costsvc.core.request import SAMPLING_PARAMETERS, ModelRequest, Tier
from costsvc.core.routing import Decision, Weighed, fall_back, weigh
from costsvc.core.tokens import Content, Expectation, TokenEstimate, estimate_input, measure
from costsvc.core.usage import Usage


class Planner:
    """Plans requests by the policy in force and one catalogue; without `scores` nothing is scored."""

    def __init__(
        self,
        catalog: Catalog,
        policy_in_force: PolicyInForce,
        observations: Observations,
        scores: LocalScores | None = None,
        chance: Chance = random.random,
    ) -> None:
        self.catalog = catalog
        self.policy_in_force = policy_in_force
        self._observations = observations
        self._chance = chance
        self._scores = scores

    @property
    def policy(self) -> Policy:
        """The policy in force; one decision takes no time in which it could change."""
        return self.policy_in_force.policy

    def plan(self, request: ModelRequest, tenant: str, at: datetime, pin: Pin | None = None) -> Plan:
        """Decide how a request is answered; `pin` is where its conversation is.

        Raises:
            InvalidRequest: sampling parameters that the policy rejects, or bounds that exclude each other.
            UnknownModel: the pinned model is not in the catalogue.
            NoModelFits: no model can answer.
        """
        plan = self.scored(self.unscored(request, tenant, at))
        return plan if pin is None else self.continued(plan, pin)

    def unscored(self, request: ModelRequest, tenant: str, at: datetime) -> Plan:
        """Decide as `plan` does, but without a score: a stored answer does not depend on that."""
        self._check_sampling(request)
        max_tokens = request.get("max_tokens")
        if max_tokens is None:
            max_tokens = self.policy.max_tokens(request.task)
        content = measure(request.body)
        needs = needs_of(request, max_tokens, len(content.image_sizes))
        return self._concluded(weigh(self._question(request, needs, content, tenant, at)), None)

    def scored(self, plan: Plan) -> Plan:
        """Return a plan that was made without a score as it would be with one, if its task has one."""
        question = plan.weighed.question
        score = self._score(plan.request, question.tenant) if plan.is_learned else None
        if score is None:
            return plan
        return self._concluded(weigh(replace(question, score=score)), plan.pin)

    def continued(self, plan: Plan, pin: Pin) -> Plan:
        """Return a plan made without a pin as it would be with this one."""
        return replace(self._concluded(plan.weighed, pin, before=plan), prompt=plan.prompt)

    def _concluded(self, weighed: Weighed, pin: Pin | None, before: Plan | None = None) -> Plan:
        """Return the plan; what one before it has for the same model need not be found again."""
        question = weighed.question
        request, needs = question.request, question.needs
        decision = weighed.concluded(pin)
        ladder = find_ladder(question, decision) if request.checks else ()
        if ladder and not request.conversation_id:  # its turns stay together while they pass
            decision = self._begin(decision, ladder, question.tenant, request.task)
        unclear = self._unclear(question, decision) if pin is None and not ladder else ()
        if before is not None and before.decision.model is decision.model:
            levers = before.levers
        else:
            levers = self._levers(question, decision.model)
        return Plan(
            request=request,
            weighed=weighed,
            decision=decision.with_reasons(adjustments(question, levers)),
            needs=needs,
            content=question.content,
            levers=levers,
            drops_sampling=question.policy.sampling is Sampling.DROP,
            pin=pin,
            ladder=ladder,
            score=question.score,
            unclear=unclear,
            is_learned=is_learned(request, question.tenant, question.policy),
        )

    def _unclear(self, question: Question, decision: Decision) -> tuple[Candidate, ...]:
        """Return what would answer on each verdict, where the classifier has a say.

        Not where the caller bounds the cost: what the question costs would have to come out of that.
        """
        has_say = self.policy.classifying.enabled and decision.is_by_default
        return each_verdict(question, decision) if has_say and not question.request.max_cost_nano_usd else ()

    def classify(self, plan: Plan, tier: Tier, why: str) -> Plan:
        """Return the plan for a request that the classifier has sorted into a tier."""
        chosen, reason = plan.unclear[tier - 1], Reason("classifier", f"{tier.label}: {why}")
        if chosen.model is plan.decision.model:
            return replace(plan, decision=plan.decision.with_reasons([reason]), verdict=tier)
        return replace(self._moved(plan, plan.decision.moved(chosen, reason)), verdict=tier)

    def _begin(self, decision: Decision, ladder: tuple[Candidate, ...], tenant: str, task: str) -> Decision:
        """Return the decision on the rung from which an answer that passes is cheapest in the end."""
        steps = [self._step(rung, tenant, task) for rung in ladder]
        at = best_start(steps, chance=self._chance())
        if ladder[at].model is decision.model:
            return decision
        rate = steps[at].failure_rate
        detail = f"checked answers begin on {ladder[at].model.id}, of which {rate:.0%} failed lately"
        return decision.moved(ladder[at], Reason("cascade", detail))

    def escalate(
        self, plan: Plan, tenant: str, at: datetime, *, failed: Sequence[str], spent_nano_usd: int
    ) -> Plan | None:
        """Return the plan on a higher tier after an answer has failed checks, None where there is none.

        What the call has spent so far counts against what the caller lets it cost.
        """
        request = plan.request
        question = self._question(request, plan.needs, plan.content, tenant, at)
        most = request.max_cost_nano_usd
        rungs = [
            rung
            for rung in above(plan.ladder, plan.decision.tier)
            if not most or spent_nano_usd + question.upper_nano_usd(rung.model) <= most
        ]
        if not rungs:
            return None
        rung = rungs[best_start([self._step(each, tenant, request.task) for each in rungs])]
        detail = f"{plan.decision.model.id} failed {', '.join(failed)}: {rung.model.id}"
        return self._moved(plan, plan.decision.moved(rung, Reason("escalated", detail)))

    def learn_checks(self, plan: Plan, tenant: str, *, failed: bool) -> None:
        """Take into account for the next calls whether an answer passed its checks."""
        self._observations.failure_rates.learn((tenant, plan.request.task, plan.decision.tier), failed=failed)

    def _step(self, rung: Candidate, tenant: str, task: str) -> Step:
        rate = self._observations.failure_rates.rate((tenant, task, rung.tier))
        return Step(rung.expected_cost_nano_usd, rate)

    def fall_back(self, plan: Plan, name: str, tenant: str, at: datetime, why: str) -> Plan | None:
        """Return the plan on another model after the chosen one has failed, None where that cannot answer."""
        candidate = self.consider(plan, name, tenant, at)
        if candidate.ruled_out:
            return None
        return replace(self._moved(plan, fall_back(plan.decision, candidate, why)), is_fallback=True)

    def _moved(self, plan: Plan, decision: Decision) -> Plan:
        """Return the plan on another model, with what is done to the request for that one."""
        levers = self._levers(plan.weighed.question, decision.model)
        if levers.reasons != plan.levers.reasons:
            kept = tuple(reason for reason in decision.reasons if reason not in plan.levers.reasons)
            decision = replace(decision, reasons=(*kept, *levers.reasons))
        return replace(plan, decision=decision, levers=levers)

    def _levers(self, question: Question, model: Model) -> Levers:
        """Return the request as the levers of its task leave it on a model."""
        request = question.request
        length = None if request.is_beside else question.policy.lengths.get(request.task)
        return pull(length, self._observations.lengths, question, model) if length else untouched(question)

    def consider(self, plan: Plan, name: str, tenant: str, at: datetime) -> Candidate:
        """Return what another model would be expected to cost, or why it cannot answer."""
        question = self._question(plan.request, plan.needs, plan.content, tenant, at)
        return consider(question, self.catalog.models[name], tier_of(name, self.policy))

    def batch_cost_nano_usd(self, plan: Plan) -> int:
        """Return what the chosen model is expected to cost as part of a message batch."""
        question, model = plan.weighed.question, plan.decision.model
        return question.cost_nano_usd(model, question.expected(model), batch=True)

    def foresee(self, plan: Plan, tenant: str, model: Model | None = None) -> Prospect:
        """Return what lies ahead of a plan: on the model that it decides for, or on another."""
        model, levers = model or plan.decision.model, plan.levers
        if model is not plan.decision.model:
            levers = self._levers(plan.weighed.question, model)
        marking = plan.marking
        ours = marking.prefix if marking and marking.plan.ours and marking.model is model else Prefix()
        return self._foresee(levers, plan.needs, tenant, model, ours)

    def _foresee(self, levers: Levers, needs: Needs, tenant: str, model: Model, ours: Prefix) -> Prospect:
        return foresee(
            levers.request,
            model,
            content=levers.content,
            reads=self.expect_input(tenant, model, levers.content),
            writes=self.expect_output(tenant, model, levers.request.task, levers.max_tokens),
            needs=replace(needs, max_tokens=levers.max_tokens),
            ours=ours,
        )

    def _question(  # noqa: PLR0917 - all that a decision goes by
        self,
        request: ModelRequest,
        needs: Needs,
        content: Content,
        tenant: str,
        at: datetime,
        score: Score | None = None,
    ) -> Question:
        known: dict[str, Usage] = {}

        def expected(model: Model) -> Usage:
            usage = known.get(model.id)
            if usage is None:
                usage = known[model.id] = self._observations.expected_tokens(
                    tenant, model, request.task, content, needs.max_tokens
                )
            return usage

        def upper_nano_usd(model: Model) -> int:
            ours = self._most_marked(request, expected(model), model)
            prospect = self._foresee(self._levers(question, model), needs, tenant, model, ours)
            return hold_for(self.catalog, prospect, at=at).q_nano_usd

        question = Question(
            request=request,
            tenant=tenant,
            needs=needs,
            content=content,
            policy=self.policy,
            catalog=self.catalog,
            expected=expected,
            upper_nano_usd=upper_nano_usd,
            at=at,
            score=score,
        )
        return question

    def _most_marked(self, request: ModelRequest, expected: Usage, model: Model) -> Prefix:
        """Return what breakpoints may come to cover, before any is planned: all of a prompt."""
        wanted = self.marks(request) and expected.prompt_tokens >= model.min_cacheable_tokens
        return Prefix(tokens=expected.prompt_tokens if wanted else 0)

    def marks(self, request: ModelRequest) -> bool:
        """Tell whether policy and caller let costsvc add breakpoints."""
        return self.policy.markers is Markers.PLANNED and not request.caller_markers_only

    def expect_input(self, tenant: str, model: Model, content: Content) -> Expectation:
        """Return the prompt tokens to expect on a model, as corrected by the tenant's own calls."""
        return self._observations.expect_input(tenant, model.id, estimate_input(content, model))

    def expect_output(self, tenant: str, model: Model, task: str, max_tokens: int) -> Expectation:
        """Return the answer's tokens to expect on a model, at most `max_tokens`."""
        return self._observations.expect_output(tenant, model.id, task, max_tokens)

    def learn(self, plan: Plan, tenant: str, usage: Usage, stop_reason: str = "") -> None:
        """Take a call's real usage into account for the next estimates."""
        estimate: TokenEstimate = estimate_input(plan.levers.content, plan.decision.model)
        self._observations.learn(tenant, plan.decision.model.id, plan.request.task, estimate, usage)
        plan.levers.learn(self._observations.lengths, usage.output_tokens, stop_reason)

    def _score(self, request: ModelRequest, tenant: str) -> Score | None:
        """Return what the local score says of a learned task, None where nothing is fitted."""
        return None if self._scores is None else self._scores.score(request, tenant, self.policy)

    def _check_sampling(self, request: ModelRequest) -> None:
        given = [name for name in SAMPLING_PARAMETERS if name in request.members]
        if given and self.policy.sampling is Sampling.REJECT:
            problem = "current models do not take it; leave it out, or let the policy's `sampling` drop it"
            raise InvalidRequest(*(Violation(f"messages_json.{name}", problem) for name in given))
