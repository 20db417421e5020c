"""What a request needs of a model, and why a model cannot give it.

Asked before anything else: a request that a model would answer with a 400 must never be moved to it. The
rules are the provider's, per model, in the catalogue (Claude docs: models overview, migration guides).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from costsvc.core.catalog import Model
from costsvc.core.request import SAMPLING_PARAMETERS, ModelRequest

_EFFORTS = ("low", "medium", "high", "xhigh", "max")
_FORCING = frozenset({"any", "tool"})
_PLAIN = frozenset({"model", "system", "messages", "max_tokens", "stop_sequences", "metadata", "stream"})
"""Members that every model takes: most requests have no others, and need no closer look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """The features of a request that models differ in."""

    max_tokens: int
    prefill: bool
    sampling: tuple[str, ...] = ()
    forced_tool_choice: bool = False
    thinking: str = ""
    effort: str = ""
    structured_output: bool = False
    inference_geo: bool = False
    fast: bool = False
    image_count: int = 0


def needs_of(request: ModelRequest, max_tokens: int, image_count: int = 0) -> Needs:
    """Read a request's needs; `max_tokens` is the caller's or the policy's."""
    members = request.members
    if members.keys() <= _PLAIN:
        prefill = _ends_with_assistant_text(request.get("messages")[-1])
        return Needs(max_tokens=max_tokens, prefill=prefill, image_count=image_count)
    output = request.get("output_config") or {}
    return Needs(
        max_tokens=max_tokens,
        sampling=tuple(name for name in SAMPLING_PARAMETERS if name in members),
        forced_tool_choice=_type_of(request.get("tool_choice")) in _FORCING,
        prefill=_ends_with_assistant_text(request.get("messages")[-1]),
        thinking=_type_of(request.get("thinking")),
        effort=output.get("effort") or "",
        structured_output=bool(output.get("format")),
        inference_geo=request.get("inference_geo") is not None,
        fast=request.get("speed") == "fast",
        image_count=image_count,
    )


def ruled_out(
    model: Model,
    needs: Needs,
    *,
    input_tokens: int,
    sends_sampling: bool,
    at: datetime,
    zero_retention: bool = False,
) -> str:
    """Return why a model cannot answer, or "" when it can.

    `input_tokens` is the estimate of the prompt on this model; `sends_sampling` whether sampling parameters
    will be sent (policy may drop them); `zero_retention` whether the provider may keep nothing.
    """
    if not model.callable_on(at.date()):
        return f"retired; {model.replacement or 'no model'} replaces it"
    if zero_retention and model.retention_days:
        return f"keeps data for {model.retention_days} days"
    return (
        _size_problem(model, needs, input_tokens)
        or (_sampling_problem(model, needs) if sends_sampling else "")
        or _feature_problem(model, needs, at)
        or thinking_problem(model, needs)
    )


def _size_problem(model: Model, needs: Needs, input_tokens: int) -> str:
    if needs.max_tokens > model.max_output_tokens:
        return f"writes at most {model.max_output_tokens} tokens, {needs.max_tokens} asked"
    if input_tokens + needs.max_tokens > model.context_tokens:
        return f"holds {model.context_tokens} tokens, about {input_tokens + needs.max_tokens} needed"
    if needs.image_count > model.max_images:
        return f"takes at most {model.max_images} images, {needs.image_count} sent"
    return ""


def _sampling_problem(model: Model, needs: Needs) -> str:
    if needs.sampling and model.capabilities.sampling != "any":
        return f"does not take {', '.join(needs.sampling)}"
    return ""


def _feature_problem(model: Model, needs: Needs, at: datetime) -> str:
    can = model.capabilities
    for needed, able, problem in (
        (needs.forced_tool_choice, can.forced_tool_choice, "does not take a forced tool_choice"),
        (needs.prefill, can.assistant_prefill, "does not continue a message of the assistant"),
        (needs.structured_output, can.structured_output, "has no structured output"),
        (needs.inference_geo, can.inference_geo, "does not take inference_geo"),
        (needs.fast, _fast(model, at), "has no fast mode"),
    ):
        if needed and not able:
            return problem
    return ""


def thinking_problem(model: Model, needs: Needs) -> str:
    """Return why a model does not think as it is asked to, or "" where it does."""
    can = model.capabilities
    if needs.thinking and needs.thinking not in can.thinking:
        return f"does not take thinking {needs.thinking!r}"
    limit = can.thinking_off_max_effort
    effort = needs.effort or can.default_effort
    switched_off = needs.thinking in {"disabled", "between_tools"}
    if switched_off and limit and effort in _EFFORTS and _EFFORTS.index(effort) > _EFFORTS.index(limit):
        return f"does not take thinking {needs.thinking!r} above effort {limit}"
    return ""


def _fast(model: Model, at: datetime) -> bool:
    last = model.capabilities.fast_before
    return model.capabilities.fast and (last is None or at.date() < last)


def _type_of(value: Mapping[str, Any] | None) -> str:
    kind = value.get("type") if value else None
    return kind if isinstance(kind, str) else ""


def _ends_with_assistant_text(message: Mapping[str, Any]) -> bool:
    """Tell a prefill from the continuation of a paused turn, which ends with a tool's block."""
    content = message["content"]
    return message["role"] == "assistant" and (
        isinstance(content, str) or not content or content[-1]["type"] == "text"
    )
