"""What the operator allows: models by tier, tasks, defaults, and where costsvc may change a request.

A policy is read from TOML, checked as a whole against a catalogue, and then only replaced, never changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from hashlib import sha256

from costsvc.core.cascade import Cascading
from costsvc.core.catalog import Catalog
from costsvc.core.classifying import Classifying, read_classifying
from costsvc.core.deferring import Deferring, read_deferring
from costsvc.core.learning import Learning, learning_of, read_learning
from costsvc.core.length import Length, read_lengths
from costsvc.core.money import NANO_PER_USD
from costsvc.core.namespace import Namespace, read_namespaces
from costsvc.core.policy_fields import model_id, read_models, read_one_of, read_tier
from costsvc.core.request import Tier
from costsvc.core.retry import OnUnknown, Retries
from costsvc.core.rule_rows import read_rules
from costsvc.core.rules import Rule
from costsvc.core.shadowing import Shadowing, read_shadowing
from costsvc.core.toml_rows import Row, read_document

MAX_OUTPUT_TOKENS = 128_000
MAX_ATTEMPTS = 10
MAX_DRAIN_NANO_USD = 1_000 * NANO_PER_USD


class Sampling(Enum):
    """What happens to temperature, top_p and top_k."""

    REJECT = "reject"
    DROP = "drop"
    OLD_VERSION = "old_version"


class OnStoreFailure(Enum):
    """What happens to calls under a hard budget while the store cannot say whether it has room."""

    REJECT = "reject"
    ALLOW = "allow"


LONGEST_WAIT_MS = 60_000
"""For another call to write a prefix: more would be a standstill."""


class Markers(Enum):
    """Who places cache breakpoints: callers alone, or costsvc beside them, where they are expected to pay."""

    NEVER = "never"
    PLANNED = "planned"


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
    zero_retention: bool
    report_labels: frozenset[str]
    tiers: Mapping[Tier, tuple[str, ...]]
    markers: Markers
    first_write_wait_ms: int
    tasks: Mapping[str, Task]
    rules: tuple[Rule, ...]
    retries: Retries
    drain_max_nano_usd: int
    fallbacks: Mapping[str, tuple[str, ...]]
    namespaces: Mapping[str, Namespace]
    cascade: Cascading
    classifying: Classifying
    learned: Mapping[str, Learning]
    defer: Deferring
    lengths: Mapping[str, Length]
    shadowing: Shadowing
    hash: str

    @property
    def models(self) -> tuple[str, ...]:
        """Every model that the policy names, the baseline included, without repetition."""
        listed = (model for tier in Tier for model in self.tiers[tier])
        ruled = (model for rule in self.rules for model in rule.models)
        return tuple(dict.fromkeys((*listed, *ruled, self.baseline_model)))

    @property
    def repeats_lost(self) -> bool:
        """Whether an attempt that may have been billed is made again."""
        return self.retries.on_unknown is OnUnknown.RETRY

    @property
    def first_models(self) -> tuple[str, ...]:
        """The model that each tier prefers, lowest tier first."""
        return tuple(self.tiers[tier][0] for tier in Tier)

    def learning(self, tenant: str, task: str) -> Learning | None:
        """Return how the local score learns a tenant's task, None where it does not."""
        return learning_of(self.learned, tenant, task)

    def max_tokens(self, task: str) -> int:
        """Return the most tokens an answer may have where the caller does not say."""
        known = self.tasks.get(task)
        return (known.max_tokens if known else 0) or self.default_max_tokens


