"""What a budget is, and which budgets apply to a call.

A definition holds no money: what is spent is counted by the store, per budget, instance and window, so that
changing a definition never resets it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum

from costsvc.core.catalog import Catalog
from costsvc.core.errors import InvalidRequest, TooManyBudgets, Violation
from costsvc.core.money import NANO_PER_USD
from costsvc.core.request import Tier
from costsvc.core.urls import http_url
from costsvc.core.windows import (
    MAX_ROLLING,
    MIN_ROLLING,
    Rolling,
    Window,
    WindowSpec,
    find_zone,
    window_at,
)

MAX_LIMIT_NANO_USD = 9_000_000 * NANO_PER_USD
"""Above about $9.007 million the store's scripts, which count in doubles, no longer tell nano-USD apart."""

MAX_APPLYING = 16
DEFAULT_THRESHOLDS_PERMILLE = (500, 800, 950, 1000)
DEFAULT_OVERSHOOT_PERMILLE = 50
_WHOLE_PERMILLE = 1000
_MAX_THRESHOLDS, _MAX_THRESHOLD_PERMILLE = 20, 10_000
_MINUTE = timedelta(minutes=1)
_ID = re.compile(r"[a-z0-9._-]{1,64}")
_LABEL_KEY = re.compile(r"[a-z][a-z0-9_.-]{0,62}")
_MAX_LABEL_CHARS = 128


class Mode(Enum):
    """What a budget does when it is full."""

    HARD = "hard"  # refuses calls
    SOFT = "soft"  # alerts, and may cap the tier
    SHADOW = "shadow"  # counts what it would have refused


