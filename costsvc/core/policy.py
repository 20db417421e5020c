"""What the operator allows: models by tier, tasks, defaults, and where costsvc may change a request.

A policy is read from TOML, checked as a whole against a catalogue, and then only replaced, never changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from hashlib import sha256
from typing import TypeVar

from costsvc.core.catalog import Catalog
from costsvc.core.namespace import Namespace, read_namespaces
from costsvc.core.request import Tier
from costsvc.core.retry import OnUnknown, Retries
from costsvc.core.toml_rows import Row, read_document

MAX_OUTPUT_TOKENS = 128_000
MAX_ATTEMPTS = 10

E = TypeVar("E", bound=Enum)


class Sampling(Enum):
    """What happens to temperature, top_p and top_k."""

    REJECT = "reject"
    DROP = "drop"
    OLD_VERSION = "old_version"


class OnStoreFailure(Enum):
    """What happens to calls under a hard budget while the store cannot say whether it has room."""

    REJECT = "reject"
    ALLOW = "allow"


class MarkSystem(Enum):
    """Which requests get a breakpoint at the end of their system prompt."""

    NEVER = "never"
    CONVERSATIONS = "conversations"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What one kind of work needs; `max_tokens` is 0 where the policy's default applies."""

    tier: Tier
    max_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The whole policy, checked. `hash` names it in logs."""

    baseline_model: str
    default_tier: Tier
    default_max_tokens: int
    sampling: Sampling
    on_store_failure: OnStoreFailure
    report_labels: frozenset[str]
    tiers: Mapping[Tier, tuple[str, ...]]
    mark_system: MarkSystem
    marked_tasks: frozenset[str]
    tasks: Mapping[str, Task]
    retries: Retries
    fallbacks: Mapping[str, tuple[str, ...]]
    namespaces: Mapping[str, Namespace]
    hash: str

    @property
    def models(self) -> tuple[str, ...]:
        """Every model that the policy names, the baseline included, without repetition."""
        listed = (model for tier in Tier for model in self.tiers[tier])
        return tuple(dict.fromkeys((*listed, self.baseline_model)))

    def max_tokens(self, task: str) -> int:
        """Return the most tokens an answer may have where the caller does not say."""
        known = self.tasks.get(task)
        return (known.max_tokens if known else 0) or self.default_max_tokens


def read_policy(text: str, catalog: Catalog, *, name: str = "policy.toml") -> Policy:
    """Return the policy that a TOML text describes.

    Raises:
        CatalogError: naming file, table and field: not TOML, a field unknown, missing or out of range, or a
            model that the catalogue does not have.
    """
    top = read_document(name, text)
    if top.count("version") != 1:
        raise top.error("version", "must be 1")
    tiers, cache, tasks = top.row("tiers"), top.row("prompt_cache", {}), top.row("tasks", {})
    retries, fallbacks = top.row("retries", {}), top.row("fallbacks", {})
    policy = Policy(
        baseline_model=_model(top, "baseline_model", top.text("baseline_model"), catalog),
        default_tier=_tier(top, "default_tier"),
        default_max_tokens=_output_tokens(top, "default_max_tokens", None),
        sampling=_one_of(Sampling, top, "sampling", "reject"),
        on_store_failure=_one_of(OnStoreFailure, top, "on_store_failure", "reject"),
        report_labels=frozenset(top.texts("report_labels", [])),
        tiers={tier: _models(tiers, tier.label, catalog) for tier in Tier},
        mark_system=_one_of(MarkSystem, cache, "mark_system", "never"),
        marked_tasks=frozenset(cache.texts("tasks", [])),
        tasks={task: _task(tasks.row(task)) for task in tasks.values},
        retries=_retries(retries),
        fallbacks={
            _model(fallbacks, name, name, catalog): _models(fallbacks, name, catalog)
            for name in fallbacks.values
        },
        namespaces=read_namespaces(top.row("response_cache", {})),
        hash=sha256(text.encode()).hexdigest()[:16],
    )
    for row in (top, tiers, cache, tasks, retries, fallbacks):
        row.finish()
    return policy


def _task(row: Row) -> Task:
    task = Task(tier=_tier(row, "tier"), max_tokens=_output_tokens(row, "max_tokens", 0))
    row.finish()
    return task


def _retries(row: Row) -> Retries:
    max_attempts = row.count("max_attempts", Retries().max_attempts)
    if not 1 <= max_attempts <= MAX_ATTEMPTS:
        raise row.error("max_attempts", f"must be from 1 to {MAX_ATTEMPTS}")
    return Retries(max_attempts=max_attempts, on_unknown=_one_of(OnUnknown, row, "on_unknown", "retry"))


def _tier(row: Row, field: str) -> Tier:
    return Tier[row.text(field, among=frozenset(tier.label for tier in Tier)).upper()]


def _one_of(kind: type[E], row: Row, field: str, default: str) -> E:
    return kind(row.text(field, default, among=frozenset(member.value for member in kind)))


def _output_tokens(row: Row, field: str, default: int | None) -> int:
    count = row.count(field, default)
    if count > MAX_OUTPUT_TOKENS or (row.has(field) and count == 0):
        raise row.error(field, f"must be from 1 to {MAX_OUTPUT_TOKENS}")
    return count


def _models(row: Row, field: str, catalog: Catalog) -> tuple[str, ...]:
    names = row.texts(field)
    if not names:
        raise row.error(field, "must name at least one model")
    return tuple(dict.fromkeys(_model(row, field, name, catalog) for name in names))


def _model(row: Row, field: str, name: str, catalog: Catalog) -> str:
    """Return the id behind an id or alias."""
    model = catalog.names.get(name)
    if model is None:
        raise row.error(field, f"{name!r} is not in the catalogue")
    return model.id
