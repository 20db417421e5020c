"""What an operator does: define budgets and see what they count, and say what lost attempts really cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Generic, TypeVar

from costsvc.app.booking import Booking
from costsvc.app.pages import page_size, read_token, write_token
from costsvc.app.policies import PolicyInForce
from costsvc.app.record import opened_entry, read_reported
from costsvc.core.budget import Budget, Kind, validated
from costsvc.core.catalog import Catalog
from costsvc.core.entry import RESOLVED, Entry
from costsvc.core.errors import InvalidRequest, NotAtRisk, UnknownBudget, Violation
from costsvc.core.holds import Balance
from costsvc.core.savings import account
from costsvc.core.windows import Window, window_at
from costsvc.metrics import Metrics
from costsvc.ports import Clock
from costsvc.store.attempts import AtRisk
from costsvc.store.budgets import BudgetBook
from costsvc.store.erasure import Erasure
from costsvc.store.holds import Holds
from costsvc.store.risks import Risks

_TEMPLATES = frozenset({Kind.EACH_TENANT, Kind.EACH_LABEL})
_LABELS = frozenset({Kind.LABEL, Kind.EACH_LABEL})

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What a budget counts for an instance in its current window."""

    instance: str
    window: Window
    balance: Balance


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """A budget, and one page of what it counts."""

    budget: Budget
    counted: tuple[Counted, ...]
    next_page_token: str


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some rows, and the token of the next page."""

    rows: tuple[T, ...]
    next_page_token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """What an attempt used by the provider's account, or, with no model, that it spent nothing."""

    attempt_id: str
    model: str = ""
    usage_json: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """What was booked; no entry where nothing was spent."""

    entry_id: str
    cost_nano_usd: int


class Administration:
    """The use cases behind AdminService."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        budgets: BudgetBook,
        holds: Holds,
        risks: Risks,
        erasure: Erasure,
        booking: Booking,
        policy_in_force: PolicyInForce,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._catalog = catalog
        self._budgets = budgets
        self._holds = holds
        self._risks = risks
        self._erasure = erasure
        self._booking = booking
        self._policy_in_force = policy_in_force
        self._metrics = metrics
        self._clock = clock

    async def set_budget(self, budget: Budget) -> Budget:
        """Create or replace a budget, and return it as it is kept.

        Raises:
            InvalidRequest: naming every field that breaks a rule.
            StoreUnavailable: it may have happened or not; repeat it.
        """
        kept = validated(budget, self._catalog)
        if kept.scope.kind in _LABELS and kept.scope.key not in self._policy_in_force.policy.report_labels:
            problem = (
                f"{kept.scope.key!r} is not added up, so nobody could say what was spent before: "
                "add it to the policy's report_labels first"
            )
            raise InvalidRequest(Violation("budget.scope.key", problem))
        await self._budgets.put(kept, created_at=self._clock.now())
        return kept

    async def budget(self, budget_id: str, *, size: int, token: str) -> Status:
        """Return a budget with a page of what it counts now.

        Raises:
            UnknownBudget: there is none of this id.
        """
        after = read_token(token, f"budget {budget_id}")
        budget = await self._budgets.get(budget_id)
        if budget is None:
            raise UnknownBudget(budget_id)
        counted = await self._counted(budget)
        page = _page(counted, lambda each: each.instance, after, size, f"budget {budget_id}")
        return Status(budget=budget, counted=page.rows, next_page_token=page.next_page_token)

    async def list_budgets(self, *, size: int, token: str) -> Page[Budget]:
        """Return a page of budgets, by id."""
        after = read_token(token, "budgets")
        return _page(await self._budgets.list(), lambda budget: budget.id, after, size, "budgets")

    async def delete_budget(self, budget_id: str) -> None:
        """Delete a budget.

        Raises:
            UnknownBudget: there is none of this id.
            StoreUnavailable: it may have happened or not.
        """
        if not await self._budgets.delete(budget_id):
            raise UnknownBudget(budget_id)

    async def list_at_risk(self, *, tenant: str, size: int, token: str) -> Page[AtRisk]:
        """Return a page of what is at risk, of a tenant or of all, oldest first."""
        query = f"at risk {tenant}"
        after = read_token(token, query)
        found = await self._holds.at_risk(tenant=tenant, after=after, count=page_size(size))
        return Page(found.rows, write_token(query, found.after))

    async def resolve(self, resolution: Resolution) -> Resolved:
        """Book what an attempt at risk really cost, once.

        Raises:
            NotAtRisk: it never was, or no longer is.
            InvalidRequest, UnknownModel: usage that cannot be billed.
            StoreUnavailable: it may have happened or not; repeat it.
        """
        risk = await self._risks.find(resolution.attempt_id)
        if risk is None:
            raise NotAtRisk(resolution.attempt_id)
        entry = self._entry(risk, resolution) if resolution.model else None
        if entry is None:
            if not await self._holds.resolve(risk.attempt_id, risk.opening.started_at):
                raise NotAtRisk(resolution.attempt_id)
            return Resolved(entry_id="", cost_nano_usd=0)
        if (await self._booking.book(entry)).duplicate:
            raise NotAtRisk(resolution.attempt_id)
        self._metrics.settled(entry.answering_model, entry.cost_nano_usd, entry.savings, entry.usage)
        return Resolved(entry_id=entry.entry_id, cost_nano_usd=entry.cost_nano_usd)

    async def delete_tenant_data(self, tenant: str) -> Mapping[str, int]:
        """Erase the contents that are kept for a tenant; return how many of each kind there were.

        Raises:
            StoreUnavailable: some may be erased; repeat it.
        """
        return await self._erasure.erase(tenant)

    async def _counted(self, budget: Budget) -> list[Counted]:
        """Return what a budget counts now; one that is no template always counts one thing."""
        now = self._clock.now()
        window = window_at(budget.window, now)
        found = [
            Counted(instance=instance, window=window, balance=balance)
            for instance, _, balance in await self._budgets.balances(budget.id, now)
        ]
        if found or budget.scope.kind in _TEMPLATES:
            return found
        return [Counted(instance=budget.scope.value, window=window, balance=Balance())]

    def _entry(self, risk: AtRisk, resolution: Resolution) -> Entry:
        """Return the entry of an attempt whose usage became known; prices are those of its start."""
        opening = risk.opening
        model = self._catalog.resolve(resolution.model)
        reported = read_reported(resolution.usage_json, model)
        accounted = account(
            self._catalog,
            reported,
            baseline_model=opening.baseline_model,
            marked_by_us=False,
            at=opening.started_at,
        )
        return opened_entry(
            opening,
            catalog=self._catalog,
            model=model,
            reported=reported,
            accounted=accounted,
            raw_usage_json=resolution.usage_json.decode(),
            state=RESOLVED,
            charges=risk.charges,
            settled_at=self._clock.now(),
            total_ms=round((risk.since - opening.started_at) / timedelta(milliseconds=1)),
        )


def _page(rows: Sequence[T], name: Callable[[T], str], after: str, size: int, query: str) -> Page[T]:
    """Return the rows behind one of a name, as many as a page has."""
    rest = [row for row in rows if name(row) > after] if after else list(rows)
    shown = tuple(rest[: page_size(size)])
    return Page(shown, write_token(query, name(shown[-1])) if len(rest) > len(shown) else "")
