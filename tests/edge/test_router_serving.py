"""Tests of a score from the first outcome to the first decision: fitted apart, proved, or left in shadow."""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from pathlib import Path
from typing import Any

import pytest

from costsvc import v1
from tests.policies import uncached

PROGRAM = Path(sys.executable).parent / "costsvc"
EASY, HARD = (900, 900, 900), (100, 400, 900)
COUNT = 320
POLICY = '\n[router.support]\nquality_floor = "0.97"\n[router.summary]\nquality_floor = "0.97"\n'


@pytest.fixture
def learning(tmp_path: Path) -> Path:
    """Give a policy that has two tasks learned."""
    path = tmp_path / "policy.toml"
    path.write_text(uncached() + POLICY)
    return path


async def teach(service: Any, task: str, *, tells: bool, count: int = COUNT) -> None:
    """Ask, and say what each tier's answer is worth; with `tells`, a word says which prompts are hard."""
    rng = random.Random(1)

    async def one() -> None:
        is_hard = rng.random() < 0.3
        word = ("theorem" if is_hard else "weather") if tells else rng.choice(("theorem", "weather"))
        answer = await service.complete(f"Tell me of {word} {rng.randrange(9_999)}", task=task)
        request = v1.RecordOutcomeRequest(response_id=answer.response_id)
        for tier, score in enumerate(HARD if is_hard else EASY, 1):
            request.scores.scores.add(tier=tier, score_permille=score)
        await service.admin.RecordOutcome(request)

    for _ in range(0, count, 20):
        await asyncio.gather(*(one() for _ in range(20)))


async def fit(valkey: str, policy: Path, *args: str) -> list[dict[str, Any]]:
    """Run the fitting program, and return what it says."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("COSTSVC_", "ANTHROPIC_"))}
    command = ("router", "fit", "--redis-url", valkey, "--policy", str(policy), "--json", *args)
    process = await asyncio.create_subprocess_exec(
        PROGRAM, *command, env=environment, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    found: list[dict[str, Any]] = json.loads(out)
    return found


async def status(service: Any) -> dict[str, Any]:
    """Return what is learned, by task."""
    return {row.task: row for row in (await service.admin.GetRouterStatus(v1.GetRouterStatusRequest())).tasks}


async def decide(service: Any, text: str, **fields: Any) -> tuple[int, list[str]]:
    """Return the tier that would answer, and the codes of the reasons."""
    decision = (await service.route(text, **fields)).decision
    return decision.tier, [reason.code for reason in decision.reasons]


async def test_a_score_decides_once_it_is_proved(serve, learning, valkey):
    """Where words tell which prompts are hard it serves, within bounds; elsewhere it says why not."""
    async with serve(policy=learning) as service:
        assert await decide(service, "Tell me of theorem 5", task="support") == (
            v1.TIER_SIMPLE,
            ["task_hint", "max_tokens_default"],
        )
        await teach(service, "support", tells=True)
        await teach(service, "summary", tells=False)
        assert {row["task"]: row["state"] for row in await fit(valkey, learning)} == {
            "support": "serving",
            "summary": "shadow",
        }
        await service.running.parts.router.scores.refresh()

        found = await status(service)
        support, summary = found["support"], found["summary"]
        assert (support.state, support.why_not) == (v1.ROUTER_STATE_SERVING, "")
        assert (support.outcome_count, support.complete_count, support.proof.example_count) == (COUNT,) * 3
        assert support.proof.advantage_lower_permille > 0
        assert support.proof.quality_kept_permille >= 960
        assert support.proof.cost_share_permille < support.proof.mix_cost_share_permille
        assert summary.state == v1.ROUTER_STATE_SHADOW
        assert summary.why_not
        assert summary.HasField("fit_time")

        tier, codes = await decide(service, "Tell me of theorem 5", task="support")
        assert (tier, codes[0]) == (v1.TIER_COMPLEX, "local_score")
        tier, codes = await decide(service, "Tell me of weather 5", task="support")
        assert (tier, codes[0]) == (v1.TIER_SIMPLE, "local_score")
        tier, _ = await decide(service, "Tell me of theorem 5", task="support", max_tier=v1.TIER_MEDIUM)
        assert tier < v1.TIER_COMPLEX
        _, codes = await decide(service, "Tell me of theorem 5", task="support", model="claude-haiku-5-5")
        assert codes[0] == "pinned_model"
        tier, codes = await decide(service, "Tell me of theorem 5", task="summary")
        assert (tier, codes[0]) == (v1.TIER_MEDIUM, "task_hint")
        assert "local_score_shadow" in codes

        answer = await service.complete("Tell me of theorem 6", task="support")
        [reason] = [each for each in answer.decision.reasons if each.code == "local_score"]
        assert reason.detail.startswith("complex: expected medium over simple +")
        line = next(line for line in service.lines() if line.get("response_id") == answer.response_id)
        assert (line["decision"], line["score"]) == ("local_score", "serving")
        metric = 'costsvc_scored_calls_total{answered="complex",choice="complex",state="serving"} 1.0'
        assert metric in service.running.parts.calls.metrics.text().decode()


async def test_too_few_outcomes_say_how_many_there_are(serve, learning, valkey):
    """A score is fitted and stays in shadow; another tenant has none at all."""
    async with serve(policy=learning) as service:
        await teach(service, "support", tells=True, count=40)
        [row] = await fit(valkey, learning, "--task", "support")
        assert row["why_not"] == "too few outcomes that know every tier: 40 of 300"
        assert (await status(service))["support"].why_not == row["why_not"]
        assert await fit(valkey, learning, "--tenant", "other") == []


async def test_a_score_for_other_models_decides_nothing(serve, learning, valkey):
    """Outcomes are of models: when the policy names others, the score waits for new ones."""
    async with serve(policy=learning) as service:
        await teach(service, "support", tells=True, count=20)
        await fit(valkey, learning)
    text = learning.read_text()
    learning.write_text(text.replace('complex = ["claude-opus-5-5", ', "complex = ["))
    async with serve(policy=learning) as service:
        why_not = (await status(service))["support"].why_not
        assert why_not.startswith("fitted for claude-haiku-5-5, claude-sonnet-5-5, claude-opus-5-5; ")
