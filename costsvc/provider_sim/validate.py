"""Shape checks of a Messages request: the 400s that any model gives."""

from __future__ import annotations

import re
from typing import Any

from .errors import ApiError, invalid

MAX_MESSAGES = 100_000
_MIN_BUDGET_TOKENS = 1024
_ROLES = ("user", "assistant", "system")
_TOOL_NAME = re.compile(r"^[a-zA-Z0-9_-]{1,128}$")
_UNMARKABLE = ("thinking", "redacted_thinking")
_SOURCES = {"image": ("base64", "url", "file"), "document": ("base64", "text", "content", "url", "file")}
_TYPES: dict[str, tuple[type, ...]] = {
    "stream": (bool,),
    "stop_sequences": (list,),
    "tools": (list,),
    "tool_choice": (dict,),
    "metadata": (dict,),
    "thinking": (dict,),
    "output_config": (dict,),
    "cache_control": (dict,),
    "system": (str, list),
    "service_tier": (str,),
    "speed": (str,),
    "inference_geo": (str,),
}


def check_shape(body: object, *, needs_max_tokens: bool = True) -> dict[str, Any]:
    """Return the body as an object when its fields have the right types; raise the provider's 400 if not."""
    if not isinstance(body, dict):
        raise invalid("request body: Input should be an object")
    if "model" not in body:
        raise invalid("model: Field required")
    if not isinstance(body["model"], str) or not body["model"]:
        raise invalid("model: Input should be a valid string")
    if needs_max_tokens:
        _max_tokens(body)
    for name, types in _TYPES.items():
        value = body.get(name)
        if value is not None and not isinstance(value, types):
            raise invalid(f"{name}: Input should be a valid {types[0].__name__}")
    _optional_parts(body)
    _messages(body.get("messages"))
    return body


def _max_tokens(body: dict[str, Any]) -> None:
    if "max_tokens" not in body:
        raise invalid("max_tokens: Field required")
    value = body["max_tokens"]
    if isinstance(value, bool) or not isinstance(value, int):
        raise invalid("max_tokens: Input should be a valid integer")
    if value < 0:
        raise invalid("max_tokens: Input should be greater than or equal to 0")


def _optional_parts(body: dict[str, Any]) -> None:
    if isinstance(body.get("system"), list):
        for i, block in enumerate(body["system"]):
            if not isinstance(block, dict) or block.get("type") != "text":
                raise invalid(f"system.{i}: Input tag must be 'text'")
            _block(block, f"system.{i}")
    _tools(body.get("tools") or [])
    if body.get("tool_choice"):
        _tool_choice(body)
    if body.get("thinking"):
        _thinking(body)
    _marker(body.get("cache_control"), "cache_control")
    for i, stop in enumerate(body.get("stop_sequences") or ()):
        if not isinstance(stop, str) or not stop.strip():
            raise invalid(f"stop_sequences.{i}: each stop sequence must contain non-whitespace")
    if body.get("output_config"):
        _output_config(body["output_config"])


def _tools(tools: list[Any]) -> None:
    names = set()
    for i, tool in enumerate(tools):
        if not isinstance(tool, dict):
            raise invalid(f"tools.{i}: Input should be an object")
        custom = tool.get("type") in (None, "custom")
        name = tool.get("name")
        if not isinstance(tool.get("type"), str | None):
            raise invalid(f"tools.{i}.type: Input should be a valid string")
        if custom and not (isinstance(name, str) and _TOOL_NAME.match(name)):
            raise invalid(f"tools.{i}.name: String should match pattern '{_TOOL_NAME.pattern}'")
        if isinstance(name, str) and name in names:
            raise invalid("tools: Tool names must be unique.")
        if custom and not isinstance(tool.get("input_schema"), dict):
            raise invalid(f"tools.{i}.custom.input_schema: Field required")
        _marker(tool.get("cache_control"), f"tools.{i}.cache_control")
        names.add(str(name))


def _tool_choice(body: dict[str, Any]) -> None:
    choice = body["tool_choice"]
    if choice.get("type") not in ("auto", "any", "tool", "none"):
        raise invalid("tool_choice.type: Input should be 'auto', 'any', 'tool' or 'none'")
    tools = body.get("tools") or []
    if not tools and choice["type"] != "none":
        raise invalid("tool_choice: tool_choice may only be specified while providing tools")
    if choice["type"] == "tool" and all(tool.get("name") != choice.get("name") for tool in tools):
        raise invalid(f"tool_choice.name: Tool '{choice.get('name')}' not found in provided tools")


