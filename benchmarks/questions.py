"""Questions of known difficulty, as a shop for bicycles would ask them, each with its one right answer.

They are made from templates, the same ones in every run; the answers are calculated here. Half are simple,
three in ten medium, two in ten complex. The task that a caller names goes by where a question comes from,
which says how hard it is most of the time only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any

CHECK = r"Answer: [0-9A-Za-z.]+$"
"""What a caller can verify without knowing the answer: there is one. Two of three wrong answers fail it."""

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_CITIES = ("Bremen", "Gdansk", "Lyon", "Porto", "Turin")
_TASKS = {
    "simple": ("extraction", "faq", "extraction", "faq", "extraction", "support", "faq", "faq", "summary"),
    "medium": ("summary", "code_review", "summary", "code_review", "summary", "support", "analysis", "faq"),
    "complex": ("analysis", "reasoning", "analysis", "reasoning", "analysis", "summary", "reasoning"),
}
_WORDS = {"simple": 20, "medium": 110, "complex": 220}
_S, _M, _C = "simple", "medium", "complex"
_ROUND = (_S, _S, _M, _S, _C, _S, _M, _S, _M, _C)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question: `key` is found in its text and in no other's."""

    key: str
    text: str
    task: str
    difficulty: str
    right: str
    wrong: str

    @property
    def script(self) -> dict[str, Any]:
        """What the simulated provider is told: the right answer, and wrong ones, of which one looks right."""
        return {
            "text": self.key,
            "difficulty": self.difficulty,
            "right": f"Answer: {self.right}",
            "wrong": [f"Answer: {self.wrong}", "Answer: it depends on the contract", "That cannot be said."],
            "words": _WORDS[self.difficulty],
        }


def questions(count: int) -> Iterator[Question]:
    """Yield so many questions; of any ten in a row, five are simple, three medium, two complex."""
    seen = dict.fromkeys(_TASKS, 0)
    for number in range(count):
        difficulty = _ROUND[number % len(_ROUND)]
        tasks = _TASKS[difficulty]
        task = tasks[seen[difficulty] % len(tasks)]
        seen[difficulty] += 1
        key = f"order {4000 + number}"
        asked, right, wrong = _TEMPLATES[difficulty](number)
        text = f"{asked} It is about {key}. End with a line `Answer: ...`."
        yield Question(key=key, text=text, task=task, difficulty=difficulty, right=right, wrong=wrong)


def _simple(n: int) -> tuple[str, str, str]:
    day, city = _DAYS[n % 6], _CITIES[n % 5]
    text = f"The parcel leaves {city} on {day} and holds {n % 7 + 2} tubes. On which day does it leave?"
    return text, day, _DAYS[(n + 1) % 6]


def _medium(n: int) -> tuple[str, str, str]:
    tyres, tubes, percent = n % 5 + 2, n % 4 + 1, (n % 3 + 1) * 5
    cents = (tyres * 2400 + tubes * 650) * (100 - percent) // 100
    text = (
        f"A customer takes {tyres} tyres at 24.00 and {tubes} tubes at 6.50 and gets {percent} % off. "
        "Explain the invoice in a few sentences for somebody who does not calculate. What is to be paid?"
    )
    return text, _decimal(cents), _decimal(cents + 130)


def _complex(n: int) -> tuple[str, str, str]:
    minutes = [35 + n % 9 * 5, 50 + n % 5 * 10, 20 + n % 7 * 5, 40 + n % 4 * 15]
    listed = ", ".join(f"{name} {each} minutes" for name, each in zip("ABCD", minutes, strict=True))
    text = (
        f"Two mechanics share four repairs: {listed}. No repair can be parted, and both begin at once. "
        "Compare the ways to share them, prove that no other way is quicker, and plan the afternoon. After "
        "how many minutes is everything done at the earliest?"
    )
    shares = (sum(own) for size in range(5) for own in combinations(minutes, size))
    best = min(max(share, sum(minutes) - share) for share in shares)
    return text, str(best), str(best + 5)


def _decimal(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02}"


_TEMPLATES: dict[str, Callable[[int], tuple[str, str, str]]] = {
    "simple": _simple,
    "medium": _medium,
    "complex": _complex,
}
