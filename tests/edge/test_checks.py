"""Tests of answers with checks: what is reported, what follows a failure, and what it costs."""

from __future__ import annotations

import json
import random
from typing import Any

import grpc
import pytest

from costsvc import v1
from costsvc.config import POLICY, read_text
from costsvc.core.entry import MEASURES

ASK = "Classify as alpha, beta, gamma, delta, epsilon, zeta, eta or theta: ticket {n}"
SIMPLE, MEDIUM, COMPLEX = "claude-haiku-5-5", "claude-sonnet-5-5", "claude-opus-5-5"
IMPOSSIBLE = v1.Accept(allowed_values=["nobody says this"])
SUMS = tuple(name for name in MEASURES if name.endswith("_nano_usd"))


@pytest.fixture
def policy(tmp_path):
    """Give the way to write a policy that differs from the shipped one."""

    def write(*changes: tuple[str, str]) -> str:
        text = read_text(POLICY)
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "policy.toml"
        path.write_text(text)
        return str(path)

    return write


async def disagreement(service: Any) -> tuple[str, str]:
    """Return a question that the simple model answers unlike the medium one, and the medium one's answer."""
    for n in range(50):
        text = ASK.format(n=n)
        simple, medium = [(await service.complete(text, model=model)).text for model in (SIMPLE, MEDIUM)]
        if simple != medium:
            return text, medium
    raise AssertionError


def parts(entries: Any) -> dict[str, int]:
    """Add up what entries say of money."""
    at = {name: MEASURES.index(name) for name in SUMS}
    return {name: sum(entry.measures()[index] for entry in entries) for name, index in at.items()}


async def test_an_answer_that_passes_is_reported_and_nothing_follows(service):
    """The checks that passed are named; the cheapest tier may answer where they say what is right."""
    accept = v1.Accept(pattern="^(alpha|beta)?", no_refusal=True, max_chars=100)
    answer = await service.complete(ASK.format(n=1), task="analysis", accept=accept)
    assert answer.checked.accepted
    assert list(answer.checked.passed_checks) == ["no_refusal", "pattern", "length"]
    assert not answer.checked.failed_checks
    assert not answer.checked.escalations
    assert (answer.model, answer.attempt_count) == (SIMPLE, 1)
    assert [reason.code for reason in answer.decision.reasons] == [
        "task_hint",
        "cascade",
        "max_tokens_default",
    ]
    assert answer.decision.candidates[-1].model == SIMPLE


async def test_what_says_nothing_of_the_content_lets_no_lower_tier_begin(service):
    """A length, and what the provider keeps to anyway, are checked on the tier of the task."""
    answer = await service.complete(task="analysis", accept=v1.Accept(min_chars=1, no_truncation=True))
    assert (answer.model, answer.checked.accepted) == (COMPLEX, True)
    body = {
        "messages": [{"role": "user", "content": "Extract the name: Alma"}],
        "max_tokens": 1000,
        "output_config": {
            "format": {
                "type": "json_schema",
                "schema": {
                    "type": "object",
                    "properties": {"name": {"type": "string"}},
                    "required": ["name"],
                    "additionalProperties": False,
                },
            }
        },
    }
    answer = await service.complete(body=body, task="analysis")
    assert (answer.model, list(answer.checked.passed_checks)) == (COMPLEX, ["json_schema"])


async def test_without_checks_nothing_is_reported(service):
    """An answer that nobody checks says nothing of checks."""
    assert not (await service.complete(accept=v1.Accept())).HasField("checked")


async def test_a_failed_answer_is_followed_by_the_next_tier(service):
    """Each answer has an attempt, a hold and an entry; the parts of both sum to baseline minus cost."""
    text, wanted = await disagreement(service)
    before = len(await service.entries())
    answer = await service.complete(text, accept=v1.Accept(allowed_values=[wanted]))
    assert (answer.text, answer.model, answer.attempt_count) == (wanted, MEDIUM, 2)
    assert answer.checked.accepted
    (escalation,) = answer.checked.escalations
    assert (escalation.model, [failed.check for failed in escalation.failed_checks]) == (
        SIMPLE,
        ["allowed_values"],
    )
    assert answer.decision.reasons[-1].code == "escalated"
    first, second = (await service.entries())[before:]
    assert (first.entry_id, second.entry_id) == (escalation.entry_id, f"{answer.response_id}.2")
    assert first.cost_nano_usd == escalation.cost_nano_usd == service.bill()[first.entry_id]
    assert (first.baseline_nano_usd, first.savings.routing_nano_usd) == (0, -first.cost_nano_usd)
    assert second.baseline_nano_usd > 0
    sums, bill = parts([first, second]), answer.bill
    assert (sums["cost_nano_usd"], sums["baseline_nano_usd"]) == (bill.cost_nano_usd, bill.baseline_nano_usd)
    for name in SUMS[2:]:
        assert sums[name] == getattr(bill.savings, name)
    assert sum(sums[name] for name in SUMS[2:]) == bill.baseline_nano_usd - bill.cost_nano_usd
    assert bill.usage.output_tokens == first.usage.output_tokens + second.usage.output_tokens


