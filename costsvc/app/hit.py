"""A stored answer as the answer to another call: whose model it names, and what it saves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from costsvc.app.attempt import Attempt, Completed, Origin
from costsvc.core.cacheable import CacheOutcome
from costsvc.core.candidates import Reason, tier_of
from costsvc.core.catalog import Catalog, Model
from costsvc.core.errors import UnknownModel
from costsvc.core.json_text import parse_answer
from costsvc.core.policy import Policy
from costsvc.core.prompt_cache import has_breakpoints
from costsvc.core.routing import Decision
from costsvc.core.savings import Account, account
from costsvc.core.usage import MalformedUsage, Reported, Usage, read_usage
from costsvc.store.response_codec import REMEMBERED_BYTES, REMEMBERED_COUNT, StoredAnswer

_NO_ATTEMPT = 0


def hit(
    stored: StoredAnswer,
    attempt: Attempt,
    catalog: Catalog,
    policy: Policy,
    *,
    now: datetime,
    ref: str,
    rules: tuple[str, ...] | None = None,
) -> Completed | None:
    """Return a stored answer as the one to a call, None where it can no longer be priced.

    It cost nothing and saved what the same call would be billed today, on top of what the model saves that
    answered. `ref` is what the hit is found by later. `rules` are those of near-identity that were applied,
    None where the question is the same.
    """
    model = catalog.models.get(stored.model)
    if model is None:
        return None
    decision = attempt.plan.decision
    read = _remembered if len(stored.message_json) <= REMEMBERED_BYTES else _read
    try:
        message, reported = read(stored.message_json, model.id)
        would_be = account(
            catalog,
            reported,
            baseline_model=decision.baseline.id,
            marked_by_us=not has_breakpoints(attempt.plan.request),
            at=attempt.started_at,
            reductions=attempt.plan.levers.reductions(reported.totals.output_tokens, "")
            if model is decision.model
            else (),
        )
    except (MalformedUsage, UnknownModel):
        return None
    is_near = rules is not None
    age = max(now - stored.stored_at, timedelta(0))
    outcome = CacheOutcome.NEAR_IDENTICAL if is_near else CacheOutcome.HIT
    reason = Reason("stored_answer", f"paid for {age.total_seconds():.0f} s ago as {stored.response_id}")
    plan = replace(attempt.plan, decision=_answered_by(model, decision, policy, reason))
    return Completed(
        attempt=replace(attempt, number=_NO_ATTEMPT, plan=plan, cache_outcome=outcome),
        message=message,
        message_json=stored.message_json,
        provider_request_id="",
        reported=Reported(model=model.id, parts=(), totals=Usage()),
        account=_nothing_paid(would_be),
        avoided=reported.totals,
        origin=Origin(
            ref=ref,
            response_id=stored.response_id,
            stored_at=stored.stored_at,
            age=age,
            question=stored.question if is_near else "",
            rules=rules or (),
        ),
    )


def _answered_by(model: Model, decision: Decision, policy: Policy, reason: Reason) -> Decision:
    """Return a decision for the model whose answer is stored."""
    return Decision(
        model=model,
        tier=tier_of(model.id, policy),
        baseline=decision.baseline,
        candidates=decision.candidates,
        reasons=(*decision.reasons, reason),
        expected_cost_nano_usd=decision.expected_cost_nano_usd,
        expected_baseline_nano_usd=decision.expected_baseline_nano_usd,
    )


def _read(message_json: bytes, model: str) -> tuple[Mapping[str, Any], Reported]:
    """Return a stored message, and what its call used.

    Raises:
        MalformedUsage: nobody knows what it used.
    """
    message = parse_answer(message_json.decode())
    return message, read_usage(message.get("usage") or {}, model=model)


_remembered = lru_cache(REMEMBERED_COUNT)(_read)


def _nothing_paid(would_be: Account) -> Account:
    """Return the account of a call that was not made: what it would have cost is saved, too."""
    savings = replace(would_be.savings, response_cache_nano_usd=would_be.cost_nano_usd)
    return replace(would_be, cost_nano_usd=0, savings=savings)
