"""What the simulated model answers: decided by the question alone: same body, same text.

Caching, streaming and latency never change an answer. Lengths follow the kind of prompt: a label is a
word, an extraction a small object, an explanation a page.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from . import tokens
from .models import Model
from .prompt import Prompt
from .prose import NAMES, NOUNS, Dice, paragraphs, topics
from .questions import Question
from .searches import search
from .shapes import value_for

_LABEL = re.compile(
    r"\b(classif\w+|categor\w+|labels?|sentiment|triage|(one|single) word|yes or no|true or false)\b",
    re.IGNORECASE,
)
_EXTRACT = re.compile(r"\b(extract\w*|json|csv)\b", re.IGNORECASE)
_CODE = re.compile(
    r"\b(code|function|bug|refactor|diff|python|sql|typescript|golang|unit tests?)\b|```", re.IGNORECASE
)
_SHORTEN = re.compile(r"\b(summar\w+|translate|rewrite|paraphrase|shorten|tl;dr)\b", re.IGNORECASE)
_OPTIONS = re.compile(
    r"(?:one of|into|as|labels?|categories)(?: are)?:?\s+"
    r"((?:[\w-]+\s*(?:,\s*(?:or|and)?|/|\||\bor\b|\band\b)\s*)+[\w-]+)",
    re.IGNORECASE,
)
_SEPARATOR = re.compile(r"\s*(?:,\s*(?:or\s|and\s)?|/|\||\bor\b|\band\b)\s*", re.IGNORECASE)
_WORDS = {"small talk": (12, 40), "code": (90, 260), "explain": (90, 280)}
_THOUGHT_TOKENS = {"low": 40, "medium": 120, "high": 260, "xhigh": 600, "max": 1200}
_CODE_SAMPLE = """```python
def {a}(items):
    kept = [item for item in items if item is not None]
    return sorted(kept)
```"""


@dataclass(slots=True)
class Answer:
    """A finished generation: `output_tokens` is all of it, thinking included."""

    content: list[dict[str, Any]]
    stop_reason: str
    output_tokens: int
    thinking_tokens: int = 0
    stop_sequence: str | None = None
    web_searches: int = 0
    late_input_tokens: int = 0  # input of samplings after the first: message_start does not know it yet


def compose(body: dict[str, Any], model: Model, prompt: Prompt, known: Question | None = None) -> Answer:
    """Return the answer to a request that passed every check; `known` is the question, if it is scripted."""
    limit = body.get("max_tokens", model.max_output)
    if limit == 0:
        return Answer([], "max_tokens", 0)
    room = max(1, model.context - prompt.token_count)
    budget = min(limit, room)
    dice = Dice(model.id, prompt.user_text, str(prompt.turns))
    kind = _kind(body, prompt)
    thought = _think(body, model, kind, dice)
    calls = _tool_calls(body, prompt, dice)
    if budget <= thought:
        answer = Answer([], "max_tokens", 0)
    elif calls:
        answer = _tool_answer(calls, model, budget - thought)
    else:
        text = known.answer(model, prompt) if known else _text(body, prompt, kind, dice)
        answer = _text_answer(body, model, text, budget - thought)
    if answer.stop_reason == "end_turn":
        _put_search_first(answer, search(body, prompt, dice), model, prompt)
        answer.output_tokens = min(answer.output_tokens, budget - thought)
    if thought:
        _put_thinking_first(answer, body, model, dice, min(thought, budget))
    if answer.stop_reason == "max_tokens" and room < limit:
        answer.stop_reason = "model_context_window_exceeded"
    return answer


def _kind(body: dict[str, Any], prompt: Prompt) -> str:
    if (body.get("output_config") or {}).get("format"):
        return "structured"
    user = prompt.user_text
    asked = f"{prompt.system_text[:400]}\n{user[:1000]}\n{user[-300:]}"
    for kind, pattern in (("label", _LABEL), ("extract", _EXTRACT), ("code", _CODE), ("shorten", _SHORTEN)):
        if pattern.search(asked):
            return kind
    return "small talk" if len(user) < 40 and "?" not in user else "explain"  # noqa: PLR2004 - a greeting


def _text_answer(body: dict[str, Any], model: Model, text: str, budget: int) -> Answer:
    text, stop = _stopped(text, body.get("stop_sequences") or ())
    size = tokens.count(text, new=model.new_tokenizer)
    if size > budget:
        return Answer([{"type": "text", "text": _cut(text, budget, size)}], "max_tokens", budget)
    reason = "end_turn" if stop is None else "stop_sequence"
    return Answer([{"type": "text", "text": text}] if text else [], reason, size, stop_sequence=stop)


def _stopped(text: str, sequences: Iterable[str]) -> tuple[str, str | None]:
    """Return the text up to the first stop sequence in it, and that sequence."""
    found = [(text.index(stop), stop) for stop in sequences if stop in text]
    if not found:
        return text, None
    at, stop = min(found)
    return text[:at], stop


def _cut(text: str, budget: int, size: int) -> str:
    return text[: max(1, len(text) * budget // size)]


def _text(body: dict[str, Any], prompt: Prompt, kind: str, dice: Dice) -> str:
    if kind == "structured":
        schema = body["output_config"]["format"]["schema"]
        return json.dumps(value_for(schema, dice), ensure_ascii=False)
    if kind == "label":
        return _label(prompt, dice)
    if kind == "extract":
        name, noun = dice.pick(NAMES), dice.pick(NOUNS)
        found = {
            "name": name,
            "subject": noun,
            "count": dice.between(1, 40),
            "confirmed": bool(dice.below(2)),
        }
        return json.dumps(found)
    about = topics(prompt.user_text)
    if kind == "shorten":
        words = min(220, max(20, prompt.user_text.count(" ") // 5))
        return paragraphs(dice, words, about)
    text = paragraphs(dice, dice.between(*_WORDS[kind]), about)
    return f"{text}\n\n{_CODE_SAMPLE.format(a=dice.pick(NOUNS))}" if kind == "code" else text


def _label(prompt: Prompt, dice: Dice) -> str:
    for text in (prompt.user_text[:1000], prompt.system_text[:2000]):
        found = _OPTIONS.search(text)
        if found:
            return dice.pick([option for option in _SEPARATOR.split(found[1]) if option])
    if "yes or no" in f"{prompt.system_text} {prompt.user_text}".lower():
        return dice.pick(("yes", "no"))
    return dice.pick(("positive", "negative", "neutral"))


def _tool_calls(body: dict[str, Any], prompt: Prompt, dice: Dice) -> list[dict[str, Any]]:
    """Return the tool_use blocks: the forced tool, or each tool that the last user turn mentions."""
    offered = [tool for tool in body.get("tools") or () if tool.get("type") in {"custom", None}]
    choice = body.get("tool_choice") or {"type": "auto"}
    if not offered or choice["type"] == "none":
        return []
    if choice["type"] == "tool":
        chosen = [tool for tool in offered if tool["name"] == choice["name"]]
    elif _ends_with_tool_result(body):
        return []
    else:
        asked = prompt.user_text.lower()
        chosen = [
            t for t in offered if t["name"].lower() in asked or t["name"].lower().replace("_", " ") in asked
        ]
        if not chosen and choice["type"] == "any":
            chosen = [offered[dice.below(len(offered))]]
    if choice.get("disable_parallel_tool_use"):
        chosen = chosen[:1]
    return [
        {
            "type": "tool_use",
            "id": f"toolu_01{dice.base64ish(22).replace('+', 'a').replace('/', 'b')}",
            "name": tool["name"],
            "input": value_for(tool["input_schema"], dice) or {},
        }
        for tool in chosen
    ]


def _ends_with_tool_result(body: dict[str, Any]) -> bool:
    content = body["messages"][-1]["content"]
    return isinstance(content, list) and any(block["type"] == "tool_result" for block in content)


def _tool_answer(calls: list[dict[str, Any]], model: Model, budget: int) -> Answer:
    size = sum(tokens.count_block(call, new=model.new_tokenizer) + 12 for call in calls)
    if size > budget:  # the input of a call that did not fit is lost
        return Answer([{**calls[0], "input": {}}], "max_tokens", budget)
    return Answer(list(calls), "tool_use", size)


def _think(body: dict[str, Any], model: Model, kind: str, dice: Dice) -> int:
    """Return how many tokens the model thinks before it answers; simple questions get none at low effort."""
    thinking = body.get("thinking") or {}
    form = thinking.get("type") or ("adaptive" if model.thinks_unasked else "disabled")
    forced = (body.get("tool_choice") or {}).get("type") in ("any", "tool")
    if form == "disabled" or forced or (form == "between_tools" and not _ends_with_tool_result(body)):
        return 0
    effort = (body.get("output_config") or {}).get("effort") or model.default_effort
    if form != "enabled" and effort in ("low", "medium") and kind in ("label", "extract", "small talk"):
        return 0
    typical = _THOUGHT_TOKENS[effort]
    wanted = dice.between(typical // 2, typical * 2)
    return min(wanted, thinking["budget_tokens"]) if form == "enabled" else wanted


def _put_search_first(answer: Answer, found: list[dict[str, Any]], model: Model, prompt: Prompt) -> None:
    """Answer after a search: the prompt and what was found are read in a second sampling."""
    if not found:
        return
    query, result = found
    answer.content[:0] = found
    answer.web_searches = 1
    answer.output_tokens += tokens.count_json(query["input"], new=model.new_tokenizer)
    answer.late_input_tokens = prompt.token_count + tokens.count_block(result, new=model.new_tokenizer)


def _put_thinking_first(answer: Answer, body: dict[str, Any], model: Model, dice: Dice, thought: int) -> None:
    shown = ""
    display = (body.get("thinking") or {}).get("display") or (
        "omitted" if model.new_tokenizer else "summarized"
    )
    if display == "summarized":
        shown = paragraphs(dice, max(6, thought // 3), topics(body["model"]))
    block = {"type": "thinking", "thinking": shown, "signature": dice.base64ish(96)}
    answer.content.insert(0, block)
    answer.thinking_tokens = thought
    answer.output_tokens += thought
