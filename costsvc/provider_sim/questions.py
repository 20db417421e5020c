"""Questions of known difficulty: who answers them rightly is scripted, so that quality can be counted.

A question is found by a text that the user's newest message holds. A model of the line that its difficulty
asks for, or of a higher one, answers rightly at the first of its `rates`, one of the line below at the
second, a lower one at the third; else it gives one of the `wrong` answers. Models err independently of each
other, and a model always says the same to the same message. `words` of prose go before the answer.

A model that is told to sort requests into simple, medium and complex names the difficulty of the one that it
is shown at `sorting_rate`, else another.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .models import Model
from .prompt import Prompt
from .prose import Dice, paragraphs, topics

DIFFICULTIES = ("simple", "medium", "complex")
_LEVELS = {"haiku": 0, "sonnet": 1, "opus": 2, "fable": 2, "mythos": 2}
_PERMILLE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question, with its right answer and wrong ones."""

    text: str
    difficulty: str
    right: str
    wrong: Sequence[str]
    rates: Sequence[float] = (0.97, 0.45, 0.2)
    sorting_rate: float = 0.9
    words: int = 0

    def __post_init__(self) -> None:
        if self.difficulty not in DIFFICULTIES:
            raise ValueError(f"difficulty is one of {', '.join(DIFFICULTIES)}")
        if not self.text or not self.wrong or len(self.rates) != len(DIFFICULTIES):
            raise ValueError("a question has a text, wrong answers, and three rates")

    def answer(self, model: Model, prompt: Prompt) -> str:
        """Return what a model says."""
        level = DIFFICULTIES.index(self.difficulty)
        if _is_sorting(prompt):
            dice = Dice("sorting", model.id, self.text)
            others = [each for each in DIFFICULTIES if each != self.difficulty]
            return self.difficulty if _falls(dice, self.sorting_rate) else dice.pick(others)
        dice = Dice("answering", model.id, prompt.user_text)
        rate = self.rates[max(level - _LEVELS[model.line], 0)]
        said = self.right if _falls(dice, rate) else dice.pick(list(self.wrong))
        prose = paragraphs(dice, self.words, topics(prompt.user_text)) if self.words else ""
        return f"{prose}\n\n{said}" if prose else said


class Questions:
    """The questions whose difficulty is known."""

    def __init__(self) -> None:
        self._known: list[Question] = []

    def __iter__(self) -> Iterator[Question]:
        return iter(self._known)

    def add(self, **fields: Any) -> None:
        """Script a question; raises ValueError or TypeError when it makes no sense."""
        self._known.append(Question(**fields))

    def clear(self) -> None:
        """Forget them."""
        self._known.clear()

    def find(self, prompt: Prompt) -> Question | None:
        """Return the question that the user asks, None where it is not known."""
        return next((each for each in self._known if each.text in prompt.user_text), None)


def as_json(question: Question) -> dict[str, Any]:
    """Return a question for the control surface."""
    return asdict(question)


def _is_sorting(prompt: Prompt) -> bool:
    return all(word in prompt.system_text for word in DIFFICULTIES)


def _falls(dice: Dice, rate: float) -> bool:
    return dice.below(_PERMILLE) < rate * _PERMILLE
