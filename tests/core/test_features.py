from __future__ import annotations

from math import log1p

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costsvc.core.features import BUCKETS, HEAD_CHARS, NAMES, TAIL_CHARS, features


def count(text: str, name: str) -> float:
    """Return one named count of a text."""
    return features(text).counts[NAMES.index(name)]


@given(st.text(max_size=3_000))
def test_every_text_has_features(text: str) -> None:
    """Any text, of any script, has one finite number a name, and buckets within bounds."""
    found = features(text)
    assert len(found.counts) == len(NAMES)
    assert all(value >= 0 for value in found.counts)
    assert all(0 <= gram < BUCKETS for gram in found.grams)
    assert found == features(text)


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("Why is the sky blue?", "ends_asking", 1.0),
        ("Why is the sky blue?", "log_words", log1p(5)),
        ("Why is the sky blue?", "cue_explain", log1p(1)),
        ("Add 2 and 30", "digit_share", 0.5),
        ("Pick one:\nA. this\nB. that", "log_options", log1p(2)),
        ("```python\nx = 1\n```", "fenced", 1.0),
        ("internationalization of it", "long_word_share", 1 / 3),
        ("wieso heißt das Straße", "log_words", log1p(4)),
        ("", "log_chars", 0.0),
    ],
)
def test_counts_say_what_their_names_say(text: str, name: str, value: float) -> None:
    """A count can be read off the text."""
    assert count(text, name) == pytest.approx(value)


def test_the_middle_of_a_long_text_is_not_read() -> None:
    """Only beginning and end count, and the whole length, so that the time has a bound."""
    head, tail = "start " * (HEAD_CHARS // 6), " end" * (TAIL_CHARS // 4)
    middles = ["a" * 5_000, "b" * 5_000]
    assert features(head + middles[0] + tail) == features(head + middles[1] + tail)
    assert features(head + middles[0] + tail) != features(head + middles[0] + "b" + tail)


def test_the_order_of_words_counts() -> None:
    """Pairs of neighbours are features, so that "man bites dog" is not "dog bites man"."""
    assert features("man bites dog").grams != features("dog bites man").grams
    assert features("man bites dog").counts == features("dog bites man").counts
