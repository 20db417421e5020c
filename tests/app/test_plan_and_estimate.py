"""Tests of what is planned for a request, and of what it is estimated to cost."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costsvc.app.estimate import Estimator, Range
from costsvc.app.observations import Observations
from costsvc.app.planner import Planner
from costsvc.app.policies import PolicyInForce
from costsvc.config import load_catalog_files, load_policy_file
from costsvc.core.conversation import Pin
from costsvc.core.errors import InvalidRequest, NoModelFits, UnknownModel
from costsvc.core.policy import read_policy
from costsvc.core.request import ModelRequest, Tier, read_messages_json
from costsvc.core.usage import Usage
from costsvc.data import read_text

AT = datetime(2026, 11, 22, 12, tzinfo=UTC)
CATALOG = load_catalog_files()
POLICY = load_policy_file(None, CATALOG)
TURN = {"role": "user", "content": "How does a bicycle stay upright?"}


def planner(**replaced: str) -> Planner:
    """Return a planner on the policy as shipped, with values replaced."""
    text = read_text("policy.toml")
    for name, value in replaced.items():
        [line] = [line for line in text.splitlines() if line.startswith(f"{name} =")]
        text = text.replace(line, f'{name} = "{value}"')
    return Planner(CATALOG, PolicyInForce(read_policy(text, CATALOG)), Observations())


def request(members: dict[str, Any] | None = None, **said: Any) -> ModelRequest:
    """Return a request with these members of the body."""
    body = json.dumps({"messages": [TURN], **(members or {})}).encode()
    return ModelRequest(members=read_messages_json(body), **said)


def sent(plan: Any, *, stream: bool = False) -> dict[str, Any]:
    """Return the body as it goes to the provider."""
    return json.loads(plan.body(stream=stream))


def test_only_what_is_decided_changes() -> None:
    """Model and length are filled in at the end; the rest stays where it is."""
    plan = planner().plan(request({"x": 1}, task="faq"), "t", AT)
    assert list(sent(plan).items()) == [
        ("messages", [TURN]),
        ("x", 1),
        ("model", "claude-haiku-5-5"),
        ("max_tokens", 512),
    ]
    assert sent(plan, stream=True)["stream"] is True
    assert plan.headers == {}


def test_a_model_that_cannot_is_passed_over_with_its_reason() -> None:
    """A longer answer than the tier's model writes goes to the next tier, unless the caller forbids it."""
    limit = CATALOG.models["claude-haiku-5-5"].max_output_tokens
    long = {"max_tokens": limit + 1}
    if limit < CATALOG.models["claude-sonnet-5-5"].max_output_tokens:
        decision = planner().plan(request(long, task="faq"), "t", AT).decision
        assert decision.model.id == "claude-sonnet-5-5"
        assert [reason.code for reason in decision.reasons] == ["task_hint", "ruled_out"]
    with pytest.raises(NoModelFits):
        planner().plan(request(long, task="faq", max_tier=Tier.SIMPLE), "t", AT)


def test_sampling_is_refused_dropped_or_sent_by_policy() -> None:
    """The default refuses it by name; the others say in the decision what they did."""
    warm = request({"temperature": 0.5, "top_k": 3})
    with pytest.raises(InvalidRequest) as refused:
        planner().plan(warm, "t", AT)
    assert [v.field for v in refused.value.violations] == ["messages_json.temperature", "messages_json.top_k"]
    dropped = planner(sampling="drop").plan(warm, "t", AT)
    assert not {"temperature", "top_k"} & sent(dropped).keys()
    assert "sampling_dropped" in [reason.code for reason in dropped.decision.reasons]
    old = planner(sampling="old_version").plan(
        request({"temperature": 0.5}, model="claude-haiku-4-5"), "t", AT
    )
    assert sent(old)["temperature"] == 0.5
    assert old.headers == {"anthropic-version": "2023-06-01"}


def test_a_model_without_a_price_is_never_planned() -> None:
    """Unknown is refused, also in the body."""
    with pytest.raises(UnknownModel):
        planner().plan(request({}, model="gpt-4o"), "t", AT)


