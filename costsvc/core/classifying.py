"""Whether a model is asked how hard a request is, by the operator's policy: not as shipped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from costsvc.core.catalog import Catalog
from costsvc.core.policy_fields import model_id
from costsvc.core.toml_rows import Row

_MOST_TIMEOUT_S, _LONGEST_TTL = 30, timedelta(days=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Classifying:
    """Whether and how a model is asked; `model` is "" for the cheapest of the simple tier.

    A call waits `timeout_s` for a verdict. A verdict is kept for `ttl`.
    """

    enabled: bool = False
    model: str = ""
    timeout_s: float = 2.0
    ttl: timedelta = timedelta(days=1)

    def models(self, simple: Sequence[str]) -> Sequence[str]:
        """Return the models of which the cheapest is asked; `simple` are those of the simple tier."""
        return (self.model,) if self.model else simple


def read_classifying(row: Row, catalog: Catalog) -> Classifying:
    """Return what a policy's `[classifier]` table says.

    Raises:
        CatalogError: naming file, table and field.
    """
    timeout_s, ttl = row.decimal("timeout_s", "2"), timedelta(seconds=row.count("ttl_s", 86_400))
    if not 0 < timeout_s <= _MOST_TIMEOUT_S:
        raise row.error("timeout_s", f"must be above 0 and at most {_MOST_TIMEOUT_S}")
    if not timedelta(0) < ttl <= _LONGEST_TTL:
        raise row.error("ttl_s", f"must be from 1 to {_LONGEST_TTL // timedelta(seconds=1)}")
    name = row.text("model", "")
    classifying = Classifying(
        enabled=row.flag("enabled", default=False),
        model=model_id(row, "model", name, catalog) if name else "",
        timeout_s=float(timeout_s),
        ttl=ttl,
    )
    row.finish()
    return classifying
