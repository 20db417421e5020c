"""Kept thinking: some models refuse a thinking block when anything before it has changed.

The signature of their thinking blocks carries a hash of the prompt that was thought about. Cache markers are
not content and may come, go and move; tools, system and earlier turns may not change.
"""

from __future__ import annotations

import hashlib

from .answers import Answer
from .errors import invalid
from .prompt import Block, Prompt
from .prompt_cache import content_of

GUARDED_MODELS = frozenset({"claude-fable-5-1", "claude-fable-5-2"})
_PREFIX = "Gk1"


def sign(answer: Answer, prompt: Prompt) -> None:
    """Sign the thinking of an answer with the prompt that it belongs to."""
    for block in answer.content:
        if block["type"] == "thinking":
            block["signature"] = f"{_signature(prompt.blocks)}{block['signature']}"


def check(prompt: Prompt) -> None:
    """Refuse a prompt that holds thinking about another prompt; foreign signatures pass."""
    for i, block in enumerate(prompt.blocks):
        signature = str(block.raw.get("signature", "")) if block.kind == "thinking" else ""
        if signature.startswith(_PREFIX) and not signature.startswith(_signature(prompt.blocks[:i])):
            raise invalid(
                "messages: content before a `thinking` block has changed since the block was made; "
                "remove the block or restore the content"
            )


def _signature(blocks: list[Block]) -> str:
    state = hashlib.blake2b(digest_size=12)
    for block in blocks:
        state.update(content_of(block))
    return f"{_PREFIX}{state.hexdigest()}"
