"""What costsvc allows, the provider answers; what it rules out, the provider refuses.

The two sides know the models from separate tables: the catalogue here, the simulated provider's own there.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from costsvc.app.observations import Observations
from costsvc.app.plan import Plan
from costsvc.app.planner import Planner
from costsvc.app.policies import PolicyInForce
from costsvc.config import load_catalog_files
from costsvc.core.classifier import question_about
from costsvc.core.conversation import Pin
from costsvc.core.errors import NoModelFits
from costsvc.core.judging import question_for
from costsvc.core.length import Length
from costsvc.core.lengths import LEAST_CALLS
from costsvc.core.policy import Policy, Sampling, read_policy
from costsvc.core.request import ModelRequest, Tier, read_messages_json
from costsvc.core.rules import Rule
from costsvc.core.usage import Usage
from costsvc.provider_sim import start
from tests.policies import uncached

NOON, HOUR = datetime(2026, 11, 22, 12, tzinfo=UTC), timedelta(hours=1)
CATALOG = load_catalog_files()
SHIPPED = read_policy(uncached(), CATALOG)
POLICY = replace(
    SHIPPED,
    sampling=Sampling.OLD_VERSION,
    tiers={
        Tier.SIMPLE: ("claude-haiku-5-5", "claude-haiku-4-5-20251001"),
        Tier.MEDIUM: (
            "claude-sonnet-5-5",
            "claude-sonnet-5",
            "claude-sonnet-4-6",
            "claude-sonnet-4-5-20250929",
        ),
        Tier.COMPLEX: ("claude-fable-5-2", "claude-opus-5-5", "claude-opus-5", "claude-opus-4-5-20251101"),
    },
)
HEADERS = {
    "authorization": "Bearer test-key",
    "anthropic-version": "2026-10-21",
    "content-type": "application/json",
}
USER = {"role": "user", "content": "How does a bicycle stay upright?"}
TOOL = {"name": "look", "input_schema": {"type": "object"}}
LONG = "You know bicycles. " * 400


class Noon:
    """A clock that stands still on a day without changes."""

    def now(self) -> datetime:
        """Return noon."""
        return NOON


@pytest.fixture
async def provider() -> AsyncIterator[aiohttp.ClientSession]:
    """Run a simulated provider, and a session that talks to it."""
    sim = await start(clock=Noon(), keep_requests=1)
    async with sim, aiohttp.ClientSession(sim.url, headers=HEADERS) as session:
        yield session


async def answer(provider: aiohttp.ClientSession, body: bytes, headers: dict[str, str]) -> tuple[int, str]:
    """Send a body; return the HTTP status and the error's message."""
    async with provider.post("/v1/messages", data=body, headers=headers) as response:
        found = await response.json()
        return response.status, found.get("error", {}).get("message", "")


THINKING = st.sampled_from(
    [
        {"type": "adaptive"},
        {"type": "enabled", "budget_tokens": 1024},
        {"type": "disabled"},
        {"type": "between_tools"},
    ]
)
CONFIGS = st.fixed_dictionaries(
    {},
    optional={
        "effort": st.sampled_from(["low", "medium", "high", "xhigh", "max"]),
        "format": st.just({"type": "json_schema", "schema": {"type": "object"}}),
    },
)
PLAIN_TURNS = [
    [USER],
    [USER, {"role": "assistant", "content": "By magic."}, USER],
    [USER, {"role": "system", "content": "Be brief."}],
]
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}
RESULT = {"type": "tool_result", "tool_use_id": "t", "content": [IMAGE] * 2}
CALL = {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "look", "input": {}}]}
THOUGHT = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}
RICH_TURNS = [
    [{"role": "user", "content": [IMAGE, {"type": "text", "text": "What is it?"}]}],
    [{"role": "user", "content": [IMAGE] * 101}],
    [USER, CALL, {"role": "user", "content": [RESULT, *[IMAGE] * 98]}],
    [USER, CALL, {"role": "user", "content": [RESULT, *[IMAGE] * 99]}],
    [{"role": "user", "content": [IMAGE] * 601}],
    [USER, {"role": "assistant", "content": [THOUGHT, {"type": "text", "text": "By magic."}]}, USER],
]
PREFILLS = [
    [USER, {"role": "assistant", "content": "By"}],
    [USER, {"role": "assistant", "content": [{"type": "text", "text": "By"}]}],
]
# What most models refuse is drawn seldom, so that it does not hide the rest.
BODIES = st.builds(
    lambda body, sampling: body | sampling | ({"tools": [TOOL]} if "tool_choice" in body else {}),
    st.fixed_dictionaries(
        {
            "messages": st.sampled_from([*PLAIN_TURNS * 3, *RICH_TURNS, *PREFILLS]),
            "max_tokens": st.sampled_from([*[2_000] * 8, 64_000, 64_001, 128_000, 128_001]),
        },
        optional={
            "system": st.sampled_from([LONG, [{"type": "text", "text": LONG}], "Be kind."]),
            "tool_choice": st.sampled_from(
                [{"type": "auto"}, {"type": "any"}, {"type": "tool", "name": "look"}]
            ),
            "thinking": THINKING,
            "output_config": CONFIGS,
            "inference_geo": st.sampled_from(["us", "global"]),
            "speed": st.sampled_from(["fast", *["standard"] * 4]),
        },
    ),
    st.sampled_from([*[{}] * 6, {"temperature": 0.3}, {"top_k": 7, "temperature": 0.3}]),
)
CALLABLE = sorted(model.id for model in CATALOG.models.values() if model.callable_on(NOON.date()))
RETIRED = sorted(CATALOG.models.keys() - set(CALLABLE))


