"""The tiers that may answer a checked request one after the other, lowest first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from costsvc.core.candidates import Candidate, Question
from costsvc.core.errors import NoModelFits
from costsvc.core.request import Tier
from costsvc.core.routing import Decision, decide


def find_ladder(question: Question, decision: Decision) -> tuple[Candidate, ...]:
    """Return one model a tier, the decision's own among them; none where nothing may follow a failed answer.

    Tiers below the decision's come first only where the caller's checks say what a good answer is, and where
    neither a rule of the policy nor a conversation has decided: those know more than a check does.
    """
    if not _may_cascade(question, decision):
        return ()
    lowest = question.request.min_tier if _may_begin_lower(question, decision) else decision.tier
    steps = (tier for tier in Tier if lowest is not None and lowest <= tier <= question.request.max_tier)
    found = (decision.chosen if tier is decision.tier else on_tier(question, tier) for tier in steps)
    return tuple(candidate for candidate in found if candidate is not None)


def above(ladder: tuple[Candidate, ...], tier: Tier | None) -> Iterator[Candidate]:
    """Yield the rungs above a tier."""
    return (each for each in ladder if tier is not None and each.tier is not None and each.tier > tier)


def on_tier(question: Question, tier: Tier) -> Candidate | None:
    """Return the model that would answer on a tier, None where none can or a rule lets none."""
    bounded = replace(question.request, min_tier=tier, max_tier=tier)
    try:
        decision = decide(replace(question, request=bounded))
    except NoModelFits:
        return None
    return decision.chosen if decision.tier is tier else None


def _may_cascade(question: Question, decision: Decision) -> bool:
    request = question.request
    return (
        request.checks is not None
        and question.policy.cascade.enabled
        and decision.tier is not None
        and not (request.model or request.baseline_only or request.is_shown_early)
    )


def _may_begin_lower(question: Question, decision: Decision) -> bool:
    request = question.request
    return (
        request.checks is not None
        and request.checks.are_about_content
        and question.policy.cascade.may_begin_lower(request.task)
        and not request.conversation_id
        and all(reason.code != "rule" for reason in decision.reasons)
    )
