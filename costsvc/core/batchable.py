"""Which requests lose nothing by waiting for a message batch, as far as the request itself says.

Whether its caller can wait, only the caller knows. A conversation cannot: its next turn waits for this one,
and its prompt cache does not outlive the queue (Claude docs: batch processing, prompt caching).
"""

from __future__ import annotations

from costsvc.core.request import ModelRequest

_NOT_IN_BATCHES = ("thread", "fallbacks", "store", "container", "mcp_servers")
"""Members that items of a batch may not have, or that tie a request to another one."""

_FORCED = frozenset({"any", "tool"})


def is_batchable(request: ModelRequest) -> bool:
    """Tell whether a request stands alone, and has nothing that batches refuse."""
    return not why_not_batchable(request)


def why_not_batchable(request: ModelRequest) -> str:
    """Return why a request does not belong into a batch, "" where it does.

    Tools that must be called are a way to ask for structure, and no loop.
    """
    choice = request.get("tool_choice") or {}
    reasons = {
        "conversation_id: the next turn waits for it": request.conversation_id,
        "speed: batches are not fast": request.get("speed") == "fast",
        "max_tokens: batches do not warm caches": request.get("max_tokens") == 0,
        "tools: their results would wait, too; a tool that must be called is fine": (
            request.get("tools") and choice.get("type") not in _FORCED
        ),
        "messages: a conversation that runs, or an answer that is begun": any(
            message["role"] == "assistant" for message in request.get("messages")
        ),
        **{f"{name}: batches do not take it": request.get(name) for name in _NOT_IN_BATCHES},
    }
    return next((reason for reason, applies in reasons.items() if applies), "")
