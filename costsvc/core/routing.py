"""Which model answers: the strongest evidence says which tier, and its first model that can answers.

A decision names its reasons, what each candidate would be expected to cost, and the baseline against which
its saving counts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from costsvc.core.candidates import Candidate, Question, Reason, consider, tier_of
from costsvc.core.catalog import Model
from costsvc.core.conversation import Bounds, Pin, keep
from costsvc.core.errors import InvalidRequest, NoModelFits, Violation
from costsvc.core.local_score import Score
from costsvc.core.request import ModelRequest, Tier
from costsvc.core.rules import Facts, Rule, first_match

RETIREMENT_NOTICE = timedelta(days=60)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The model that answers, its baseline, and how it came to that. Costs are for an unmarked prompt."""

    model: Model
    tier: Tier | None
    baseline: Model
    candidates: tuple[Candidate, ...]
    reasons: tuple[Reason, ...]
    expected_cost_nano_usd: int
    expected_baseline_nano_usd: int

    def with_reasons(self, more: Iterable[Reason]) -> Decision:
        """Return the decision with further steps."""
        steps = tuple(more)
        if not steps:
            return self
        return Decision(
            model=self.model,
            tier=self.tier,
            baseline=self.baseline,
            candidates=self.candidates,
            reasons=(*self.reasons, *steps),
            expected_cost_nano_usd=self.expected_cost_nano_usd,
            expected_baseline_nano_usd=self.expected_baseline_nano_usd,
        )

    @property
    def is_by_default(self) -> bool:
        """Whether nothing says what kind of work it is."""
        return any(reason.code == "default_tier" for reason in self.reasons)

    @property
    def chosen(self) -> Candidate:
        """The candidate that answers."""
        return next(each for each in reversed(self.candidates) if each.model is self.model)

    def moved(self, candidate: Candidate, reason: Reason) -> Decision:
        """Return the decision for another model that can answer."""
        return replace(
            self,
            model=candidate.model,
            tier=candidate.tier,
            candidates=(*self.candidates, candidate),
            reasons=(*self.reasons, reason),
            expected_cost_nano_usd=candidate.expected_cost_nano_usd,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    """A question answered by all evidence but its conversation; `concluded` makes the decision of it.

    The last of `considered` can answer. `bounds` are None where the caller names the model; `shadow` is what
    a score would choose that does not decide.
    """

    question: Question
    considered: tuple[Candidate, ...]
    reasons: tuple[Reason, ...]
    shadow: tuple[Reason, ...]
    bounds: Bounds | None
    baseline: Model
    baseline_nano_usd: int

    def concluded(self, pin: Pin | None) -> Decision:
        """Return the decision; `pin` is where the request's conversation is."""
        considered, reasons = self.considered, self.reasons
        chosen = considered[-1]
        if pin is not None and self.bounds is not None:
            chosen, reason = keep(self.question, pin, chosen, self.bounds)
            considered += (chosen,) if chosen is not considered[-1] else ()
            reasons += (reason,)
        return Decision(
            model=chosen.model,
            tier=chosen.tier,
            baseline=self.baseline,
            candidates=considered,
            reasons=(*reasons, *self.shadow, *_retirement(chosen.model, self.question.at)),
            expected_cost_nano_usd=chosen.expected_cost_nano_usd,
            expected_baseline_nano_usd=self.baseline_nano_usd,
        )


def decide(question: Question, pin: Pin | None = None) -> Decision:
    """Choose a model: `weigh` and `Weighed.concluded` in one."""
    return weigh(question).concluded(pin)


def weigh(question: Question) -> Weighed:
    """Choose a model by all but the place of its conversation.

    Evidence is taken in this order: the model that the caller names; the operator's rules and the task; what
    each model can do; the conversation; the local score, which stands in for the task where it serves; for
    work of which nothing is known, the policy's middle tier.

    Raises:
        UnknownModel: the pinned model is not in the catalogue.
        InvalidRequest: the tier bounds exclude each other.
        NoModelFits: with every model's reason.
    """
    wanted = _wanted(question)
    considered = _considered(consider(question, model, tier) for model, tier in wanted.models)
    chosen = considered[-1]
    baseline = question.catalog.models[question.policy.baseline_model]
    if question.request.model:
        baseline = chosen.model
    baseline_nano_usd = chosen.expected_cost_nano_usd
    if baseline is not chosen.model:
        baseline_nano_usd = question.cost_nano_usd(baseline, question.expected(baseline))
    return Weighed(
        question=question,
        considered=considered,
        reasons=(*wanted.reasons, *_passed_over(considered)),
        shadow=tuple(_in_shadow(question, wanted)),
        bounds=wanted.bounds,
        baseline=baseline,
        baseline_nano_usd=baseline_nano_usd,
    )


def fall_back(decision: Decision, candidate: Candidate, why: str) -> Decision:
    """Return the decision after the chosen model has failed, for another that can answer."""
    return decision.moved(candidate, Reason("fallback", f"{decision.model.id} {why}: {candidate.model.id}"))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """What evidence asks for: models in order of preference, and what else may answer."""

    models: Iterable[tuple[Model, Tier | None]]
    reasons: tuple[Reason, ...]
    bounds: Bounds | None  # None: the caller names the model


def _wanted(question: Question) -> _Wanted:
    """Return what the strongest evidence asks for: the caller's model, a rule, the task, else the default."""
    request, policy = question.request, question.policy
    if request.model or request.baseline_only:
        return _named(question)
    if request.min_tier > request.max_tier:
        raise InvalidRequest(Violation("min_tier", "is above max_tier"))
    rule = first_match(policy.rules, _facts(question)) if policy.rules else None
    if rule is not None and rule.models:
        return _only(question, rule)
    if rule is not None and rule.tier is not None:
        return _tiers(question, rule.tier, (), rule, firm=True)
    if question.score is not None and not question.score.shadow:
        return _scored(question, question.score, rule)
    task = policy.tasks.get(request.task)
    if task is not None:
        hint = Reason("task_hint", f"task {request.task} is {task.tier.label}")
        return _tiers(question, task.tier, (hint,), rule, firm=True)
    cause = f"task {request.task} is not in the policy" if request.task else "no task is given"
    unclear = Reason("default_tier", f"{cause}: {policy.default_tier.label}")
    return _tiers(question, policy.default_tier, (unclear,), rule, firm=False)


def _scored(question: Question, score: Score, rule: Rule | None) -> _Wanted:
    """Return the tier that the score chooses; a conversation stays where it is all the same."""
    tier = score.tier(*_bounds(question.request, rule))
    return _tiers(question, tier, (Reason("local_score", score.words(tier)),), rule, firm=False)


def _in_shadow(question: Question, wanted: _Wanted) -> Iterable[Reason]:
    """Say what a score would choose that does not decide."""
    score, bounds = question.score, wanted.bounds
    if score is not None and score.shadow and bounds is not None:
        tier = score.tier(bounds.lowest, bounds.highest)
        yield Reason("local_score_shadow", f"would be {score.words(tier)}; not followed: {score.shadow}")


def _named(question: Question) -> _Wanted:
    """Return the model that the caller names: itself, or as the baseline."""
    if question.request.model:
        model = question.catalog.resolve(question.request.model)
        reason = Reason("pinned_model", f"the caller asks for {model.id}")
    else:
        model = question.catalog.models[question.policy.baseline_model]
        reason = Reason("baseline_requested", f"the caller asks for the baseline, {model.id}")
    return _Wanted(models=[(model, tier_of(model.id, question.policy))], reasons=(reason,), bounds=None)


def _only(question: Question, rule: Rule) -> _Wanted:
    """Return the models of a rule, whatever tiers the caller would have: the operator has the last word."""
    models = [(question.catalog.models[name], tier_of(name, question.policy)) for name in rule.models]
    bounds = Bounds(lowest=Tier.SIMPLE, highest=Tier.COMPLEX, only=rule.models, firm=True)
    return _Wanted(models=models, reasons=(_reason(rule),), bounds=bounds)


def _tiers(
    question: Question, wanted: Tier, reasons: tuple[Reason, ...], rule: Rule | None, *, firm: bool
) -> _Wanted:
    """Return the models from a tier on: within the caller's bounds, and those within the rule's."""
    request = question.request
    tier = min(max(wanted, request.min_tier), request.max_tier)
    bound = Reason("tier_bound", f"the caller's bounds make it {tier.label}")
    reasons += (bound,) if tier is not wanted else ()
    lowest, highest = _bounds(request, rule)
    if rule is not None:
        tier = _bounded(tier, rule)
        reasons = (_reason(rule), *reasons) if rule.tier else (*reasons, _reason(rule))
    steps = (step for step in Tier if tier <= step <= highest)
    models = ((question.catalog.models[name], step) for step in steps for name in question.policy.tiers[step])
    bounds = Bounds(lowest=lowest, highest=highest, firm=firm)
    return _Wanted(models=models, reasons=reasons, bounds=bounds)


def _bounds(request: ModelRequest, rule: Rule | None) -> tuple[Tier, Tier]:
    """Return the lowest and the highest tier of the caller, within those of a rule."""
    if rule is None:
        return request.min_tier, request.max_tier
    return _bounded(request.min_tier, rule), _bounded(request.max_tier, rule)


def _bounded(tier: Tier, rule: Rule) -> Tier:
    return min(max(tier, rule.min_tier or Tier.SIMPLE), rule.max_tier or Tier.COMPLEX)


def _reason(rule: Rule) -> Reason:
    return Reason("rule", f"rule {rule.name}: {rule.outcome}")


def _facts(question: Question) -> Facts:
    baseline = question.catalog.models[question.policy.baseline_model]
    return Facts(
        request=question.request,
        tenant=question.tenant,
        content=question.content,
        input_tokens=lambda: question.expected(baseline).prompt_tokens,
        at=question.at,
    )


def _considered(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """Return the candidates up to the first that can answer: nobody needs the price of the rest."""
    considered: list[Candidate] = []
    for candidate in candidates:
        considered.append(candidate)
        if not candidate.ruled_out:
            return tuple(considered)
    raise NoModelFits({candidate.model.id: candidate.ruled_out for candidate in considered})


def _passed_over(candidates: tuple[Candidate, ...]) -> Iterable[Reason]:
    for candidate in candidates:
        if candidate.ruled_out:
            yield Reason("ruled_out", f"{candidate.model.id} {candidate.ruled_out}")


def _retirement(model: Model, at: datetime) -> Iterable[Reason]:
    if model.retires_on and model.retires_on - at.date() <= RETIREMENT_NOTICE:
        replacement = model.replacement or "no model"
        yield Reason("model_retires", f"{model.id} retires on {model.retires_on}; {replacement} replaces it")
