"""What a caller gets for errors about budgets and money at risk: each with the numbers that it rests on."""

from __future__ import annotations

from datetime import datetime, timedelta

import grpc
from google.rpc import error_details_pb2 as details

from costsvc import v1
from costsvc.core.errors import (
    BudgetExceeded,
    BudgetUnbounded,
    CostsvcError,
    NotAtRisk,
    TooManyBudgets,
    UnknownBudget,
    UnknownHold,
)
from costsvc.edge.outcome import Outcome, cut, duration_of, not_found

_SECOND = timedelta(seconds=1)


BudgetError = BudgetExceeded | BudgetUnbounded | TooManyBudgets | UnknownBudget | NotAtRisk | UnknownHold


def about_budgets(error: BudgetError, now: datetime) -> Outcome:
    """Return what a caller gets for one of these errors: nothing was spent, so it may try again at will."""
    match error:
        case BudgetExceeded():
            return _exceeded(error, now)
        case BudgetUnbounded():
            metadata = {"budget_id": error.budget_id, "cause": cut(error.reason)}
            return _failed(error, v1.ERROR_REASON_BUDGET_UNBOUNDED, metadata, error.budget_id)
        case TooManyBudgets():
            metadata = {"budget_ids": cut(",".join(error.budget_ids)), "most": str(error.most)}
            return _failed(error, v1.ERROR_REASON_TOO_MANY_BUDGETS, metadata, "")
        case UnknownBudget():
            return not_found(error, v1.ERROR_REASON_UNKNOWN_BUDGET, "budget", error.budget_id)
        case NotAtRisk():
            return not_found(error, v1.ERROR_REASON_NOT_AT_RISK, "attempt", error.attempt_id)
        case UnknownHold():
            return not_found(error, v1.ERROR_REASON_UNKNOWN_HOLD, "hold", error.hold_id)


def _exceeded(error: BudgetExceeded, now: datetime) -> Outcome:
    """Say when there is room again in RetryInfo alone: gRPC itself would wait for it, call by call."""
    quota = details.QuotaFailure.Violation(subject=f"budget:{error.budget_id}", description=cut(str(error)))
    wait_s = max((error.resets_at - now) / _SECOND, 0.0)
    amounts = {
        "limit_nano_usd": error.limit_nano_usd,
        "bound_nano_usd": error.bound_nano_usd,
        "spent_nano_usd": error.spent_nano_usd,
        "at_risk_nano_usd": error.at_risk_nano_usd,
        "held_nano_usd": error.held_nano_usd,
        "asked_nano_usd": error.asked_nano_usd,
    }
    return Outcome(
        code=grpc.StatusCode.RESOURCE_EXHAUSTED,
        reason=v1.ERROR_REASON_BUDGET_EXCEEDED,
        message=f"{cut(str(error))}; nothing was spent",
        metadata={
            "budget_id": error.budget_id,
            "scope": cut(error.scope),
            **{name: str(amount) for name, amount in amounts.items()},
            "worst_case": "true" if error.worst_case else "false",
            "resets_at": error.resets_at.isoformat(),
        },
        details=(
            details.QuotaFailure(violations=[quota]),
            details.RetryInfo(retry_delay=duration_of(wait_s)),
        ),
    )


def _failed(error: CostsvcError, reason: v1.ErrorReason, metadata: dict[str, str], budget_id: str) -> Outcome:
    problem = cut(str(error))
    violation = details.PreconditionFailure.Violation(type="BUDGET", subject=budget_id, description=problem)
    return Outcome(
        code=grpc.StatusCode.FAILED_PRECONDITION,
        reason=reason,
        message=f"{problem}; nothing was spent",
        metadata=metadata,
        details=(details.PreconditionFailure(violations=[violation]),),
    )