def test_estimates_learn_from_real_usage_of_the_same_tenant() -> None:
    """What calls really read and wrote moves the next estimate of that tenant, and of no other."""
    used, asked = planner(), request({}, task="faq")
    before = Estimator(used).estimate(used.plan(asked, "a", AT), "a", all_candidates=False, at=AT).models[0]
    for _ in range(30):
        plan = used.plan(asked, "a", AT)
        used.learn(plan, "a", Usage(input_tokens=2 * before.input_tokens.expected, output_tokens=7))
    after = Estimator(used).estimate(used.plan(asked, "a", AT), "a", all_candidates=False, at=AT).models[0]
    other = Estimator(used).estimate(used.plan(asked, "b", AT), "b", all_candidates=False, at=AT).models[0]
    assert after.input_tokens.expected > before.input_tokens.expected
    assert after.output_tokens.expected < before.output_tokens.expected
    assert other == before


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300)
blocks = st.lists(
    st.fixed_dictionaries(
        {"type": st.just("text"), "text": texts.map(lambda text: text * 40)},
        optional={"cache_control": st.fixed_dictionaries({"type": st.just("ephemeral")})},
    ),
    min_size=1,
    max_size=3,
)
tools = st.lists(
    st.fixed_dictionaries(
        {"name": st.just("t"), "description": texts, "input_schema": st.just({"type": "object"})}
    ),
    max_size=3,
)
turns = st.fixed_dictionaries({"role": st.just("user"), "content": texts | blocks})
members = st.fixed_dictionaries(
    {"messages": st.lists(turns, min_size=1)},
    optional={
        "system": texts | blocks,
        "tools": tools,
        "max_tokens": st.integers(1, 30_000),
        "inference_geo": st.sampled_from(["us", "global"]),
    },
)


def rises(amounts: Range) -> bool:
    """Tell whether each bound is at least the one before."""
    return 0 < amounts.expected <= amounts.upper <= amounts.worst


@settings(max_examples=60, deadline=None)
@given(members=members, task=st.sampled_from(["", "faq", "support", "analysis"]), conversation=st.booleans())
def test_worst_is_above_upper_is_above_expected(members, task, conversation):
    """On every model, cold or warm, standard or batch; the chosen model's comes first, then the cheapest."""
    asked = request(members, task=task, conversation_id="c" if conversation else "")
    used = planner()
    estimate = Estimator(used).estimate(used.plan(asked, "t", AT), "t", all_candidates=True, at=AT)
    assert estimate.models[0].model is estimate.decision.model
    assert {found.model.id for found in estimate.models} == set(POLICY.models)
    others = [found.standard_cold.expected for found in estimate.models[1:]]
    assert others == sorted(others)
    for found in estimate.models:
        assert rises(found.input_tokens)
        for cost in (found.standard_cold, found.standard_warm, found.batch_cold, found.batch_warm):
            assert rises(cost)
        assert found.standard_warm.expected <= found.standard_cold.expected
        assert found.batch_cold.worst <= found.standard_cold.worst


pins = st.builds(
    Pin,
    model=st.sampled_from([*POLICY.models, "claude-none"]),
    turns=st.integers(1, 30),
    cached_tokens=st.integers(0, 5_000),
    cached_until=st.sampled_from([AT - timedelta(minutes=1), AT + timedelta(minutes=1)]),
)


@settings(max_examples=100, deadline=None)
@given(
    members=members, task=st.sampled_from(["", "faq", "support", "analysis"]), pin=pins, pinned=st.booleans()
)
def test_a_plan_that_learns_its_place_later_is_the_same(members, task, pin, pinned):
    """What is known of a conversation changes a plan alike, whenever it becomes known."""
    asked = request(members, task=task, conversation_id="c", model="claude-opus-5-5" if pinned else "")
    used = planner()
    at_once, later = used.plan(asked, "t", AT, pin), used.continued(used.plan(asked, "t", AT), pin)
    assert later.decision == at_once.decision
    assert later.pin == at_once.pin
    assert later.body(stream=False) == at_once.body(stream=False)
