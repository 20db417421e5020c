"""What routing costs and what it gets right, on questions of known difficulty with one right answer each.

    python -m benchmarks.quality                   200 questions under each way of routing
    python -m benchmarks.quality --questions 40 --json

The simulated provider answers; how often a model is right is scripted by how far a question is above it
(docs/provider-sim.md), so the table says what ways of routing make of that, and nothing of real models. Every
way is held against the provider's bill, attempt by attempt. Exit code 1 when the books disagree.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

import aiohttp
import grpc

from benchmarks.audit import compare_bill
from benchmarks.figures import table, usd
from benchmarks.questions import CHECK, Question, questions
from benchmarks.stack import ProcessFailed, Stack
from benchmarks.traffic import said
from costsvc import v1
from costsvc.client import Client
from costsvc.config import POLICY
from costsvc.core.entry import Entry
from costsvc.data import read_text

AT_ONCE = 16
CLASSIFIER = ("[classifier]\nenabled = false", "[classifier]\nenabled = true")
_OFF, _ON = "shipped", "classifier"


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A way of routing: what a caller says of its questions, under which policy, as a tenant of its own."""

    name: str
    tenant: str
    says_task: bool = False
    checks: bool = False
    policy: str = _OFF
    mode: v1.RoutingMode = v1.ROUTING_MODE_UNSPECIFIED

    def request(self, question: Question) -> v1.Request:
        """Return the request that asks a question in this way."""
        request = v1.Request(
            messages=[v1.Message(text=question.text)], max_tokens=4096, routing_mode=self.mode
        )
        if self.says_task:
            request.task = question.task
        if self.checks:
            request.accept.pattern = CHECK
        return request


WAYS = (
    Way(name="all on the baseline model", tenant="all", mode=v1.ROUTING_MODE_BASELINE),
    Way(name="nothing said: the middle tier", tenant="nothing"),
    Way(name="nothing said, classifier on", tenant="classifier", policy=_ON),
    Way(name="task said, as shipped", tenant="task", says_task=True),
    Way(name="task said, answers checked", tenant="checks", says_task=True, checks=True),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of a way.

    `beside_nano_usd` is what of the cost bought no answer that stands: answers that failed their checks,
    verdicts of the classifier. `saved_percent` is of what the baseline model cost for the same questions.
    """

    way: str
    question_count: int
    attempt_count: int
    right_percent: float
    cost_nano_usd: int
    beside_nano_usd: int
    saved_percent: float = 0.0


async def run(count: int) -> tuple[list[Result], list[str]]:
    """Ask all questions in each way; return the results, and everything in which the books disagree."""
    asked = list(questions(count))
    results: list[Result] = []
    problems: list[str] = []
    for policy in (_OFF, _ON):
        ways = [way for way in WAYS if way.policy == policy]
        async with _serving(policy, asked) as stack:
            started = datetime.now(UTC)
            answers = {way: await _ask_all(stack.target, way, asked) for way in ways}
            lines = await stack.bill()
            entries = await stack.entries(started, datetime.now(UTC))
        problems += compare_bill(entries, lines).mismatches
        for way in ways:
            own = [entry for entry in entries if entry.tenant == way.tenant]
            results.append(_result(way, asked, answers[way], own))
            if results[-1].cost_nano_usd != sum(entry.cost_nano_usd for entry in own):
                problems.append(f"{way.name}: the answers' bills are not the sum of the entries")
    return _compared(results), problems


@asynccontextmanager
async def _serving(policy: str, asked: Sequence[Question]) -> AsyncIterator[Stack]:
    """Run a service with a policy, and a provider that knows the questions."""
    with tempfile.TemporaryDirectory(prefix="costsvc-quality-") as folder:
        path, text = Path(folder) / "policy.toml", read_text(POLICY)
        assert CLASSIFIER[0] in text
        path.write_text(text.replace(*CLASSIFIER) if policy == _ON else text)
        async with Stack("--policy", str(path)) as stack:
            scripts = {"questions": [question.script for question in asked]}
            url = f"{stack.provider_url}/_sim/questions"
            async with aiohttp.ClientSession() as http, http.post(url, json=scripts) as reply:
                reply.raise_for_status()
            yield stack


async def _ask_all(target: str, way: Way, asked: Sequence[Question]) -> list[v1.CompleteResponse]:
    """Return the answers to all questions, in their order."""
    at_once = asyncio.Semaphore(AT_ONCE)
    async with Client(target, tenant=way.tenant) as client:

        async def ask(question: Question) -> v1.CompleteResponse:
            async with at_once:
                return await client.Complete(v1.CompleteRequest(request=way.request(question)))

        return await asyncio.gather(*map(ask, asked))


def _result(
    way: Way, asked: Sequence[Question], answers: Sequence[v1.CompleteResponse], entries: Sequence[Entry]
) -> Result:
    right = [
        answer.text.endswith(f"Answer: {question.right}")
        for question, answer in zip(asked, answers, strict=True)
    ]
    return Result(
        way=way.name,
        question_count=len(asked),
        attempt_count=sum(answer.attempt_count for answer in answers),
        right_percent=100 * sum(right) / len(asked),
        cost_nano_usd=sum(answer.bill.cost_nano_usd for answer in answers),
        beside_nano_usd=sum(entry.cost_nano_usd for entry in entries if not entry.baseline_nano_usd),
    )


def _compared(results: Sequence[Result]) -> list[Result]:
    """Return the results in the order of the ways, each with what it saved against the first."""
    by_name = {result.way: result for result in results}
    ordered = [by_name[way.name] for way in WAYS]
    whole = ordered[0].cost_nano_usd
    return [replace(each, saved_percent=100 * (1 - each.cost_nano_usd / whole)) for each in ordered]


def show(results: Sequence[Result], duration_s: float) -> None:
    """Print the results for people."""
    counts = Counter(question.difficulty for question in questions(results[0].question_count))
    mix = ", ".join(f"{count} {difficulty}" for difficulty, count in counts.items())
    print(f"{results[0].question_count} questions of known difficulty ({mix}), in {duration_s:.1f} s\n")
    heading = ["way", "attempts", "right", "cost", "of it beside answers", "saved"]
    rows = [
        [
            each.way,
            f"{each.attempt_count}",
            f"{each.right_percent:.1f} %",
            usd(each.cost_nano_usd),
            usd(each.beside_nano_usd),
            f"{each.saved_percent:.1f} %",
        ]
        for each in results
    ]
    print(table([heading, *rows]))


def main(given: Iterable[str] | None = None) -> int:
    """Run all ways; return the exit code."""
    parser = argparse.ArgumentParser(prog="benchmarks.quality", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--questions", type=int, default=200, help="how many each way is asked (default 200)")
    parser.add_argument("--json", action="store_true", help="print figures for programs")
    arguments = parser.parse_args(None if given is None else list(given))
    if arguments.questions < 1:
        parser.error("--questions must be at least 1")
    started_s = monotonic()
    try:
        results, problems = asyncio.run(run(arguments.questions))
    except (ProcessFailed, grpc.aio.AioRpcError) as error:
        print(said(error), file=sys.stderr)
        return 1
    if arguments.json:
        print(json.dumps({"ways": [asdict(each) for each in results], "problems": problems}, indent=2))
    else:
        show(results, monotonic() - started_s)
        print("\nThe books agree, attempt by attempt." if not problems else "\n".join(["", *problems]))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
