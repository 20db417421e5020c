"""What a decision costs: `Planner.plan`, in this process, by kind of evidence and length of the prompt.

CPU time of the thread, one decision after the other, garbage collection included. Requests are read before;
what is known of a conversation, and what a task's score was fitted to, is in memory, as it is in the service.
"""

from __future__ import annotations

import random
import tempfile
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from math import exp, log
from pathlib import Path
from statistics import median, quantiles

from benchmarks.bench.processes import cores, on_core
from benchmarks.bench.table import Row, spread
from costsvc.app.local_scores import LocalScores
from costsvc.app.observations import Observations
from costsvc.app.planner import Planner
from costsvc.app.policies import PolicyInForce
from costsvc.config import load_catalog_files
from costsvc.core.conversation import Pin
from costsvc.core.features import BUCKETS
from costsvc.core.local_score import Fit, Proof, Routed
from costsvc.core.policy import read_policy
from costsvc.core.request import ModelRequest, simple_members
from costsvc.core.scoring import GainWeights, Weights, read_prior
from costsvc.data import read_text
from costsvc.store.connection import open_store
from costsvc.store.embedded import EmbeddedValkey
from costsvc.store.fits import FitBook

MEDIAN_US, P99_US, ANY_US = 100.0, 500.0, 1_000.0
LEAST_CHARS, MOST_CHARS = 50, 2_000
"""Of usual prompts; the logarithm of their length is spread evenly between."""

LONG_CHARS = 1_000_000
DECISIONS, LONG_DECISIONS, RUNS = 400, 40, 5
TENANT, LEARNED = "bench", "questions"
AT = datetime(2026, 11, 22, 12, tzinfo=UTC)
PIN = Pin(model="claude-sonnet-5-5", turns=4, cached_tokens=3_000, cached_until=AT + timedelta(minutes=3))
"""A conversation on the middle tier: a task that a lower one could do has to be weighed against its cache."""

_RULES = r"""
[[rules]]
name = "proofs"
text = '(?i)\b(prove|proof|derive)\b'
min_tier = "complex"

[[rules]]
name = "letters"
text = '(?i)^dear .{0,40},'
tier = "simple"
"""
_TEXT = (
    "the order of two inner tubes and a chain has been on its way for nine days now the carrier says that it "
    "left the depot on Monday and nothing since I wrote to the shop on Wednesday, because my only bicycle is "
    "without one. Why? How would you explain it to a function that returns 17 or 42 = (a + b)"
)

Decide = Callable[[Planner, ModelRequest], object]


def _by_plan(planner: Planner, request: ModelRequest) -> object:
    return planner.plan(request, TENANT, AT)


def _in_conversation(planner: Planner, request: ModelRequest) -> object:
    """Decide as Route and Complete do: the place of the conversation becomes known after the first step."""
    return planner.continued(planner.plan(request, TENANT, AT), PIN)


CASES: dict[str, tuple[Decide, dict[str, str]]] = {
    "task hint": (_by_plan, {"task": "summary"}),
    "two patterns, no task": (_by_plan, {}),
    "local score": (_by_plan, {"task": LEARNED}),
    "conversation weighed": (_in_conversation, {"task": "faq", "conversation_id": "c"}),
}
"""Evidence by name: how it is asked for, and what the request says."""


async def measure_decisions() -> list[Row]:
    """Return the rows of decisions, on the core that is otherwise the service's."""
    measured, others = cores()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="costsvc-bench-")))
        with on_core(others):
            store = await stack.enter_async_context(EmbeddedValkey(folder / "store"))
        client = open_store(store.url)
        stack.push_async_callback(client.aclose)
        planner = await _planner(FitBook(client))
        with on_core(measured):
            return list(_rows(planner))


def _rows(planner: Planner) -> Iterator[Row]:
    shuffled = random.Random(1)
    usual = [round(exp(shuffled.uniform(log(LEAST_CHARS), log(MOST_CHARS)))) for _ in range(DECISIONS)]
    for name, case in CASES.items():
        runs = [_times_us(planner, case, usual) for _ in range(RUNS)]
        middle, late = [median(run) for run in runs], [quantiles(run, n=100)[98] for run in runs]
        what = f"a decision, {name}, {LEAST_CHARS} to {MOST_CHARS:,} characters"
        yield Row.judged(f"{what}, median", spread(middle, "us"), median(middle), MEDIAN_US, "us")
        yield Row.judged(f"{what}, p99", spread(late, "us"), median(late), P99_US, "us")
        for chars, limit_us in ((MOST_CHARS, P99_US), (LONG_CHARS, ANY_US)):
            equal = [median(_times_us(planner, case, [chars] * LONG_DECISIONS)) for _ in range(RUNS)]
            what = f"a decision, {name}, {chars:,} characters, median"
            yield Row.judged(what, spread(equal, "us"), median(equal), limit_us, "us")


def _times_us(planner: Planner, case: tuple[Decide, dict[str, str]], lengths: Sequence[int]) -> list[float]:
    decide, said = case
    times: list[float] = []
    for number, chars in enumerate(lengths):
        request = _request(number, chars, said)
        start_ns = time.thread_time_ns()
        decide(planner, request)
        times.append((time.thread_time_ns() - start_ns) / 1000)
    return times


def _request(number: int, chars: int, said: dict[str, str]) -> ModelRequest:
    """Return a request with a prompt of its own: a tenth of it is the system prompt."""
    words = random.Random(number).choices(_TEXT.split(), k=min(chars, 4_000) // 3)
    text = " ".join(words)
    text = (text * (chars // len(text) + 1))[:chars]
    return ModelRequest(
        members=simple_members(text[: chars // 10], [("user", text[chars // 10 :])], 500), **said
    )


async def _planner(fits: FitBook) -> Planner:
    catalog = load_catalog_files()
    text = f"{read_text('policy.toml')}{_RULES}\n[router.{LEARNED}]\n"
    policy = read_policy(text, catalog)
    scale, prior = read_prior(read_text("score_prior.json"))
    await fits.put(TENANT, LEARNED, _fit(prior, policy.first_models))
    scores = LocalScores(fits, scale)
    planner = Planner(catalog, PolicyInForce(policy), Observations(), scores)
    _by_plan(planner, _request(0, 200, {"task": LEARNED}))  # asks for the fit
    await scores.refresh()
    return planner


def _fit(prior: Weights, models: tuple[str, ...]) -> Fit:
    """Return a fit that serves: the shared weights, and grams as a fit would leave them."""
    shuffled = random.Random(1)
    gains = tuple(
        GainWeights(
            intercept=gain.intercept,
            counts=gain.counts,
            grams=array("b", (shuffled.randint(-127, 127) for _ in range(BUCKETS))),
            gram_unit=0.001,
        )
        for gain in prior.gains
    )
    return Fit(
        weights=Weights(gains=gains),
        proof=Proof(
            example_count=400,
            quality_floor=0.97,
            best_quality=0.9,
            routed=Routed(quality=0.88, cost_share=0.3, mix_cost_share=0.5),
            advantage_lower=0.1,
            price=0.25,
        ),
        models=models,
        cost_shares=(0.025, 0.5, 1.0),
        mean_input_tokens=100,
        mean_output_tokens=50,
        outcome_count=400,
        fitted_at=AT,
    )
