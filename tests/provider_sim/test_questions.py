"""Tests of questions of known difficulty: who answers them rightly, and how often."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from costsvc.provider_sim import RunningSim

HAIKU, SONNET, OPUS = "claude-haiku-5-5", "claude-sonnet-5-5", "claude-opus-5-5"
RIGHT, WRONG = "The answer is 42.", ("The answer is 24.", "It depends.")
SORTING = "Sort requests. Say exactly one of: simple, medium, complex."
COUNT = 200


def script(sim: RunningSim, difficulty: str, **fields: Any) -> None:
    """Script questions number 0 to `COUNT`."""
    for n in range(COUNT):
        said = {"text": f"question {n:03}", "right": RIGHT, "wrong": WRONG, **fields}
        sim.questions.add(difficulty=difficulty, **said)


async def answers(ask: Any, model: str, **fields: Any) -> list[str]:
    """Return what a model says to all of them."""
    said = []
    for n in range(COUNT):
        messages = [{"role": "user", "content": f"Here is question {n:03}, please."}]
        answer = await ask(model=model, messages=messages, max_tokens=2000, **fields)
        said.append(next(block["text"] for block in answer["content"] if block["type"] == "text"))
    return said


@pytest.mark.parametrize(
    ("difficulty", "model", "rate"),
    [("simple", HAIKU, 0.97), ("complex", OPUS, 0.97), ("complex", SONNET, 0.45), ("complex", HAIKU, 0.2)],
)
async def test_a_model_answers_rightly_at_the_stated_rate(sim, ask, difficulty, model, rate):
    """By how far the question is above its line; wrong answers are the scripted ones."""
    script(sim, difficulty)
    said = await answers(ask, model)
    assert set(said) <= {RIGHT, *WRONG}
    assert said.count(RIGHT) / COUNT == pytest.approx(rate, abs=0.08)
    assert said == await answers(ask, model)


async def test_a_model_that_sorts_requests_names_the_difficulty(sim, ask):
    """At a rate of its own."""
    script(sim, "complex", sorting_rate=0.8)
    said = await answers(ask, HAIKU, system=SORTING)
    assert set(said) == {"simple", "medium", "complex"}
    assert said.count("complex") / COUNT == pytest.approx(0.8, abs=0.08)


async def test_prose_comes_before_the_answer(sim, ask):
    """About as many words as asked for."""
    sim.questions.add(text="tyre", difficulty="simple", right=RIGHT, wrong=WRONG, words=60, rates=(1, 1, 1))
    answer = await ask(messages=[{"role": "user", "content": "Which tyre?"}], max_tokens=2000)
    text = answer["content"][-1]["text"]
    assert text.endswith(f"\n\n{RIGHT}")
    assert 60 <= len(text.split()) <= 100


async def test_questions_are_scripted_from_outside(sim: RunningSim, http: aiohttp.ClientSession) -> None:
    """Added, listed, forgotten; what makes no sense is refused."""
    one = {"text": "t", "difficulty": "medium", "right": "r", "wrong": ["w"]}
    async with http.post("/_sim/questions", json={"questions": [one, one]}) as response:
        assert [each["difficulty"] for each in (await response.json())["questions"]] == ["medium", "medium"]
    for odd in ({**one, "difficulty": "hard"}, {**one, "wrong": []}, {**one, "text": ""}, {"text": "t"}, [1]):
        async with http.post("/_sim/questions", json=odd) as response:
            assert response.status == 400
    assert len(list(sim.questions)) == 2
    async with http.delete("/_sim/questions") as response:
        assert await response.json() == {"questions": []}
