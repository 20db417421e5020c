"""What the operator allows: models by tier, tasks, defaults, and where costsvc may change a request.

A policy is read from TOML, checked as a whole, and then only replaced, never changed. Whether its models
exist is checked against a catalogue by `check_models`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from hashlib import sha256
from typing import Any, TypeVar

from costsvc.core.request import Tier

T = TypeVar("T")
E = TypeVar("E", bound=Enum)


class PolicyError(ValueError):
    """The policy cannot work; the message names the field and what it must be."""


class Sampling(Enum):
    """What happens to temperature, top_p and top_k."""

    REJECT = "reject"
    DROP = "drop"
    OLD_VERSION = "old_version"


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
    report_labels: frozenset[str]
    tiers: Mapping[Tier, tuple[str, ...]]
    mark_system: MarkSystem
    marked_tasks: frozenset[str]
    tasks: Mapping[str, Task]
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


def read_policy(text: str) -> Policy:
    """Return the policy that a TOML text describes.

    Raises:
        PolicyError: not TOML, an unknown or missing field, or a value out of range.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PolicyError(f"not TOML: {error}") from None
    top = _Table(document, "")
    if top.take("version", _whole(1, 1)) != 1:
        raise PolicyError("version must be 1")
    tiers, cache, tasks = top.table("tiers"), top.table("prompt_cache"), top.table("tasks")
    policy = Policy(
        baseline_model=top.take("baseline_model", _name),
        default_tier=top.take("default_tier", _tier),
        default_max_tokens=top.take("default_max_tokens", _whole(1, 128_000)),
        sampling=top.take("sampling", _one_of(Sampling)),
        report_labels=frozenset(top.take("report_labels", _names)),
        tiers={tier: tuple(tiers.take(tier.label, _some_names)) for tier in Tier},
        mark_system=cache.take("mark_system", _one_of(MarkSystem)),
        marked_tasks=frozenset(cache.take("tasks", _names)),
        tasks={name: _task(tasks.table(name)) for name in list(tasks.names())},
        hash=sha256(text.encode()).hexdigest()[:12],
    )
    for table in (top, tiers, cache, tasks):
        table.refuse_rest()
    return policy


def check_models(policy: Policy, is_known: Callable[[str], bool]) -> None:
    """Raise PolicyError for a model that the catalogue does not have."""
    for model in policy.models:
        if not is_known(model):
            raise PolicyError(f"{model!r} is not in the catalogue")


class _Table:
    """A TOML table whose fields are taken one by one, so that what is left over is a mistake."""

    def __init__(self, values: Mapping[str, Any], path: str) -> None:
        self._rest = dict(values)
        self._path = path

    def names(self) -> list[str]:
        """Return the fields not taken yet."""
        return list(self._rest)

    def take(self, name: str, check: Callable[[Any], T], default: Any = None) -> T:
        """Return a field's checked value; without a default it must be there."""
        if name not in self._rest and default is None:
            raise PolicyError(f"{self._path}{name} is missing")
        try:
            return check(self._rest.pop(name, default))
        except ValueError as error:
            raise PolicyError(f"{self._path}{name} {error}") from None

    def table(self, name: str) -> _Table:
        """Return a field that is a table; an absent one is empty."""
        value = self._rest.pop(name, {})
        if not isinstance(value, dict):
            raise PolicyError(f"{self._path}{name} must be a table")
        return _Table(value, f"{self._path}{name}.")

    def refuse_rest(self) -> None:
        """Raise PolicyError for a field that nothing reads."""
        for name in self._rest:
            raise PolicyError(f"{self._path}{name} is not a field of a policy")


def _task(table: _Table) -> Task:
    task = Task(tier=table.take("tier", _tier), max_tokens=table.take("max_tokens", _whole(0, 128_000), 0))
    table.refuse_rest()
    return task


def _whole(low: int, high: int) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return value

    return check


def _one_of(kind: type[E]) -> Callable[[Any], E]:
    def check(value: Any) -> E:
        try:
            return kind(value)
        except ValueError:
            raise ValueError(f"must be one of {', '.join(str(member.value) for member in kind)}") from None

    return check


def _tier(value: Any) -> Tier:
    try:
        return Tier[value.upper()]
    except (KeyError, AttributeError):
        raise ValueError("must be simple, medium or complex") from None


def _name(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("must be a name")
    return value


def _names(value: Any) -> list[str]:
    if not isinstance(value, list):
        raise ValueError("must be a list of names")  # noqa: TRY004 - one error for every broken rule
    return [_name(item) for item in value]


def _some_names(value: Any) -> list[str]:
    if not _names(value):
        raise ValueError("must name at least one model")
    return _names(value)
