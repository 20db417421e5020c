"""The judge: the provider's bill against entries, risks and budgets, in arithmetic of its own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from costsvc import v1
from costsvc.core.entry import Entry

PICO_PER_NANO = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """What there is when all is quiet: lines of the bill, entries, risks, and budgets with their balances."""

    lines: Sequence[Mapping[str, Any]]
    entries: Sequence[Entry]
    risks: Sequence[v1.AtRisk]
    budgets: Sequence[v1.BudgetStatus]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One attempt, whose it is, and its `amounts`: billed, settled, and at risk at most."""

    tenant: str
    labels: Mapping[str, str]
    started_at: datetime
    amounts: tuple[int, int, int]


def due_nano_usd(line: Mapping[str, Any]) -> int:
    """Return what an entry of a line must say: the bill, rounded up."""
    return -(-int(line["pico_usd"]) // PICO_PER_NANO)


def problems_of(books: Books) -> list[str]:
    """Return a sentence for everything that is wrong, each beginning with an attempt or a budget."""
    return [*_attempt_problems(books), *_budget_problems(books)]


def _attempt_problems(books: Books) -> Iterable[str]:
    """Hold every attempt against the bill: one entry of its amount, or one risk around it, and never both."""
    lines = _by_attempt(books.lines, lambda line: line["attempt"])
    made = (entry for entry in books.entries if not _is_hit(entry))
    entries = _by_attempt(made, lambda entry: entry.attempt_id)
    risks = _by_attempt(books.risks, lambda risk: risk.attempt_id)
    for attempt in sorted(lines.keys() | entries.keys() | risks.keys()):
        line, entry, risk = lines[attempt], entries[attempt], risks[attempt]
        counts = f"{len(line)} lines, {len(entry)} entries, {len(risk)} risks"
        if not entry and not risk and len(line) == 1 and due_nano_usd(line[0]) == 0:
            continue  # a refusal that is not charged, resolved as such
        if len(line) > 1 or len(entry) + len(risk) != 1:
            yield f"{attempt}: {counts}"
        elif entry and not line:
            yield f"{attempt}: booked {entry[0].cost_nano_usd}, never billed"
        elif entry and entry[0].cost_nano_usd != due_nano_usd(line[0]):
            yield f"{attempt}: booked {entry[0].cost_nano_usd}, billed {line[0]['pico_usd']} pico-USD"
        elif risk:
            due = due_nano_usd(line[0]) if line else 0
            if not risk[0].lower_nano_usd <= due <= risk[0].upper_nano_usd:
                bounds = f"{risk[0].lower_nano_usd} to {risk[0].upper_nano_usd}"
                yield f"{attempt}: at risk with {bounds}, billed {due}"


def _is_hit(entry: Entry) -> bool:
    """Tell whether an entry is that of a stored answer, which is free: the provider was not asked."""
    return entry.cache_outcome in {"hit", "near_identical"} and entry.cost_nano_usd == 0


def _by_attempt(rows: Iterable[Any], attempt_of: Any) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = defaultdict(list)
    for row in rows:
        found[attempt_of(row) or ""].append(row)
    return found


def _budget_problems(books: Books) -> Iterable[str]:
    """Hold every budget against the bill of its calls, and its counters against the entries and risks."""
    rows = [*_rows(books)]
    for status in books.budgets:
        budget, sums = status.budget, _sums(status, rows)
        for name, (billed, settled, at_risk) in sums.items():
            overshoot = 0 if budget.strict else budget.limit_nano_usd * budget.overshoot_permille // 1000
            if budget.mode == v1.BUDGET_MODE_HARD and billed > budget.limit_nano_usd + overshoot:
                yield f"{budget.id} {name}: billed {billed}, limit {budget.limit_nano_usd} + {overshoot}"
            balance = next((each for each in status.balances if each.instance == name), v1.BudgetBalance())
            counted = balance.spent_nano_usd, balance.at_risk_nano_usd
            if counted != (settled, at_risk):
                yield f"{budget.id} {name}: counts (spent, at risk) {counted}, the books {(settled, at_risk)}"
        for balance in status.balances:
            held = balance.held_nano_usd, balance.held_worst_nano_usd
            if held != (0, 0):
                yield f"{budget.id} {balance.instance}: still holds {held}"


def _rows(books: Books) -> Iterable[Row]:
    """Yield the attempts that have an owner; those that have none are a problem of their own."""
    billed = {line["attempt"]: due_nano_usd(line) for line in books.lines}
    for entry in books.entries:
        yield Row(
            tenant=entry.tenant,
            labels=entry.labels,
            started_at=entry.started_at,
            amounts=(billed.get(entry.attempt_id, 0), entry.cost_nano_usd, 0),
        )
    for risk in books.risks:
        yield Row(
            tenant=risk.tenant,
            labels=risk.labels,
            started_at=risk.start_time.ToDatetime(tzinfo=UTC),
            amounts=(billed.get(risk.attempt_id, 0), 0, risk.upper_nano_usd),
        )


def _sums(status: v1.BudgetStatus, rows: Iterable[Row]) -> dict[str, tuple[int, int, int]]:
    """Add up billed, settled and at risk of each instance in the window that the balances are of."""
    found: dict[str, tuple[int, int, int]] = {}
    for row in rows:
        name = instance_of(status.budget, row.tenant, row.labels)
        if name is not None and _is_within(status.balances, row.started_at):
            sums = zip(found.get(name, (0, 0, 0)), row.amounts, strict=True)
            found[name] = tuple(before + more for before, more in sums)  # type: ignore[assignment]
    return found


def _is_within(balances: Sequence[v1.BudgetBalance], at: datetime) -> bool:
    starts = [balance.window_start_time.ToDatetime(tzinfo=UTC) for balance in balances]
    return not starts or at >= min(starts)


def instance_of(budget: v1.Budget, tenant: str, labels: Mapping[str, str]) -> str | None:
    """Return what a budget counts a call under, None where it does not: the schema's words, read anew."""
    scope = budget.scope
    if scope.kind == v1.BUDGET_KIND_EVERYTHING:
        return ""
    if scope.kind == v1.BUDGET_KIND_EACH_TENANT:
        return tenant
    if scope.kind == v1.BUDGET_KIND_TENANT:
        return tenant if tenant == scope.value else None
    value = labels.get(scope.key)
    if scope.kind == v1.BUDGET_KIND_EACH_LABEL:
        return value
    return value if value == scope.value else None


def total_nano_usd(lines: Iterable[Mapping[str, Any]]) -> int:
    """Return what all lines come to, each rounded up."""
    return sum(due_nano_usd(line) for line in lines)
