from __future__ import annotations

import inspect
from datetime import UTC, datetime

import pytest

from costsvc.core import errors
from costsvc.core.errors import (
    AlreadyAnswered,
    AlreadyRecorded,
    BudgetExceeded,
    BudgetUnbounded,
    CostsvcError,
    Failure,
    InvalidRequest,
    NoModelFits,
    Overloaded,
    ProviderError,
    TooManyBudgets,
    UnknownModel,
    Violation,
)

EXCEEDED = BudgetExceeded(
    budget_id="team",
    scope="tenant=a",
    limit_nano_usd=5_000_000_000,
    bound_nano_usd=5_250_000_000,
    spent_nano_usd=4_000_000_000,
    at_risk_nano_usd=0,
    held_nano_usd=1_000_000_000,
    asked_nano_usd=300_000_000,
    worst_case=True,
    resets_at=datetime(2026, 12, 1, tzinfo=UTC),
)

SUMS = "$4.00 spent + $0.00 at risk + $1.00 held + $0.30 asked > $5.25"


def test_the_tree_is_drawn_as_it_is() -> None:
    """The module's drawing names every error there is, in order, and all hang on one root."""
    found = [
        kind
        for kind in vars(errors).values()
        if inspect.isclass(kind) and issubclass(kind, CostsvcError) and kind is not CostsvcError
    ]
    drawn = [line.split()[1] for line in (errors.__doc__ or "").splitlines() if line.startswith(("├", "└"))]
    assert [kind.__name__ for kind in found] == drawn
    assert all(kind.__bases__ == (CostsvcError,) for kind in found)


def test_errors_carry_data() -> None:
    """Whoever catches one reads fields, not a message."""
    violation = Violation("a.b", "is odd")
    assert InvalidRequest(violation, violation).violations == (violation, violation)
    assert UnknownModel("gpt").model == "gpt"
    assert NoModelFits({"m": "is retired"}).reasons == {"m": "is retired"}
    assert Overloaded("bytes").limit == "bytes"
    assert AlreadyRecorded("e1").entry_id == "e1"
    assert (EXCEEDED.limit_nano_usd, EXCEEDED.bound_nano_usd) == (5_000_000_000, 5_250_000_000)
    assert BudgetUnbounded("b", "compaction").reason == "compaction"
    assert TooManyBudgets(["a", "b"], 1).budget_ids == ("a", "b")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (InvalidRequest(Violation("a", "is odd"), Violation("b", "is even")), "a: is odd; b: is even"),
        (UnknownModel("gpt"), "unknown model 'gpt'"),
        (NoModelFits({"m": "is retired", "n": "is small"}), "m: is retired; n: is small"),
        (Overloaded("calls"), "calls limit reached"),
        (AlreadyRecorded("e1"), "already recorded as e1"),
        (AlreadyAnswered("e1", 1_500_000_000), "already answered as e1 for $1.50"),
        (
            EXCEEDED,
            f"budget team (tenant=a): {SUMS}; resets at 2026-12-01T00:00:00+00:00",
        ),
        (
            BudgetUnbounded("b", "compaction"),
            "budget b is hard, and the call's cost has no bound: compaction",
        ),
        (TooManyBudgets(["a", "b"], 1), "2 budgets apply, more than 1: a, b"),
        (ProviderError(Failure.TIMED_OUT), "timed_out: 0"),
        (
            ProviderError(
                Failure.INVALID, http_status=400, error_type="invalid_request_error", message="No."
            ),
            "invalid: 400 invalid_request_error No.",
        ),
    ],
)
def test_errors_read_well_in_a_log(error: CostsvcError, text: str) -> None:
    """One line says what happened."""
    assert str(error) == text


def test_a_provider_error_says_whether_money_may_be_gone() -> None:
    """Nothing is assumed: only who made the attempt can know, and which attempt it was."""
    error = ProviderError(Failure.UNAVAILABLE)
    assert (error.may_have_spent, error.retry_after_s, error.attempt_id) == (False, None, "")
    assert ProviderError(Failure.TIMED_OUT, may_have_spent=True, retry_after_s=2.5).may_have_spent


def test_the_reasons_of_no_model_are_a_copy() -> None:
    """What happens to the caller's mapping later changes no error."""
    reasons = {"m": "is retired"}
    error = NoModelFits(reasons)
    reasons.clear()
    assert error.reasons == {"m": "is retired"}
