"""When two questions are the same but for their dress: a key that both share.

The rules below are few, small and named, so that an operator can read them and switch any off. Each changes
only what cannot change the meaning of a plain English question; where that is not plain, the text stands
for itself. A stored answer to another question is wrong at any price, so what is doubtful stays apart:
nothing is reordered, stemmed, or replaced by a synonym, and no word is touched that has a digit, a sign or a
quote in it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass

from costsvc.core import near_words as words

RULES_VERSION = 1
"""Raised with every change to a rule or to a list of words: keys of other versions are never met."""

LONGEST_CHARS = 2_000

_QUOTED = re.compile(
    r"""["\u201c\u201d\u00ab\u00bb`\n\r\t:;<>{}\[\]=|\\~^*#_]|\.\.|--|(?:^|[\s(])['\u2018]|['\u2019](?:$|[\s).,?!])"""
)
"""What quotations, code, tables and lists come with."""
_FOREIGN = re.compile(r"[^\x20-\x7e\u00a1-\u024f\u2018\u2019\u2010-\u2014\u20ac]")
_WORD = re.compile(r"[a-z]+(?:['\u2019][a-z]+)?,?", re.IGNORECASE)
_MARK = re.compile(r" *(\?+|!+|\.)? *$")
_SHORTEST_GREETED = 2


@dataclass(slots=True)
class _Text:
    """A text on its way through the rules: what stands between spaces, and the mark at the end."""

    tokens: list[str]
    mark: str

    def lower(self, at: int) -> str:
        """Return the token at a place in lower case, "" where there is none."""
        return self.tokens[at].lower() if 0 <= at < len(self.tokens) else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One named rule, in words and as the change that it makes."""

    name: str
    meaning: str
    apply: Callable[[_Text], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class NearKey:
    """What questions that are the same but for their dress have in common, and the rules that showed it."""

    text: str
    applied: tuple[str, ...]


def near_key(text: str, *, off: Collection[str] = ()) -> NearKey | None:
    """Return the key of a question, None for one that only its exact repetition equals.

    `off` names rules that are switched off.
    """
    if why_exact(text):
        return None
    found = _MARK.search(text)
    assert found is not None
    now = _Text(text[: found.start()].split(" "), text[found.start() :])
    applied = []
    for rule in RULES:
        before = (now.tokens.copy(), now.mark)
        if rule.name not in off:
            rule.apply(now)
        if before != (now.tokens, now.mark):
            applied.append(rule.name)
    return NearKey(text=" ".join(now.tokens) + now.mark, applied=tuple(applied)) if any(now.tokens) else None


def why_exact(text: str) -> str:
    """Return why only the exact repetition of a text equals it, "" where the rules may be asked."""
    if len(text) > LONGEST_CHARS:
        return "long"
    if _QUOTED.search(text):
        return "quotation or code"
    if _FOREIGN.search(text):
        return "script"
    plain = set(re.findall("[a-z]+", text.lower()))
    if not plain & words.ENGLISH:
        return "language"
    return "about wording" if plain & words.ABOUT_WORDING else ""


def _spacing(now: _Text) -> None:
    now.tokens = [token for token in now.tokens if token]
    now.mark = now.mark.strip(" ")


def _apostrophes(now: _Text) -> None:
    now.tokens = [token.replace("\u2019", "'") if _is_word(token) else token for token in now.tokens]


def _politeness(now: _Text) -> None:
    """Drop a greeting, "please", thanks, and "can you" where it asks for an answer rather than whether."""
    if now.lower(0) in words.GREETINGS and len(now.tokens) > _SHORTEST_GREETED:
        now.tokens = now.tokens[1:]
    _drop_thanks(now)
    if now.lower(0) in words.ASKING_FAVOURS and now.lower(1) == "you" and _asks_for(now, 2):
        now.tokens, now.mark = now.tokens[2:], now.mark.replace("?", "")
    if now.lower(0).rstrip(",") in words.PLEASE and _is_command(now, 1):
        now.tokens = now.tokens[1:]
    last = len(now.tokens) - 1
    if now.lower(last) == "please" and (now.tokens[last - 1].endswith(",") or _is_request(now)):
        now.tokens = [*now.tokens[: last - 1], now.tokens[last - 1].removesuffix(",")]


def _drop_thanks(now: _Text) -> None:
    """Drop thanks that follow a finished sentence or a comma, and let that end the text."""
    for count, said in ((1, "thanks"), (2, "thank you")):
        before = now.tokens[-count - 1 : -count]
        closing = before[0][-1:] if before else ""
        if closing in {",", ".", "?"} and " ".join(now.tokens[-count:]).lower() == said:
            now.mark = closing.replace(",", "")
            now.tokens = [*now.tokens[: -count - 1], before[0][:-1]]


def _is_request(now: _Text) -> bool:
    """Tell whether the text begins with a verb that asks for an answer."""
    first, second = now.lower(0), now.lower(1)
    before_last = now.lower(len(now.tokens) - 2)
    return (first in words.REQUEST_VERBS or (first, second) in words.REQUEST_PAIRS) and (
        before_last not in words.SUBJECTS | {"to"}
    )


def _asks_for(now: _Text, at: int) -> bool:
    """Tell whether "can you" goes on as a request for an answer."""
    word, following = now.lower(at), now.lower(at + 1)
    if word in words.PLEASE:
        return _is_command(now, at + 1)
    return word in words.REQUEST_VERBS or (word, following) in words.REQUEST_PAIRS


def _is_command(now: _Text, at: int) -> bool:
    """Tell whether a verb may stand at a place after "please", rather than whom to please."""
    word = now.lower(at)
    return word.isalpha() and word not in words.PLEASED


def _contractions(now: _Text) -> None:
    if not any("'" in token for token in now.tokens):
        return
    spelt: list[str] = []
    for at, token in enumerate(now.tokens):
        long = words.CONTRACTIONS.get(token.lower())
        if long is None or (token.endswith("'s") and _may_be_participle(now.lower(at + 1))):
            spelt.append(token)
        else:
            spelt += (long.capitalize() if token[0].isupper() else long).split()
    now.tokens = spelt


def _may_be_participle(word: str) -> bool:
    """Tell whether 's before a word may be short for "has"."""
    word = word.rstrip(",.?!")
    return word.endswith(("ed", "en", "wn", "ne")) or word in words.PARTICIPLES


