"""A request read once: its blocks in prefix order, their tokens, their markers, and what the user asks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from . import tokens
from .errors import invalid
from .models import Model

TOOLS, SYSTEM, MESSAGES = 0, 1, 2
MAX_BREAKPOINTS = 4
TTLS_S = {"5m": 300, "1h": 3600}


@dataclass(slots=True)
class Block:
    """One block of the prefix; `ttl` is set where a cache breakpoint ends."""

    level: int
    role: str
    kind: str
    raw: dict[str, Any]
    tokens: int
    ttl: str | None


@dataclass(slots=True)
class Prompt:
    """The whole prompt of a request; `token_count` is what count_tokens answers."""

    blocks: list[Block]
    token_count: int
    turns: int
    system_text: str
    user_text: str
    has_images: bool
    marked: bool


def read(body: dict[str, Any], model: Model) -> Prompt:
    """Read a validated request; raises the provider's 400 for impossible cache markers."""
    blocks = _tools(body, model) if body.get("tools") else []
    new = model.new_tokenizer
    system = body.get("system")
    if system:
        blocks += [_block(SYSTEM, "system", raw, new) for raw in as_blocks(system)]
    messages = body["messages"]
    for message in messages:
        role = message["role"]
        blocks += [_block(MESSAGES, role, raw, new) for raw in as_blocks(message["content"])]
    overhead = tokens.REQUEST_OVERHEAD + tokens.MESSAGE_OVERHEAD * len(messages) + _format_tokens(body, new)
    blocks[-1].tokens += overhead
    return Prompt(
        blocks,
        sum(block.tokens for block in blocks),
        len(messages),
        "\n".join(b.raw.get("text", "") for b in blocks if b.level == SYSTEM),
        _last_user_text(messages),
        any(block.kind == "image" for block in blocks),
        _place_markers(blocks, body.get("cache_control")),
    )


def as_blocks(content: str | list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return content as blocks: a string is one text block."""
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _block(level: int, role: str, raw: dict[str, Any], new: bool) -> Block:
    return Block(
        level, role, raw["type"], raw, tokens.count_block(raw, new=new), _ttl(raw.get("cache_control"))
    )


def _tools(body: dict[str, Any], model: Model) -> list[Block]:
    """Return the tool definitions; the hidden tool prompt counts with the first."""
    new = model.new_tokenizer
    forced = (body.get("tool_choice") or {}).get("type") in ("any", "tool")
    hidden = model.forced_tool_prompt if forced else model.tool_prompt
    blocks = []
    for tool in body["tools"]:
        shown = {key: value for key, value in tool.items() if key != "cache_control"}
        size = tokens.count_json(shown, new=new)
        blocks.append(Block(TOOLS, "tools", "tool", tool, size, _ttl(tool.get("cache_control"))))
    blocks[0].tokens += hidden or 0
    return blocks


def _format_tokens(body: dict[str, Any], new: bool) -> int:
    """Return the size of the instructions that a requested output format adds."""
    wanted = (body.get("output_config") or {}).get("format")
    return 40 + tokens.count_json(wanted.get("schema"), new=new) if wanted else 0


def _ttl(marker: dict[str, Any] | None) -> str | None:
    return None if marker is None else marker.get("ttl", "5m")


def _last_user_text(messages: list[dict[str, Any]]) -> str:
    for message in reversed(messages):
        if message["role"] == "user":
            parts = [b["text"] for b in as_blocks(message["content"]) if b["type"] == "text"]
            if parts:
                return "\n".join(parts)
    return ""


def _place_markers(blocks: list[Block], automatic: dict[str, Any] | None) -> bool:
    """Check the explicit markers, add the automatic one, and return whether there is any."""
    explicit = sum(block.ttl is not None for block in blocks)
    if explicit > MAX_BREAKPOINTS:
        raise invalid(
            f"A maximum of {MAX_BREAKPOINTS} blocks with cache_control may be provided. Found {explicit}."
        )
    if automatic is not None:
        _place_automatic(blocks, str(_ttl(automatic)), explicit)
    marked = [block.ttl for block in blocks if block.ttl is not None]
    if sorted(marked) != marked:  # "1h" sorts before "5m"
        raise invalid(
            "messages: a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block. "
            "Note that blocks are processed in the following order: `tools`, `system`, `messages`."
        )
    return bool(marked)


def _place_automatic(blocks: list[Block], ttl: str, explicit: int) -> None:
    last = next((block for block in reversed(blocks) if _can_be_marked(block)), None)
    if last is None:
        return
    if last.ttl == ttl:
        return
    if last.ttl is not None:
        raise invalid("cache_control: the last block already has a cache_control with a different ttl")
    if explicit == MAX_BREAKPOINTS:
        raise invalid(f"cache_control: no breakpoint is left, {MAX_BREAKPOINTS} blocks have a cache_control")
    last.ttl = ttl


def _can_be_marked(block: Block) -> bool:
    return block.kind not in ("thinking", "redacted_thinking") and block.raw.get("text") != ""
