"""Tests of the checks on answers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costsvc.core.accept import LARGEST_PATTERN_TEXT, Checks, verify
from costsvc.core.schema_size import MOST_VISITS
from costsvc.matchers import compile_pattern, compile_shape

PERSON = {"type": "object", "required": ["age"], "properties": {"age": {"type": "integer", "minimum": 0}}}


def shape(schema: Any = None) -> Any:
    """Compile a schema."""
    return compile_shape(schema or PERSON, "schema")


def failures(checks: Checks, text: str, stop_reason: str = "end_turn") -> dict[str, str]:
    """Return what fails, and why."""
    return {f.check: f.problem for f in verify(checks, text=text, stop_reason=stop_reason).failed}


@pytest.mark.parametrize(
    ("checks", "text", "stop_reason", "passed", "failed"),
    [
        (Checks(shape=shape()), ' {"age": 4} ', "end_turn", ("json_schema",), {}),
        (Checks(shape=shape()), "Four.", "end_turn", (), {"json_schema": "is not JSON"}),
        (Checks(shape=shape()), "[" * 100_000, "end_turn", (), {"json_schema": "is not JSON"}),
        (Checks(structured=shape()), '{"age": 4', "max_tokens", (), {"json_schema": "is not JSON"}),
        (Checks(pattern=compile_pattern("^[A-Z]{2}$", "p")), "DE", "end_turn", ("pattern",), {}),
        (Checks(pattern=compile_pattern("b+", "p")), "abc", "end_turn", ("pattern",), {}),
        (
            Checks(pattern=compile_pattern("^b+", "p")),
            "abc",
            "end_turn",
            (),
            {"pattern": "does not match"},
        ),
        (Checks(values=frozenset({"yes", "no"})), " yes\n", "end_turn", ("allowed_values",), {}),
        (
            Checks(values=frozenset({"yes"})),
            "Yes",
            "end_turn",
            (),
            {"allowed_values": "is none of the values"},
        ),
        (Checks(min_chars=2, max_chars=3), "abc", "end_turn", ("length",), {}),
        (Checks(min_chars=2), "a", "end_turn", (), {"length": "has 1 characters, less than 2"}),
        (Checks(max_chars=2), "abc", "end_turn", (), {"length": "has 3 characters, more than 2"}),
        (Checks(no_refusal=True), "", "refusal", (), {"no_refusal": "the model refused"}),
        (Checks(no_refusal=True, no_truncation=True), "", "end_turn", ("no_refusal", "no_truncation"), {}),
        (Checks(no_truncation=True), "a", "max_tokens", (), {"no_truncation": "cut by max_tokens"}),
        (
            Checks(no_truncation=True),
            "a",
            "model_context_window_exceeded",
            (),
            {"no_truncation": "cut by model_context_window_exceeded"},
        ),
        (Checks(shape=shape(), no_refusal=True), "", "tool_use", ("no_refusal",), {}),
        (Checks(values=frozenset({"x"})), "half", "pause_turn", (), {}),
        (Checks(), "anything", "end_turn", (), {}),
    ],
)
def test_an_answer_passes_and_fails_by_name(checks, text, stop_reason, passed, failed):
    """Each check is named; a turn that goes on has no final text to look at."""
    verdict = verify(checks, text=text, stop_reason=stop_reason)
    assert verdict.passed == passed
    assert {each.check: each.problem for each in verdict.failed} == failed
    assert verdict.is_accepted == (not failed)


def test_a_schema_failure_names_the_place_and_quotes_nothing():
    """The problem says where; what the model said stays out of logs and errors."""
    problem = failures(Checks(shape=shape()), '{"age": "a secret"}')["json_schema"]
    assert problem.startswith("age: ")
    assert "secret" not in problem


def test_the_callers_own_schema_goes_before_the_structured_one():
    """What the caller accepts is stricter or looser than what the provider was asked for."""
    checks = Checks(shape=shape({"type": "array"}), structured=shape())
    assert failures(checks, "[]") == {}
    assert "json_schema" in failures(checks, '{"age": 4}')


def test_what_is_too_large_to_check_is_final():
    """A larger model would say as much, so nothing is gained by asking it."""
    big = json.dumps([0] * (MOST_VISITS // 2))
    many = {"items": {"allOf": [{"type": "integer"}] * 4}}
    (failed,) = verify(Checks(shape=shape(many)), text=big, stop_reason="end_turn").failed
    assert (failed.check, failed.is_final) == ("json_schema", True)
    pattern = Checks(pattern=compile_pattern("x", "p"))
    (failed,) = verify(pattern, text="x" * (LARGEST_PATTERN_TEXT + 1), stop_reason="end_turn").failed
    assert (failed.check, failed.is_final) == ("pattern", True)
    (failed,) = verify(Checks(shape=shape()), text="no", stop_reason="end_turn").failed
    assert not failed.is_final


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_json_is_json(value):
    """Whatever a model may write as JSON can be checked, and fits the schema that takes everything."""
    checks = Checks(shape=shape({"description": "anything"}))
    assert verify(checks, text=json.dumps(value), stop_reason="end_turn").passed == ("json_schema",)
    assert verify(checks, text=json.dumps(value, ensure_ascii=False), stop_reason="end_turn").is_accepted


def test_only_what_describes_the_answer_is_about_content():
    """A length says nothing about whether the answer is right; nor does what the provider keeps to anyway."""
    assert Checks(values=frozenset({"a"})).are_about_content
    assert Checks(pattern=compile_pattern("a", "p")).are_about_content
    assert Checks(shape=shape()).are_about_content
    assert not Checks(
        structured=shape(), min_chars=1, max_chars=2, no_refusal=True, no_truncation=True
    ).are_about_content
