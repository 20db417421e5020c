"""Tests of what is erased of a tenant: every key that there can be is erased, or stays for a reason."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from fnmatch import fnmatchcase
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType

import pytest

from costsvc import store
from costsvc.store import keys

ERASED = {
    "stored_answer": ("acme:n:1:", "f"),
    "near_answer": ("acme:n:1:", "f"),
    "blocked_pairs": ("acme", "n", "f"),
    "near_audit": ("acme:n:1:",),
    "kept_answer": ("acme", "r"),
    "conversation": ("acme", "c"),
    "outcomes": ("acme", "faq"),
    "outcomes_order": ("acme", "faq"),
    "outcomes_complete": ("acme", "faq"),
    "fit": ("acme", "faq"),
    "verdict": ("acme", "f"),
    "pairs": ("acme",),
    "prefix": ("acme", 7),
    "deferred_keys.request": ("acme:x",),
    "deferred_keys.answer": ("acme:x",),
    "prompt_traits": ("acme", 7),
    "prompt_sums": ("acme", "20261122"),
}
"""What makes a key of a tenant's contents, with examples of what it is given."""

ERASED_BY_WHAT_IS_IN_IT = {"seen": "a record of an answered prompt says whose it is"}
STAYS = {
    "rollups": "money",
    "rollup": "money",
    "rollup_values": "money",
    "checkpoint": "money",
    "entries": "money of all tenants",
    "attempts": "money of all tenants",
    "requests": "money: what was recorded is not recorded again",
    "balances": "money",
    "balance": "money",
    "holds": "money",
    "shadow_spent": "how much of all tenants was compared on a day",
    "values": "how many values of labels were added up on a day",
    "claim": "for a day: a repeat of an answered request_id would be paid again",
    "answer_lead": "ends by itself within seconds",
    "batch_keys.of_tenant": "which batches there are, for 30 days",
    "batch_keys.requests": "for 30 days: a repeat of a request_id would create and pay a batch again",
    "batch_keys.batch": "money",
    "batch_keys.items": "money",
    "batch_keys.marks": "money: an item that is booked is not booked again",
    "deferred_keys.item": "who pays and what became of it: no content",
}
NO_KEYS = {"hour_of", "day_of", "request_field", "balance_member", "of_day", "contents"}


def modules() -> dict[str, ModuleType]:
    """Return the modules that build keys, by what their names are written with; the common one has none."""
    names = [module.name for module in iter_modules(store.__path__) if module.name.endswith("keys")]
    return {"" if name == "keys" else f"{name}.": import_module(f"{store.__name__}.{name}") for name in names}


def functions() -> dict[str, Callable[..., str]]:
    """Return all that makes keys, by name."""
    return {
        f"{prefix}{name}": function
        for prefix, module in modules().items()
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__
    }


def test_every_kind_of_key_is_erased_or_stays_for_a_reason() -> None:
    """Whoever adds a kind says here which it is, and what is erased is matched by a pattern."""
    assert set(functions()) == {*ERASED, *ERASED_BY_WHAT_IS_IN_IT, *STAYS, *NO_KEYS}


@pytest.mark.parametrize("name", ERASED)
def test_contents_match_a_pattern_of_their_tenant_and_of_no_other(name: str) -> None:
    """Exactly one pattern, so that nothing is counted twice."""
    key = functions()[name](*ERASED[name])
    matching = [at for at in patterns("acme") if matches(key, at)]
    assert len(matching) == 1
    for other in ("acm", "acme2", "b.acme", "e"):
        assert not any(matches(key, at) for at in patterns(other))


@pytest.mark.parametrize("name", ["claim", "rollup", "checkpoint"])
def test_money_matches_no_pattern(name: str) -> None:
    """Also not where a request has the name of something else."""
    for second in ("answer", "n:1:f}:answer", "20261122"):
        key = getattr(keys, name)("acme", second)
        assert not any(matches(key, at) for at in patterns("acme"))


def patterns(tenant: str) -> list[str]:
    """Return all patterns of a tenant's contents."""
    return [pattern for each in keys.contents(tenant).values() for pattern in each]


def matches(key: str, pattern: str) -> bool:
    """Tell whether a pattern of the store's kind, of which only stars are used, matches a key."""
    return fnmatchcase(key, pattern.replace("[", "[[]"))
