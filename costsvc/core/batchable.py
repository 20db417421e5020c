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
    """Tell whether a request stands alone: no conversation, no loop over tools, nothing that batches refuse.

    Tools that must be called are a way to ask for structure, and no loop.
    """
    if request.conversation_id or any(request.get(name) for name in _NOT_IN_BATCHES):
        return False
    if request.get("speed") == "fast" or request.get("max_tokens") == 0:
        return False
    if request.get("tools") and (request.get("tool_choice") or {}).get("type") not in _FORCED:
        return False
    return all(message["role"] != "assistant" for message in request.get("messages"))
