"""Counts the characters of a text by what they cost in tokens, without looking at them one by one.

Prose, code, JSON and identifiers differ in their mix of letters, spaces, symbols and digits, and scripts by
their first UTF-8 byte. Counting kinds of characters therefore tells them apart without having to decide
which one a text is, and a text never becomes cheaper by growing. `bytes.translate` drops whole kinds at once.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

CHARACTER_KINDS = (
    "letter",  # a-z, A-Z
    "space",
    "punctuation",  # of sentences, and line ends
    "symbol",  # of code, JSON and markup
    "digit",
    "accent",  # Latin letters beyond ASCII
    "script",  # Greek, Cyrillic, Hebrew, Arabic and others of two bytes
    "indic",  # Indic, Thai and others of three bytes, up to U+1FFF
    "sign",  # dashes, quotes, arrows, boxes: U+2000 to U+2FFF, and private use
    "cjk",  # Chinese, Japanese, Korean, U+3000 to U+DFFF
    "astral",  # four bytes: emoji, rare scripts
)

EXACT_CHARS = 32_768
"""Texts up to this many characters are counted whole, longer ones on evenly spaced windows."""

_WINDOWS = 32
_WINDOW_CHARS = EXACT_CHARS // _WINDOWS
_LETTERS_AND_SPACE = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ "
_DIGITS = b"0123456789"
_PUNCTUATION = b".,!?;:'-\n"
_REST_OF_ASCII = bytes(set(range(128)) - set(_LETTERS_AND_SPACE + _DIGITS + _PUNCTUATION))
_CONTINUATION = bytes(range(0x80, 0xC0))
_LEADS = tuple(
    (kind, bytes(first_bytes))
    for kind, first_bytes in (
        ("accent", range(0xC0, 0xCB)),
        ("script", range(0xCB, 0xE0)),
        ("indic", range(0xE0, 0xE2)),
        ("sign", (0xE2, 0xEE)),
        ("cjk", (*range(0xE3, 0xEE), 0xEF)),
        ("astral", range(0xF0, 0x100)),
    )
)
_NO_LEADS = (0,) * len(_LEADS)
assert CHARACTER_KINDS[5:] == tuple(kind for kind, _ in _LEADS)


def count_kinds(texts: Sequence[str]) -> tuple[int, ...]:
    """Return how many characters of each of `CHARACTER_KINDS` the texts hold together.

    Exact up to `EXACT_CHARS` characters, then scaled up from evenly spaced windows: close for real text,
    and free of the law that more text never means fewer characters of a kind.
    """
    ends = list(accumulate(map(len, texts)))
    total_chars = ends[-1] if ends else 0
    if total_chars <= EXACT_CHARS:
        return _count("".join(texts))
    sample = "".join(_window(texts, ends, total_chars * window // _WINDOWS) for window in range(_WINDOWS))
    return tuple(-(-count * total_chars // len(sample)) for count in _count(sample))


def _window(texts: Sequence[str], ends: Sequence[int], start: int) -> str:
    at = bisect_right(ends, start)
    offset = start - (ends[at] - len(texts[at]))
    piece = texts[at][offset : offset + _WINDOW_CHARS]
    while len(piece) < _WINDOW_CHARS and at + 1 < len(texts):
        at += 1
        piece += texts[at][: _WINDOW_CHARS - len(piece)]
    return piece


def _count(text: str) -> tuple[int, ...]:
    data = text.encode("utf-8", "surrogatepass")
    space_count = data.count(b" ")
    rest = data.translate(None, _LETTERS_AND_SPACE)
    letter_count = len(data) - len(rest) - space_count
    digit_count, rest = _drop(rest, _DIGITS)
    punctuation_count, rest = _drop(rest, _PUNCTUATION)
    symbol_count, rest = _drop(rest, _REST_OF_ASCII)
    leads = _count_leads(rest) if rest else _NO_LEADS
    return (letter_count, space_count, punctuation_count, symbol_count, digit_count, *leads)


def _count_leads(data: bytes) -> tuple[int, ...]:
    rest = data.translate(None, _CONTINUATION)
    counts = []
    for _, first_bytes in _LEADS:
        count, rest = _drop(rest, first_bytes)
        counts.append(count)
    return tuple(counts)


def _drop(data: bytes, kind: bytes) -> tuple[int, bytes]:
    rest = data.translate(None, kind)
    return len(data) - len(rest), rest
