"""What will be sent for a request: the decision, and the body and headers that carry it out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from costsvc.core.candidates import Candidate, Question, Reason
from costsvc.core.classifier import each_verdict
from costsvc.core.constraints import Needs
from costsvc.core.conversation import Pin
from costsvc.core.json_text import Member
from costsvc.core.levers import Levers
from costsvc.core.local_score import Score
from costsvc.core.marked import Marking, Prompt
from costsvc.core.policy import Sampling
from costsvc.core.request import ModelRequest, Tier
from costsvc.core.routing import Decision, Weighed
from costsvc.core.tokens import Content

OLD_VERSION = "2023-06-01"
"""The API version that still takes sampling parameters, on the models that do."""


_TRUE = Member(value=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A decision together with the changes to the body and the headers that carry it out.

    `request`, `needs` and `content` are the caller's, whatever model answers; `levers` are those of the one
    that is chosen. `weighed` is what all evidence but the conversation says, `pin` where that was;
    `is_fallback` where another model than the chosen one is tried; `verdict` is what the classifier said,
    None where it said nothing. `prompt` is what is known of its prefixes, None until that is asked for,
    or where it is too short to matter; `marking` is what follows from it on one model.
    """

    request: ModelRequest
    weighed: Weighed
    decision: Decision
    needs: Needs
    content: Content
    levers: Levers
    drops_sampling: bool
    pin: Pin | None
    is_fallback: bool = False
    score: Score | None = None
    ladder: tuple[Candidate, ...] = ()
    """The models that may answer until the checks are met, lowest tier first; none: the first one stands."""
    unclear: tuple[Candidate, ...] = ()
    """What would answer on each verdict of the classifier, lowest tier first; none where it has no say."""
    verdict: Tier | None = None
    prompt: Prompt | None = None
    marking: Marking | None = None
    is_learned: bool = False
    """Whether the task's outcomes are learned, so that a score may have its say."""

    def body(self, *, stream: bool) -> bytes:
        """Return the body as it goes to the provider: the caller's, but for what was decided."""
        request, changes = self.levers.request, dict[str, Member | None]()
        changes["model"] = Member(self.decision.model.id)
        if request.get("max_tokens") != self.max_tokens:
            changes["max_tokens"] = Member(self.max_tokens)
        if self.drops_sampling:
            changes |= dict.fromkeys(self.needs.sampling)
        if self.markers is not None:
            changes |= self.markers.changes(request)
        changes["stream"] = _TRUE if stream else None
        return request.body_with(changes)

    @property
    def may_answer(self) -> Sequence[Candidate]:
        """The models that constraints and rules leave, whatever is then said for one of them.

        A score, a verdict, what checks have shown lately and the place of a conversation choose among them.
        """
        if self.unclear:
            return self.unclear
        weighed = self.weighed
        return (
            each_verdict(weighed.question, weighed.concluded(None)) if self.is_learned else weighed.considered
        )

    @property
    def chosen_model(self) -> str:
        """The model that was chosen to answer, "" where another one stands in for it."""
        return "" if self.is_fallback else self.decision.model.id

    @property
    def max_tokens(self) -> int:
        """How long the answer may be."""
        return self.levers.max_tokens

    @property
    def markers(self) -> Marking | None:
        """The breakpoints on the model that answers: what was planned for another says nothing of it."""
        marking = self.marking
        return marking if marking is not None and marking.model is self.decision.model else None

    @property
    def marked_by_us(self) -> bool:
        """Whether all breakpoints are costsvc's, so that what they save is."""
        return self.markers is not None and self.markers.is_ours

    @property
    def asks_for_one_hour(self) -> bool:
        """Whether some breakpoint asks to be kept for an hour."""
        ours = self.markers is not None and self.markers.plan.one_hour
        return ours or any('"1h"' in member.text for member in self.request.members.values())

    @property
    def headers(self) -> dict[str, str]:
        """The headers that carry out the rest."""
        headers = {"anthropic-beta": ",".join(self.request.betas)} if self.request.betas else {}
        if self.needs.sampling and not self.drops_sampling:
            headers["anthropic-version"] = OLD_VERSION
        return headers


def adjustments(question: Question, levers: Levers) -> Iterator[Reason]:
    """Yield what is changed in the body besides the model and markers, as reasons."""
    needs, sampling = question.needs, question.policy.sampling
    yield from levers.reasons
    if needs.sampling and sampling is Sampling.DROP:
        yield Reason("sampling_dropped", ", ".join(needs.sampling))
    elif needs.sampling:
        yield Reason("sampling_old_version", f"API version {OLD_VERSION} still takes it")
