"""Which models there are, what they can do and what they cost: one immutable snapshot, read at the start.

Names are resolved exactly, never by prefix: `claude-opus-5` begins `claude-opus-5-5`, and a dearer model must
not be billed as a cheaper one because their names look alike. What is not here has no price and is refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from costsvc.core.errors import UnknownModel
from costsvc.core.model import Capabilities, Model, Tokenizer, read_model, read_tokenizer
from costsvc.core.money import PICO_PER_USD
from costsvc.core.rates import CLASSES, Discount, read_period
from costsvc.core.toml_rows import CatalogError, Row, read_document

__all__ = ["Capabilities", "Catalog", "CatalogError", "Model", "Tokenizer", "load_catalog"]

SCHEMA = "costsvc/catalog/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """Every model known to this process; `hash` names the content in each ledger entry."""

    hash: str
    models: Mapping[str, Model]  # by id, in the order of the file
    names: Mapping[str, Model]  # by id and by alias
    web_search_pico_usd: int

    def resolve(self, name: str) -> Model:
        """Return the model of that id or alias.

        Raises:
            UnknownModel: neither an id nor an alias.
        """
        model = self.names.get(name)
        if model is None:
            raise UnknownModel(name)
        return model

    def table(self) -> list[dict[str, str]]:
        """Return the effective standard prices, one plain row a model, period and prompt length."""
        return [row for model in self.models.values() for row in _table_rows(model)]


def load_catalog(
    base_text: str, overlays: Sequence[tuple[str, str]] = (), *, base_name: str = "catalog.toml"
) -> Catalog:
    """Return the snapshot of a base catalogue with overlays of (file name, TOML text) on top, in order.

    An overlay adds models, replaces a model's whole row, changes rules, or gives discounts on token prices.

    Raises:
        CatalogError: naming file, table and field.
    """
    documents = [read_document(name, text) for name, text in ((base_name, base_text), *overlays)]
    rules, tokenizer_rows, model_rows, discount_rows = _merge(documents)
    tokenizers = {name: read_tokenizer(row) for name, row in tokenizer_rows.items()}
    discounts = _read_discounts(discount_rows, model_rows)
    models = {
        name: read_model(row, rules, tokenizers, discounts.get(name, [])) for name, row in model_rows.items()
    }
    return Catalog(
        hash=_hash_of(rules, tokenizer_rows.values(), model_rows.values(), discount_rows),
        models=MappingProxyType(models),
        names=MappingProxyType(_names(models, model_rows)),
        web_search_pico_usd=_web_search_pico_usd(rules),
    )


def _merge(documents: Iterable[Row]) -> tuple[Row, dict[str, Row], dict[str, Row], list[Row]]:
    rules: dict[str, Any] = {}
    tokenizers: dict[str, Row] = {}
    models: dict[str, Row] = {}
    discounts: list[Row] = []
    rules_file = ""
    for document in documents:
        if document.text("schema") != SCHEMA:
            raise document.error("schema", f"must be {SCHEMA!r}")
        changed = document.row("rules", {})
        rules_file = changed.file if changed.values or not rules_file else rules_file
        rules |= changed.values
        tokenizers |= {row.text("id"): row for row in document.rows("tokenizer", [])}
        models |= _by_id(document.rows("model", []))
        discounts += document.rows("discount", [])
        document.finish()
    return Row(rules_file, "rules", rules), tokenizers, models, discounts


def _by_id(rows: Iterable[Row]) -> dict[str, Row]:
    found: dict[str, Row] = {}
    for row in rows:
        name = row.text("id")
        if not name or name in found:
            raise row.error("id", f"{name!r} is empty or stands twice in this file")
        row.table = f"model {name}"
        found[name] = row
    return found


def _read_discounts(rows: Iterable[Row], models: Mapping[str, Row]) -> dict[str, list[Discount]]:
    discounts: dict[str, list[Discount]] = {}
    for row in rows:
        percent = row.decimal("percent")
        if percent > 100:  # noqa: PLR2004 - a hundred percent is a hundred
            raise row.error("percent", "must not be above 100")
        discount = Discount(period=read_period(row), remaining=1 - percent / 100, source=row)
        for name in _discounted(row, models):
            discounts.setdefault(name, []).append(discount)
        row.finish()
    return discounts


def _discounted(row: Row, models: Mapping[str, Row]) -> Iterable[str]:
    names = row.texts("models")
    unknown = [name for name in names if name != "*" and name not in models]
    if unknown or not names:
        raise row.error(
            "models", f"{unknown[0]!r} is no model id" if unknown else "must name a model, or '*'"
        )
    return models if "*" in names else names


def _names(models: Mapping[str, Model], rows: Mapping[str, Row]) -> dict[str, Model]:
    names = dict(models)
    for model in models.values():
        for alias in model.aliases:
            if alias in names:
                raise rows[model.id].error("aliases", f"{alias!r} already names {names[alias].id}")
            names[alias] = model
    return names


def _web_search_pico_usd(rules: Row) -> int:
    fee_pico_usd = rules.decimal("web_search_usd_per_1000") * PICO_PER_USD / 1000
    if fee_pico_usd.denominator != 1:
        raise rules.error("web_search_usd_per_1000", "is finer than a pico-USD a search")
    rules.finish()
    return int(fee_pico_usd)


def _hash_of(rules: Row, *tables: Iterable[Row]) -> str:
    content = [dict(rules.values), *([dict(row.values) for row in rows] for rows in tables)]
    canonical = json.dumps(content, sort_keys=True, default=str, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def _table_rows(model: Model) -> Iterable[dict[str, str]]:
    schedule = model.schedules[0]
    for start, tiers in zip(schedule.starts, schedule.tiers, strict=True):
        for tier in reversed(tiers):
            prices = {name: _usd_per_mtok(getattr(tier.rates, f"{name}_pico_usd")) for name in CLASSES}
            yield {
                "model": model.id,
                "status": model.status,
                "from": "" if start == datetime.min.replace(tzinfo=UTC) else start.date().isoformat(),
                "prompt_tokens_over": str(tier.prompt_tokens_over),
                **prices,
                "source": model.source,
                "checked_on": model.checked_on.isoformat(),
            }


def _usd_per_mtok(pico_usd: int) -> str:
    return f"{Decimal(pico_usd) / 1_000_000:f}"
