"""Which prompts are tidied: those that no cached prefix and no kept thinking depends on in another form.

The system prompt is tidied in every turn of a conversation or in none, and of the messages only a single one,
because earlier turns come back as the caller wrote them. Who places breakpoints, or thinks, is left alone:
some models refuse a turn when anything before its thinking has changed (Claude docs: extended thinking).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from costsvc.core.characters import count_kinds
from costsvc.core.constraints import Needs
from costsvc.core.conversation import has_thinking
from costsvc.core.model import Model
from costsvc.core.prompt_cache import may_have_breakpoints
from costsvc.core.request import ModelRequest
from costsvc.core.shaping import has_tools, may_think
from costsvc.core.tidy import Removed, tidy_messages, tidy_system


@dataclass(frozen=True, slots=True, kw_only=True)
class Tidied:
    """A tidied request, and how many tokens it has less: an estimate, rather too small."""

    request: ModelRequest
    token_count: int
    words: str


def tidied(request: ModelRequest, needs: Needs, model: Model) -> Tidied | None:
    """Return the request tidied, None where there is nothing to tidy or it must stay as it is."""
    if not _may_be_tidied(request, needs, model):
        return None
    members, removed = dict(request.members), Removed()
    if request.get("system") is not None:
        members["system"], removed = tidy_system(members["system"])
    if not request.conversation_id:
        members["messages"], more = tidy_messages(members["messages"])
        removed += more
    if not removed:
        return None
    tokens = _count_tokens(removed, model)
    return Tidied(
        request=replace(request, members=members),
        token_count=tokens,
        words=f"{removed.words}, about {tokens} tokens",
    )


def _may_be_tidied(request: ModelRequest, needs: Needs, model: Model) -> bool:
    if may_have_breakpoints(request) or has_thinking(request):
        return False
    is_conversation = bool(request.conversation_id) or len(request.get("messages")) > 1
    keeps_thinking = is_conversation or model.capabilities.thinking_always
    return not (keeps_thinking and may_think(needs, model, has_tools=has_tools(request)))


def _count_tokens(removed: Removed, model: Model) -> int:
    """Estimate: a run of white space is one token at most, mostly a part of its neighbour's."""
    white = " " * removed.space_count + "\n" * removed.line_end_count
    return min(removed.run_count, _tokens([white], model)) + _tokens(removed.texts, model)


def _tokens(texts: Sequence[str], model: Model) -> int:
    counts = zip(count_kinds(texts), model.tokenizer.tokens_per_1000_chars, strict=True)
    return sum(count * rate for count, rate in counts) // 1000
