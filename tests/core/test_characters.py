from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costsvc.core.characters import CHARACTER_KINDS, EXACT_CHARS, count_kinds

TEXTS = st.text(max_size=300)
PROSE = (
    "The committee met on Tuesday to look at the plans for the new library. Most of those who spoke were in "
    "favour, although several neighbours asked how the building would change the view from the park. "
)
CHINESE = "今天天气很好,我们去公园散步,然后回家吃饭。"


@given(st.lists(TEXTS, max_size=4))
def test_every_character_is_counted_once(texts: list[str]) -> None:
    """The kinds share out the characters: none is lost, none is counted twice."""
    assert sum(count_kinds(texts)) == sum(map(len, texts))


def test_kinds_are_told_apart() -> None:
    """Each kind finds its own characters."""
    counts = dict(
        zip(CHARACTER_KINDS, count_kinds(["ab c. {}12 é ß Ж ש ก ह — 中 한 \uff01 🎉\n"]), strict=True)
    )
    assert counts | {"space": 0} == {
        "letter": 3,
        "space": 0,
        "punctuation": 2,
        "symbol": 2,
        "digit": 2,
        "accent": 2,
        "script": 2,
        "indic": 2,
        "sign": 1,
        "cjk": 3,
        "astral": 1,
    }


def test_a_large_text_is_sampled_fairly() -> None:
    """Windows over a long mixed text find its kinds in their proportions."""
    text = PROSE * 1_000 + CHINESE * 3_000
    whole = [0] * len(CHARACTER_KINDS)
    for start in range(0, len(text), EXACT_CHARS):
        whole = [a + b for a, b in zip(whole, count_kinds([text[start : start + EXACT_CHARS]]), strict=True)]
    for sampled, exact in zip(count_kinds([text]), whole, strict=True):
        assert abs(sampled - exact) <= 0.05 * len(text)
    pieces = [text[start : start + 777] for start in range(0, len(text), 777)]
    assert sum(count_kinds(pieces)) == pytest.approx(len(text), rel=0.001)
