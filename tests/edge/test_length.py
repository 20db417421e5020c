"""Tests of length levers: what is sent, said, billed and saved."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from costsvc import v1
from costsvc.app import policies
from costsvc.core.lengths import LEAST_CALLS
from tests.policies import uncached

EXPLAIN = "Explain in some detail why the sky is blue, number {n}?"
SIMPLE, MEDIUM = "claude-haiku-5-5", "claude-sonnet-5-5"
HAIKU_OUTPUT_NANO_USD = 500
CAP = """
[length.faq]
cap_tokens = 40
truncate_ok = true
thinking_off = true
probe_share = "0.5"
"""


@pytest.fixture
def policy(tmp_path: Path) -> Any:
    """Give the way to write the shipped policy with more tables."""

    def write(tables: str) -> str:
        path = tmp_path / "policy.toml"
        path.write_text(f"{uncached()}\n{tables}")
        return str(path)

    return write


def codes(answer: Any) -> list[str]:
    """Return the codes of a decision's reasons."""
    return [reason.code for reason in answer.decision.reasons]


def levers(answer: Any) -> dict[str, int]:
    """Return what each lever saved."""
    return {each.lever: each.saved_nano_usd for each in answer.bill.lever_savings}


async def checked(service: Any, answers: list[Any]) -> None:
    """Hold each bill against the provider's and the ledger's, and its parts against their sums."""
    bills = service.bill()
    entries = {entry.response_id: entry for entry in await service.booked(len(bills))}
    for answer in answers:
        bill, entry = answer.bill, entries[answer.response_id]
        assert bill.cost_nano_usd == entry.cost_nano_usd == bills[entry.attempt_id]
        assert bill.baseline_nano_usd - bill.cost_nano_usd == bill.savings.total_nano_usd
        assert sum(levers(answer).values()) == bill.savings.token_reduction_nano_usd
        assert {each.lever: each.nano_usd for each in entry.levers} == levers(answer)
        assert entry.savings.token_reduction_nano_usd == bill.savings.token_reduction_nano_usd


def sent(service: Any) -> list[dict[str, Any]]:
    """Return the bodies that the provider got."""
    return [json.loads(request.body) for request in service.sim.requests]


async def test_a_cap_saves_what_uncut_answers_have_beyond_it(serve: Any, policy: Any) -> None:
    """Nothing before enough of them are known; then their mean; the cut answer is passed on as it is."""
    async with serve(policy=policy(CAP)) as service:
        answers = [await service.complete(EXPLAIN.format(n=n), task="faq") for n in range(100)]
        cut = [answer for answer in answers if "length_cap" in codes(answer)]
        whole = [answer for answer in answers if codes(answer)[-1] == "length_probe"]
        assert len(cut) + len(whole) == 100
        assert min(len(cut), len(whole)) >= LEAST_CALLS
        for answer in cut:
            assert (answer.stop_reason, answer.bill.usage.output_tokens) == ("max_tokens", 40)
        assert levers(cut[0]) == {"thinking_off": 0, "length_cap": 0}
        last = levers(cut[-1])["length_cap"]
        lengths = [answer.bill.usage.output_tokens for answer in whole if "thinking_off" in codes(answer)]
        mean_tail = sum(lengths) / len(lengths) - 40
        assert abs(last / HAIKU_OUTPUT_NANO_USD - mean_tail) < mean_tail / 2
        assert last > 0
        bodies = sent(service)
        assert sum(body["max_tokens"] == 40 for body in bodies) == len(cut)
        assert all(body["max_tokens"] in {40, 512} for body in bodies)
        await checked(service, answers)
        totals = (await service.report()).totals.bill
        saved = sum(answer.bill.savings.token_reduction_nano_usd for answer in answers)
        assert totals.savings.token_reduction_nano_usd == saved
        assert not totals.lever_savings


