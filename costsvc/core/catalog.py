"""Which models there are, what they can do and what they cost: one immutable snapshot, read at the start.

Names are resolved exactly, never by prefix: `claude-opus-5` begins `claude-opus-5-5`, and a dearer model must
not be billed as a cheaper one because their names look alike. What is not here has no price and is refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from costsvc.core.errors import UnknownModel
from costsvc.core.money import PICO_PER_USD
from costsvc.core.rates import (
    CLASSES,
    Discount,
    Multipliers,
    Rates,
    Schedule,
    build_schedules,
    read_period,
    read_price_row,
)
from costsvc.core.toml_rows import CatalogError, Row, read_document

__all__ = ["Capabilities", "Catalog", "CatalogError", "Model", "load_catalog"]

SCHEMA = "costsvc/catalog/1"
_STATUSES = frozenset({"active", "legacy", "deprecated", "retired"})
_EFFORTS = frozenset({"", "low", "medium", "high", "xhigh", "max"})
_SAMPLING = frozenset({"any", "default_only"})
_CONFIDENCE = frozenset({"high", "medium", "low"})
_BASE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a request may ask of a model; anything else is a 400 from the provider.

    `thinking` lists the accepted values of `thinking.type`; `thinking_off_max_effort` is the highest effort
    at which thinking can still be turned off ("" = no such limit). `sampling` is "default_only" where any
    other temperature, top_p or top_k is refused even under API version 2023-06-01, and "any" where that
    version takes them; version 2026-10-21 refuses them for every model.
    """

    thinking: tuple[str, ...]
    thinking_always: bool
    thinking_off_max_effort: str
    default_effort: str
    forced_tool_choice: bool
    assistant_prefill: bool
    sampling: str
    structured_output: bool
    inference_geo: bool
    fast: bool
    fast_before: date | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One model. `token_permille`: how many tokens its tokenizer makes where the oldest makes 1,000."""

    id: str
    name: str
    aliases: tuple[str, ...]
    line: str
    status: str
    limited_availability: bool
    released: date | None
    deprecated_on: date | None
    retires_on: date | None
    replacement: str
    context_tokens: int
    max_output_tokens: int
    max_output_tokens_batch: int
    min_cacheable_tokens: int
    tokenizer: str
    token_permille: int
    tool_prompt_tokens: int
    forced_tool_prompt_tokens: int
    capabilities: Capabilities
    source: str
    checked_on: date
    confidence: str
    schedules: tuple[Schedule, ...] = field(repr=False)

    def rates(
        self,
        at: datetime,
        *,
        prompt_tokens: int = 0,
        batch: bool = False,
        fast: bool = False,
        geo_us: bool = False,
    ) -> Rates:
        """Return pico-USD a token at an instant (with its zone) for a prompt of that length, all classes."""
        return self.schedules[batch + 2 * fast + 4 * geo_us].at(at, prompt_tokens)

    def callable_on(self, day: date) -> bool:
        """Tell whether the provider still answers for this model on that day."""
        return self.status != "retired" and (self.retires_on is None or day < self.retires_on)


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
    rules, tokenizers, model_rows, discount_rows = _merge(documents)
    discounts = _read_discounts(discount_rows, model_rows)
    models = {
        name: _read_model(row, rules, tokenizers, discounts.get(name, [])) for name, row in model_rows.items()
    }
    return Catalog(
        hash=_hash_of(rules, tokenizers.values(), model_rows.values(), discount_rows),
        models=models,
        names=_names(models, model_rows),
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


def _read_model(row: Row, rules: Row, tokenizers: Mapping[str, Row], discounts: Sequence[Discount]) -> Model:
    capabilities = row.row("capabilities")
    fast = row.row("fast", {})
    multipliers = Multipliers(
        batch=rules.decimal("batch_multiplier"),
        fast=fast.decimal("multiplier", "1"),
        geo_us=row.decimal("inference_geo_us_multiplier", "1"),
    )
    tool_prompt = row.row("tool_prompt_tokens", rules.row("tool_prompt_tokens_unknown").values)
    tokenizer = row.text("tokenizer", among=frozenset(tokenizers))
    max_output_tokens = row.count("max_output_tokens")
    model = Model(
        id=row.text("id"),
        name=row.text("name"),
        aliases=row.texts("aliases", []),
        line=row.text("line"),
        status=row.text("status", among=_STATUSES),
        limited_availability=row.flag("limited_availability", default=False),
        released=row.day("released"),
        deprecated_on=row.day("deprecated_on"),
        retires_on=row.day("retires_on"),
        replacement=row.text("replacement", ""),
        context_tokens=row.count("context_tokens"),
        max_output_tokens=max_output_tokens,
        max_output_tokens_batch=row.count("max_output_tokens_batch", max_output_tokens),
        min_cacheable_tokens=row.count("min_cacheable_tokens"),
        tokenizer=tokenizer,
        token_permille=int(tokenizers[tokenizer].decimal("relative_tokens") * _BASE),
        tool_prompt_tokens=tool_prompt.count("auto"),
        forced_tool_prompt_tokens=tool_prompt.count("forced", tool_prompt.count("auto")),
        capabilities=_read_capabilities(capabilities, row, fast),
        source=row.text("source"),
        checked_on=row.day("checked_on") or date.min,
        confidence=row.text("confidence", among=_CONFIDENCE),
        schedules=build_schedules(row, [*map(read_price_row, row.rows("prices"))], discounts, multipliers),
    )
    for read in (row, capabilities, fast, tool_prompt, tokenizers[tokenizer]):
        read.finish()
    return model


def _read_capabilities(row: Row, model: Row, fast: Row) -> Capabilities:
    return Capabilities(
        thinking=row.texts("thinking"),
        thinking_always=row.flag("thinking_always", default=False),
        thinking_off_max_effort=row.text("thinking_off_max_effort", "", among=_EFFORTS),
        default_effort=row.text("default_effort", "", among=_EFFORTS),
        forced_tool_choice=row.flag("forced_tool_choice"),
        assistant_prefill=row.flag("assistant_prefill"),
        sampling=row.text("sampling", among=_SAMPLING),
        structured_output=row.flag("structured_output"),
        inference_geo=model.has("inference_geo_us_multiplier"),
        fast=model.has("fast"),
        fast_before=fast.day("before"),
    )


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
