from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costsvc.core.json_text import (
    MAX_BRACKETS,
    MAX_DIGITS,
    MAX_MEMBERS,
    Member,
    join_object,
    parse_answer,
    parse_object,
    to_json,
)

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(TEXT, VALUES, max_size=8)
LAYOUTS = st.fixed_dictionaries(
    {
        "ensure_ascii": st.booleans(),
        "indent": st.sampled_from([None, 0, 2, "\t", "\r\n "]),
        "separators": st.sampled_from([(",", ":"), (" ,\n", "\t: "), (", ", " : ")]),
    }
)


@given(OBJECTS, LAYOUTS)
def test_an_object_survives_the_round_trip(value: dict[str, Any], layout: dict[str, Any]) -> None:
    """Whatever its layout, an object means the same after it was read and joined again, in its order."""
    members = parse_object(json.dumps(value, **layout).encode())
    assert {name: member.value for name, member in members.items()} == value
    again = json.loads(join_object(members))
    assert again == value
    assert list(again) == list(value)


@given(OBJECTS, LAYOUTS)
def test_every_member_keeps_its_bytes(value: dict[str, Any], layout: dict[str, Any]) -> None:
    """A member's text is a piece of the source, and is sent on as it came."""
    source = json.dumps(value, **layout)
    members = parse_object(source.encode())
    joined = join_object(members).decode()
    for name, member in members.items():
        assert member.text in source
        assert f"{to_json(name)}:{member.text}" in joined
    assert parse_object(joined.encode()) == members


@given(OBJECTS, OBJECTS, VALUES, TEXT)
def test_replacing_one_member_leaves_the_others_alone(
    before: dict[str, Any], behind: dict[str, Any], replacement: Any, name: str
) -> None:
    """What costsvc decides stands in its place; around it every byte is the same."""
    before, behind = ({key: v for key, v in part.items() if key != name} for part in (before, behind))
    behind = {key: v for key, v in behind.items() if key not in before}
    members = parse_object(json.dumps({**before, name: "old", **behind}).encode())
    joined = join_object({**members, name: Member(replacement)}).decode()
    pieces = [f"{to_json(key)}:{members[key].text}" for key in (*before, name, *behind)]
    pieces[len(before)] = f"{to_json(name)}:{to_json(replacement)}"
    assert joined == "{" + ",".join(pieces) + "}"


@pytest.mark.parametrize(
    "text",
    [
        "1.0",
        "1e400",
        "-0",
        "0.10",
        "1E+2",
        r'"\u0041\ud83d\ude00\u0000\/"',
        '{"b": 1,  "a": [ ]}',
        "9" * MAX_DIGITS,
    ],
)
def test_the_way_a_value_is_written_survives(text: str) -> None:
    """Numbers keep their digits and texts their escapes, also those that a rewriting would lose."""
    assert join_object(parse_object(f'{{"a" : {text} }}'.encode())) == f'{{"a":{text}}}'.encode()


def test_an_empty_object_has_no_members() -> None:
    """White space is all that may stand inside and around it."""
    assert parse_object(b" {\n\t} \r\n") == {}
    assert join_object({}) == b"{}"


