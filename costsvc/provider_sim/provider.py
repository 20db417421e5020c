"""The provider without its wire: a request becomes a generation, a generation a line on the bill."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

from . import kept_thinking, models, prompt_cache
from .answers import Answer, compose
from .bill import Bill, Line
from .capabilities import check_model
from .clock import VirtualClock
from .faults import BILLED_REFUSALS, Fault, Faults
from .limits import Limits
from .models import Model
from .prompt import Prompt, read
from .prose import Dice
from .questions import Questions
from .rates import Metered
from .validate import check_shape

_STEPS = 100_000


@dataclass(slots=True, kw_only=True)
class Settings:
    """What can be tuned; latencies are real seconds, the batch delay runs on the provider's clock.

    With `batch_delay_most_s` each batch takes a time between the two, each doubling as likely as another.
    """

    first_byte_s: float = 0.0
    token_s: float = 0.0
    batch_delay_s: float = 1.0
    batch_delay_most_s: float = 0.0
    max_bill_lines: int | None = None
    keep_requests: int = 0

    def batch_takes_s(self, dice: Dice) -> float:
        """Return how long a batch takes that begins now."""
        if self.batch_delay_most_s <= self.batch_delay_s:
            return self.batch_delay_s
        ratio = self.batch_delay_most_s / self.batch_delay_s
        return self.batch_delay_s * float(ratio ** (dice.below(_STEPS) / _STEPS))


@dataclass(slots=True, kw_only=True)
class Call:
    """One request for a message, direct or as an item of a batch."""

    body: Any
    request_id: str
    workspace: str
    version: str
    betas: str = ""
    attempt: str | None = None
    batch_id: str | None = None
    custom_id: str | None = None


@dataclass(slots=True, kw_only=True)
class Run:
    """One generation: the answer as it will be, and what it uses."""

    id: str
    model: Model
    prompt: Prompt
    answer: Answer
    used: Metered
    plan: prompt_cache.Plan
    terms: frozenset[str]
    geo: str
    line: Line
    stop_details: dict[str, Any] | None = None

    def usage(self) -> dict[str, Any]:
        """Return the usage object of a complete message."""
        used = self.used
        output = self.answer.output_tokens
        usage: dict[str, Any] = {
            "input_tokens": used.input,
            "cache_creation_input_tokens": used.write_5m + used.write_1h,
            "cache_read_input_tokens": used.read,
            "cache_creation": {
                "ephemeral_5m_input_tokens": used.write_5m,
                "ephemeral_1h_input_tokens": used.write_1h,
            },
            "output_tokens": output,
            "server_tool_use": _searches(used.web_searches),
            "service_tier": "batch" if "batch" in self.terms else "standard",
            "inference_geo": self.geo,
        }
        if self.answer.thinking_tokens:
            usage["output_tokens_details"] = {"thinking_tokens": self.answer.thinking_tokens}
        if self.model.sells_fast(self.line.at_s) or "fast" in self.terms:
            usage["speed"] = "fast" if "fast" in self.terms else "standard"
        return usage

    def message(self) -> dict[str, Any]:
        """Return the complete message."""
        return {
            "id": self.id,
            "type": "message",
            "role": "assistant",
            "model": self.model.id,
            "content": self.answer.content,
            "stop_reason": self.answer.stop_reason,
            "stop_sequence": self.answer.stop_sequence,
            "stop_details": self.stop_details,
            "container": None,
            "diagnostics": None,
            "usage": self.usage(),
        }


class Provider:
    """The state of the simulated provider: clock, cache, bill, faults, known questions."""

    def __init__(self, clock: VirtualClock, settings: Settings) -> None:
        self.clock = clock
        self.settings = settings
        self.cache = prompt_cache.PromptCache()
        self.bill = Bill(settings.max_bill_lines)
        self.faults = Faults()
        self.questions = Questions()
        self.limits = Limits()
        self._ids = secrets.randbits(40)

    def new_id(self, prefix: str) -> str:
        """Return an identifier of the provider's form, unique in this process."""
        self._ids += 1
        mixed = self._ids * 0x9E3779B97F4A7C15F39CC0605CEDC835 & (2**110 - 1)
        return f"{prefix}_01{mixed:027x}"

    def count(self, body: Any, *, version: str) -> int:
        """Return what count_tokens answers."""
        body = check_shape(body, needs_max_tokens=False)
        now_s = self.clock.now_s()
        model = models.find(body["model"], now_s)
        check_model(body, model, version=version, now_s=now_s)
        return read(body, model).token_count

    def prepare(self, call: Call, refusal: Fault | None = None) -> Run:
        """Check, meter and answer a request; nothing is billed or cached before `begin`."""
        batch = call.batch_id is not None
        body = check_shape(call.body)
        now_s = self.clock.now_s()
        model = models.find(body["model"], now_s)
        check_model(body, model, version=call.version, now_s=now_s, betas=call.betas, batch=batch)
        prompt = read(body, model)
        models.check_context(model, prompt.token_count)
        terms, geo = _terms(body, model, now_s, batch=batch)
        plan = prompt_cache.Plan()
        if prompt.marked:
            speed = "fast" if "fast" in terms else "standard"
            scope = prompt_cache.scope_of(body, model, call.workspace, speed)
            plan = self.cache.plan(prompt, scope, model, now_s)
        used = prompt_cache.metered(prompt, plan)
        answer = compose(body, model, prompt, self.questions.find(prompt))
        if model.id in kept_thinking.GUARDED_MODELS:
            kept_thinking.check(prompt)
            kept_thinking.sign(answer, prompt)
        used.web_searches = answer.web_searches
        used.input += answer.late_input_tokens
        used.thinking = answer.thinking_tokens
        message_id = self.new_id("msg")
        line = Line(
            0, now_s, call.request_id, call.attempt, call.workspace, model.id, used, terms,
            message_id=message_id, custom_id=call.custom_id, batch_id=call.batch_id,
        )  # fmt: skip
        run = Run(
            id=message_id,
            model=model,
            prompt=prompt,
            answer=answer,
            used=used,
            plan=plan,
            terms=terms,
            geo=geo,
            line=line,
        )
        if refusal is not None:
            _refuse(run, refusal)
        line.stop_reason = run.answer.stop_reason
        return run

    def begin(self, run: Run, output_tokens: int = 0) -> None:
        """Begin an answer: its cache writes can be read from now on, and its prompt is on the bill."""
        if run.plan.entries:
            self.cache.commit(run.plan)
        run.used.output = output_tokens
        self.bill.open(run.line)