def _thinking(body: dict[str, Any]) -> None:
    thinking = body["thinking"]
    kind = thinking.get("type")
    if kind not in (None, "adaptive", "enabled", "disabled", "between_tools"):
        raise invalid(f"thinking: Input tag '{kind}' does not match any of the expected tags")
    if kind != "enabled":
        return
    budget = thinking.get("budget_tokens")
    if not isinstance(budget, int) or budget < _MIN_BUDGET_TOKENS:
        raise invalid(f"thinking.enabled.budget_tokens: Input should be at least {_MIN_BUDGET_TOKENS}")
    if "max_tokens" in body and budget >= body["max_tokens"]:
        raise invalid("`max_tokens` must be greater than `thinking.budget_tokens`")


def _output_config(config: dict[str, Any]) -> None:
    if config.get("effort") not in (None, "low", "medium", "high", "xhigh", "max"):
        raise invalid("output_config.effort: Input should be 'low', 'medium', 'high', 'xhigh' or 'max'")
    wanted = config.get("format")
    if wanted is None:
        return
    if not isinstance(wanted, dict) or wanted.get("type") != "json_schema":
        raise invalid("output_config.format.type: Input should be 'json_schema'")
    if not isinstance(wanted.get("schema"), dict):
        raise invalid("output_config.format.schema: Field required")


def _messages(messages: object) -> None:
    if not isinstance(messages, list):
        raise invalid(
            "messages: Field required" if messages is None else "messages: Input should be a valid list"
        )
    if not messages:
        raise invalid("messages: at least one message is required")
    if len(messages) > MAX_MESSAGES:
        raise ApiError(413, f"messages: more than {MAX_MESSAGES} messages")
    waiting: set[str] = set()
    for i, message in enumerate(messages):
        waiting = _message(message, f"messages.{i}", waiting, last=i == len(messages) - 1)


def _message(message: object, path: str, waiting: set[str], *, last: bool) -> set[str]:
    """Check one message; return the ids of the tool calls that the next message has to answer."""
    if not isinstance(message, dict):
        raise invalid(f"{path}: Input should be an object")
    role, content = message.get("role"), message.get("content")
    if role not in _ROLES:
        raise invalid(f"{path}.role: Input should be 'user', 'assistant' or 'system'")
    if isinstance(content, str):
        if not content and not (role == "assistant" and last):
            raise invalid(f"{path}: {role} messages must have non-empty content")
        content = []
    elif not isinstance(content, list):
        raise invalid(f"{path}.content: Input should be a valid list")
    elif not content and not (role == "assistant" and last):
        raise invalid(f"{path}: {role} messages must have non-empty content")
    answered = {_block(block, f"{path}.content.{j}") for j, block in enumerate(content)} - {None}
    if role != "system" and waiting - answered:
        missing = ", ".join(sorted(waiting - answered))
        raise invalid(f"{path}: `tool_use` ids were found without `tool_result` blocks after: {missing}")
    return {block["id"] for block in content if block["type"] == "tool_use"}


def _block(block: object, path: str) -> str | None:
    """Check one content block; return the id of the tool call that it answers, if it does."""
    if not isinstance(block, dict) or not isinstance(block.get("type"), str):
        raise invalid(f"{path}: Input should be an object with a type")
    kind = block["type"]
    if kind == "text":
        _text(block, path)
    elif kind in _SOURCES:
        source = block.get("source")
        if not isinstance(source, dict) or source.get("type") not in _SOURCES[kind]:
            raise invalid(f"{path}.{kind}.source: Input tag does not match any of the expected tags")
    elif kind == "tool_use" and not (
        isinstance(block.get("id"), str) and isinstance(block.get("input"), dict)
    ):
        raise invalid(f"{path}.tool_use: id and input: Field required")
    if "cache_control" in block:
        if kind in _UNMARKABLE:
            raise invalid(f"{path}.{kind}.cache_control: Extra inputs are not permitted")
        _marker(block["cache_control"], f"{path}.{kind}.cache_control")
    if kind != "tool_result":
        return None
    if not isinstance(block.get("tool_use_id"), str):
        raise invalid(f"{path}.tool_result.tool_use_id: Field required")
    return str(block["tool_use_id"])


def _text(block: dict[str, Any], path: str) -> None:
    if not isinstance(block.get("text"), str):
        raise invalid(f"{path}.text.text: Field required")
    if not block["text"]:
        if block.get("cache_control"):
            raise invalid(f"{path}.text: cache_control cannot be set for empty text blocks")
        raise invalid("messages: text content blocks must be non-empty")


def _marker(marker: object, path: str) -> None:
    if marker is None:
        return
    if not isinstance(marker, dict) or marker.get("type") != "ephemeral":
        raise invalid(f"{path}.type: Input should be 'ephemeral'")
    if marker.get("ttl", "5m") not in ("5m", "1h"):
        raise invalid(f"{path}.ttl: Input should be '5m' or '1h'")
