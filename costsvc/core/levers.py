"""Which length levers are pulled for a call, and what each is measured to save.

Levers that shape an answer come first, the one that limits it last. A small share of calls, always the same
ones, goes without the last of them, the last two and so on: the lengths of their answers say what the levers
left out are worth. So the parts are steps of one chain, and no token is counted twice; what has not been
measured saves nothing.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any
from zlib import crc32

from costsvc.core.candidates import Question, Reason
from costsvc.core.content import Content, measure
from costsvc.core.length import Length
from costsvc.core.lengths import Lengths
from costsvc.core.limiting import Limit, limit_for
from costsvc.core.model import Model
from costsvc.core.request import ModelRequest
from costsvc.core.savings import Reduction
from costsvc.core.shaping import Shape, add, needs_with, shapes_for
from costsvc.core.tidying import Tidied, tidied
from costsvc.core.tokens import estimate_input

_CUT = frozenset({"max_tokens", "model_context_window_exceeded"})
_SAY_NOTHING_OF_LENGTH = frozenset({"refusal", "pause_turn", "compaction"})
_READ_CHARS = 4_096  # of a request's beginning and of its end: they decide whether it measures
_CRC_COUNT = 2**32


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulled:
    """A lever that is pulled, and what is known of answers without it.

    `added_tokens` are of the prompt. A limit has the mean `tail_tokens` of what longer answers have beyond
    it; any other lever the mean length `without_tokens`, None where it is not known.
    """

    reason: Reason
    added_tokens: int = 0
    without_tokens: int | None = None
    tail_tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Levers:
    """A request as its levers leave it; the limit of its answer is `max_tokens`, `base_max_tokens` without.

    `content` is what the request holds then. `kept_as` tells its stored answers from those of calls with
    other levers, whatever model answers in the end; None where none matters. `learned_as` are the keys under
    which the answer's length is learned.
    """

    request: ModelRequest
    content: Content
    max_tokens: int
    base_max_tokens: int
    pulled: tuple[Pulled, ...] = ()
    tidied: Tidied | None = None
    kept_as: Any = None
    left_out: tuple[str, ...] = ()
    learned_as: tuple[Hashable, ...] = ()

    @property
    def limits(self) -> bool:
        """Whether a lever says how long the answer may be."""
        return bool(self.pulled) and self.pulled[-1].tail_tokens is not None

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """What was done, as steps of a decision."""
        is_default = self.request.get("max_tokens") is None and not self.limits
        default = (Reason("max_tokens_default", f"{self.max_tokens} by policy"),) if is_default else ()
        tidy = (Reason("prompt_tidied", self.tidied.words),) if self.tidied else ()
        names = ", ".join(self.left_out)
        probe = (Reason("length_probe", f"without {names}, to measure what that saves"),) if names else ()
        return (*default, *tidy, *(lever.reason for lever in self.pulled), *probe)

    def reductions(self, output_tokens: int, stop_reason: str) -> tuple[Reduction, ...]:
        """Return what the levers kept out of a call that was answered with so many tokens, in their order."""
        found: list[Reduction] = []
        tokens = None if stop_reason in _SAY_NOTHING_OF_LENGTH else output_tokens
        for lever in reversed(self.pulled):
            before = None if tokens is None else self._before(lever, tokens, is_cut=stop_reason in _CUT)
            saved = before - tokens if before is not None and tokens is not None else 0
            found.append(Reduction(lever.reason.code, -lever.added_tokens, saved))
            tokens = before
        if self.tidied:
            found.append(Reduction("prompt_tidied", self.tidied.token_count, 0))
        return tuple(reversed(found))

    def learn(self, lengths: Lengths, output_tokens: int, stop_reason: str) -> None:
        """Take the length of the answer into account for the next calls."""
        if stop_reason not in _SAY_NOTHING_OF_LENGTH:
            for key in self.learned_as:
                lengths.observe(key, output_tokens, is_cut=stop_reason in _CUT)

    def _before(self, lever: Pulled, tokens: int, *, is_cut: bool) -> int | None:
        """Return how long the answer would have been without a lever, None where nobody can say."""
        if lever.tail_tokens is None:
            return lever.without_tokens
        return min(tokens + lever.tail_tokens * is_cut, self.base_max_tokens)


def untouched(question: Question) -> Levers:
    """Return a request to which no lever is applied."""
    most = question.needs.max_tokens
    return Levers(request=question.request, content=question.content, max_tokens=most, base_max_tokens=most)


def pull(length: Length, lengths: Lengths, question: Question, model: Model) -> Levers:
    """Pull the levers that a policy has for a task, as far as the request and the model take them.

    A request that only writes the prompt cache (`max_tokens` 0) is tidied like those that follow it.
    """
    request, needs, content = question.request, question.needs, question.content
    shapes = shapes_for(length, request, needs, model) if needs.max_tokens else ()
    kind = (question.tenant, model.id, request.task, *(shape.key for shape in shapes))
    limit = limit_for(
        length,
        lengths,
        request=request,
        needs=needs_with(needs, shapes),
        content=content,
        model=model,
        known_as=kind,
    )
    active = limit if limit and limit.tokens is not None else None
    steps: tuple[Shape | Limit, ...] = (*shapes, active) if active else shapes
    level = _level(length.probe_share, len(steps), request)
    found = tidied(request, needs_with(needs, shapes[:level]), model) if length.tidy_prompts else None
    changed = _changed(request, content, found, shapes[:level], model)
    series = _Series(lengths, (*kind, limit.name if limit else ""), needs.max_tokens)
    is_limited = active is not None and level == len(steps)
    max_tokens = active.tokens if active and active.tokens and is_limited else needs.max_tokens
    pulled = tuple(_pulled(step, at, series, changed.grown_tokens) for at, step in enumerate(steps[:level]))
    left_out = tuple(step.code for step in steps[level:])
    goes_by_quantile = limit is not None and request.get("max_tokens") is None and level >= len(shapes)
    return Levers(
        request=changed.request,
        content=changed.content,
        max_tokens=max_tokens,
        base_max_tokens=needs.max_tokens,
        pulled=pulled,
        tidied=found,
        kept_as=[length.form, *left_out] if length.form else None,
        left_out=left_out,
        learned_as=(series.key(level), *([kind] if goes_by_quantile else [])) if shapes or limit else (),
    )


@dataclass(frozen=True, slots=True)
class _Series:
    """Lengths of requests for which the same levers are at hand, by how many of them were pulled."""

    lengths: Lengths
    kind: tuple[str, ...]
    most: int

    def key(self, level: int) -> Hashable:
        return (self.kind, level)


def _pulled(step: Shape | Limit, at: int, series: _Series, grown_tokens: int) -> Pulled:
    """Return a step with what answers are known to have that went without it, and without those behind it."""
    reason, lengths, key = Reason(step.code, step.detail), series.lengths, series.key(at)
    if isinstance(step, Shape):
        added_tokens = grown_tokens if step.adds_to_prompt else 0
        return Pulled(
            reason=reason,
            added_tokens=added_tokens,
            without_tokens=lengths.mean(key, most=series.most),
        )
    tail_tokens = lengths.mean_beyond(key, step.tokens or 0, most=series.most)
    return Pulled(reason=reason, tail_tokens=tail_tokens)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Changed:
    """A request as it is sent, and by how many tokens additions have made its prompt longer."""

    request: ModelRequest
    content: Content
    grown_tokens: int = 0


def _changed(
    request: ModelRequest, content: Content, found: Tidied | None, shapes: Sequence[Shape], model: Model
) -> _Changed:
    before = measure(found.request.body) if found else content
    sent = add(found.request if found else request, shapes)
    if not any(shape.adds_to_prompt for shape in shapes):
        return _Changed(request=sent, content=before)
    after = measure(sent.body)
    grown_tokens = estimate_input(after, model).expected - estimate_input(before, model).expected
    return _Changed(request=sent, content=after, grown_tokens=grown_tokens)


def _level(share: Fraction, step_count: int, request: ModelRequest) -> int:
    """Return how many of the levers are pulled: all, or fewer to measure the rest.

    The turns of a conversation, and repetitions of a request, always go the same way: so neither loses what
    the prompt cache or the response cache has of it.
    """
    if not share or not step_count:
        return step_count
    said = request.conversation_id or request.members["messages"].text
    drawn = Fraction(crc32(f"{said[:_READ_CHARS]}{said[-_READ_CHARS:]}".encode()), _CRC_COUNT)
    return int(drawn / share * step_count) if drawn < share else step_count
