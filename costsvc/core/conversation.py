"""Which model a conversation stays with, and when moving it pays.

Caches are per model, so a conversation that moves writes its whole prompt anew, and thinking that it holds is
readable only by the model that wrote it and by newer ones (Claude docs: prompt caching, extended thinking).
A conversation therefore stays where it is unless the operator's policy asks for more than its model, its
model cannot answer, or moving pays.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from costsvc.core.candidates import Candidate, Question, Reason, consider, tier_of
from costsvc.core.catalog import Model
from costsvc.core.money import format_usd
from costsvc.core.request import ModelRequest, Tier
from costsvc.core.usage import Usage

MOST_TURNS = 20
"""More turns than these are not reckoned with, however long the conversation has been."""

_FIVE_MINUTES, _ONE_HOUR = timedelta(minutes=5), timedelta(hours=1)
_THINKING = frozenset({"thinking", "redacted_thinking"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """Where a conversation is: its model, its turns so far, and what of its prompt that model has cached."""

    model: str
    turns: int
    cached_tokens: int
    cached_until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What policy and caller let answer: tiers from one to another, or `only` these models.

    `firm` where a rule or the task says what kind of work it is.
    """

    lowest: Tier
    highest: Tier
    only: tuple[str, ...] = ()
    firm: bool

    def allow(self, model: Model, tier: Tier | None) -> bool:
        """Tell whether a model may answer."""
        if self.only:
            return model.id in self.only
        return tier is not None and self.lowest <= tier <= self.highest


def after_turn(before: Pin | None, model: Model, usage: Usage, *, at: datetime, one_hour: bool) -> Pin:
    """Return where a conversation is after a turn that began at an instant.

    The time of what is cached runs from the beginning of the turn; `one_hour` where the request asks for the
    longer one.
    """
    long = one_hour or usage.cache_write_1h_tokens > 0
    return Pin(
        model=model.id,
        turns=(before.turns if before else 0) + 1,
        cached_tokens=usage.prompt_tokens - usage.input_tokens,
        cached_until=at + (_ONE_HOUR if long else _FIVE_MINUTES),
    )


def keep(question: Question, pin: Pin, chosen: Candidate, bounds: Bounds) -> tuple[Candidate, Reason]:
    """Return the conversation's own model where it should answer, else the chosen one, and why."""
    home = question.catalog.models.get(pin.model)
    if home is chosen.model:
        return chosen, _stays(f"the conversation is on {home.id}")
    tier = tier_of(pin.model, question.policy)
    if home is None or not bounds.allow(home, tier):
        return chosen, _moves(f"{pin.model} may not answer this")
    stay = consider(question, home, tier)
    if stay.ruled_out:
        return chosen, _moves(f"{home.id} {stay.ruled_out}")
    return _weighed(question, pin, stay, chosen, bounds)


def _weighed(
    question: Question, pin: Pin, stay: Candidate, chosen: Candidate, bounds: Bounds
) -> tuple[Candidate, Reason]:
    """Return one of two models that can both answer."""
    home, other = stay.model, chosen.model
    if not _can_read(other, home) and has_thinking(question.request):
        return stay, _stays(f"{other.id} could not read the thinking of {home.id}")
    if not bounds.firm:
        return stay, _stays(f"the conversation is on {home.id}")
    if stay.tier and chosen.tier and chosen.tier > stay.tier:
        return chosen, _moves(f"{home.id} is only {stay.tier.label}")
    return _cheaper(question, pin, stay, chosen)


def _stays(detail: str) -> Reason:
    return Reason("conversation_pin", detail)


def _moves(detail: str) -> Reason:
    return Reason("conversation_moved", detail)


def _cheaper(question: Question, pin: Pin, stay: Candidate, chosen: Candidate) -> tuple[Candidate, Reason]:
    """Return what costs less over this turn and those to come.

    A conversation is taken to go on for as many turns as it has had, each with a prompt and an answer like
    this one's.
    """
    staying, moving = (
        _rest_nano_usd(question, pin, stay.model, cached=_cached_tokens(pin, question.at)),
        _rest_nano_usd(question, pin, chosen.model, cached=0),
    )
    costs = f"{format_usd(staying)} on {stay.model.id}, {format_usd(moving)} on {chosen.model.id}"
    detail = f"about {_turns_left(pin)} more turns: {costs}"
    if moving < staying:
        return chosen, _moves(detail)
    return stay, _stays(detail)


def _rest_nano_usd(question: Question, pin: Pin, model: Model, *, cached: int) -> int:
    """Return the cost of this turn and the rest; `cached` tokens of the prompt are read from the cache now.

    Where the conversation uses the prompt cache, what is not read is written, and all of it is read later.
    """
    tokens = question.expected(model)
    prompt, written = tokens.prompt_tokens, tokens.output_tokens
    now = later = Usage(input_tokens=prompt, output_tokens=written)
    if pin.cached_tokens and prompt >= model.min_cacheable_tokens:
        read = min(cached, prompt)
        now = Usage(cache_read_tokens=read, cache_write_5m_tokens=prompt - read, output_tokens=written)
        later = Usage(cache_read_tokens=prompt, output_tokens=written)
    return question.cost_nano_usd(model, now) + _turns_left(pin) * question.cost_nano_usd(model, later)


def _turns_left(pin: Pin) -> int:
    return min(pin.turns, MOST_TURNS)


def _cached_tokens(pin: Pin, at: datetime) -> int:
    return pin.cached_tokens if at < pin.cached_until else 0


def _can_read(model: Model, home: Model) -> bool:
    """Tell whether a model reads what another has thought: only where it is known to be newer."""
    return model.released is not None and home.released is not None and model.released >= home.released


def has_thinking(request: ModelRequest) -> bool:
    """Tell whether some earlier turn holds thinking."""
    return any(
        block["type"] in _THINKING
        for message in request.get("messages")
        if message["role"] == "assistant" and not isinstance(message["content"], str)
        for block in message["content"]
    )
