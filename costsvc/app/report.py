"""Adding up a tenant's ledger: by hour, day or month (UTC), by model, tier, task, label or technique."""

from __future__ import annotations

import asyncio
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from enum import Enum
from hashlib import sha256

from costsvc.app.policies import PolicyInForce
from costsvc.core.entry import MEASURES
from costsvc.core.errors import InvalidRequest, Violation
from costsvc.core.savings import Savings
from costsvc.store.holds import Holds, RiskSums
from costsvc.store.rollups import Cell, Rollups

LONGEST_RANGE = timedelta(days=366)
DEFAULT_PAGE, LARGEST_PAGE = 100, 1000
_MANY = 2_000  # cells: to add up more is done beside the event loop
UNLABELLED = "_none"
_LAST_HOUR = datetime.max.replace(tzinfo=UTC) - timedelta(hours=1)
TECHNIQUES = tuple(field.name.removesuffix("_nano_usd") for field in fields(Savings))

Sums = tuple[int, ...]
_NOTHING: Sums = (0,) * len(MEASURES)


class Granularity(Enum):
    """The length of a period."""

    WHOLE = "whole"
    HOUR = "hour"
    DAY = "day"
    MONTH = "month"


class GroupBy(Enum):
    """What rows are split by."""

    NOTHING = "nothing"
    MODEL = "model"
    TIER = "tier"
    TASK = "task"
    LABEL = "label"
    TECHNIQUE = "technique"


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What to add up; `start` and `end` are widened to whole hours, and to days where there are no hours."""

    tenant: str
    start: datetime
    end: datetime
    granularity: Granularity = Granularity.WHOLE
    group_by: GroupBy = GroupBy.NOTHING
    label_key: str = ""
    page_size: int = DEFAULT_PAGE
    page_token: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """The sums of one period and group, in the order of `MEASURES`."""

    period_start: datetime
    group: str
    sums: Sums


@dataclass(frozen=True, slots=True)
class Report:
    """A page of rows by period, then group; the totals are those of the whole range.

    What is at risk is that of now, and of no range.
    """

    rows: tuple[Row, ...]
    totals: Sums
    next_page_token: str
    at_risk: RiskSums


class Reporter:
    """The use case behind Report."""

    def __init__(self, rollups: Rollups, holds: Holds, policy_in_force: PolicyInForce) -> None:
        self._rollups = rollups
        self._holds = holds
        self._policy_in_force = policy_in_force

    async def report(self, query: Query) -> Report:
        """Return a page of sums.

        Raises:
            InvalidRequest: a range that is empty or too long, a label that is not added up, a foreign token.
            StoreUnavailable: the sums cannot be read.
        """
        query = _whole_hours(query)
        self._check(query)
        query = _whole_days(query, await self._rollups.hours_since())
        after = _read_token(query)
        apart = await self._groups_apart(query)
        models = await self._read(query, "model")
        if len(apart) < _MANY:
            rows = _rows(query, _groups(query, models, apart))
        else:
            rows = await asyncio.to_thread(lambda: _rows(query, _groups(query, models, apart)))
        rows = [row for row in rows if (row.period_start, row.group) > after]
        page = rows[: query.page_size]
        token = _token(query, page[-1]) if len(rows) > len(page) else ""
        at_risk = await self._holds.at_risk_sums(query.tenant)
        return Report(tuple(page), _sum(cell.measures for cell in models), token, at_risk)

    async def _groups_apart(self, query: Query) -> list[Cell]:
        """Return the cells of groups that models do not tell.

        Read before those of the models: what is settled in between is then missing here only.
        """
        if query.group_by in {GroupBy.TIER, GroupBy.TASK}:
            return await self._read(query, query.group_by.value)
        if query.group_by is GroupBy.LABEL:
            return await self._read(query, f"label:{query.label_key}")
        return []

    async def _read(self, query: Query, dimension: str) -> list[Cell]:
        by_hour = query.granularity is Granularity.HOUR
        return await self._rollups.read(query.tenant, query.start, query.end, dimension, by_hour=by_hour)

    def _check(self, query: Query) -> None:
        if query.start >= query.end:
            raise InvalidRequest(Violation("end_time", "must be after start_time"))
        if query.end - query.start > LONGEST_RANGE:
            raise InvalidRequest(
                Violation("end_time", f"more than {LONGEST_RANGE.days} days after start_time")
            )
        if (query.group_by is GroupBy.LABEL) != bool(query.label_key):
            raise InvalidRequest(Violation("label_key", "goes with GROUP_BY_LABEL, and only with it"))
        if query.label_key and query.label_key not in self._policy_in_force.policy.report_labels:
            kept = ", ".join(sorted(self._policy_in_force.policy.report_labels)) or "none"
            raise InvalidRequest(Violation("label_key", f"is not added up; the policy lists {kept}"))


def _whole_hours(query: Query) -> Query:
    start = query.start.replace(minute=0, second=0, microsecond=0)
    end = query.end.replace(minute=0, second=0, microsecond=0)
    if end != query.end and end > _LAST_HOUR:
        raise InvalidRequest(Violation("end_time", "is in the last hour of the calendar"))
    size = min(query.page_size or DEFAULT_PAGE, LARGEST_PAGE)
    return replace(
        query, start=start, end=end if end == query.end else end + timedelta(hours=1), page_size=size
    )


def _whole_days(query: Query, hours_since: datetime) -> Query:
    """Widen a start among days that have no hours to the beginning of its day."""
    if query.start >= hours_since:
        return query
    if query.granularity is Granularity.HOUR:
        raise InvalidRequest(
            Violation(
                "granularity", f"hours are kept since {hours_since:%Y-%m-%d}: ask for days, or from then on"
            )
        )
    return replace(query, start=query.start.replace(hour=0))


def _groups(query: Query, models: list[Cell], apart: list[Cell]) -> list[Cell]:
    """Return cells whose values are the groups of the rows."""
    match query.group_by:
        case GroupBy.MODEL:
            return models
        case GroupBy.TIER:
            return apart
        case GroupBy.LABEL | GroupBy.TASK:
            return apart + _unlabelled(models, apart)
    cells = [replace(cell, value="") for cell in models]
    return list(_by_technique(cells)) if query.group_by is GroupBy.TECHNIQUE else cells


def _rows(query: Query, cells: Iterable[Cell]) -> list[Row]:
    sums: dict[tuple[datetime, str], Sums] = {}
    for cell in cells:
        key = (_period_start(cell.start, query), cell.value)
        sums[key] = _add(sums.get(key, _NOTHING), cell.measures)
    return [Row(period, group, total) for (period, group), total in sorted(sums.items())]


def _period_start(start: datetime, query: Query) -> datetime:
    match query.granularity:
        case Granularity.HOUR:
            return start
        case Granularity.DAY:
            return start.replace(hour=0)
        case Granularity.MONTH:
            return start.replace(day=1, hour=0)
        case Granularity.WHOLE:
            return query.start


def _unlabelled(models: Iterable[Cell], labelled: Iterable[Cell]) -> list[Cell]:
    """Return what carries no value of the label, so that the rows of a period sum to its total."""
    rest: dict[tuple[datetime, datetime], Sums] = {}
    for cell in models:
        period = (cell.start, cell.end)
        rest[period] = _add(rest.get(period, _NOTHING), cell.measures)
    for cell in labelled:
        period = (cell.start, cell.end)
        rest[period] = tuple(a - b for a, b in zip(rest[period], cell.measures, strict=True))
    return [Cell(*period, UNLABELLED, sums) for period, sums in rest.items() if any(sums)]


def _by_technique(cells: Iterable[Cell]) -> Iterable[Cell]:
    """Turn each cell into one a technique, which keeps only that technique's savings."""
    for cell in cells:
        for technique in TECHNIQUES:
            place = MEASURES.index(f"{technique}_nano_usd")
            kept = tuple(value if at == place else 0 for at, value in enumerate(cell.measures))
            yield replace(cell, value=technique, measures=kept)