def is_sound(body: dict[str, Any]) -> bool:
    """Tell whether some model takes it: thinking by budget does not go with a forced tool anywhere."""
    forced = body.get("tool_choice", {}).get("type") in {"any", "tool"}
    return not (forced and body.get("thinking", {}).get("type") == "enabled")


def plan(body: dict[str, Any], *, policy: Policy = POLICY, home: str | None = None, **said: Any) -> Plan:
    """Plan a request with this body, of a conversation that is on a model."""
    request = ModelRequest(members=read_messages_json(json.dumps(body).encode()), **said)
    pin = Pin(model=home, turns=3, cached_tokens=500, cached_until=NOON + HOUR) if home else None
    return Planner(CATALOG, PolicyInForce(policy), Observations()).plan(request, "tenant", NOON, pin)


RULES = [
    Rule(name="r", tier=Tier.COMPLEX),
    Rule(name="r", max_tier=Tier.MEDIUM),
    Rule(name="r", min_tier=Tier.MEDIUM),
    *(
        Rule(name="r", models=models)
        for models in (("claude-haiku-5-5",), ("claude-opus-4-6", "claude-fable-5-2"))
    ),
]
MANY = settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@MANY
@given(body=BODIES.filter(is_sound), lowest=st.sampled_from(Tier))
async def test_what_is_chosen_is_answered(
    provider: aiohttp.ClientSession, body: dict[str, Any], lowest: Tier
) -> None:
    """No mix of features is sent to a model that refuses it."""
    try:
        planned = plan(body, min_tier=lowest)
    except NoModelFits:
        return
    status, message = await answer(provider, planned.body(stream=False), dict(planned.headers))
    assert (status, message) == (200, "")


@MANY
@given(
    body=BODIES.filter(is_sound),
    rule=st.none() | st.sampled_from(RULES),
    home=st.none() | st.sampled_from(sorted(CATALOG.models)),
    task=st.sampled_from(["", "faq", "analysis"]),
    most_nano_usd=st.sampled_from([0, 0, 50_000_000]),
)
async def test_neither_rules_nor_conversations_lead_to_a_refusal(
    provider: aiohttp.ClientSession,
    body: dict[str, Any],
    rule: Rule | None,
    home: str | None,
    task: str,
    most_nano_usd: int,
) -> None:
    """Whatever leads to a model, and to each fallback of it, the model answers."""
    policy = replace(POLICY, rules=(rule,) if rule else ())
    try:
        planned = plan(body, policy=policy, home=home, task=task, max_cost_nano_usd=most_nano_usd)
    except NoModelFits:
        return
    planner = Planner(CATALOG, PolicyInForce(policy), Observations())
    fallbacks = (planner.fall_back(planned, name, "tenant", NOON, "is away") for name in policy.models)
    for each in (planned, *(fallback for fallback in fallbacks if fallback)):
        status, message = await answer(provider, each.body(stream=False), dict(each.headers))
        assert (status, message) == (200, ""), each.decision.model.id


LIMITED = Length(
    cap_tokens=16,
    default_quantile=Fraction(9, 10),
    ceiling_tokens=128_000,
    tidy_prompts=True,
    stop_sequences=("END",),
    probe_share=Fraction(1, 4),
)
SCHEMA = {"type": "object", "additionalProperties": False}
LENGTHS = st.builds(
    replace,
    st.sampled_from([LIMITED, Length(json_schema=SCHEMA, tidy_prompts=True), Length()]),
    effort=st.sampled_from(["", "low", "high", "max"]),
    thinking_off=st.booleans(),
)