def _case(now: _Text) -> None:
    now.tokens = [
        _folded(token, now, at) if token[:1].isupper() else token for at, token in enumerate(now.tokens)
    ]


def _folded(token: str, now: _Text, at: int) -> str:
    """Return a capitalised word in lower case, unless its capital says something."""
    lower = token.lower()
    word = lower.rstrip(",")
    if not _is_word(token) or not token[1:].islower():
        return lower if at == 0 and word == "a" else "i" if _is_pronoun_i(now, at) else token
    if at == 0 and word in words.OPENING:
        return lower
    return token if word in words.CAPITAL_MATTERS else lower


def _is_pronoun_i(now: _Text, at: int) -> bool:
    """Tell the word I from the letter."""
    return now.tokens[at] == "I" and (
        now.lower(at - 1) in words.BEFORE_I or now.lower(at + 1) in words.AFTER_I
    )


def _articles(now: _Text) -> None:
    now.tokens = [token for at, token in enumerate(now.tokens) if not _is_spare_article(now, at)]


def _is_spare_article(now: _Text, at: int) -> bool:
    """Tell whether what follows an article is just as definite without it."""
    word, noun = now.tokens[at], "".join(now.tokens[at + 1 : at + 2])
    link = now.lower(at + 2)
    if word == "the":
        return noun in words.SUPERLATIVES or (noun in words.UNIQUE_BEFORE_OF and link in {"of", "between"})
    return word in {"a", "an"} and noun in words.COUNTED_BEFORE_OF and link == "of"


def _closing_mark(now: _Text) -> None:
    """Drop the mark at the end where the words themselves say that it is a question, or a plain sentence."""
    mark = now.mark.strip(" ")
    if mark.startswith("?"):
        now.mark = "" if _is_question(now) or _is_request(now) else "?"
    elif mark == "." and now.tokens and now.tokens[-1].isalpha() and len(now.tokens[-1]) > 1:
        now.mark = ""


def _is_question(now: _Text) -> bool:
    first, second = now.lower(0), now.lower(1)
    if first in words.CLEAR_AUXILIARIES:
        return True
    if first in words.DOUBTFUL_AUXILIARIES:
        return second in words.SUBJECTS
    if first == "when":
        return second in words.AUXILIARIES
    return first in words.ASKING and second not in words.SUBJECTS | {"a", "an", ""}


def _is_word(token: str) -> bool:
    return _WORD.fullmatch(token) is not None and token.isascii() | ("\u2019" in token)


RULES = (
    Rule(name="spacing", meaning="several spaces are one", apply=_spacing),
    Rule(name="apostrophes", meaning="a typographic apostrophe is a plain one", apply=_apostrophes),
    Rule(name="politeness", meaning="hello; please; can you explain, tell me; thanks", apply=_politeness),
    Rule(name="contractions", meaning="what's is what is, don't is do not", apply=_contractions),
    Rule(name="case", meaning="capitals that make no name", apply=_case),
    Rule(name="articles", meaning="the best, the capital of, a list of", apply=_articles),
    Rule(name="closing_mark", meaning="? after a question, . after a sentence", apply=_closing_mark),
)
"""What makes questions near-identical, in the order of application."""
