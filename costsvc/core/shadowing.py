"""Which routed calls are also answered by the baseline model, by the operator's policy: none as shipped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from costsvc.core.catalog import Catalog
from costsvc.core.money import NANO_PER_USD
from costsvc.core.policy_fields import model_id
from costsvc.core.toml_rows import Row

ALL_TASKS = "*"
_STANDARD = "standard"
_MOST_USD = 1_000
_LONGEST_KEPT = timedelta(days=90)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judging:
    """The model that compares two answers, and what it goes by."""

    model: str
    rubric: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Shadowing:
    """How much is compared: shares of calls by task, within a budget for all of a day (UTC).

    Pairs of answers are kept for `kept`; without `judging` nobody compares them here.
    """

    shares: Mapping[str, float] = field(default_factory=dict)
    daily_nano_usd: int = NANO_PER_USD
    kept: timedelta = timedelta(days=7)
    judging: Judging | None = None

    def share(self, task: str) -> float:
        """Return the share of a task's calls that are compared."""
        return self.shares.get(task, self.shares.get(ALL_TASKS, 0.0))


def read_shadowing(row: Row, catalog: Catalog) -> Shadowing:
    """Return what a policy's `[shadow]` table says.

    Raises:
        CatalogError: naming file, table and field.
    """
    shares, judge = row.row("shares", {}), row.row("judge", {})
    found = Shadowing(
        shares={task: _share(shares, task) for task in shares.values},
        daily_nano_usd=_daily_nano_usd(row),
        kept=_kept(row),
        judging=_judging(judge, catalog) if judge.values else None,
    )
    price = row.text("price", "", among=frozenset({"", _STANDARD}))
    if found.shares and not price:
        raise row.error("price", f'must say "{_STANDARD}": that is what the baseline model is paid for')
    for each in (row, shares, judge):
        each.finish()
    return found


def _share(row: Row, task: str) -> float:
    share = row.decimal(task)
    if share > 1:
        raise row.error(task, "must be at most 1")
    return float(share)


def _daily_nano_usd(row: Row) -> int:
    amount_nano_usd = row.decimal("daily_usd", "1") * NANO_PER_USD
    if amount_nano_usd.denominator != 1 or amount_nano_usd > _MOST_USD * NANO_PER_USD:
        raise row.error("daily_usd", f"must be whole nano-dollars, at most {_MOST_USD} dollars")
    return int(amount_nano_usd)


def _kept(row: Row) -> timedelta:
    kept = timedelta(days=row.count("keep_days", 7))
    if not timedelta(0) < kept <= _LONGEST_KEPT:
        raise row.error("keep_days", f"must be from 1 to {_LONGEST_KEPT.days}")
    return kept


def _judging(row: Row, catalog: Catalog) -> Judging:
    rubric = row.text("rubric").strip()
    if not rubric:
        raise row.error("rubric", "must say what makes an answer good")
    return Judging(model=model_id(row, "model", row.text("model"), catalog), rubric=rubric)