async def test_the_caller_keeps_its_word(serve: Any, policy: Any) -> None:
    """Its smaller limit, its checks and its tools; another task has no levers at all."""
    async with serve(policy=policy(CAP.replace('"0.5"', '"0"'))) as service:
        answers = [
            await service.complete(EXPLAIN, task="faq", max_tokens=30),
            await service.complete(EXPLAIN, task="faq", accept=v1.Accept(no_truncation=True)),
            await service.complete(EXPLAIN, task="greeting"),
        ]
        assert [body["max_tokens"] for body in sent(service)] == [30, 512, 128]
        assert [list(levers(answer)) for answer in answers] == [["thinking_off"], ["thinking_off"], []]
        assert answers[1].checked.accepted
        await checked(service, answers)


async def test_a_missing_limit_follows_the_answers(serve: Any, policy: Any) -> None:
    """The policy's own at first, then the quantile of those that were seen, which the decision names."""
    table = '[length.analysis]\ndefault_quantile = "0.9"\nfloor_tokens = 20\nprobe_share = "0"'
    async with serve(policy=policy(table)) as service:
        answers = [await service.complete(EXPLAIN.format(n=n), task="analysis") for n in range(LEAST_CALLS)]
        assert all("max_tokens_default" in codes(answer) for answer in answers)
        tokens = sorted(answer.bill.usage.output_tokens for answer in answers)
        after = await service.complete(EXPLAIN.format(n=0), task="analysis")
        quantile = tokens[-(-LEAST_CALLS * 9 // 10) - 1]
        assert "max_tokens_default" not in codes(after)
        [reason] = [each for each in after.decision.reasons if each.code == "max_tokens_observed"]
        assert reason.detail == f"{quantile}: quantile 0.9 of the last 20 answers is {quantile}"
        assert sent(service)[-1]["max_tokens"] == quantile
        await checked(service, [*answers, after])


async def test_effort_stop_sequences_and_schema_are_sent_and_measured(serve: Any, policy: Any) -> None:
    """Where the caller says nothing of them; what they save is what answers without them had more."""
    schema = '{"type":"object","properties":{"n":{"type":"integer"}},"additionalProperties":false}'
    tables = f"""
[length.analysis]
effort = "low"
stop_sequences = ["END"]
probe_share = "0.5"
[length.extraction]
json_schema = '{schema}'
probe_share = "0"
"""
    async with serve(policy=policy(tables)) as service:
        answers = [await service.complete(EXPLAIN.format(n=n), task="analysis") for n in range(100)]
        full = [answer for answer in answers if "stop_sequences_added" in codes(answer)]
        assert sum(body.get("stop_sequences") == ["END"] for body in sent(service)) == len(full)
        last = [answer for answer in full if list(levers(answer).values()) != [0, 0]]
        assert last
        assert sum(levers(answer)["effort_set"] for answer in last) > 0  # it thinks less
        json_answer = await service.complete("Extract the number: 7", task="extraction")
        body = sent(service)[-1]
        assert body["output_config"]["format"] == {"type": "json_schema", "schema": json.loads(schema)}
        assert not json_answer.HasField("checked")
        assert levers(json_answer)["schema_added"] < 0  # its prompt costs, and nothing is measured yet
        await checked(service, [*answers, json_answer])


async def test_a_tidied_prompt_is_sent_and_the_rest_stays_byte_for_byte(serve: Any, policy: Any) -> None:
    """The removed tokens are part of the baseline; a breakpoint of ours sits on the tidied prompt."""
    table = "[length.support]\ntidy_prompts = true\n"
    fixed = "You are the assistant of a shop.  \n\n\n\nBe kind.\n```\nx = 1  \n```\n" + "Be brief. " * 600
    body = json.dumps({"system": fixed, "messages": [{"role": "user", "content": "Hi?  "}], "max_tokens": 50})
    raw = body.replace(
        '"max_tokens": 50', '"metadata": {"user_id":"a" },"max_tokens": 5e1'.replace("5e1", "50")
    )
    async with serve(policy=policy(table)) as service:
        answer = await service.complete(body=raw.encode(), task="support")
        assert "prompt_tidied" in codes(answer)
        assert "marker_added" in codes(answer)
        [request] = service.sim.requests
        got = json.loads(request.body)
        [block] = got["system"]
        assert block["text"].startswith("You are the assistant of a shop.\n\nBe kind.\n```\nx = 1  \n```\n")
        assert block["cache_control"] == {"type": "ephemeral"}
        assert got["messages"] == [{"role": "user", "content": "Hi?"}]
        assert b'"metadata":{"user_id":"a" },"max_tokens":50' in request.body
        assert levers(answer)["prompt_tidied"] > 0
        await checked(service, [answer])


async def test_answers_with_and_without_levers_are_kept_apart(serve: Any, policy: Any) -> None:
    """A stored answer serves the same way of asking; who asks the same again gets it, and its savings."""
    tables = """
[response_cache.all]
tasks = ["faq", "summary"]
ttl_s = 600
[length.faq]
effort = "low"
tidy_prompts = true
probe_share = "0"
"""
    async with serve(policy=policy(tables)) as service:
        options = {"model": SIMPLE, "cache_namespace": "all"}
        with_levers = await service.complete(EXPLAIN, task="faq", **options)
        without = await service.complete(EXPLAIN, task="summary", **options)
        again = await service.complete(EXPLAIN, task="faq", **options)
        outcomes = [answer.cache_outcome for answer in (with_levers, without, again)]
        assert outcomes == [v1.CACHE_OUTCOME_MISS, v1.CACHE_OUTCOME_MISS, v1.CACHE_OUTCOME_HIT]
        assert levers(again) == levers(with_levers) == {"effort_set": 0}
        assert again.bill.baseline_nano_usd == with_levers.bill.baseline_nano_usd


async def test_a_repeated_request_has_the_same_bill(serve: Any, policy: Any) -> None:
    """The first call's levers and their savings are said again, whatever the policy says by then."""
    async with serve(policy=policy(CAP.replace('"0.5"', '"0"'))) as service:
        first = await service.complete(EXPLAIN, task="faq", request_id="r")
        again = await service.complete(EXPLAIN, task="faq", request_id="r")
        assert again.replayed
        assert again.bill == first.bill
        assert codes(again) == codes(first)
        assert len(service.bill()) == 1


async def test_an_escalated_call_pulls_the_levers_of_each_model(serve: Any, policy: Any) -> None:
    """Those of the model that answers are in the decision, and what failed before has none."""
    tables = '[length.faq]\nthinking_off = true\nprobe_share = "0"'
    async with serve(policy=policy(tables)) as service:
        accept = v1.Accept(allowed_values=["nobody says this"])
        answer = await service.complete("Classify as a or b: x", task="faq", accept=accept)
        assert [body.get("thinking", {}).get("type") for body in sent(service)] == [
            "disabled",
            "between_tools",
            None,
        ]
        assert "thinking_off" not in codes(answer)
        assert not answer.bill.lever_savings
        assert answer.bill.baseline_nano_usd - answer.bill.cost_nano_usd == answer.bill.savings.total_nano_usd


async def test_levers_come_into_force_while_the_service_runs(
    serve: Any, policy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table that cannot work changes nothing; one that can is in the next decisions."""
    monkeypatch.setattr(policies, "LOOK_EVERY_S", 0.02)
    monkeypatch.setattr(policies, "SETTLE_S", 0.02)
    path = policy("")
    async with serve(policy=path) as service:
        assert codes(await service.route(EXPLAIN, task="faq")) == ["task_hint", "max_tokens_default"]
        policy("[length.faq]\ncap_tokens = 5\n")
        await service.line("policy_reload_failed")
        policy("[length.faq]\ncap_tokens = 5\ntruncate_ok = true\nthinking_off = true\nprobe_share = '0'\n")
        async with asyncio.timeout(10):
            while "length_cap" not in codes(  # noqa: ASYNC110 - a decision has no event
                await service.route(EXPLAIN, task="faq")
            ):
                await asyncio.sleep(0.01)
        routed = await service.route(EXPLAIN, task="faq", include_body=True)
        assert json.loads(routed.messages_json)["max_tokens"] == 5
