"""What an attempt holds while it is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from costsvc.app.attempt import Attempt
from costsvc.core.budget import Application
from costsvc.core.holds import Hold
from costsvc.core.opening import Opening
from costsvc.core.request import Tier
from costsvc.store.charges import charge_of
from costsvc.store.hold_call import Held
from costsvc.store.journal import Ticket


@dataclass(frozen=True, slots=True, kw_only=True)
class Reserved:
    """What an attempt holds. `cap_tier` is the tier that full soft budgets cap calls at, None without one.

    `version` is that of the definitions that the charges follow; `trace` is its opening in the journal, None
    of a reservation.
    """

    opening: Opening
    hold: Hold
    charges: tuple[str, ...]
    version: int
    cap_tier: Tier | None
    trace: Ticket | None = None


def reserved_by(
    attempt: Attempt, version: int, applications: Sequence[Application], hold: Hold, held: Held
) -> Reserved:
    """Return what an attempt holds on the budgets that apply to it."""
    caps = [each.budget.cap_tier for each in applications if each.budget.id in held.soft_full]
    return Reserved(
        opening=opening_of(attempt),
        hold=hold,
        charges=tuple(charge_of(each) for each in applications),
        version=version,
        cap_tier=min((cap for cap in caps if cap is not None), default=None),
    )


def opening_of(attempt: Attempt) -> Opening:
    """Return what is known of an attempt before its answer."""
    request, decision = attempt.plan.request, attempt.plan.decision
    return Opening(
        attempt_id=attempt.attempt_id,
        response_id=attempt.response_id,
        request_id=request.request_id,
        tenant=attempt.tenant,
        labels=request.labels,
        task=request.task,
        conversation_id=request.conversation_id,
        requested_model=request.model or "auto",
        model=decision.model.id,
        baseline_model=decision.baseline.id,
        tier=decision.tier.label if decision.tier else "",
        started_at=attempt.started_at,
    )
