"""Tests of kept answers as bytes: exact both ways, and never a surprise to who reads them."""

from __future__ import annotations

import json
import zlib
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costsvc.app.observations import Observations
from costsvc.app.planner import Planner
from costsvc.app.policies import PolicyInForce
from costsvc.config import load_catalog_files, load_policy_file
from costsvc.core.accept import Failed, Verdict
from costsvc.core.escalation import Checked, Escalation, SideCall
from costsvc.core.request import ModelRequest, simple_members
from costsvc.core.usage import Usage
from costsvc.store.answer_codec import KeptAnswer, decode, encode
from tests.core.test_message_stream import messages
from tests.store.money import entry, opening

CATALOG = load_catalog_files()
PLANNER = Planner(CATALOG, PolicyInForce(load_policy_file(None, CATALOG)), Observations())
REQUEST = ModelRequest(members=simple_members("", [("user", "Why?")], None))


def kept(message_json: bytes = b"{}", **fields: str) -> KeptAnswer:
    """Return an answer to a request that is decided for real."""
    plan = PLANNER.plan(replace(REQUEST, **fields), "acme", datetime.now(UTC))
    booked = entry(opening("resp.1"), 7, charges=("a", "b"))
    return KeptAnswer(entry=booked, decision=plan.decision, message_json=message_json)


@given(messages, st.sampled_from([{}, {"task": "faq"}, {"model": "claude-haiku-5-5"}]))
def test_an_answer_comes_back_as_it_was(message, fields):
    """Entry, decision and every byte of the message survive, line ends and all."""
    answer = kept(json.dumps(message, indent=1).encode(), **fields)
    assert decode(encode(answer), CATALOG) == answer


def test_the_checks_come_back_with_their_escalations():
    """A repeat learns what failed before, and what that cost."""
    before = Escalation(
        entry_id="resp.1",
        model="claude-haiku-5-5",
        failed=(Failed("length", "has 1 characters, less than 2"),),
        usage=Usage(input_tokens=3, output_tokens=1),
        cost_nano_usd=17,
    )
    verdict = Verdict(passed=("pattern",), failed=(Failed("json_schema", "is too large", is_final=True),))
    answer = replace(kept(), checked=Checked(verdict=verdict, escalations=(before,)))
    assert decode(encode(answer), CATALOG) == answer


def test_side_calls_come_back_with_what_they_cost():
    """A repeat has the same bill."""
    asked = SideCall(entry_id="resp.1", usage=Usage(input_tokens=300, output_tokens=2), cost_nano_usd=31_000)
    answer = replace(kept(), side_calls=(asked,))
    assert decode(encode(answer), CATALOG) == answer


def test_an_answer_is_compressed():
    """An ordinary answer takes little room."""
    assert len(encode(kept(b'{"text": "' + b"tell me more, " * 1000 + b'"}'))) < 2_000


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no answer",
        zlib.compress(b""),
        zlib.compress(b"{}"),
        zlib.compress(b"[1]"),
        zlib.compress(b'{"v": 1, "e": 3, "d": []}'),
        zlib.compress(b'{"v": 2}'),
        encode(kept())[:-4],
    ],
)
def test_what_is_no_answer_is_refused(data):
    """Damaged bytes, and those of a newer version, are one kind of error."""
    with pytest.raises(ValueError, match=r"."):
        decode(data, CATALOG)


def test_an_answer_of_a_model_that_is_gone_is_refused():
    """A process whose catalogue lacks the model cannot say what was decided."""
    answer = kept()
    models = {name: model for name, model in CATALOG.models.items() if name != answer.decision.model.id}
    with pytest.raises(ValueError, match="not a kept answer"):
        decode(encode(answer), replace(CATALOG, models=models))
