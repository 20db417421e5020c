from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costsvc.core.request import CacheMode, ModelRequest, Tier, read_messages_json, simple_members
from costsvc.core.same_request import fingerprint
from tests.core.test_message_stream import texts

BODY = {"max_tokens": 9, "system": "Be brief.", "messages": [{"role": "user", "content": "Why?"}]}


def request(body: dict[str, Any] = BODY, **fields: Any) -> ModelRequest:
    """Return a request of a JSON body."""
    return ModelRequest(members=read_messages_json(json.dumps(body).encode()), **fields)


@given(st.dictionaries(texts, texts), st.randoms(use_true_random=False))
def test_the_order_of_keys_and_the_spelling_do_not_matter(extra, random):
    """The same body, shuffled, indented and escaped, is the same request."""
    body = {**BODY, "metadata": extra}
    items = list(body.items())
    random.shuffle(items)
    spelt = json.dumps(dict(items), indent=2, ensure_ascii=True).encode()
    assert fingerprint(ModelRequest(members=read_messages_json(spelt))) == fingerprint(request(body))


def test_typed_fields_and_a_body_say_the_same():
    """How a request is said does not change what is asked."""
    typed = ModelRequest(members=simple_members("Be brief.", [("user", "Why?")], 9))
    assert fingerprint(typed) == fingerprint(request())


@pytest.mark.parametrize(
    "change",
    [
        {"request_id": "another"},
        {"labels": {"team": "a"}},
        {"cache_mode": CacheMode.BYPASS},
        {"caller_markers_only": True},
    ],
)
def test_what_does_not_change_the_answer_is_left_out(change):
    """A repeat may be labelled or paid in another way."""
    assert fingerprint(replace(request(), **change)) == fingerprint(request())


def test_whether_it_is_streamed_is_left_out():
    """The RPC decides how an answer comes, and a model in the body is the model in the field."""
    body = {**BODY, "stream": True, "model": "claude-x"}
    assert fingerprint(request(body, model="claude-x")) == fingerprint(request(model="claude-x"))


@pytest.mark.parametrize(
    "other",
    [
        request({**BODY, "max_tokens": 10}),
        request({**BODY, "system": "Be long."}),
        request({**BODY, "messages": [{"role": "user", "content": "Why not?"}]}),
        request({**BODY, "unknown": 1}),
        request(model="claude-x"),
        request(task="faq"),
        request(conversation_id="c"),
        request(min_tier=Tier.MEDIUM),
        request(max_tier=Tier.MEDIUM),
        request(baseline_only=True),
        request(betas=("b",)),
    ],
)
def test_what_changes_the_answer_counts(other):
    """Another question, model, bound or beta is another request."""
    assert fingerprint(other) != fingerprint(request())
