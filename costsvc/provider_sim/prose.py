"""Plausible words from a seed: what the simulated model says when nothing more precise is asked for."""

from __future__ import annotations

import re
import zlib

_WORD = re.compile(r"[A-Za-z][a-z]{4,}")
_STOP_WORDS = """
about after again being below could every first given great having might other please really right shall
should since still their there these thing think those three through under until using where which while
would write your explain describe answer question
"""
_STOP = frozenset(_STOP_WORDS.split())
_SENTENCES = (
    "The short version is that {a} decides most of it, and {b} decides the rest.",
    "Start with {a}, because everything after it depends on that choice.",
    "In practice {b} tends to fail quietly, so it is worth checking early.",
    "There are two sides to this: what {a} costs today, and what {b} costs later.",
    "A small example makes it clearer.",
    "Suppose that {a} grows while {b} stays the same; then the balance moves within weeks.",
    "Most teams notice {b} only after something has gone wrong.",
    "That is why a written rule for {a} pays for itself.",
    "None of this needs new tools.",
    "It helps to measure {a} before and after, with the same method both times.",
    "If the numbers disagree, trust the one that you can reproduce.",
    "The usual objection is that {b} takes too long, but the delay is mostly waiting.",
    "Keep {a} and {b} apart as long as you can.",
    "When they have to meet, let them meet in one place only.",
    "A good sign is that people stop asking about {b}.",
    "A bad sign is that {a} needs a meeting every week.",
    "You can leave the details of {b} for later.",
    "What matters first is who owns {a}, and how they learn that it broke.",
    "This also answers the question about {b}: it follows from the same rule.",
    "On the other hand, a single exception for {a} does little harm.",
    "Two exceptions are a new rule, and should be written down as one.",
    "The cost is modest: an afternoon of work, and some patience with {b}.",
    "To sum up, settle {a} first and treat {b} as a consequence.",
    "If you want to go further, compare how {a} behaved last year with what it does now.",
)
_TOPICS = ("the plan", "the data", "the schedule", "the budget", "the design", "the process", "the team")
NAMES = ("Alma", "Boris", "Chen", "Dara", "Emil", "Fatima", "Goran", "Hana", "Ines", "Jonas", "Kofi", "Lena")
NOUNS = (
    "amber",
    "birch",
    "cedar",
    "delta",
    "ember",
    "fjord",
    "grove",
    "harbor",
    "island",
    "juniper",
    "kestrel",
)


class Dice:
    """A small generator of whole numbers: the same seed gives the same throws on every machine."""

    __slots__ = ("_state",)

    def __init__(self, *parts: str) -> None:
        state = 0x9E3779B9
        for part in parts:
            state = zlib.crc32(part.encode("utf-8", "surrogatepass"), state)
        self._state = (state * 0x9E3779B97F4A7C15 >> 8) & (2**48 - 1)

    def below(self, limit: int) -> int:
        """Return a number from 0 to limit - 1."""
        self._state = (self._state * 25214903917 + 11) & (2**48 - 1)
        return (self._state >> 16) % limit

    def between(self, low: int, high: int) -> int:
        """Return a number from low to high, both included."""
        return low + self.below(high - low + 1)

    def pick(self, options: tuple[str, ...] | list[str]) -> str:
        """Return one of the options."""
        return options[self.below(len(options))]

    def base64ish(self, length: int) -> str:
        """Return letters that look like a signature."""
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        return "".join(alphabet[self.below(64)] for _ in range(length))


def topics(text: str) -> tuple[str, ...]:
    """Return words of a text that an answer can talk about."""
    found = [word for word in _WORD.findall(text[:2000]) if word.lower() not in _STOP]
    return tuple(dict.fromkeys(found))[:8] or _TOPICS


def paragraphs(dice: Dice, words: int, about: tuple[str, ...]) -> str:
    """Return prose of about that many words, in paragraphs of a few sentences."""
    said: list[str] = []
    spoken, line = 0, 0
    at = dice.below(len(_SENTENCES))
    while spoken < words:
        sentence = _SENTENCES[at % len(_SENTENCES)].format(a=dice.pick(about), b=dice.pick(about))
        said.append(sentence)
        spoken += sentence.count(" ") + 1
        at += 1 + dice.below(3)
        line += 1
        if line == 4:  # noqa: PLR2004 - sentences to a paragraph
            said.append("\n\n")
            line = 0
    return " ".join(said).replace(" \n\n ", "\n\n").strip()
