from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from costsvc.core.json_text import parse_object
from costsvc.core.request import read_messages_json
from costsvc.core.response_key import FORM_VERSION, Question, Scope, canonical, fingerprint

SECRET = b"k" * 32
NAMES = st.text(alphabet="abcxyz0189._-", min_size=1, max_size=8)
SCOPES = st.builds(Scope, tenant=NAMES, namespace=NAMES, epoch=st.integers(0, 2**53))
LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)

TEXT = {"type": "text", "text": "What is 1.0 of it?"}
BODY: dict[str, Any] = {
    "max_tokens": 100,
    "system": [{"type": "text", "text": "Answer.", "cache_control": {"type": "ephemeral"}}],
    "messages": [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": [TEXT]},
        {"role": "user", "content": [TEXT, {"type": "text", "text": '\u00e9 " \\'}]},
    ],
    "temperature": 1.0,
    "metadata": {"user_id": "u1", "team": "x"},
    "tools": [{"name": "f", "input_schema": {"type": "object", "minimum": 0.5, "maximum": 1e22}}],
    "stop_sequences": ["a", "b"],
}


def question(body: dict[str, Any] | bytes, **changes: Any) -> Question:
    """Return the question that a body asks."""
    source = body if isinstance(body, bytes) else json.dumps(body).encode()
    given = {"max_tokens": 100, "candidates": ("haiku", "sonnet"), "headers": {}}
    return Question(members=read_messages_json(source), **(given | changes))


def print_of(body: dict[str, Any] | bytes, **changes: Any) -> str:
    """Return the fingerprint of what a body asks."""
    return fingerprint(SECRET, question(body, **changes).form())


def rewritten(value: Any, chance: random.Random) -> str:
    """Return other JSON text of the same value: order of keys, white space, escapes and numbers vary."""
    space = chance.choice(["", " ", "\n\t"])
    if isinstance(value, dict):
        items = list(value.items())
        chance.shuffle(items)
        inner = [f"{rewritten(k, chance)}{space}:{space}{rewritten(v, chance)}" for k, v in items]
        return f"{{{space}{f'{space},'.join(inner)}{space}}}"
    if isinstance(value, list):
        return f"[{space}{f'{space},{space}'.join(rewritten(v, chance) for v in value)}]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=chance.random() < 0.5)
    if isinstance(value, float):
        short = f"{value:.1f}"
        return chance.choice([repr(value), f"{value:.17e}", short if float(short) == value else repr(value)])
    return json.dumps(value)


def test_a_thousand_spellings_of_one_request_have_one_fingerprint() -> None:
    """Whatever serialises the body, in whatever order and with whatever white space, the answer is found."""
    chance = random.Random(4)
    texts = {rewritten(BODY, chance) for _ in range(1_000)}
    assert len(texts) > 900
    assert len({print_of(text.encode()) for text in texts} | {print_of(BODY)}) == 1


@given(VALUES, VALUES)
def test_values_have_one_spelling_exactly_when_they_are_equal(one: Any, other: Any) -> None:
    """No two values collide; true is not 1, and null is not absent."""
    assert (canonical(one) == canonical(other)) == (typed(one) == typed(other))


@given(VALUES)
def test_the_canonical_form_says_the_whole_value(value: Any) -> None:
    """Reading it back gives what went in."""
    assert typed(json.loads(canonical(value))) == typed(value)


