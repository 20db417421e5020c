"""The errors that callers can meet. Each carries data; `edge/status.py` turns it into a status.

CostsvcError
├── InvalidRequest        a field breaks a rule; nothing was done
├── UnknownModel          no such model in the catalogue
├── NoModelFits           every candidate is ruled out, each with its reason
├── Overloaded            this process takes no more calls at the moment
├── DeadlineTooShort      the caller's deadline has passed, or leaves no time to answer
├── StreamUnread          the caller did not read its stream in time; it is paid all the same
├── AlreadyRecorded       this request_id has its entry already
├── RequestIdReused       this request_id stands for another request
├── AlreadyAnswered       this request_id was answered, and the answer is not kept any more
├── OutcomeUnknown        an earlier call of this request_id may have spent, and its answer is lost
├── StillRunning          another call of this request_id runs longer than this one may wait
├── CacheMiss             the caller wants a stored answer only, and there is none
├── NotAHit               no call that is remembered got a stored answer under this response_id
├── StoreUnavailable      the store did not answer in time
├── JournalFailed         this process's journal cannot be written
├── BudgetExceeded        a hard budget has no room for the call; nothing was spent
├── BudgetUnchecked       a hard budget applies, and the store cannot say in time whether it has room
├── BudgetUnbounded       a hard budget applies, and nobody can say what the call costs at most
├── TooManyBudgets        more budgets apply to the call than one hold can take
├── UnknownBudget         there is no budget of this id
├── NotAtRisk             the attempt is not at risk, or no longer
├── UnknownHold           the tenant has no such reservation
├── HoldMismatch          what is recorded contradicts its reservation
├── UnknownResponse       nothing is kept of this response that could be learned from
└── ProviderError         the provider refused, failed, or fell silent
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from costsvc.core.failure import Failure as Failure  # noqa: PLC0414 - whoever needs it needs errors
from costsvc.core.money import format_usd


class CostsvcError(Exception):
    """Anything that a caller can be told about."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken rule: `field` is a path in the request, such as `messages_json.messages[2].role`."""

    field: str
    problem: str


class InvalidRequest(CostsvcError):
    """The request breaks a rule; nothing was done."""

    def __init__(self, *violations: Violation) -> None:
        super().__init__("; ".join(f"{v.field}: {v.problem}" for v in violations))
        self.violations = violations


class UnknownModel(CostsvcError):
    """The catalogue has no such model, so it has no price: refused, never free."""

    def __init__(self, model: str) -> None:
        super().__init__(f"unknown model {model!r}")
        self.model = model


