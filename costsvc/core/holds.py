"""What is held for a call, and whether a budget has room for it.

This is the arithmetic that the store's scripts do, said once in plain integers: the model that they are
tested against. As long as no bill is above its hold's worst, spend never passes limit + overshoot, in
whatever order calls begin and end.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from costsvc.core.budget import Application, Mode
from costsvc.core.errors import BudgetExceeded, BudgetUnbounded

_WHOLE_PERMILLE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Money reserved for an attempt: `q` few calls exceed, `w` none can.

    `w` is None where nobody can say, and `unbounded` then says why.
    """

    q_nano_usd: int
    w_nano_usd: int | None
    unbounded: str = ""

    @property
    def most_nano_usd(self) -> int:
        """What to hold as the worst; q where there is no bound, which no hard budget lets by."""
        return self.q_nano_usd if self.w_nano_usd is None else self.w_nano_usd


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """What one budget's instance counts in one window: settled, at risk at its upper bound, and held."""

    spent_nano_usd: int = 0
    at_risk_nano_usd: int = 0
    sum_q_nano_usd: int = 0
    sum_w_nano_usd: int = 0

    def held(self, hold: Hold) -> Balance:
        """Return the balance with a hold admitted."""
        return replace(
            self,
            sum_q_nano_usd=self.sum_q_nano_usd + hold.q_nano_usd,
            sum_w_nano_usd=self.sum_w_nano_usd + hold.most_nano_usd,
        )

    def released(self, hold: Hold) -> Balance:
        """Return the balance after an attempt that cost nothing."""
        return replace(
            self,
            sum_q_nano_usd=self.sum_q_nano_usd - hold.q_nano_usd,
            sum_w_nano_usd=self.sum_w_nano_usd - hold.most_nano_usd,
        )

    def settled(self, hold: Hold, bill_nano_usd: int) -> Balance:
        """Return the balance after an attempt whose bill came."""
        free = self.released(hold)
        return replace(free, spent_nano_usd=free.spent_nano_usd + bill_nano_usd)

    def lost(self, hold: Hold) -> Balance:
        """Return the balance after an attempt of unknown outcome: its worst counts until it is known."""
        free = self.released(hold)
        return replace(free, at_risk_nano_usd=free.at_risk_nano_usd + hold.most_nano_usd)

    def resolved(self, hold: Hold, bill_nano_usd: int) -> Balance:
        """Return the balance after the bill of a lost attempt became known; 0 where there was none."""
        return replace(
            self,
            at_risk_nano_usd=self.at_risk_nano_usd - hold.most_nano_usd,
            spent_nano_usd=self.spent_nano_usd + bill_nano_usd,
        )


def admits(balance: Balance, hold: Hold, *, limit_nano_usd: int, overshoot_nano_usd: int) -> bool:
    """Tell whether there is room: by likely costs below the limit, by the worst below limit + overshoot."""
    known = balance.spent_nano_usd + balance.at_risk_nano_usd
    likely = known + balance.sum_q_nano_usd + hold.q_nano_usd
    worst = known + balance.sum_w_nano_usd + hold.most_nano_usd
    return likely <= limit_nano_usd and worst <= limit_nano_usd + overshoot_nano_usd


def refusal(application: Application, balance: Balance, hold: Hold) -> BudgetExceeded:
    """Return the error for a hold that was not admitted, with the numbers of the rule that refused it."""
    budget = application.budget
    likely = balance.spent_nano_usd + balance.at_risk_nano_usd + balance.sum_q_nano_usd + hold.q_nano_usd
    worst_case = likely <= budget.limit_nano_usd
    overshoot_nano_usd = budget.overshoot_nano_usd if worst_case else 0
    return BudgetExceeded(
        budget_id=budget.id,
        scope=application.scope,
        limit_nano_usd=budget.limit_nano_usd,
        bound_nano_usd=budget.limit_nano_usd + overshoot_nano_usd,
        spent_nano_usd=balance.spent_nano_usd,
        at_risk_nano_usd=balance.at_risk_nano_usd,
        held_nano_usd=balance.sum_w_nano_usd if worst_case else balance.sum_q_nano_usd,
        asked_nano_usd=hold.most_nano_usd if worst_case else hold.q_nano_usd,
        worst_case=worst_case,
        resets_at=application.window.end,
    )


def check_bounded(hold: Hold, applications: Iterable[Application]) -> None:
    """Let a hold by that has a bound, or that no hard budget asks one of.

    Raises:
        BudgetUnbounded: naming the first hard budget, and why there is no bound.
    """
    if hold.w_nano_usd is not None:
        return
    for application in applications:
        if application.budget.mode is Mode.HARD:
            raise BudgetUnbounded(application.budget.id, hold.unbounded)


def crossed(
    before_nano_usd: int, after_nano_usd: int, limit_nano_usd: int, thresholds_permille: Iterable[int]
) -> tuple[int, ...]:
    """Return the thresholds that spend reaches by rising from one sum to another; none when it falls."""
    before, after = before_nano_usd * _WHOLE_PERMILLE, after_nano_usd * _WHOLE_PERMILLE
    return tuple(at for at in thresholds_permille if before < at * limit_nano_usd <= after)
