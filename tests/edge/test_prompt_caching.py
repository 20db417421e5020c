"""Tests of cache breakpoints that follow from what was seen of prompts, against the provider's rules."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from costsvc import v1

SHIPPED = Path("costsvc/data/policy.toml").read_text()
SYSTEM = "You know everything about bicycles, and you say it in one sentence. " * 200


def usage(answers: list[Any]) -> list[tuple[int, int]]:
    """Return the tokens that each call wrote to the provider's cache, and those that it read."""
    bills = [answer.bill.usage for answer in answers]
    return [(b.cache_write_5m_tokens + b.cache_write_1h_tokens, b.cache_read_tokens) for b in bills]


async def check_books(service: Any, count: int) -> None:
    """Assert that every call was booked as the provider billed it."""
    entries = await service.booked(count)
    assert {entry.attempt_id: entry.cost_nano_usd for entry in entries} == service.bill()


async def test_a_shared_prompt_is_written_once_and_read_by_all(service):
    """Without a conversation or any word of the caller: what repeats is found by what is seen."""
    answers = [await service.complete(f"What is part {n}?", system=SYSTEM, task="faq") for n in range(6)]
    [(written, _), *later] = usage(answers)
    assert written > 1_000
    assert all(read == written and again < 20 for again, read in later)
    savings = [answer.bill.savings.prompt_cache_nano_usd for answer in answers]
    assert savings[0] < 0 < savings[1]
    assert sum(savings) > 0
    assert {r.code for r in answers[1].decision.reasons} >= {"marker_added"}
    await check_books(service, 6)


async def test_prompts_that_never_repeat_are_given_up(service):
    """A date at the top of a prompt makes each a new one: after a few the writes stop."""
    answers = [await service.complete(system=f"It is {n} o'clock. {SYSTEM}", task="faq") for n in range(8)]
    writes = [written for written, _ in usage(answers)]
    assert writes[0] > 0
    assert writes[4:] == [0] * 4
    assert sum(answer.bill.savings.prompt_cache_nano_usd for answer in answers) < 0
    await check_books(service, 8)


async def test_what_one_tenant_sends_says_nothing_of_anothers(service):
    """A tenant whose prompts vary does not spoil those of another, which repeat."""
    for n in range(5):
        await service.complete(system=f"It is {n} o'clock. {SYSTEM}", task="faq")
    other = {"metadata": (("costsvc-tenant", "other"),)}
    answers = [await service.complete(system=SYSTEM, task="faq", options=other) for _ in range(2)]
    [(written, _), (_, read)] = usage(answers)
    assert written == read > 0


async def test_a_growing_conversation_reads_what_it_wrote(service):
    """Each turn reads the turns before it, whichever replica or form it comes in; content stays as it is."""
    messages: list[dict[str, Any]] = []
    answers = []
    for turn in range(5):
        messages.append({"role": "user", "content": f"Turn {turn}. " + "Tell me more of bicycles. " * 150})
        body = {"system": SYSTEM, "max_tokens": 60, "messages": messages}
        answers.append(await service.complete(body=body, conversation_id="c", task="support"))
        messages.append({"role": "assistant", "content": json.loads(answers[-1].message_json)["content"]})
    reads = [read for _, read in usage(answers)]
    assert reads[0] == 0
    assert reads[1] > 1_000
    assert reads[4] > reads[1] + 1_000
    assert sum(answer.bill.savings.prompt_cache_nano_usd for answer in answers) > 0
    await check_books(service, 5)


async def test_another_replica_knows_what_one_has_seen(serve, tmp_path):
    """The statistics are in the store."""
    async with serve() as one, serve(data_dir=tmp_path / "two") as two:
        for n in range(5):
            await one.complete(system=f"It is {n} o'clock. {SYSTEM}", task="faq")
        answer = await two.complete(system=f"It is noon. {SYSTEM}", task="faq")
    assert usage([answer]) == [(0, 0)]


async def test_route_says_what_would_be_placed_and_spends_nothing(service):
    """Before anything is known, and after a prompt was read."""
    before = (await service.route(system=SYSTEM, task="faq")).prompt_cache
    assert before.expected_read_tokens == 0
    assert before.expected_input_nano_usd > before.uncached_input_nano_usd > 0
    assert before.expected_later_savings_nano_usd > 0
    for _ in range(2):
        await service.complete(system=SYSTEM, task="faq")
    after = (await service.route(system=SYSTEM, task="faq")).prompt_cache
    assert after.expected_read_tokens > 1_000
    assert after.expected_input_nano_usd < after.uncached_input_nano_usd
    assert after.breakpoints[0].reuse_permille > before.breakpoints[0].reuse_permille
    await check_books(service, 2)


async def test_policy_can_leave_breakpoints_to_callers(serve, tmp_path):
    """Nothing is added, nothing is asked of the store."""
    path = tmp_path / "policy.toml"
    path.write_text(SHIPPED.replace('markers = "planned"', 'markers = "never"'))
    async with serve(policy=path) as service:
        answers = [await service.complete(system=SYSTEM, task="faq") for _ in range(2)]
        assert usage(answers) == [(0, 0), (0, 0)]
        plan = (await service.route(system=SYSTEM)).prompt_cache
        assert not plan.breakpoints
        assert list(plan.reasons) == ["the policy leaves breakpoints to callers"]
        assert b"cache_control" not in b"".join(request.body for request in service.sim.requests)


async def test_a_bound_holds_what_a_write_may_cost(service, refused):
    """A budget that has room for the prompt, but not for writing it, admits nothing that it cannot pay."""
    answer = await service.complete(system=SYSTEM, task="faq")
    entry = (await service.booked(1))[0]
    assert entry.usage.cache_write_5m_tokens > 0
    assert answer.bill.cost_nano_usd == entry.cost_nano_usd
    refusal = await refused(service.complete(system=SYSTEM, task="faq", max_cost_nano_usd=1_000))
    assert refusal.reason == "NO_MODEL_FITS"


async def test_short_prompts_ask_nothing(service, store):
    """Below every minimum there is nothing to cache, and nothing is counted."""
    await service.complete(task="faq")
    assert not [key async for key in store.scan_iter("prefix:*")]
    await service.complete(system=SYSTEM, task="faq", marker_mode=v1.MARKER_MODE_CALLER_ONLY)
    assert not [key async for key in store.scan_iter("prefix:*")]
    await service.complete(system=SYSTEM, task="faq")
    assert [key async for key in store.scan_iter("prefix:*")]