class Kind(Enum):
    """What a budget adds up; a template is a budget of its own for each value that calls bring."""

    EVERYTHING = "everything"
    TENANT = "tenant"
    LABEL = "label"
    MODEL = "model"
    EACH_TENANT = "each_tenant"
    EACH_LABEL = "each_label"


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose spend a budget adds up: `key` is a label's, `value` a tenant, a label's value or a model id."""

    kind: Kind
    key: str = ""
    value: str = ""

    def describe(self, instance: str) -> str:
        """Return the scope for people, with the instance of it that is meant."""
        match self.kind:
            case Kind.EVERYTHING:
                return "everything"
            case Kind.LABEL | Kind.EACH_LABEL:
                return f"label {self.key}={instance}"
            case _:
                return f"{self.kind.value.removeprefix('each_')}={instance}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """One definition. `strict` allows no overshoot; `cap_tier` is what a full soft budget caps calls at.

    Thresholds are permille of the limit; `webhook_url` is where alerts go instead of where all go.
    """

    id: str
    scope: Scope
    window: WindowSpec
    limit_nano_usd: int
    mode: Mode = Mode.HARD
    strict: bool = False
    overshoot_permille: int = DEFAULT_OVERSHOOT_PERMILLE
    thresholds_permille: tuple[int, ...] = DEFAULT_THRESHOLDS_PERMILLE
    cap_tier: Tier | None = None
    webhook_url: str = ""

    @property
    def overshoot_nano_usd(self) -> int:
        """How far spend may pass the limit in the worst case, never beyond what scripts count exactly."""
        if self.strict:
            return 0
        wanted = self.limit_nano_usd * self.overshoot_permille // _WHOLE_PERMILLE
        return min(wanted, MAX_LIMIT_NANO_USD - self.limit_nano_usd)


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """A budget that applies to a call: `instance` is the tenant, label value or model it is counted for."""

    budget: Budget
    instance: str
    window: Window

    @property
    def scope(self) -> str:
        """The scope for people."""
        return self.budget.scope.describe(self.instance)


@dataclass(frozen=True, slots=True)
class Definitions:
    """All definitions, by scope, so that a call finds its own among thousands."""

    by_scope: Mapping[Scope, tuple[Budget, ...]]


def define(budgets: Iterable[Budget]) -> Definitions:
    """Return budgets arranged by scope."""
    by_scope: dict[Scope, tuple[Budget, ...]] = {}
    for budget in budgets:
        by_scope[budget.scope] = (*by_scope.get(budget.scope, ()), budget)
    return Definitions(by_scope)


def applies(budget: Budget, *, tenant: str, labels: Mapping[str, str], model: str) -> str | None:
    """Return the instance of a budget that a call belongs to, "" where there is one, None if it has none."""
    found = (name for scope, name in _scopes(tenant, labels, model) if scope == budget.scope)
    return next(found, None)


def applying(
    definitions: Definitions,
    *,
    tenant: str,
    labels: Mapping[str, str],
    model: str,
    at: datetime,
    most: int | None = MAX_APPLYING,
) -> list[Application]:
    """Return the budgets that apply to a call of a model (its id) that starts at an instant, by id.

    `most` is None for a call that is over: what it cost counts everywhere.

    Raises:
        TooManyBudgets: more than `most` do.
    """
    by_scope = definitions.by_scope
    if not by_scope:
        return []
    found = [
        (budget, name) for scope, name in _scopes(tenant, labels, model) for budget in by_scope.get(scope, ())
    ]
    found.sort(key=lambda pair: pair[0].id)
    if most is not None and len(found) > most:
        raise TooManyBudgets([budget.id for budget, _ in found], most)
    windows: dict[WindowSpec, Window] = {}
    for budget, _ in found:
        if budget.window not in windows:
            windows[budget.window] = window_at(budget.window, at)
    return [
        Application(budget=budget, instance=name, window=windows[budget.window]) for budget, name in found
    ]


def validated(budget: Budget, catalog: Catalog, *, where: str = "budget") -> Budget:
    """Return the budget as it is to be kept: a model's alias is replaced by its id, for calls have ids.

    Raises:
        InvalidRequest: naming every field that breaks a rule, as a path below `where`.
    """
    violations = [Violation(f"{where}.{v.field}", v.problem) for v in _violations(budget, catalog)]
    if violations:
        raise InvalidRequest(*violations)
    scope = budget.scope
    if scope.kind is not Kind.MODEL:
        return budget
    return replace(budget, scope=replace(scope, value=catalog.resolve(scope.value).id))


def _scopes(tenant: str, labels: Mapping[str, str], model: str) -> Iterator[tuple[Scope, str]]:
    """Yield every scope that a call belongs to, each with the instance that it is there."""
    yield Scope(Kind.EVERYTHING), ""
    yield Scope(Kind.TENANT, "", tenant), tenant
    yield Scope(Kind.EACH_TENANT), tenant
    yield Scope(Kind.MODEL, "", model), model
    for key, value in labels.items():
        yield Scope(Kind.LABEL, key, value), value
        yield Scope(Kind.EACH_LABEL, key), value


def _violations(budget: Budget, catalog: Catalog) -> Iterator[Violation]:
    if not _ID.fullmatch(budget.id):
        yield Violation("id", f"must match {_ID.pattern}")
    yield from _scope_violations(budget.scope, catalog)
    yield from _window_violations(budget.window)
    if not 1 <= budget.limit_nano_usd <= MAX_LIMIT_NANO_USD:
        yield Violation("limit_nano_usd", f"must be from 1 to {MAX_LIMIT_NANO_USD}, which is $9.0 million")
    if not 0 <= budget.overshoot_permille <= _WHOLE_PERMILLE:
        yield Violation("overshoot_permille", f"must be from 0 to {_WHOLE_PERMILLE}")
    yield from _threshold_violations(budget.thresholds_permille)
    if budget.cap_tier is not None and budget.mode is not Mode.SOFT:
        yield Violation("cap_tier", f"is what a soft budget does; this one is {budget.mode.value}")
    if budget.webhook_url:
        yield from _webhook_violations(budget.webhook_url)


def _scope_violations(scope: Scope, catalog: Catalog) -> Iterator[Violation]:
    kind = scope.kind
    if kind in {Kind.LABEL, Kind.EACH_LABEL}:
        if not _LABEL_KEY.fullmatch(scope.key):
            yield Violation("scope.key", f"must match {_LABEL_KEY.pattern}")
    elif scope.key:
        yield Violation("scope.key", f"means nothing for {kind.value}")
    if kind is Kind.TENANT and not _ID.fullmatch(scope.value):
        yield Violation("scope.value", f"must match {_ID.pattern}")
    elif kind is Kind.LABEL and not 0 < len(scope.value) <= _MAX_LABEL_CHARS:
        yield Violation("scope.value", f"must have 1 to {_MAX_LABEL_CHARS} characters")
    elif kind is Kind.MODEL and scope.value not in catalog.names:
        yield Violation("scope.value", f"{scope.value!r} is not in the catalogue")
    elif kind in {Kind.EVERYTHING, Kind.EACH_TENANT, Kind.EACH_LABEL} and scope.value:
        yield Violation("scope.value", f"means nothing for {kind.value}")


def _window_violations(window: WindowSpec) -> Iterator[Violation]:
    if isinstance(window, Rolling):
        if not MIN_ROLLING <= window.duration <= MAX_ROLLING or window.duration % _MINUTE:
            yield Violation("window.duration", "must be whole minutes, from 1 minute to 366 days")
        return
    try:
        find_zone(window.zone)
    except ValueError as error:
        yield Violation("window.zone", str(error))


def _webhook_violations(url: str) -> Iterator[Violation]:
    try:
        http_url(url)
    except ValueError as error:
        yield Violation("webhook_url", str(error))


def _threshold_violations(thresholds: tuple[int, ...]) -> Iterator[Violation]:
    if list(thresholds) != sorted(set(thresholds)):
        yield Violation("thresholds_permille", "must rise, without repetition")
    if len(thresholds) > _MAX_THRESHOLDS:
        yield Violation("thresholds_permille", f"{len(thresholds)} thresholds, more than {_MAX_THRESHOLDS}")
    if not all(1 <= threshold <= _MAX_THRESHOLD_PERMILLE for threshold in thresholds):
        yield Violation("thresholds_permille", f"must be from 1 to {_MAX_THRESHOLD_PERMILLE} each")
