"""Web searches that the provider runs itself, in the middle of an answer."""

from __future__ import annotations

import re
from typing import Any

from .prompt import Prompt
from .prose import NOUNS, Dice, paragraphs, topics

_WANTS_NEWS = re.compile(r"\b(search|look up|latest|news|today|current(ly)?)\b", re.IGNORECASE)
_RESULTS = 3


def search(body: dict[str, Any], prompt: Prompt, dice: Dice) -> list[dict[str, Any]]:
    """Return the blocks of one search if the tool is offered and the user asks for something new."""
    offered = any(str(tool.get("type", "")).startswith("web_search_") for tool in body.get("tools") or ())
    refused = (body.get("tool_choice") or {}).get("type") == "none"
    if not offered or refused or not _WANTS_NEWS.search(prompt.user_text):
        return []
    about = topics(prompt.user_text)
    call_id = f"srvtoolu_01{dice.below(2**32):08x}{dice.below(2**32):08x}"
    query = {
        "type": "server_tool_use",
        "id": call_id,
        "name": "web_search",
        "input": {"query": " ".join(about[:3])},
    }
    found = [_result(dice, about) for _ in range(_RESULTS)]
    return [query, {"type": "web_search_tool_result", "tool_use_id": call_id, "content": found}]


def _result(dice: Dice, about: tuple[str, ...]) -> dict[str, Any]:
    noun = dice.pick(NOUNS)
    return {
        "type": "web_search_result",
        "url": f"https://{noun}.example.com/{dice.below(1000)}",
        "title": f"{noun.capitalize()} on {dice.pick(about)}",
        "encrypted_content": paragraphs(dice, 150, about),
        "page_age": None,
    }
