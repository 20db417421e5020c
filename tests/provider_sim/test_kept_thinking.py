from __future__ import annotations

from typing import Any

import pytest

THINKS = {"model": "claude-fable-5-2", "max_tokens": 4000}
QUESTION = {"role": "user", "content": "How does a bicycle stay upright?"}
NEXT = {"role": "user", "content": "And a unicycle?"}
MARKED = [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]


@pytest.mark.parametrize(
    ("system", "first", "status"),
    [
        ("Be brief.", QUESTION, 200),
        (MARKED, QUESTION, 200),
        ("Be verbose.", QUESTION, 400),
        ("Be brief.", {"role": "user", "content": "How does a bike stay upright?"}, 400),
    ],
)
async def test_history_before_kept_thinking_must_not_change(
    ask: Any, system: Any, first: dict[str, Any], status: int
) -> None:
    """A rewritten turn or system prompt is refused; a moved cache marker is not."""
    answer = await ask(system="Be brief.", messages=[QUESTION], **THINKS)
    assert answer["content"][0]["type"] == "thinking"
    turns = [first, {"role": "assistant", "content": answer["content"]}, NEXT]
    assert (await ask(system=system, messages=turns, **THINKS))["status"] == status


async def test_other_models_take_changed_history(ask: Any) -> None:
    """The check is a rule of few models."""
    answer = await ask(model="claude-opus-5-5", max_tokens=4000, messages=[QUESTION])
    turns = [NEXT, {"role": "assistant", "content": answer["content"]}, NEXT]
    assert (await ask(model="claude-opus-5-5", max_tokens=4000, messages=turns))["status"] == 200
