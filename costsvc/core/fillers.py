"""Words of a prompt that change no answer: courtesies, emphasis, talk about the task. English only."""

from __future__ import annotations

import re
from collections.abc import Iterable

LONGEST_CHARS = 100_000
"""How much of a text is looked at."""

_FILLERS = re.compile(
    r"\b(?:please|kindly|thank you(?: very much| so much)?|thanks(?: a lot)?|could you|would you|can you"
    r"|i (?:would like|want|need) you to|i'd like you to|your (?:task|job) is to|feel free to"
    r"|do not hesitate to|make sure (?:that you|you|that|to)|be sure to|remember (?:that|to)"
    r"|keep in mind that|note that|it is (?:very |really )?important (?:that|to)|in order(?= to\b)"
    r"|very|really|just|simply|basically|actually|carefully|as best (?:as )?you can)\b[ ,]*",
    re.IGNORECASE,
)


def fillers(texts: Iterable[str]) -> list[str]:
    """Return what of some texts could be left out."""
    return [found for text in texts for found in _FILLERS.findall(text[:LONGEST_CHARS])]
