"""A model as the catalogue knows it: what it can do, how it counts, what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from costsvc.core.characters import CHARACTER_KINDS
from costsvc.core.rates import Discount, Multipliers, Rates, Schedule, build_schedules, read_price_row
from costsvc.core.toml_rows import Row

_STATUSES = frozenset({"active", "legacy", "deprecated", "retired"})
_EFFORTS = frozenset({"", "low", "medium", "high", "xhigh", "max"})
_SAMPLING = frozenset({"any", "default_only"})
_CONFIDENCE = frozenset({"high", "medium", "low"})
_BASE = 1000
_LARGE_CONTEXT_TOKENS = 1_000_000
_MAX_IMAGES, _MAX_IMAGES_OF_SMALLER = 600, 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokenizer:
    """How a generation of models counts.

    `relative_permille`: how many tokens it makes where the oldest makes 1,000, over mixed content.
    `tokens_per_1000_chars` goes by `characters.CHARACTER_KINDS`.
    """

    id: str
    relative_permille: int
    tokens_per_1000_chars: tuple[int, ...]
    image_max_edge_pixels: int
    image_max_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a request may ask of a model; anything else is a 400 from the provider.

    `thinking` lists the accepted values of `thinking.type`; a model that `thinks_unasked` does so where a
    request says nothing of it; `thinking_off_max_effort` is the highest effort at which thinking can still be
    turned off ("" = no such limit). `sampling` is "default_only" where any
    other temperature, top_p or top_k is refused even under API version 2023-06-01, and "any" where that
    version takes them; version 2026-10-21 refuses them for every model.
    """

    thinking: tuple[str, ...]
    thinking_always: bool
    thinks_unasked: bool
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
    """One model. Dates are None and `replacement` is empty where nothing is published.

    `retention_days`: how long the provider keeps what was asked and answered, whatever was agreed.
    """

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
    retention_days: int
    min_cacheable_tokens: int
    tokenizer: Tokenizer
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

    @property
    def max_images(self) -> int:
        """How many images a request may have; fewer with a small context window (Claude docs: vision)."""
        return _MAX_IMAGES if self.context_tokens >= _LARGE_CONTEXT_TOKENS else _MAX_IMAGES_OF_SMALLER

    def callable_on(self, day: date) -> bool:
        """Tell whether the provider still answers for this model on that day."""
        return self.status != "retired" and (self.retires_on is None or day < self.retires_on)


def read_tokenizer(row: Row) -> Tokenizer:
    """Read a tokenizer's row."""
    densities = row.row("tokens_per_1000_chars")
    tokenizer = Tokenizer(
        id=row.text("id"),
        relative_permille=int(row.decimal("relative_tokens") * _BASE),
        tokens_per_1000_chars=tuple(densities.count(kind) for kind in CHARACTER_KINDS),
        image_max_edge_pixels=row.count("image_max_edge_pixels"),
        image_max_tokens=row.count("image_max_tokens"),
    )
    for read in (row, densities):
        read.finish()
    if tokenizer.relative_permille == 0:
        raise row.error("relative_tokens", "must not be zero")
    return tokenizer


def read_model(
    row: Row, rules: Row, tokenizers: dict[str, Tokenizer], discounts: Sequence[Discount]
) -> Model:
    """Read a model's row and work out its rates."""
    capabilities, fast = row.row("capabilities"), row.row("fast", {})
    multipliers = Multipliers(
        batch=rules.decimal("batch_multiplier"),
        fast=fast.decimal("multiplier", "1"),
        geo_us=row.decimal("inference_geo_us_multiplier", "1"),
    )
    tool_prompt = row.row("tool_prompt_tokens", rules.row("tool_prompt_tokens_unknown").values)
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
        retention_days=row.count("retention_days", 0),
        min_cacheable_tokens=row.count("min_cacheable_tokens"),
        tokenizer=tokenizers[row.text("tokenizer", among=frozenset(tokenizers))],
        tool_prompt_tokens=tool_prompt.count("auto"),
        forced_tool_prompt_tokens=tool_prompt.count("forced", tool_prompt.count("auto")),
        capabilities=_read_capabilities(capabilities, row, fast),
        source=row.text("source"),
        checked_on=_required_day(row, "checked_on"),
        confidence=row.text("confidence", among=_CONFIDENCE),
        schedules=build_schedules(row, [*map(read_price_row, row.rows("prices"))], discounts, multipliers),
    )
    for read in (row, capabilities, fast, tool_prompt):
        read.finish()
    return model


def _required_day(row: Row, field_name: str) -> date:
    day = row.day(field_name)
    if day is None:
        raise row.error(field_name, "is missing")
    return day


def _read_capabilities(row: Row, model: Row, fast: Row) -> Capabilities:
    return Capabilities(
        thinking=row.texts("thinking"),
        thinking_always=row.flag("thinking_always", default=False),
        thinks_unasked=row.flag("thinks_unasked", default=False)
        or row.flag("thinking_always", default=False),
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