async def test_the_last_answer_is_returned_when_every_tier_fails(service):
    """It is paid for, so it is not kept from the caller, and says what it failed."""
    answer = await service.complete(ASK.format(n=1), accept=IMPOSSIBLE)
    assert not answer.checked.accepted
    assert [each.model for each in answer.checked.escalations] == [SIMPLE, MEDIUM]
    assert (answer.model, answer.text != "") == (COMPLEX, True)
    assert [each.check for each in answer.checked.failed_checks] == ["allowed_values"]
    entries = await service.booked(3)
    assert sum(entry.cost_nano_usd for entry in entries) == sum(service.bill().values())
    assert answer.bill.cost_nano_usd == sum(service.bill().values())


@pytest.mark.parametrize(
    ("fields", "model"),
    [
        ({"model": MEDIUM}, MEDIUM),
        ({"routing_mode": v1.ROUTING_MODE_BASELINE}, COMPLEX),
        ({"max_tier": v1.TIER_SIMPLE}, SIMPLE),
        ({"min_tier": v1.TIER_COMPLEX}, COMPLEX),
    ],
)
async def test_nothing_follows_where_the_caller_leaves_no_other_model(service, fields, model):
    """A pinned model, the baseline and the caller's bounds hold, whatever the checks say."""
    answer = await service.complete(ASK.format(n=1), accept=IMPOSSIBLE, **fields)
    assert (answer.model, answer.attempt_count, answer.checked.accepted) == (model, 1, False)


async def test_a_conversation_is_not_begun_lower(service):
    """A turn stays on its conversation's tier, and only a failure moves it up."""
    accept = v1.Accept(pattern="a|e")
    answer = await service.complete(ASK.format(n=1), task="summary", conversation_id="c", accept=accept)
    assert (answer.model, answer.attempt_count) == (MEDIUM, 1)


async def test_the_callers_most_counts_what_failed_before(service):
    """No higher tier follows where both together may cost more than the caller allows."""
    asked = {"text": ASK.format(n=1), "accept": IMPOSSIBLE, "max_tokens": 20, "task": "faq"}
    answer = await service.complete(**asked, max_cost_nano_usd=50_000)
    assert (answer.model, answer.checked.accepted) == (SIMPLE, False)
    answer = await service.complete(**asked, max_cost_nano_usd=2_000_000)
    assert (answer.model, answer.checked.accepted) == (COMPLEX, False)


async def test_a_policy_can_switch_it_off(serve, policy):
    """Checks are then reported, and nothing follows; or only some tasks begin on their own tier."""
    path = policy(("[cascade]\nenabled = true", "[cascade]\nenabled = false"))
    async with serve(policy=path) as service:
        answer = await service.complete(ASK.format(n=1), task="summary", accept=IMPOSSIBLE)
        assert (answer.model, answer.attempt_count) == (MEDIUM, 1)
        assert not answer.checked.accepted


async def test_a_task_can_begin_on_its_own_tier(serve, policy):
    """The operator knows which checks say too little."""
    async with serve(policy=policy(("except_tasks = []", 'except_tasks = ["summary"]'))) as service:
        accept = v1.Accept(pattern="a|e")
        answers = [
            await service.complete(ASK.format(n=1), task=task, accept=accept)
            for task in ("summary", "analysis")
        ]
        assert [answer.model for answer in answers] == [MEDIUM, SIMPLE]


async def test_a_failure_of_the_next_attempt_leaves_the_answer(service, sim):
    """What was paid for is returned, although it failed its checks and another should have followed."""
    sim.faults.add("error", status=400, match={"model": MEDIUM})
    answer = await service.complete(ASK.format(n=1), accept=IMPOSSIBLE, request_id="r1")
    assert (answer.model, answer.checked.accepted) == (SIMPLE, False)
    assert not answer.checked.escalations
    again = await service.complete(ASK.format(n=1), accept=IMPOSSIBLE, request_id="r1")
    assert (again.replayed, again.text, again.response_id) == (True, answer.text, answer.response_id)
    assert again.checked == answer.checked


