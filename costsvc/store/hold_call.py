"""What the scripts of holds are asked, and what they answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from costsvc.core.budget import Application, Budget, Mode
from costsvc.core.holds import Balance, Hold
from costsvc.core.opening import Opening
from costsvc.store import keys
from costsvc.store.attempts import held_record, microseconds
from costsvc.store.charges import bucket_of, charge_of, ends_s
from costsvc.store.spent import Spent

Call = tuple[list[str], list[str | bytes | int]]
"""Keys and arguments."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
_WHOLE_PERMILLE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """The money is held. `soft_full` and `shadow_refused` are budgets without room that let the call by."""

    soft_full: tuple[str, ...] = ()
    shadow_refused: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A hard budget, the application of that index, has no room; nothing is held."""

    index: int
    balance: Balance


@dataclass(frozen=True, slots=True)
class Stale:
    """The definitions changed: load them, see what applies, and hold again."""


@dataclass(frozen=True, slots=True)
class Unseeded:
    """These applications, by index, do not know yet what was spent before: seed them, and hold again."""

    indexes: tuple[int, ...]


def hold_call(
    opening: Opening,
    applications: Sequence[Application],
    hold: Hold,
    *,
    owner: str,
    version: int | None,
    lease_ms: int,
    not_after: datetime,
) -> Call:
    """Return what `hold.lua` is asked; without a version nothing is checked or refused."""
    day = keys.day_of(opening.started_at)
    script_keys = [
        *(keys.attempts(day), keys.BUDGETS_VERSION, keys.BUDGETS_SINCE, keys.DAYS, keys.BUDGETS_COUNTED),
        *(keys.holds(owner), keys.LEASES, keys.ALERTS),
        *(key for each in applications for key in _balance_keys(each)),
    ]
    return script_keys, [
        opening.attempt_id,
        "" if version is None else version,
        microseconds(not_after),
        hold.q_nano_usd,
        hold.most_nano_usd,
        owner,
        lease_ms,
        day,
        held_record(owner, opening, hold, [charge_of(each) for each in applications]),
        *(arg for each in applications for arg in _arguments(each, is_enforced=version is not None)),
    ]


def hold_reply(reply: Any, applications: Sequence[Application]) -> Held | Refused | Stale | Unseeded | None:
    """Read what `hold.lua` says, None where it is too late for a hold."""
    match reply:
        case [b"held", full]:
            return _held(applications, full)
        case [b"refused", index, *amounts]:
            return Refused(index=index, balance=_balance(amounts))
        case [b"unseeded", indexes]:
            return Unseeded(tuple(indexes))
        case [b"stale"]:
            return Stale()
        case _:
            return None


def seed_call(application: Application, spent: Spent, version: int) -> Call:
    """Return what `seed.lua` is asked."""
    budget_id, bucket = application.budget.id, bucket_of(application)
    balance, index = _balance_keys(application)
    by_bucket = {} if bucket is None else _by_bucket(application, spent, bucket)
    counted, version_key = keys.BUDGETS_COUNTED, keys.BUDGETS_VERSION
    return [balance, keys.BUDGETS_SINCE, index, counted, keys.ALERTS, version_key], [
        budget_id,
        spent.before,
        spent.nano_usd,
        "" if bucket is None else bucket,
        keys.balance_member(application.window.key, application.instance),
        ends_s(application),
        _rule(application.budget),
        version,
        *(word for pair in by_bucket.items() for word in pair),
    ]


def _balance_keys(application: Application) -> tuple[str, str]:
    """Return the key of an application's balance, and that of the index it stands in."""
    member = keys.balance_member(application.window.key, application.instance)
    return keys.balance(application.budget.id, member), keys.balances(application.budget.id)


def _arguments(application: Application, *, is_enforced: bool) -> Iterator[str | int]:
    """Yield what `hold.lua` asks of an application."""
    budget, window, bucket = application.budget, application.window, bucket_of(application)
    yield budget.id
    yield int(is_enforced and budget.mode is Mode.HARD)
    yield budget.limit_nano_usd
    yield budget.limit_nano_usd + budget.overshoot_nano_usd
    yield _rule(budget)
    yield microseconds(window.start)
    yield "" if bucket is None else bucket
    yield keys.balance_member(window.key, application.instance)
    yield ends_s(application)


def _rule(budget: Budget) -> str:
    """Return what alerts go by: the limit, then each threshold with the smallest sum that reaches it."""
    limit = budget.limit_nano_usd
    reached = (f"{at}:{-(-at * limit // _WHOLE_PERMILLE)}" for at in budget.thresholds_permille)
    return f"{limit} {' '.join(reached)}"


def _by_bucket(application: Application, spent: Spent, bucket: int) -> dict[int, int]:
    """Return what was spent by buckets of a rolling window, a day's or hour's in that in which it ends.

    So it counts as long as any of it could, and not less.
    """
    found: dict[int, int] = {}
    width = (application.window.end - _EPOCH) // (bucket + 1)
    for end, nano_usd in spent.by_end.items():
        number = min((end - _SECOND - _EPOCH) // width, bucket)
        found[number] = found.get(number, 0) + nano_usd
    return found


def _held(applications: Sequence[Application], full: Sequence[int]) -> Held:
    budgets = [applications[index].budget for index in full]
    return Held(
        soft_full=tuple(budget.id for budget in budgets if budget.mode is Mode.SOFT),
        shadow_refused=tuple(budget.id for budget in budgets if budget.mode is Mode.SHADOW),
    )


def _balance(amounts: Sequence[bytes]) -> Balance:
    spent, at_risk, sum_q, sum_w = (int(amount) for amount in amounts)
    return Balance(spent_nano_usd=spent, at_risk_nano_usd=at_risk, sum_q_nano_usd=sum_q, sum_w_nano_usd=sum_w)
