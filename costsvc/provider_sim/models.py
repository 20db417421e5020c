"""The models the provider serves: limits, life cycle, and which requests each of them refuses."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from .clock import rfc3339_z
from .errors import invalid, not_found
from .rates import RATES

# model | released deprecated retires | context, output limit and cache minimum in tokens | tokenizer
#   | thinking forms | hidden tool prompt in tokens: auto/none, any/tool (- is a 400) | effort
_CARDS = """
claude-fable-5-2           2026-11-09 -          -          1000000 128000 512  new always   286 - high
claude-mythos-5-2          2026-11-09 -          -          1000000 128000 512  new always   286 - high
claude-fable-5-1           2026-09-01 -          -          1000000 128000 512  new always   286 - high
claude-mythos-5-1          2026-09-01 -          -          1000000 128000 512  new always   286 - high
claude-fable-5             2026-06-09 -          -          1000000 128000 512  new always   286 406 high
claude-mythos-5            2026-06-09 -          -          1000000 128000 512  new always   286 406 high
claude-mythos-preview      2026-04-07 2026-06-09 2026-06-30 1000000 128000 2048 new always   286 406 high
claude-opus-5-5            2026-09-22 -          -          1000000 128000 512  new always   286 - medium
claude-opus-5              2026-07-24 -          -          1000000 128000 512  new high-off 286 406 high
claude-opus-4-8            2026-05-28 -          -          1000000 128000 1024 new adaptive 290 410 high
claude-opus-4-7            2026-04-16 -          -          1000000 128000 2048 new adaptive 675 804 high
claude-opus-4-6            2026-02-05 -          -          1000000 128000 4096 old both     497 589 high
claude-opus-4-5-20251101   2025-11-24 -          -          200000  64000  4096 old manual   496 588 high
claude-opus-4-1-20250805   2025-08-05 2026-06-05 2026-08-05 200000  32000  1024 old manual   346 313 high
claude-opus-4-20250514     2025-05-22 2026-04-14 2026-06-15 200000  32000  1024 old manual   346 313 high
claude-sonnet-5-5          2026-09-28 -          -          1000000 128000 512  new between  286 - high
claude-sonnet-5            2026-06-30 -          -          1000000 128000 1024 new adaptive 354 474 high
claude-sonnet-4-6          2026-02-17 -          -          1000000 128000 1024 old both     497 589 high
claude-sonnet-4-5-20250929 2025-09-29 2026-09-30 2026-11-30 200000  64000  1024 old manual   496 588 high
claude-sonnet-4-20250514   2025-05-22 2026-04-14 2026-06-15 200000  64000  1024 old manual   346 313 high
claude-3-7-sonnet-20250219 2025-02-24 2025-10-28 2026-02-19 200000  64000  1024 old manual   346 313 high
claude-haiku-5-5           2026-10-07 -          -          1000000 128000 512  new default  286 406 medium
claude-haiku-4-5-20251001  2025-10-15 -          -          200000  64000  4096 old manual   496 588 high
claude-3-5-haiku-20241022  2024-10-22 2025-12-19 2026-02-19 200000  8192   2048 old none     264 340 high
claude-3-haiku-20240307    2024-03-07 2026-02-19 2026-04-20 200000  4096   2048 old none     264 340 high
"""
ALIASES = {
    "claude-opus-4-5": "claude-opus-4-5-20251101",
    "claude-opus-4-1": "claude-opus-4-1-20250805",
    "claude-opus-4-0": "claude-opus-4-20250514",
    "claude-sonnet-4-5": "claude-sonnet-4-5-20250929",
    "claude-sonnet-4-0": "claude-sonnet-4-20250514",
    "claude-3-7-sonnet-latest": "claude-3-7-sonnet-20250219",
    "claude-haiku-4-5": "claude-haiku-4-5-20251001",
    "claude-3-5-haiku-latest": "claude-3-5-haiku-20241022",
}
LINES = ("fable", "mythos", "opus", "sonnet", "haiku")
OPUS_4_8_FAST_ENDS_S = datetime(2026, 12, 1, tzinfo=UTC).timestamp()
BATCH_OUTPUT_BETA = "output-300k-2026-03-24"
BATCH_OUTPUT_LIMIT = 300_000
EFFORTS = ("low", "medium", "high", "xhigh", "max")

# Which thinking types a model takes. "between" also knows between_tools; "none" has no thinking at all.
_THINKING = {
    "always": {"adaptive"},
    "between": {"adaptive", "between_tools"},
    "high-off": {"adaptive", "disabled"},
    "default": {"adaptive", "disabled"},
    "adaptive": {"adaptive", "disabled"},
    "both": {"adaptive", "enabled", "disabled"},
    "manual": {"enabled", "disabled"},
    "none": {"disabled"},
}
_THINKS_UNASKED = {"always", "between", "high-off", "default"}


@dataclass(frozen=True, slots=True)
class Model:
    """One model as the provider knows it; sizes are tokens, dates are the day it starts to hold."""

    id: str
    released: date
    deprecated: date | None
    retires: date | None
    context: int
    max_output: int
    min_cache: int
    new_tokenizer: bool
    thinking: str
    tool_prompt: int
    forced_tool_prompt: int | None
    default_effort: str

    @property
    def line(self) -> str:
        """The family name inside the id."""
        return next(line for line in LINES if line in self.id)

    @property
    def thinking_types(self) -> set[str]:
        """The values of `thinking.type` that are not refused."""
        return _THINKING[self.thinking]

    @property
    def thinks_unasked(self) -> bool:
        """Whether the model thinks when the request says nothing about it."""
        return self.thinking in _THINKS_UNASKED

    @property
    def prefill(self) -> bool:
        """Whether the last message may be the assistant's: Claude 4.5 and earlier."""
        return self.thinking in {"manual", "none"}

    @property
    def geo(self) -> bool:
        """Whether `inference_geo` is understood: Claude 4.6 and later."""
        return "us" in RATES[self.id].sells

    def lifecycle(self, at_s: float) -> str:
        """Return active, deprecated or retired at a time."""
        today = datetime.fromtimestamp(at_s, UTC).date()
        if self.retires and today >= self.retires:
            return "retired"
        return "deprecated" if self.deprecated and today >= self.deprecated else "active"

    def sells_fast(self, at_s: float) -> bool:
        """Return whether fast mode can be bought at a time."""
        if self.id == "claude-opus-4-8" and at_s >= OPUS_4_8_FAST_ENDS_S:
            return False
        return "fast" in RATES[self.id].sells