def _sum(all_sums: Iterable[Sums]) -> Sums:
    total = _NOTHING
    for sums in all_sums:
        total = _add(total, sums)
    return total


def _add(left: Sums, right: Sums) -> Sums:
    return tuple(a + b for a, b in zip(left, right, strict=True))


def _bound_to(query: Query) -> str:
    """Return what names a query apart from its page, so that a token serves no other."""
    parts = (query.tenant, query.start, query.end, query.granularity, query.group_by, query.label_key)
    return sha256(repr(parts).encode()).hexdigest()[:16]


def _token(query: Query, last: Row) -> str:
    content = [_bound_to(query), last.period_start.timestamp(), last.group]
    return urlsafe_b64encode(json.dumps(content).encode()).decode()


def _read_token(query: Query) -> tuple[datetime, str]:
    """Return the last row of the page before, or what comes before every row."""
    if not query.page_token:
        return datetime.min.replace(tzinfo=UTC), ""
    try:
        bound, seconds, group = json.loads(urlsafe_b64decode(query.page_token))
        after = (datetime.fromtimestamp(seconds, UTC), str(group))
    except (ValueError, TypeError, OverflowError, OSError):
        raise InvalidRequest(Violation("page_token", "is not a token of this service")) from None
    if bound != _bound_to(query):
        raise InvalidRequest(Violation("page_token", "belongs to another query"))
    return after
