"""What each model refuses: the 400s that depend on the model and on the API version."""

from __future__ import annotations

from typing import Any

from .errors import invalid
from .models import BATCH_OUTPUT_BETA, BATCH_OUTPUT_LIMIT, Model

VERSIONS = ("2023-06-01", "2026-10-21")
NEWEST_VERSION = VERSIONS[-1]
_SAMPLING_DEFAULTS: dict[str, tuple[object, ...]] = {
    "temperature": (None, 1),
    "top_p": (None, 1),
    "top_k": (None,),
}


def check_version(version: str | None) -> str:
    """Return the API version of a request; it must be named, and known."""
    if not version:
        raise invalid("anthropic-version: header is required")
    if version not in VERSIONS:
        raise invalid(f'anthropic-version: "{version}" is not a valid version')
    return version


def check_model(
    body: dict[str, Any], model: Model, *, version: str, now_s: float, betas: str = "", batch: bool = False
) -> None:
    """Raise the 400 that this model gives to this request, if it gives one."""
    _sampling(body, model, version)
    if version == NEWEST_VERSION:
        _newest_version(body)
    _output_limit(body, model, batch=batch, betas=betas)
    _thinking(body, model)
    _tool_choice(body, model)
    _geo_and_speed(body, model, now_s)
    _images(body["messages"], model)
    last = body["messages"][-1]
    if last["role"] == "assistant" and not model.prefill and not _is_paused(last):
        raise invalid(
            "This model does not support assistant message prefill. "
            "The conversation must end with a user message."
        )
    if batch:
        _batch(body)


def _images(messages: list[dict[str, Any]], model: Model) -> None:
    most = 100 if model.context == 200_000 else 600  # noqa: PLR2004 - the smaller of two windows
    found = sum(_count_images(message["content"]) for message in messages)
    if found > most:
        raise invalid(f"messages: {found} images, more than {most}")


def _count_images(content: object) -> int:
    if not isinstance(content, list):
        return 0
    blocks = [block for block in content if isinstance(block, dict)]
    return sum((block.get("type") == "image") + _count_images(block.get("content")) for block in blocks)


def _is_paused(message: dict[str, Any]) -> bool:
    """Tell a turn that a server tool paused, which is sent back as it came, from a prefill."""
    content = message["content"]
    return isinstance(content, list) and bool(content) and content[-1]["type"] != "text"


def _sampling(body: dict[str, Any], model: Model, version: str) -> None:
    for name, defaults in _SAMPLING_DEFAULTS.items():
        if name not in body:
            continue
        if version == NEWEST_VERSION:
            raise invalid(f"{name}: Extra inputs are not permitted")
        if model.new_tokenizer and body[name] not in defaults:  # the same generation that changed tokenizers
            raise invalid(f"`{name}` may only be set to its default for this model")


def _newest_version(body: dict[str, Any]) -> None:
    for i, message in enumerate(body["messages"]):
        if isinstance(message["content"], str):
            continue
        for j, block in enumerate(message["content"]):
            if message["role"] == "assistant" and block["type"] == "document":
                raise invalid(
                    f"messages.{i}.content.{j}: document blocks are not allowed in assistant messages"
                )
            if message["role"] == "user" and _has_citations(block):
                raise invalid(f"messages.{i}.content.{j}.citations: not permitted in user messages")


def _has_citations(block: dict[str, Any]) -> bool:
    if block["type"] == "text":
        return bool(block.get("citations"))
    if block["type"] == "search_result" and isinstance(block.get("content"), list):
        return any(isinstance(part, dict) and bool(part.get("citations")) for part in block["content"])
    return False


def _output_limit(body: dict[str, Any], model: Model, *, batch: bool, betas: str) -> None:
    wanted = body.get("max_tokens")
    if wanted is None:
        return
    limit = model.max_output
    if batch and BATCH_OUTPUT_BETA in betas and model.geo and model.line not in ("fable", "mythos"):
        limit = BATCH_OUTPUT_LIMIT
    if wanted > limit:
        raise invalid(
            f"max_tokens: {wanted} > {limit}, which is the maximum allowed number of output tokens "
            f"for {model.id}"
        )
    if wanted == 0:
        _prewarm(body)


def _prewarm(body: dict[str, Any]) -> None:
    """Refuse what cannot go with max_tokens 0, which only writes the cache."""
    refused = {
        "stream": bool(body.get("stream")),
        "thinking": (body.get("thinking") or {}).get("type") in ("enabled", "adaptive"),
        "output_config.format": bool((body.get("output_config") or {}).get("format")),
        "tool_choice": (body.get("tool_choice") or {}).get("type") in ("any", "tool"),
    }
    for name, present in refused.items():
        if present:
            raise invalid(f"max_tokens: 0 cannot be combined with {name}")


def _thinking(body: dict[str, Any], model: Model) -> None:
    kind = (body.get("thinking") or {}).get("type")
    if kind is None:
        return
    if kind not in model.thinking_types:
        raise invalid(f'thinking.type: "{kind}" is not supported by {model.id}')
    effort = (body.get("output_config") or {}).get("effort") or model.default_effort
    too_eager = effort in ("xhigh", "max")
    if too_eager and (kind == "between_tools" or (kind == "disabled" and model.thinking == "high-off")):
        raise invalid(f'thinking.type: "{kind}" needs effort high or lower on {model.id}')


def _tool_choice(body: dict[str, Any], model: Model) -> None:
    kind = (body.get("tool_choice") or {}).get("type")
    if kind not in ("any", "tool"):
        return
    if model.forced_tool_prompt is None:
        raise invalid(f'tool_choice.type: "{kind}" is not supported by {model.id}')
    if (body.get("thinking") or {}).get("type") == "enabled":
        raise invalid("Thinking may not be enabled when tool_choice forces tool use.")


def _geo_and_speed(body: dict[str, Any], model: Model, now_s: float) -> None:
    geo = body.get("inference_geo")
    if geo is not None:
        if not model.geo:
            raise invalid(f"inference_geo: not supported by {model.id}")
        if geo not in ("us", "global"):
            raise invalid("inference_geo: Input should be 'global' or 'us'")
    speed = body.get("speed")
    if speed not in (None, "standard", "fast"):
        raise invalid("speed: Input should be 'standard' or 'fast'")
    # Opus 4.6 takes the word and runs, and bills, at standard speed.
    if speed == "fast" and not model.sells_fast(now_s) and model.id != "claude-opus-4-6":
        raise invalid(f"speed: fast mode is not supported by {model.id}")


def _batch(body: dict[str, Any]) -> None:
    for name in ("stream", "speed", "thread", "fallbacks", "store"):
        if body.get(name):
            raise invalid(f"{name}: not allowed in a batch request")
    if body.get("max_tokens") == 0:
        raise invalid("max_tokens: 0 is not allowed in a batch request")
