"""Tests of which regular expressions a policy may have."""

from __future__ import annotations

import re
from time import thread_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costsvc.core.patterns import LONGEST_PATTERN, MOST_WAYS, compile_pattern
from costsvc.core.rules import MOST_TEXT_CHARS

NASTY = ["a" * MOST_TEXT_CHARS, "ab" * (MOST_TEXT_CHARS // 2), "1" * MOST_TEXT_CHARS, " " * MOST_TEXT_CHARS]


@pytest.mark.parametrize(
    "source",
    [
        r"(?i)\b(refund|cancel|money back)\b",
        r"\d+",
        r"order\s{0,3}#?\d{1,10}",
        r"^(?=.*proof)",
        r"(?:ab){3}",
        r"a{3}b{2,4}",
        r"[a-z]+(?<!x)$",
        "(?>a|b)c",
        "a++b",
        f"a{{0,{MOST_WAYS // 2 - 1}}}b?",
    ],
)
def test_ordinary_patterns_are_taken(source: str) -> None:
    """Words, classes, bounded repetitions, and one that is not."""
    assert compile_pattern(source) == re.compile(source)


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("", "must have 1 to 1000 characters"),
        ("a" * (LONGEST_PATTERN + 1), "must have 1 to 1000 characters"),
        ("(", "is no regular expression"),
        ("(a+)+$", "may take too long"),
        ("(a|a)*b", "may take too long"),
        (".*foo.*bar", "may take too long"),
        ("[a-z]+@[a-z]+", "may take too long"),
        (r"(\w{1,40}\s){0,3}x", "may take too long"),
        ("(a?){30}a{30}", "may take too long"),
        (r"(?:\b){100000}", "may take too long"),
        ("(?:a|b|cd){0,6}e", "may take too long"),
        ("(?=(a+)+b)", "may take too long"),
        ("(?>(a+)+b)", "may take too long"),
        (r"(a)\1", "has groupref"),
        ("(a)?(?(1)b|c)", "may take too long|has groupref"),
    ],
)
def test_patterns_that_could_stall_are_refused(source: str, problem: str) -> None:
    """What multiplies ways beyond the bound, and what cannot be counted."""
    with pytest.raises(ValueError, match=problem):
        compile_pattern(source)


ATOMS = st.sampled_from(["a", "b", ".", r"\d", r"\w", "[ab]", r"\b", "^", "$"])
SOURCES = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map("(?:{0[0]}|{0[1]})".format),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{0,9}", "{2,5}", "*?", "{30}"])).map(
            "(?:{0[0]}){0[1]}".format
        ),
    ),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(SOURCES, st.sampled_from(NASTY))
def test_what_is_taken_ends_soon(source: str, text: str) -> None:
    """On texts made to be slow, no accepted pattern takes as long as a person would notice."""
    try:
        pattern = compile_pattern(source)
    except ValueError:
        return
    started = thread_time()
    pattern.search(text + "!")
    assert thread_time() - started < 0.25, source