@MANY
@given(
    body=BODIES.filter(is_sound),
    model=st.sampled_from(CALLABLE),
    length=LENGTHS,
    seen=st.none() | st.tuples(st.integers(1, 5_000), st.booleans()),
    says_max_tokens=st.booleans(),
)
async def test_no_lever_leads_to_a_refusal(
    provider: aiohttp.ClientSession,
    body: dict[str, Any],
    model: str,
    length: Length,
    seen: tuple[int, bool] | None,
    says_max_tokens: bool,
) -> None:
    """A request that a model answers is answered by it, and by each fallback, with the levers of its task."""
    members = {name: value for name, value in body.items() if says_max_tokens or name != "max_tokens"}
    request = ModelRequest(members=read_messages_json(json.dumps(members).encode()), task="faq", model=model)
    policy, observations = replace(POLICY, default_max_tokens=2_000, tasks={}), Observations()
    levered = Planner(CATALOG, PolicyInForce(replace(policy, lengths={"faq": length})), observations)
    try:
        planned = levered.plan(request, "tenant", NOON)
    except NoModelFits:
        return
    for _ in range(LEAST_CALLS if seen else 0):
        tokens, is_cut = seen or (0, False)
        levered.learn(planned, "tenant", Usage(output_tokens=tokens), "max_tokens" if is_cut else "end_turn")
        planned = levered.plan(request, "tenant", NOON)
    fallbacks = (levered.fall_back(planned, name, "tenant", NOON, "is away") for name in policy.models)
    for each in (planned, *(fallback for fallback in fallbacks if fallback)):
        status, message = await answer(provider, each.body(stream=False), dict(each.headers))
        assert (status, message) == (200, ""), (each.decision.model.id, each.body(stream=False))


@MANY
@given(body=BODIES.filter(is_sound), model=st.sampled_from([*CALLABLE * 3, *RETIRED]))
async def test_what_is_ruled_out_is_refused(
    provider: aiohttp.ClientSession, body: dict[str, Any], model: str
) -> None:
    """A pinned model is turned down only where the provider would turn it down, with a 400 or a 404."""
    await both_agree(provider, body, model)


@pytest.mark.parametrize("kind", ["adaptive", "enabled", "disabled", "between_tools"])
async def test_thinking_and_effort_are_known_of_every_model(
    provider: aiohttp.ClientSession, kind: str
) -> None:
    """Every kind of thinking at every effort, with and without it being said."""
    budget = {"budget_tokens": 1024} if kind == "enabled" else {}
    for model in CALLABLE:
        for effort in (None, "low", "medium", "high", "xhigh", "max"):
            config = {"output_config": {"effort": effort}} if effort else {}
            body = {"messages": [USER], "max_tokens": 2_000, "thinking": {"type": kind} | budget} | config
            await both_agree(provider, body, model)


async def both_agree(provider: aiohttp.ClientSession, body: dict[str, Any], model: str) -> None:
    """Check that a pinned model is allowed where the provider answers, and ruled out where it refuses."""
    try:
        planned = plan(body, model=model)
    except NoModelFits as refusal:
        reason = refusal.reasons[model]
    else:
        status, message = await answer(provider, planned.body(stream=False), dict(planned.headers))
        assert (status, message) == (200, ""), model
        return
    if reason == "has no fast mode" and model == "claude-opus-4-6":
        return  # takes the word, and runs and bills at standard speed: not what was asked for
    version = {"anthropic-version": "2023-06-01"} if body.keys() & {"temperature", "top_k"} else {}
    status, _ = await answer(provider, json.dumps(body | {"model": model}).encode(), version)
    assert status == (404 if reason.startswith("retired") else 400), (model, reason)


@pytest.mark.parametrize("name", sorted(CATALOG.models))
async def test_what_costsvc_asks_on_its_own_account_is_answered(
    provider: aiohttp.ClientSession, name: str
) -> None:
    """Whichever model sorts requests, or judges answers, can take the question, or is not asked."""
    model, planner = CATALOG.models[name], Planner(CATALOG, PolicyInForce(POLICY), Observations())
    here, there = (request(**more) for more in ({}, {"inference_geo": "us"}))
    judged = question_for(model, "Which is right?", asked="x", answered="y", baseline="z", swapped=True)
    for members in (judged, question_about(here, model), question_about(there, model)):
        question = ModelRequest(members=members, model=name, is_beside=True)
        try:
            asked = planner.plan(question, "tenant", NOON)
        except NoModelFits:
            continue
        assert await answer(provider, asked.body(stream=False), asked.headers) == (200, "")


def request(**members: Any) -> ModelRequest:
    """Return a request with these members."""
    body = {"messages": [USER], **members}
    return ModelRequest(members=read_messages_json(json.dumps(body).encode()))