async def test_a_repeated_request_gets_the_accepted_answer(service):
    """With its checks, its escalations and the bill of all; other checks are another request."""
    text, wanted = await disagreement(service)
    accept = v1.Accept(allowed_values=[wanted])
    answer = await service.complete(text, accept=accept, request_id="r1")
    again = await service.complete(text, accept=accept, request_id="r1")
    assert (again.replayed, again.text) == (True, wanted)
    assert (again.checked, again.bill) == (answer.checked, answer.bill)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await service.complete(text, accept=v1.Accept(pattern="x"), request_id="r1")
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_stream_is_checked_at_its_end(service):
    """What has been shown cannot be taken back: the failure is reported, and nothing follows."""
    *_, last = await service.stream(ASK.format(n=1), task="summary", accept=IMPOSSIBLE)
    assert not last.completed.checked.accepted
    assert (last.completed.model, last.completed.attempt_count) == (MEDIUM, 1)


@pytest.mark.parametrize("form", [v1.STREAM_FORMAT_TEXT, v1.STREAM_FORMAT_PROVIDER_EVENTS])
async def test_a_stream_that_is_held_back_is_only_the_accepted_answer(serve, policy, form):
    """Where the policy buffers streams, the caller sees nothing of an answer that failed."""
    path = policy(("buffer_streams = false", "buffer_streams = true"))
    async with serve(policy=path) as service:
        text, wanted = await disagreement(service)
        first, *pieces, last = await service.stream(
            text, form=form, accept=v1.Accept(allowed_values=[wanted])
        )
        assert not first.started.replayed
        assert first.started.decision.model == MEDIUM
        if form == v1.STREAM_FORMAT_TEXT:
            assert "".join(piece.text_delta for piece in pieces) == wanted
        assert json.loads(last.completed.message_json)["content"][-1]["text"] == wanted
        assert (last.completed.attempt_count, last.completed.checked.accepted) == (2, True)


@pytest.mark.parametrize(
    ("accept", "field"),
    [
        ({"json_schema": b'{"type": "strin"}'}, "request.accept.json_schema.type"),
        (
            {"json_schema": b'{"properties": {"a": {"pattern": "("}}}'},
            "request.accept.json_schema.properties.a.pattern",
        ),
        ({"json_schema": b'{"items": {"$ref": "#"}}'}, "request.accept.json_schema.items.$ref"),
        ({"json_schema": b'{"$ref": "http://127.0.0.1/x"}'}, "request.accept.json_schema.$ref"),
        ({"json_schema": b"[]"}, "request.accept.json_schema"),
        ({"json_schema": b"{"}, "request.accept.json_schema"),
        ({"json_schema": b'{"a":' * 5000 + b"1" + b"}" * 5000}, "request.accept.json_schema"),
        ({"json_schema": b'{"a": "' + b"x" * 70_000 + b'"}'}, "request.accept.json_schema"),
        ({"pattern": "(?=x)"}, "request.accept.pattern"),
        ({"pattern": "("}, "request.accept.pattern"),
        ({"pattern": r"([01]{1,200}){1,10}x"}, "request.accept.pattern"),
        ({"min_chars": 5, "max_chars": 4}, "request.accept.max_chars"),
        ({"min_chars": -1}, "request.accept.min_chars"),
    ],
)
async def test_a_check_that_cannot_be_made_is_refused_by_its_path(service, refused, accept, field):
    """Before any spend, and naming the part of the schema."""
    refusal = await refused(service.complete(accept=v1.Accept(**accept)))
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert list(refusal.violations) == [field]
    assert await service.untouched()


async def test_a_structured_output_that_cannot_be_checked_is_sent_all_the_same(service):
    """The provider alone decides what schemas it takes."""
    schema = {"type": "object", "properties": {"next": {"$ref": "#"}}}
    body = {
        "messages": [{"role": "user", "content": "Extract"}],
        "max_tokens": 60,
        "output_config": {"format": {"type": "json_schema", "schema": schema}},
    }
    try:
        answer = await service.complete(body=body)
    except grpc.aio.AioRpcError as error:
        assert "schema" in (error.details() or "")  # noqa: PT017 - the provider's refusal, not ours
    else:
        assert not answer.HasField("checked")
    assert service.sim.requests


async def test_a_check_that_always_fails_costs_at_most_five_percent_more(serve, sim):
    """After 100 calls, by the provider's own bill, than beginning on the highest tier."""
    random.seed(7)  # which calls are probes
    async with serve() as service:
        for n in range(100):
            answer = await service.complete(f"How do {n} bicycles stay upright?", accept=IMPOSSIBLE)
            assert not answer.checked.accepted
        lines = sim.bill.lines()
        spent = sum(line.pico_usd for line in lines)
        highest = [line.pico_usd for line in lines if line.model == COMPLEX]
        assert len(highest) == 100
        assert sum(highest) < spent <= 1.05 * sum(highest)
        decision = (await service.route(ASK.format(n=1), accept=IMPOSSIBLE)).decision
        assert {reason.code for reason in decision.reasons} >= {"cascade"}
        assert decision.model == COMPLEX
