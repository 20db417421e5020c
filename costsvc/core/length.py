"""What the operator lets make calls of a task shorter: the `[length.TASK]` tables of a policy.

Nothing here happens without a table, and nothing in a table is on by default.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from costsvc.core.json_text import parse_object
from costsvc.core.lengths import WINDOW_CALLS
from costsvc.core.toml_rows import Row

MOST_TOKENS = 128_000
MOST_STOP_SEQUENCES = 16
LARGEST_SCHEMA_BYTES = 16 * 1024
EFFORTS = frozenset({"low", "medium", "high", "xhigh", "max"})

_TASK = re.compile(r"[a-z][a-z0-9_.-]{0,62}")
_HIGHEST_QUANTILE = 1 - Fraction(1, WINDOW_CALLS)
_MOST_PROBES = Fraction(1, 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Length:
    """The levers of one task; 0, "", None and empty are off.

    `cap_tokens` cuts answers whose tail has no value. `default_quantile` of the observed lengths stands in
    for a max_tokens that the caller leaves out, at least `floor_tokens` and at most `ceiling_tokens` (0: the
    policy's own default). `json_schema` is what `output_config.format` asks for. Calls of the share
    `probe_share` go without some of the levers, to measure what those save.
    """

    cap_tokens: int = 0
    default_quantile: Fraction | None = None
    floor_tokens: int = 1
    ceiling_tokens: int = 0
    effort: str = ""
    thinking_off: bool = False
    stop_sequences: tuple[str, ...] = ()
    json_schema: Mapping[str, Any] | None = None
    tidy_prompts: bool = False
    probe_share: Fraction = Fraction(1, 50)

    @property
    def form(self) -> dict[str, Any]:
        """What makes complete answers others than without levers, as JSON; a default limit does not."""
        said = {
            "cap_tokens": self.cap_tokens,
            "effort": self.effort,
            "json_schema": self.json_schema,
            "stop_sequences": list(self.stop_sequences),
            "thinking_off": self.thinking_off,
        }
        return {name: value for name, value in said.items() if value}

    @property
    def words(self) -> str:
        """The levers that are on, in words."""
        share = f"; without some in {float(self.probe_share):.2%} of calls" if self.probe_share else ""
        return f"{', '.join(self._words())}{share if self._changes_answers else ''}"

    @property
    def _changes_answers(self) -> bool:
        return bool(self.form or self.default_quantile)

    def _words(self) -> list[str]:
        quantile = self.default_quantile
        ceiling = self.ceiling_tokens or "the task's default"
        said = (
            (self.cap_tokens, f"cut after {self.cap_tokens} tokens"),
            (
                quantile,
                f"max_tokens at quantile {float(quantile or 0):g}, {self.floor_tokens} to {ceiling}",
            ),
            (self.effort, f"effort {self.effort}"),
            (self.thinking_off, "thinking off"),
            (self.stop_sequences, f"{len(self.stop_sequences)} stop sequences"),
            (self.json_schema is not None, "a JSON schema"),
            (self.tidy_prompts, "prompts tidied"),
        )
        return [words for is_on, words in said if is_on]


def read_lengths(row: Row) -> dict[str, Length]:
    """Return the levers of a policy's `[length]` table, by task.

    Raises:
        CatalogError: naming file, line, table and field.
    """
    found: dict[str, Length] = {}
    for task in row.values:
        if not _TASK.fullmatch(task):
            raise row.error(task, "must be 1 to 63 of a-z 0-9 . _ - and begin with a letter")
        found[task] = _read(row.row(task))
    row.finish()
    return found


def _read(row: Row) -> Length:
    length = Length(
        cap_tokens=_cap_tokens(row),
        default_quantile=_quantile(row),
        floor_tokens=_tokens(row, "floor_tokens", 1),
        ceiling_tokens=_tokens(row, "ceiling_tokens", 0),
        effort=row.text("effort", among=EFFORTS) if row.has("effort") else "",
        thinking_off=row.flag("thinking_off", default=False),
        stop_sequences=_stop_sequences(row),
        json_schema=_json_schema(row),
        tidy_prompts=row.flag("tidy_prompts", default=False),
        probe_share=_probe_share(row),
    )
    row.finish()
    _check(length, row)
    return length


def _check(length: Length, row: Row) -> None:
    """Refuse a table that does nothing, or whose parts do not go together."""
    if length.default_quantile is None and (row.has("floor_tokens") or row.has("ceiling_tokens")):
        field = "floor_tokens" if row.has("floor_tokens") else "ceiling_tokens"
        raise row.error(field, "needs default_quantile")
    if 0 < length.ceiling_tokens < length.floor_tokens:
        raise row.error("ceiling_tokens", "is below floor_tokens")
    if length.json_schema is not None:
        for field in ("cap_tokens", "stop_sequences"):
            if row.has(field):
                raise row.error(field, "would cut the JSON that json_schema asks for")
    if not length.words:
        raise row.error("", "pulls no lever")


def _cap_tokens(row: Row) -> int:
    cap_tokens = _tokens(row, "cap_tokens", 0)
    is_accepted = row.flag("truncate_ok", default=False)
    if cap_tokens and not is_accepted:
        problem = "needs truncate_ok = true: models do not shorten to a cap, their answers are cut"
        raise row.error("cap_tokens", problem)
    if is_accepted and not cap_tokens:
        raise row.error("truncate_ok", "needs cap_tokens")
    return cap_tokens


def _tokens(row: Row, field: str, default: int) -> int:
    count = row.count(field, default)
    if row.has(field) and not 0 < count <= MOST_TOKENS:
        raise row.error(field, f"must be from 1 to {MOST_TOKENS}")
    return count


def _quantile(row: Row) -> Fraction | None:
    if not row.has("default_quantile"):
        return None
    quantile = row.decimal("default_quantile")
    if not Fraction(1, 2) <= quantile <= _HIGHEST_QUANTILE:
        raise row.error("default_quantile", f"must be from 0.5 to {float(_HIGHEST_QUANTILE):g}")
    return quantile


def _probe_share(row: Row) -> Fraction:
    share = row.decimal("probe_share", "0.02")
    if share > _MOST_PROBES:
        raise row.error("probe_share", f"must be at most {float(_MOST_PROBES):g}")
    return share


def _stop_sequences(row: Row) -> tuple[str, ...]:
    """Return the sequences; the provider refuses those of white space (Claude docs: Messages API)."""
    sequences = row.texts("stop_sequences", [])
    if row.has("stop_sequences") and not 0 < len(sequences) <= MOST_STOP_SEQUENCES:
        raise row.error("stop_sequences", f"must be 1 to {MOST_STOP_SEQUENCES}")
    if not all(sequence.strip() for sequence in sequences):
        raise row.error("stop_sequences", "must not be white space alone")
    return sequences


def _json_schema(row: Row) -> dict[str, Any] | None:
    if not row.has("json_schema"):
        return None
    text = row.text("json_schema").encode()
    if len(text) > LARGEST_SCHEMA_BYTES:
        raise row.error("json_schema", f"has more than {LARGEST_SCHEMA_BYTES} bytes")
    try:
        schema = {name: member.value for name, member in parse_object(text).items()}
        problem = _schema_problem(schema)
    except ValueError as error:
        raise row.error("json_schema", f"is {error}") from None
    except RecursionError:
        raise row.error("json_schema", "is nested too deeply") from None
    if problem:
        raise row.error("json_schema", problem)
    return schema


def _schema_problem(schema: Mapping[str, Any]) -> str:
    """Say what the provider would refuse in every call (Claude docs: structured outputs, limitations)."""
    if "type" not in schema and not {"anyOf", "$ref"} & schema.keys():
        return "has no type"
    if _is_open(schema):
        return "has an object that does not say additionalProperties = false"
    return ""


def _is_open(value: Any) -> bool:
    if isinstance(value, list):
        return any(map(_is_open, value))
    if not isinstance(value, dict):
        return False
    is_object = value.get("type") == "object" and value.get("additionalProperties") is not False
    return is_object or any(map(_is_open, value.values()))
