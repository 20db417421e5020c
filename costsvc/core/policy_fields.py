"""Reads what several tables of a policy name: tiers, models, members of closed sets."""

from __future__ import annotations

from enum import Enum
from typing import TypeVar

from costsvc.core.catalog import Catalog
from costsvc.core.request import Tier
from costsvc.core.toml_rows import Row

E = TypeVar("E", bound=Enum)

_TIERS = frozenset(tier.label for tier in Tier)


def read_tier(row: Row, field: str) -> Tier:
    """Return the tier that a field names."""
    return Tier[row.text(field, among=_TIERS).upper()]


def read_optional_tier(row: Row, field: str) -> Tier | None:
    """Return the tier that a field names, or None where it is absent."""
    return read_tier(row, field) if row.has(field) else None


def read_one_of(kind: type[E], row: Row, field: str, default: str) -> E:
    """Return the member whose value a field has."""
    return kind(row.text(field, default, among=frozenset(member.value for member in kind)))


def read_models(row: Row, field: str, catalog: Catalog) -> tuple[str, ...]:
    """Return the ids behind a list of ids and aliases, without repetition."""
    names = row.texts(field)
    if not names:
        raise row.error(field, "must name at least one model")
    return tuple(dict.fromkeys(model_id(row, field, name, catalog) for name in names))


def model_id(row: Row, field: str, name: str, catalog: Catalog) -> str:
    """Return the id behind an id or alias."""
    model = catalog.names.get(name)
    if model is None:
        raise row.error(field, f"{name!r} is not in the catalogue")
    return model.id
