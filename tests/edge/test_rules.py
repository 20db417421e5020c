"""The quick look at a request never lets pass what the schema's validator refuses."""

from __future__ import annotations

import protovalidate
from hypothesis import given
from hypothesis import strategies as st

from costsvc import v1
from costsvc.edge.rules import plainly_keeps_rules

TEXT = st.one_of(
    st.sampled_from(["", "a", "faq", "Faq", "a b", "é", "x" * 63, "x" * 64, "!" * 129]), st.text(max_size=5)
)
TIER = st.integers(-1, 5)
MESSAGES = st.lists(st.builds(v1.Message, role=st.integers(-1, 4), text=TEXT), max_size=3)
REQUESTS = st.builds(
    v1.Request,
    messages=MESSAGES,
    system=TEXT,
    max_tokens=st.one_of(st.none(), st.integers(-2, 5)),
    messages_json=st.sampled_from([b"", b"{}"]),
    request_id=TEXT,
    labels=st.dictionaries(TEXT, st.one_of(TEXT, st.just("v" * 129)), max_size=3),
    task=TEXT,
    conversation_id=TEXT,
    model=st.one_of(TEXT, st.just("m" * 129)),
    min_tier=TIER,
    max_tier=TIER,
    cache_mode=TIER,
    routing_mode=TIER,
    marker_mode=TIER,
    betas=st.lists(TEXT, max_size=2),
)


@given(request=REQUESTS)
def test_what_passes_at_first_sight_keeps_every_rule(request):
    """A yes is never wrong; a no only costs the validator's time."""
    if plainly_keeps_rules(request):
        assert not protovalidate.collect_violations(request)


def test_ordinary_requests_pass_at_first_sight():
    """Otherwise the quick look would be for nothing."""
    common = {"task": "faq", "labels": {"team": "support"}, "request_id": "r-1", "model": "auto"}
    assert plainly_keeps_rules(
        v1.Request(messages=[v1.Message(text="hi")], system="s", max_tokens=5, **common)
    )
    assert plainly_keeps_rules(v1.Request(messages_json=b'{"messages":[]}', conversation_id="c", **common))


def test_limits_of_size_are_left_to_the_validator():
    """Too many messages or labels, or too long a body, do not pass at first sight."""
    many = [v1.Message(text="a")] * 65
    assert not plainly_keeps_rules(v1.Request(messages=many))
    assert not plainly_keeps_rules(v1.Request(messages_json=b"x" * (32 * 1024 * 1024 + 1)))
    labels = {f"k{number}": "" for number in range(17)}
    assert not plainly_keeps_rules(v1.Request(messages_json=b"{}", labels=labels))
