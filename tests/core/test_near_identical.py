from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costsvc.core.near_identical import LONGEST_CHARS, RULES, near_key, why_exact

NEAR_MISSES = Path(__file__).with_name("near_misses.txt")


def key(text: str, *off: str) -> str:
    """Return what a text is compared by: its key, or itself."""
    found = near_key(text, off=off)
    return text if found is None else found.text


def near_misses() -> list[tuple[str, str, str]]:
    """Return kind and both texts of every pair of the list."""
    pairs = []
    for line in NEAR_MISSES.read_text().splitlines():
        if line.startswith("#"):
            continue
        kind, text = line.split(": ", 1)
        found = re.fullmatch(r"(.*)\{(.*)\|(.*)\}(.*)", text)
        assert found is not None, line
        before, one, other, after = found.groups()
        pairs.append((kind, f"{before}{one}{after}", f"{before}{other}{after}"))
    return pairs


def test_no_near_miss_is_taken_for_the_same() -> None:
    """Of more than 300 pairs that differ by little and ask for different things, none has one key."""
    pairs = near_misses()
    assert len(pairs) >= 300
    assert len({pair[1:] for pair in pairs}) == len(pairs)
    assert [pair for pair in pairs if key(pair[1]) == key(pair[2])] == []


SAME = [
    ("What is DNS?", "what is DNS"),
    ("What is DNS?", "What\u2019s DNS?"),
    ("What is DNS?", "What's  DNS ?"),
    ("What is DNS?", "Hi, what is DNS?"),
    ("What is DNS?", "What is DNS? Thanks"),
    ("What is DNS?", "What is DNS? Thank you!"),
    ("Explain TCP", "Please explain TCP."),
    ("Explain TCP", "Could you please explain TCP?"),
    ("Explain TCP", "explain TCP, please"),
    ("Explain TCP", "Explain TCP please"),
    ("Explain TCP", "Can you explain TCP?"),
    ("Tell me what a socket is", "Can you tell me what a socket is?"),
    ("What is the capital of France?", "what is capital of france"),
    ("What is machine learning?", "What is Machine Learning"),
    ("Give me a list of rivers", "give me list of rivers"),
    ("What are the best phones?", "what are best phones"),
    ("Why don't cats swim?", "why do not cats swim"),
    ("Will it rain today", "Will it rain today?"),
    ("What should I do in Rome?", "what should i do in rome"),
    ("Reply in french", "Reply in French"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_the_same_question_in_another_dress_has_the_same_key(one: str, other: str) -> None:
    """Capitals, politeness, contractions, spare articles and closing marks do not matter."""
    keys = near_key(one), near_key(other)
    assert None not in keys
    assert len({found.text for found in keys if found}) == 1
    assert any(found.applied for found in keys if found)


POLARITY = [
    ("Is it safe to eat this?", "Is it not safe to eat this?"),
    ("Why can I log in?", "Why can't I log in?"),
    ("Should I sell?", "Should I not sell?"),
    ("How do I enable it?", "How do I disable it?"),
    ("Do delete it", "Don't delete it"),
    ("Which foods have sugar?", "Which foods don't have sugar?"),
    ("Is Rome bigger than Paris?", "Is Paris bigger than Rome?"),
]


@pytest.mark.parametrize(("one", "other"), POLARITY)
def test_a_question_and_its_reversal_stay_apart_under_any_rules(one: str, other: str) -> None:
    """Also with each rule switched off by itself, and with all of them."""
    names = [rule.name for rule in RULES]
    for off in ([], *([name] for name in names), names):
        assert key(one, *off) != key(other, *off)


@pytest.mark.parametrize(
    ("rule", "plain", "dressed"),
    [
        ("spacing", "what is DNS", "what is  DNS"),
        ("apostrophes", "what is a cat's life", "what is a cat\u2019s life"),
        ("politeness", "explain TCP", "please explain TCP"),
        ("contractions", "what is DNS", "what's DNS"),
        ("case", "what is DNS", "What is DNS"),
        ("articles", "what is capital of france", "what is the capital of france"),
        ("closing_mark", "what is DNS", "what is DNS?"),
    ],
)
def test_each_rule_can_be_switched_off(rule: str, plain: str, dressed: str) -> None:
    """It alone makes the pair the same, is named for it, and no longer does when it is off."""
    found = near_key(dressed)
    assert found is not None
    assert found.applied == (rule,)
    assert key(plain) == found.text
    assert key(plain, rule) != key(dressed, rule)


def test_every_rule_is_tested_for_its_switch() -> None:
    """The cases above name them all, in the order in which they are applied."""
    mark = next(m for m in test_each_rule_can_be_switched_off.pytestmark if m.name == "parametrize")
    assert [case[0] for case in mark.args[1]] == [rule.name for rule in RULES]


EXACT = {
    "long": "what is it " * 200,
    "quotation or code": "What does `ls` do?",
    "script": "Что такое DNS is?",
    "language": "Was ist das Polen",
    "about wording": "How do I translate hello",
}


@pytest.mark.parametrize("why", EXACT)
def test_what_is_not_plain_english_stands_for_itself(why: str) -> None:
    """Long texts, code, quotations, other scripts and languages, and questions about words have no key."""
    assert why_exact(EXACT[why]) == why
    assert near_key(EXACT[why]) is None


@pytest.mark.parametrize(
    "text",
    [
        "What is\nit?",
        "What is ```x```?",
        'What is "it"?',
        "What is 'it'?",
        "What is “it”?",
        "What: is it?",
        "What is [it]?",
    ],
)
def test_what_may_hold_quoted_matter_stands_for_itself(text: str) -> None:
    """A line break, a colon, brackets and quotes of any kind announce text that must stay as it is."""
    assert near_key(text) is None


def test_the_longest_text_with_a_key() -> None:
    """At the limit there is one, a character beyond there is none."""
    text = "what is it" + "s" * (LONGEST_CHARS - 10)
    assert near_key(text) is not None
    assert near_key(text + "s") is None


SENTENCE = """
What is the best a how do I please can you explain it's don't Apple apple US us 3.5 x-1 capital of , . ? ! '
thanks
"""
WORDS = st.sampled_from(SENTENCE.split())
TEXTS = st.lists(WORDS, max_size=12).map(" ".join) | st.text(max_size=40)


@given(TEXTS)
def test_a_key_stands_for_itself(text: str) -> None:
    """Any text can be asked, and one that no rule changes is its own key."""
    found = near_key(text)
    if found is not None and not found.applied:
        assert found.text == text


@given(TEXTS)
def test_tokens_with_digits_or_signs_are_never_changed(text: str) -> None:
    """Each of them is in the key as it was written, in the same order."""
    found = near_key(text)
    if found is not None:
        marked = [token for token in text.split() if re.search(r"[0-9./-]", token.rstrip(".?!, "))]
        kept = iter(found.text.split())
        assert all(any(token.rstrip("?!.") == k.rstrip("?!.") for k in kept) for token in marked)


@given(st.lists(st.sampled_from([rule.name for rule in RULES])), TEXTS)
def test_any_set_of_rules_can_be_off(off: list[str], text: str) -> None:
    """No rule relies on another having run, and what is off is never named."""
    found = near_key(text, off=off)
    assert found is None or set(off).isdisjoint(found.applied)