def read_policy(text: str, catalog: Catalog, *, name: str = "policy.toml") -> Policy:
    """Return the policy that a TOML text describes.

    Raises:
        CatalogError: naming file, line, table and field: not TOML, a field unknown, missing or out of range,
            or a model that the catalogue does not have.
    """
    top = read_document(name, text)
    if top.count("version") != 1:
        raise top.error("version", "must be 1")
    tiers, cache, tasks = top.row("tiers"), top.row("prompt_cache", {}), top.row("tasks", {})
    retries, fallbacks = top.row("retries", {}), top.row("fallbacks", {})
    cancellation = top.row("cancellation", {})
    policy = Policy(
        baseline_model=model_id(top, "baseline_model", top.text("baseline_model"), catalog),
        default_tier=read_tier(top, "default_tier"),
        default_max_tokens=_output_tokens(top, "default_max_tokens", None),
        sampling=read_one_of(Sampling, top, "sampling", "reject"),
        on_store_failure=read_one_of(OnStoreFailure, top, "on_store_failure", "reject"),
        zero_retention=top.flag("zero_retention", default=False),
        report_labels=frozenset(top.texts("report_labels", [])),
        tiers={tier: read_models(tiers, tier.label, catalog) for tier in Tier},
        markers=read_one_of(Markers, cache, "markers", "planned"),
        first_write_wait_ms=_wait_ms(cache, "first_write_wait_ms"),
        tasks={task: _task(tasks.row(task)) for task in tasks.values},
        rules=read_rules(top.rows("rules", []), catalog),
        retries=_retries(retries),
        drain_max_nano_usd=_nano_usd(cancellation, "drain_max_usd", "0.05"),
        fallbacks={
            model_id(fallbacks, name, name, catalog): read_models(fallbacks, name, catalog)
            for name in fallbacks.values
        },
        namespaces=read_namespaces(top.row("response_cache", {})),
        cascade=_cascading(top.row("cascade", {})),
        classifying=read_classifying(top.row("classifier", {}), catalog),
        learned=read_learning(top.row("router", {})),
        defer=read_deferring(top.row("defer", {})),
        lengths=read_lengths(top.row("length", {})),
        shadowing=read_shadowing(top.row("shadow", {}), catalog),
        hash=policy_hash(text),
    )
    for row in (top, tiers, cache, tasks, retries, cancellation, fallbacks):
        row.finish()
    return policy


def policy_hash(text: str) -> str:
    """Return what names a policy's text in logs."""
    return sha256(text.encode()).hexdigest()[:16]


def _wait_ms(row: Row, field: str) -> int:
    wait_ms = row.count(field, 0)
    if wait_ms > LONGEST_WAIT_MS:
        raise row.error(field, f"must be from 0 to {LONGEST_WAIT_MS}")
    return wait_ms


def _task(row: Row) -> Task:
    task = Task(tier=read_tier(row, "tier"), max_tokens=_output_tokens(row, "max_tokens", 0))
    row.finish()
    return task


def _cascading(row: Row) -> Cascading:
    cascading = Cascading(
        enabled=row.flag("enabled", default=True),
        buffer_streams=row.flag("buffer_streams", default=False),
        except_tasks=frozenset(row.texts("except_tasks", [])),
    )
    row.finish()
    return cascading


def _retries(row: Row) -> Retries:
    max_attempts = row.count("max_attempts", Retries().max_attempts)
    if not 1 <= max_attempts <= MAX_ATTEMPTS:
        raise row.error("max_attempts", f"must be from 1 to {MAX_ATTEMPTS}")
    return Retries(max_attempts=max_attempts, on_unknown=read_one_of(OnUnknown, row, "on_unknown", "retry"))


def _nano_usd(row: Row, field: str, default: str) -> int:
    amount_nano_usd = row.decimal(field, default) * NANO_PER_USD
    if amount_nano_usd.denominator != 1 or amount_nano_usd > MAX_DRAIN_NANO_USD:
        raise row.error(field, "must be whole nano-dollars, at most 1000 dollars")
    return int(amount_nano_usd)


def _output_tokens(row: Row, field: str, default: int | None) -> int:
    count = row.count(field, default)
    if count > MAX_OUTPUT_TOKENS or (row.has(field) and count == 0):
        raise row.error(field, f"must be from 1 to {MAX_OUTPUT_TOKENS}")
    return count
