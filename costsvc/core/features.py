"""What a prompt looks like from outside: counts and hashed word pairs, in one pass and without a model.

Only the beginning and the end of a long text are read, so that the time has a bound. Every number has a name
(`NAMES`), so that a decision that rests on them can be explained. Changing anything here changes `VERSION`:
weights that were fitted to other features are not used.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log1p
from zlib import crc32

VERSION = 1
HEAD_CHARS, TAIL_CHARS = 1_500, 500
BUCKETS = 8_192
"""Hashed words and pairs share this many weights."""

_TOKEN = re.compile(rb"[a-z\x80-\xff]+|\d+|[^\w\s]")
_OPTION = re.compile(rb"\n[a-j][.)]")
_LETTERS = frozenset((*range(ord("a"), ord("z") + 1), *range(128, 256)))
_DIGITS = frozenset(b"0123456789")
_MATH = frozenset(b"+-*/=^<>\\{}$_|")
_LONG_WORD = 8

_WORDS = {
    "explain": "why how explain describe because",
    "prove": "prove proof derive theorem show statement",
    "compute": "calculate compute solve find many much total evaluate value equation",
    "amount": "percent per each times twice half ratio rate remaining left more less average",
    "ask": "what which who when where",
    "deny": "not except false never least incorrect no",
    "create": "write create generate story poem essay list suggest recommend",
    "program": "code function python def return class import sql java program",
    "reason": "if then unless must assume suppose given therefore all some every only",
    "read": "summarize translate classify sentence passage paragraph following text article",
    "self": "i my me",
    "other": "you your",
}
_CUE = {word.encode(): cue for cue, words in enumerate(_WORDS.values()) for word in words.split()}

NAMES = (
    *("log_chars", "log_words", "digit_share", "symbol_share", "math_share", "word_length", "log_lines"),
    *("log_numbers", "log_questions", "log_sentences", "variety", "fenced", "formula", "log_options"),
    *("long_word_share", "log_commas", "ends_asking"),
    *(f"cue_{name}" for name in _WORDS),
)


@dataclass(frozen=True, slots=True)
class Features:
    """`counts` in the order of `NAMES`; `grams` are buckets of words and pairs, without repetition."""

    counts: tuple[float, ...]
    grams: frozenset[int]


def features(text: str) -> Features:
    """Return the features of a text, of any length and script."""
    seen = _seen(text)
    tokens = _TOKEN.findall(seen)
    cues = [0] * len(_WORDS)
    hashes: dict[bytes, int] = {}
    words = numbers = letters = long_words = math = 0
    for token, count in Counter(tokens).items():  # this and the pairs are most of the time of a decision
        hashes[token] = crc32(token)
        first = token[0]
        if first in _LETTERS:
            words += count
            size = len(token)
            letters += count * size
            if size >= _LONG_WORD:
                long_words += count
            cue = _CUE.get(token)
            if cue is not None:
                cues[cue] += count
        elif first in _DIGITS:
            numbers += count
        elif first in _MATH:
            math += count
    total = len(tokens) or 1
    counts = (
        log1p(len(text)),
        log1p(words),
        numbers / total,
        (len(tokens) - words - numbers) / total,
        math / total,
        letters / (words or 1),
        log1p(seen.count(b"\n")),
        log1p(numbers),
        log1p(seen.count(b"?")),
        log1p(seen.count(b". ")),
        len(hashes) / total,
        float(b"```" in seen),
        float(b"$" in seen or b"\\" in seen),
        log1p(len(_OPTION.findall(seen))),
        long_words / (words or 1),
        log1p(seen.count(b",")),
        float(seen.rstrip().endswith(b"?")),
        *map(log1p, cues),
    )
    return Features(counts, frozenset(_grams(tokens, hashes)))


def _grams(tokens: Sequence[bytes], hashes: Mapping[bytes, int]) -> set[int]:
    """Return the buckets of every word and of every pair, whose hash goes on from that of its first."""
    before = [0, *map(hashes.__getitem__, tokens)]
    grams = {code % BUCKETS for code in hashes.values()}
    grams.update([code % BUCKETS for code in map(crc32, tokens, before)])
    return grams


def _seen(text: str) -> bytes:
    """Return what is read of a text: all, or beginning and end."""
    if len(text) > HEAD_CHARS + TAIL_CHARS:
        text = f"{text[:HEAD_CHARS]} {text[-TAIL_CHARS:]}"
    return text.lower().encode(errors="replace")