def _day(text: str) -> date | None:
    return None if text == "-" else date.fromisoformat(text)


def _parse(line: str) -> Model:
    model, released, deprecated, retires, context, output, minimum, tokenizer, *rest = line.split()
    thinking, auto, forced, effort = rest
    return Model(
        model,
        date.fromisoformat(released),
        _day(deprecated),
        _day(retires),
        int(context),
        int(output),
        int(minimum),
        tokenizer == "new",
        thinking,
        int(auto),
        None if forced == "-" else int(forced),
        effort,
    )


MODELS = {model.id: model for model in map(_parse, _CARDS.strip().splitlines())}


def find(name: object, at_s: float) -> Model:
    """Return the model that a request names, by id or alias; unknown and retired ones are a 404."""
    model = MODELS.get(ALIASES.get(name, name)) if isinstance(name, str) else None
    if model is None or model.lifecycle(at_s) == "retired":
        raise not_found(f"model: {name}")
    return model


def _midnight(day: date | None) -> str | None:
    return None if day is None else rfc3339_z(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())


def _display_name(model: Model) -> str:
    parts = [part for part in model.id.removeprefix("claude-").split("-") if len(part) < 8]  # noqa: PLR2004 - a date
    numbers = [part for part in parts if part.isdigit()]
    return f"Claude {model.line.capitalize()} {'.'.join(numbers)}"


def info(model: Model, at_s: float) -> dict[str, Any]:
    """Return the object of the models endpoint; prices are in no endpoint."""
    life = model.lifecycle(at_s)
    return {
        "type": "model",
        "id": model.id,
        "display_name": _display_name(model),
        "created_at": _midnight(model.released),
        "line": model.line,
        "lifecycle": life,
        "deprecated_at": None if life == "active" else _midnight(model.deprecated),
        "retires_at": None if life == "active" else _midnight(model.retires),
        "max_input_tokens": model.context,
        "max_tokens": model.max_output,
        "capabilities": _capabilities(model),
    }


def _capabilities(model: Model) -> dict[str, Any]:
    def has(yes: bool = True) -> dict[str, bool]:
        return {"supported": yes}

    types = model.thinking_types
    thinks = model.thinking != "none"
    efforts = {level: has(model.new_tokenizer or level in {"low", "medium", "high"}) for level in EFFORTS}
    return {
        "batch": has(),
        "citations": has(),
        "code_execution": has(model.geo),
        "context_management": {
            **has(thinks),
            "clear_thinking_20251015": has(thinks),
            "clear_tool_uses_20250919": has(thinks),
            "compact_20260112": has(model.geo),
        },
        "effort": {**has(thinks), **efforts},
        "image_input": has(),
        "pdf_input": has(),
        "server_tools": {**has(), "code_execution": has(), "web_search": has()},
        "structured_outputs": has(thinks),
        "thinking": {
            **has(thinks),
            "types": {
                kind: has(kind in types) for kind in ("adaptive", "between_tools", "disabled", "enabled")
            },
        },
    }


def check_context(model: Model, prompt_tokens: int) -> None:
    """Refuse a prompt that does not fit."""
    if prompt_tokens > model.context:
        raise invalid(f"prompt is too long: {prompt_tokens} tokens > {model.context} maximum")