def _searches(count: int) -> dict[str, int] | None:
    return {"web_search_requests": count, "web_fetch_requests": 0} if count else None


def _terms(body: dict[str, Any], model: Model, now_s: float, *, batch: bool) -> tuple[frozenset[str], str]:
    """Return the price terms as they will be answered, and the geography that usage reports."""
    terms = set()
    if batch:
        terms.add("batch")
    if body.get("speed") == "fast" and model.sells_fast(now_s):
        terms.add("fast")
    if body.get("inference_geo") == "us":
        terms.add("us")
    geo = body.get("inference_geo") or ("global" if model.geo and not batch else "not_available")
    return frozenset(terms), geo


def _refuse(run: Run, fault: Fault) -> None:
    """Turn an answer into a refusal; before any output some categories are charged and the others are not."""
    run.stop_details = {
        "type": "refusal",
        "category": fault.category,
        "explanation": fault.explanation or "This request was declined.",
    }
    run.used.input -= run.answer.late_input_tokens
    run.used.web_searches = 0
    kept = run.answer.output_tokens // 3 if fault.after_events else 0
    text = next((block["text"] for block in run.answer.content if block["type"] == "text"), "")
    content = [{"type": "text", "text": text[: max(1, len(text) // 3)]}] if kept and text else []
    run.answer = Answer(content, "refusal", kept if content else 0)
    run.used.thinking = 0
    run.line.free = run.answer.output_tokens == 0 and fault.category not in BILLED_REFUSALS
    if fault.billed is not None:
        run.line.free = not fault.billed