def typed(value: Any) -> Any:
    """Return a value that equals another only where JSON means the same: Python takes True for 1."""
    if isinstance(value, dict):
        return {key: typed(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [typed(inner) for inner in value]
    return (bool, value) if isinstance(value, bool) else value


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of every value inside a value."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(path for key, inner in inside for path in places(inner, (*at, key)))]


def changed(value: Any, path: tuple[Any, ...], change: Any) -> Any:
    """Return a value with what is at a path changed."""
    if not path:
        return change(value)
    first, *rest = path
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[first] = changed(copy[first], tuple(rest), change)
    return copy


INSIDE = [path for path in places(BODY) if path and path != ("max_tokens",)]
CHANGES = {
    "replaced": lambda _, new: new,
    "wrapped": lambda value, _: [value],
    "nulled": lambda *_: None,
    "negated": lambda value, _: (not value) if isinstance(value, bool) else -value - 1,
    "extended": lambda value, _: value + "x" if isinstance(value, str) else [*value, "x"],
    "shortened": lambda value, _: value[:-1],
    "reversed": lambda value, _: value[::-1],
}


@given(st.sampled_from(INSIDE), st.sampled_from(sorted(CHANGES)), LEAVES)
def test_a_change_anywhere_in_the_body_is_another_question(path: Any, how: str, new: Any) -> None:
    """Of values, of the order in arrays, of lengths: the fingerprint changes whenever the value does."""
    try:
        body = changed(BODY, path, lambda value: CHANGES[how](value, new))
    except TypeError:
        assume(False)
    assume(typed(body) != typed(BODY))
    form = question(BODY).form()
    form["body"] = {name: value for name, value in body.items() if name != "max_tokens"}
    assert fingerprint(SECRET, form) != print_of(BODY)


WORDS = st.text(max_size=6)
COUNTS = st.integers(1, 2**31 - 1)
SCHEMAS = st.dictionaries(WORDS, VALUES, max_size=3)
TEXTS = st.fixed_dictionaries({"type": st.just("text"), "text": WORDS})
IMAGES = st.fixed_dictionaries(
    {"type": st.just("image"), "source": st.fixed_dictionaries({"type": st.just("base64"), "data": WORDS})}
)
RESULTS = st.fixed_dictionaries({"type": st.just("tool_result"), "tool_use_id": WORDS, "content": WORDS})
CONTENTS = WORDS | st.lists(TEXTS | IMAGES | RESULTS, min_size=1, max_size=3)
MESSAGES = st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant"]), "content": CONTENTS})
REQUESTS = st.fixed_dictionaries(
    {"messages": st.lists(MESSAGES, min_size=1, max_size=4)},
    optional={
        "system": WORDS | st.lists(TEXTS, min_size=1, max_size=2),
        "tools": st.lists(st.fixed_dictionaries({"name": WORDS, "input_schema": SCHEMAS}), max_size=2),
        "tool_choice": st.fixed_dictionaries({"type": st.sampled_from(["auto", "any", "none"])}),
        "stop_sequences": st.lists(WORDS, max_size=3),
        "temperature": st.floats(0, 1),
        "top_k": COUNTS,
        "thinking": st.fixed_dictionaries({"type": st.just("enabled"), "budget_tokens": COUNTS}),
        "output_config": SCHEMAS,
        "metadata": st.dictionaries(WORDS, WORDS, max_size=2),
        "speed": WORDS,
    },
)


@given(REQUESTS, st.randoms(use_true_random=False), st.data())
def test_any_request_is_found_in_any_spelling_and_with_no_change(
    body: dict[str, Any], chance: random.Random, data: st.DataObject
) -> None:
    """Over the grammar of requests: another serialisation hits, another value anywhere in it misses."""
    asked = print_of(body)
    assert print_of(rewritten(body, chance).encode()) == asked
    path = data.draw(st.sampled_from(places(body)[1:]))
    other = changed(body, path, lambda _: data.draw(LEAVES | VALUES))
    assume(typed(other) != typed(body))
    form = question(body).form()
    assert fingerprint(SECRET, {**form, "body": other}) != asked


@given(REQUESTS, REQUESTS)
def test_two_requests_have_one_fingerprint_exactly_when_they_are_equal(one: Any, other: Any) -> None:
    """Whatever they have in common."""
    assert (print_of(one) == print_of(other)) == (typed(one) == typed(other))


@given(st.sampled_from([path for path in INSIDE if isinstance(path[-1], str)]))
def test_a_member_less_is_another_question(path: Any) -> None:
    """Whatever is left out of an object at any depth."""
    body = changed(BODY, path[:-1], lambda value: {k: v for k, v in value.items() if k != path[-1]})
    form = question(BODY).form() | {"body": {k: v for k, v in body.items() if k != "max_tokens"}}
    assert fingerprint(SECRET, form) != print_of(BODY)


@pytest.mark.parametrize(
    "change",
    [
        {"max_tokens": 101},
        {"candidates": ("sonnet", "haiku")},
        {"candidates": ("haiku",)},
        {"pin": "haiku"},
        {"checks": {"json": True}},
        {"headers": {"anthropic-beta": "b"}},
        {"dropped": ("temperature",)},
    ],
)
def test_what_policy_and_caller_decide_is_part_of_the_question(change: dict[str, Any]) -> None:
    """Answer lengths, candidates in their order, the pin, checks, headers, and what is not sent."""
    assert print_of(BODY, **change) != print_of(BODY)


def test_the_model_and_the_way_of_answering_in_the_body_do_not_count() -> None:
    """The pin says the model, the effective length counts, and a stream has the same answer."""
    assert print_of(BODY | {"model": "claude-haiku-5-5", "stream": True}) == print_of(BODY)
    without = {name: value for name, value in BODY.items() if name != "max_tokens"}
    assert print_of(without) == print_of(BODY)


def test_ignored_members_do_not_count() -> None:
    """At any depth, and as if they had never been there; what is beside them still counts."""

    def print_ignoring(body: dict[str, Any], *paths: str) -> str:
        return fingerprint(SECRET, question(body).form(ignore=paths))

    other = BODY | {"metadata": {"user_id": "u2", "team": "x"}}
    assert print_ignoring(other, "metadata.user_id") == print_ignoring(BODY, "metadata.user_id")
    assert print_ignoring(other) != print_ignoring(BODY)
    team = BODY | {"metadata": {"user_id": "u2", "team": "y"}}
    assert print_ignoring(team, "metadata.user_id") != print_ignoring(BODY, "metadata.user_id")
    alone, none = BODY | {"metadata": {"user_id": "u"}}, dict(BODY)
    del none["metadata"]
    assert print_ignoring(alone, "metadata.user_id") == print_ignoring(none, "metadata.user_id")
    assert print_ignoring(BODY, "metadata") == print_ignoring(none)
    assert print_ignoring(BODY, "no.such", "temperature.deep") == print_ignoring(BODY)


def test_reading_a_question_leaves_the_request_as_it_is() -> None:
    """What is ignored for the key still goes to the provider."""
    asked = question(BODY)
    asked.form(ignore=["metadata.user_id"])
    assert asked.members["metadata"].value == BODY["metadata"]


@given(SCOPES, SCOPES, st.text(alphabet="0123456789abcdef", max_size=3), st.text(max_size=3))
def test_no_two_scopes_share_a_key(one: Scope, other: Scope, digits: str, rest: str) -> None:
    """Keys of tenant, namespace and epoch never meet, not even by what follows them."""
    if one != other:
        assert not (other.prefix + rest).startswith(one.prefix)
        assert one.prefix + digits != other.prefix + digits


def test_the_secret_and_the_version_are_part_of_the_fingerprint() -> None:
    """Nobody without the secret can tell what was asked, and a new version meets no old entry."""
    form = question(BODY).form()
    assert form["version"] == FORM_VERSION
    assert (
        len(
            {
                fingerprint(SECRET, form),
                fingerprint(b"other", form),
                fingerprint(SECRET, form | {"version": 0}),
            }
        )
        == 3
    )


def test_members_that_could_be_mistaken_for_the_forms_own_are_not() -> None:
    """A body may hold anything, also what the form calls its parts."""
    sly = BODY | {"candidates": ["x"], "pin": "x", "version": 9, "body": {}}
    assert print_of(sly) != print_of(BODY)
    assert question(sly).form()["version"] == FORM_VERSION


def test_a_body_nested_too_deeply_for_a_key_says_so() -> None:
    """It has an error of its own, for the caller of the function to make a miss of."""
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(RecursionError):
        canonical(deep)


def test_bytes_read_by_the_reader_of_requests_keep_large_numbers_apart() -> None:
    """Whole numbers are exact at any size."""
    one, other = (parse_object(b'{"n": %d}' % (2**70 + i))["n"].value for i in (0, 1))
    assert canonical(one) != canonical(other)
