"""Tests of the benchmark of quality: its questions, and a short run of it against real processes."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture
def questions(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Give the module with the questions."""
    monkeypatch.syspath_prepend(ROOT)
    from benchmarks import questions

    return questions


def test_each_question_has_one_right_answer_and_the_stated_difficulty(questions: ModuleType) -> None:
    """Half simple, three in ten medium, two in ten complex; none is found in another's text."""
    asked = list(questions.questions(200))
    assert Counter(each.difficulty for each in asked) == {"simple": 100, "medium": 60, "complex": 40}
    assert all(each.right != each.wrong for each in asked)
    assert all([one.key in other.text for other in asked].count(True) == 1 for one in asked)


def test_a_check_tells_two_of_three_wrong_answers(questions: ModuleType) -> None:
    """It knows the form of an answer, not the answer."""
    for each in questions.questions(60):
        said = (each.script["right"], *each.script["wrong"])
        passed = [re.search(questions.CHECK, answer) is not None for answer in said]
        assert passed == [True, True, False, False]


async def test_a_short_run_counts_cost_and_quality_by_books_that_agree() -> None:
    """The classifier is cheaper than the middle tier for all, its own cost included."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.quality", "--questions", "30", "--json",
        cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        out, err = await asyncio.wait_for(process.communicate(), 100)
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    assert (process.returncode, err) == (0, b"")
    found = json.loads(out)
    assert found["problems"] == []
    whole, middle, classified, tasks, checked = found["ways"]
    assert [way["attempt_count"] for way in (whole, middle, classified, tasks)] == [30, 30, 60, 30]
    assert whole["saved_percent"] == 0 < middle["saved_percent"] < classified["saved_percent"]
    assert classified["right_percent"] > middle["right_percent"]
    assert min(classified["beside_nano_usd"], checked["beside_nano_usd"]) > 0