class NoModelFits(CostsvcError):
    """Every candidate is ruled out; `reasons` says why for each."""

    def __init__(self, reasons: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{model}: {reason}" for model, reason in reasons.items()))
        self.reasons = dict(reasons)


class Overloaded(CostsvcError):
    """This process takes no more calls at the moment; `limit` names what is full."""

    def __init__(self, limit: str) -> None:
        super().__init__(f"{limit} limit reached")
        self.limit = limit


class DeadlineTooShort(CostsvcError):
    """The caller's deadline has passed, or leaves no time for an answer: refused before any spend."""


class StreamUnread(CostsvcError):
    """The caller did not read its stream for too long: the rest was read and booked without it."""


class AlreadyRecorded(CostsvcError):
    """This request_id was recorded before; the first entry stands."""

    def __init__(self, entry_id: str) -> None:
        super().__init__(f"already recorded as {entry_id}")
        self.entry_id = entry_id


class RequestIdReused(CostsvcError):
    """An earlier call with this request_id asked something else; nothing was done for this one."""


class AlreadyAnswered(CostsvcError):
    """This request_id was answered, and the answer is not kept any more; its entry stands."""

    def __init__(self, entry_id: str, cost_nano_usd: int) -> None:
        super().__init__(f"already answered as {entry_id} for {format_usd(cost_nano_usd)}")
        self.entry_id = entry_id
        self.cost_nano_usd = cost_nano_usd


class OutcomeUnknown(CostsvcError):
    """An earlier call with this request_id may have spent, its answer is lost, and policy forbids another."""


class StillRunning(CostsvcError):
    """Another call with this request_id runs, and this one's time to wait for its answer is over."""


class CacheMiss(CostsvcError):
    """The caller wants a stored answer only, and there is none; `outcome` says why. Nothing was spent."""

    def __init__(self, outcome: str) -> None:
        super().__init__(outcome)
        self.outcome = outcome


class NotAHit(CostsvcError):
    """No call that is remembered got a stored answer under this response_id."""

    def __init__(self, response_id: str) -> None:
        super().__init__(response_id)
        self.response_id = response_id


class StoreUnavailable(CostsvcError):
    """The store did not answer in time, or refused."""


class JournalFailed(CostsvcError):
    """This process's journal cannot be written: what a call costs might be lost, so none is begun."""


class BudgetExceeded(CostsvcError):
    """A hard budget has no room: spent + at risk + held + asked would pass the bound. Nothing was spent.

    `held` and `asked` are likely costs where the bound is the limit, and the most that calls can cost where
    (`worst_case`) it is the limit with its overshoot. `scope` is readable: `tenant=acme`.
    """

    def __init__(
        self,
        *,
        budget_id: str,
        scope: str,
        limit_nano_usd: int,
        bound_nano_usd: int,
        spent_nano_usd: int,
        at_risk_nano_usd: int,
        held_nano_usd: int,
        asked_nano_usd: int,
        worst_case: bool,
        resets_at: datetime,
    ) -> None:
        parts = ((spent_nano_usd, "spent"), (at_risk_nano_usd, "at risk"), (held_nano_usd, "held"))
        sums = " + ".join(f"{format_usd(amount)} {name}" for amount, name in parts)
        super().__init__(
            f"budget {budget_id} ({scope}): {sums} + {format_usd(asked_nano_usd)} asked > "
            f"{format_usd(bound_nano_usd)}; resets at {resets_at.isoformat()}"
        )
        self.budget_id = budget_id
        self.scope = scope
        self.limit_nano_usd = limit_nano_usd
        self.bound_nano_usd = bound_nano_usd
        self.spent_nano_usd = spent_nano_usd
        self.at_risk_nano_usd = at_risk_nano_usd
        self.held_nano_usd = held_nano_usd
        self.asked_nano_usd = asked_nano_usd
        self.worst_case = worst_case
        self.resets_at = resets_at


class BudgetUnchecked(CostsvcError):
    """A hard budget applies, and the store cannot say in time whether it has room. Nothing was spent."""

    def __init__(self, budget_id: str) -> None:
        super().__init__(f"budget {budget_id} is hard, and the store cannot say in time whether it has room")
        self.budget_id = budget_id


class BudgetUnbounded(CostsvcError):
    """A hard budget applies, and nobody can say what the call costs at most; `reason` says why."""

    def __init__(self, budget_id: str, reason: str) -> None:
        super().__init__(f"budget {budget_id} is hard, and the call's cost has no bound: {reason}")
        self.budget_id = budget_id
        self.reason = reason


class TooManyBudgets(CostsvcError):
    """More budgets apply to the call than one hold can take; `budget_ids` are all that apply."""

    def __init__(self, budget_ids: Sequence[str], most: int) -> None:
        super().__init__(f"{len(budget_ids)} budgets apply, more than {most}: {', '.join(budget_ids)}")
        self.budget_ids = tuple(budget_ids)
        self.most = most


class UnknownBudget(CostsvcError):
    """There is no budget of this id."""

    def __init__(self, budget_id: str) -> None:
        super().__init__(f"there is no budget {budget_id!r}")
        self.budget_id = budget_id


class NotAtRisk(CostsvcError):
    """The attempt is not at risk: never was, or its cost is known by now."""

    def __init__(self, attempt_id: str) -> None:
        super().__init__(f"attempt {attempt_id!r} is not at risk, or no longer")
        self.attempt_id = attempt_id


class UnknownHold(CostsvcError):
    """The tenant has no such reservation: there never was one, or it is released."""

    def __init__(self, hold_id: str) -> None:
        super().__init__(f"there is no reservation {hold_id!r}, or it is released")
        self.hold_id = hold_id


class HoldMismatch(CostsvcError):
    """What is recorded contradicts its reservation; nothing was booked."""

    def __init__(self, *violations: Violation) -> None:
        super().__init__("; ".join(f"{v.field}: {v.problem}" for v in violations))
        self.violations = violations


class UnknownResponse(CostsvcError):
    """Nothing is kept of this response that could be learned from, or no longer."""

    def __init__(self, response_id: str) -> None:
        super().__init__(f"nothing is kept of response {response_id!r} to learn from")
        self.response_id = response_id


@dataclass(frozen=True, slots=True)
class Bounds:
    """Between what an attempt's cost lies that has no bill."""

    lower_nano_usd: int
    upper_nano_usd: int


class ProviderError(CostsvcError):
    """The provider refused, failed, or fell silent.

    `may_have_spent` is True when the outcome is unknown: the request was sent and no complete answer and no
    error came back. Match on `failure` and `code`, never on the message.
    """

    def __init__(
        self,
        failure: Failure,
        *,
        http_status: int = 0,
        error_type: str = "",
        code: str = "",
        message: str = "",
        provider_request_id: str = "",
        retry_after_s: float | None = None,
        may_have_spent: bool = False,
    ) -> None:
        super().__init__(f"{failure.value}: {http_status} {error_type} {message}".strip())
        self.failure = failure
        self.http_status = http_status
        self.error_type = error_type
        self.code = code
        self.message = message
        self.provider_request_id = provider_request_id
        self.retry_after_s = retry_after_s
        self.may_have_spent = may_have_spent
        self.attempt_id = ""  # filled in by whoever made the attempt, with
        self.attempt_count = 0  # how many attempts the call has made
        self.bounds: Bounds | None = None  # and, where a part of the answer came, what it may have cost