REFUSED = {
    "nothing": (b"", "not JSON: expected '{' at line 1 column 1"),
    "array": (b"[]", "not JSON: expected '{' at line 1 column 1"),
    "byte order mark": (b"\xef\xbb\xbf{}", "not JSON: expected '{' at line 1 column 1"),
    "open": (b'{"a": 1', "not JSON: expected ',' at line 1 column 8"),
    "no value": (b'{"a":}', "not JSON: Expecting value at line 1 column 6"),
    "no colon": (b'{"a" 1}', "not JSON: expected ':' at line 1 column 6"),
    "bare key": (b"{\n a: 1}", "not JSON: expected '\"' at line 2 column 2"),
    "trailing comma": (b'{"a": 1,}', "not JSON: expected '\"' at line 1 column 9"),
    "text behind": (b"{} x", "not JSON: text after the object at line 1 column 3"),
    "two objects": (b"{}{}", "not JSON: text after the object at line 1 column 3"),
    "control character": (b'{"a": "\n"}', "not JSON: Invalid control character at at line 1 column 8"),
    "not UTF-8": (b'{"a": "\xff"}', "not UTF-8 at byte 7"),
    "surrogate as bytes": (b'{"a": "\xed\xa0\x80"}', "not UTF-8 at byte 7"),
    "lone high surrogate": (b'{"a": ["\\ud83d"]}', "text with half of a surrogate pair"),
    "lone low surrogate": (b'{"a": {"b": "\\uDE00x"}}', "text with half of a surrogate pair"),
    "surrogate in a key": (b'{"\\ud800": 1}', "text with half of a surrogate pair"),
    "surrogate in an inner key": (b'{"a": {"\\udfff": 1}}', "text with half of a surrogate pair"),
    "pair the wrong way round": (b'{"a": "\\ude00\\ud83d"}', "text with half of a surrogate pair"),
    "NaN": (b'{"a": [NaN]}', "NaN is not a JSON number"),
    "infinity": (b'{"a": Infinity}', "Infinity is not a JSON number"),
    "negative infinity": (b'{"a": {"b": -Infinity}}', "-Infinity is not a JSON number"),
    "key twice": (b'{"a": 1, "b": 2, "a": 1}', "the key 'a' is given twice"),
    "key twice, escaped": (rb'{"a": 1, "\u0061": 2}', "the key 'a' is given twice"),
    "inner key twice": (b'{"a": [{"b": 1, "c": 2, "b": 1}]}', "the key 'b' is given twice"),
    "long number": (b'{"a": -' + b"9" * MAX_DIGITS + b"}", "a number of more than 1000 digits"),
    "deep arrays": (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
    "deep objects": (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nested too deeply"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_a_plain_object_is_refused(case: str) -> None:
    """One sentence says what is wrong and where."""
    source, problem = REFUSED[case]
    with pytest.raises(ValueError, match=r".") as caught:
        parse_object(source)
    assert str(caught.value).startswith(problem)
    assert type(caught.value) is ValueError


def test_the_number_of_members_is_bounded() -> None:
    """As many as the limit are read, one more is refused."""
    most = {f"m{at}": at for at in range(MAX_MEMBERS)}
    assert len(parse_object(json.dumps(most).encode())) == MAX_MEMBERS
    with pytest.raises(ValueError, match="more than 256 members"):
        parse_object(json.dumps(most | {"more": 1}).encode())


@given(st.binary(max_size=40) | st.text(max_size=40).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_read_or_refused(source: bytes) -> None:
    """Nothing but a ValueError of one line comes out of garbage."""
    members, problem = read_or_refuse(source)
    assert parse_object(join_object(members)) == members
    assert "\n" not in problem


def read_or_refuse(source: bytes) -> tuple[dict[str, Member], str]:
    """Return the members, or none and why; other errors pass."""
    try:
        return parse_object(source), ""
    except ValueError as error:
        return {}, str(error)


@given(OBJECTS, st.data())
def test_a_cut_object_is_refused(value: dict[str, Any], data: st.DataObject) -> None:
    """No beginning of an object passes for the whole."""
    source = json.dumps(value).encode()
    with pytest.raises(ValueError, match=r"not (JSON|UTF-8)"):
        parse_object(source[: data.draw(st.integers(0, len(source) - 1))])


@pytest.mark.parametrize(
    ("written", "value"),
    [
        (r'{"a": "\ud83d"}', {"a": "?"}),
        (r'["\ude00\ud83d", {"\uDFFFb": 1}]', ["??", {"?b": 1}]),
        (r'"\ud83d\ude00 \u00e9"', "\N{GRINNING FACE} \u00e9"),
        (r'"\\ud83d"', r"\ud83d"),
    ],
)
def test_an_answer_can_always_be_written_again(written: str, value: Any) -> None:
    """Half of a surrogate pair becomes a question mark; whole pairs and mere mentions stay."""
    assert parse_answer(written) == value
    assert to_json(parse_answer(written)).encode()


def test_too_many_lists_are_refused_before_they_are_read() -> None:
    """Millions of empty lists would keep everybody else waiting; as many brackets as allowed are read."""
    allowed = b'{"a":[' + b"[]," * (MAX_BRACKETS - 2) + b"[]]}"
    assert len(parse_object(allowed)["a"].value) == MAX_BRACKETS - 1
    with pytest.raises(ValueError, match="more than 500000 opening brackets"):
        parse_object(allowed.replace(b"[[]", b"[[],[]", 1))
