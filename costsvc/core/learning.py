"""Which work the local score may learn, by the operator's policy: none, unless a task is listed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from costsvc.core.toml_rows import Row

_TASK = re.compile(r"[a-z][a-z0-9_.-]{0,62}")
_TENANT = re.compile(r"[a-z0-9._-]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Learning:
    """How one task is learned, for each tenant apart.

    `quality_floor` is the share of the best tier's quality that must be kept; no `tenants` means all.
    """

    quality_floor: Fraction = Fraction(99, 100)
    tenants: frozenset[str] = frozenset()


def read_learning(row: Row) -> dict[str, Learning]:
    """Return the learned tasks of a policy's `[router]` table, by name.

    Raises:
        CatalogError: naming file, table and field.
    """
    found: dict[str, Learning] = {}
    for task in row.values:
        if not _TASK.fullmatch(task):
            raise row.error(task, "must be 1 to 63 of a-z 0-9 . _ - and begin with a letter")
        found[task] = _read(row.row(task))
    row.finish()
    return found


def learning_of(learned: Mapping[str, Learning], tenant: str, task: str) -> Learning | None:
    """Return how a tenant's task is learned, None where it is not."""
    learning = learned.get(task)
    if learning is None or (learning.tenants and tenant not in learning.tenants):
        return None
    return learning


def _read(row: Row) -> Learning:
    floor = row.decimal("quality_floor", "0.99")
    if not 0 < floor <= 1:
        raise row.error("quality_floor", "must be above 0 and at most 1")
    tenants = row.texts("tenants", [])
    for tenant in tenants:
        if not _TENANT.fullmatch(tenant):
            raise row.error("tenants", f"{tenant!r} is no tenant")
    row.finish()
    return Learning(quality_floor=floor, tenants=frozenset(tenants))
