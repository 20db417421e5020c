"""What an item of BatchRoute costs: CPU of the service, beside that of its decision alone.

An item may cost a decision and a part of E: reading and writing it, and its part of the only trip to the
store. Requests are turns of conversations, half of which the store knows.
"""

from __future__ import annotations

import time
from statistics import median

from benchmarks.bench.decisions import AT
from benchmarks.bench.installation import Installation
from benchmarks.bench.load import load
from benchmarks.bench.messages import QUESTION
from benchmarks.bench.processes import cores, on_core
from benchmarks.bench.table import Row, spread
from costsvc import v1
from costsvc.app.observations import Observations
from costsvc.app.planner import Planner
from costsvc.app.policies import PolicyInForce
from costsvc.config import load_catalog_files, load_policy_file
from costsvc.core.conversation import Pin
from costsvc.edge.from_proto import model_request

ITEMS = 256
CALLS, WARM_UP_CALLS = 8, 4
UNIT_CALLS, DECISIONS = 800, 400
LIMIT = 0.3
"""What an item may cost above its decision, in E."""

KNOWN = Pin(model="claude-sonnet-5-5", turns=1, cached_tokens=0, cached_until=AT)


async def measure_batches(at: Installation, rounds: int) -> list[Row]:
    """Return the rows of BatchRoute."""
    batch = v1.BatchRouteRequest(requests=[v1.RouteRequest(request=_turn(n)) for n in range(ITEMS)])
    for number in range(0, ITEMS, 2):
        await at.costs.Record(_answered(number))
    await load(at.server, lambda: at.costs.BatchRoute(batch), WARM_UP_CALLS)
    planner = _planner()
    unit_us: list[float] = []
    item_us: list[float] = []
    decision_us: list[float] = []
    for _ in range(rounds):
        unit_us.append(float(await at.evalsha.ask(f"{UNIT_CALLS} 1")))
        spent = await load(at.server, lambda: at.costs.BatchRoute(batch), CALLS)
        item_us.append(spent.cpu_us_a_call / ITEMS)
        with on_core(cores()[0]):
            decision_us.append(_decision_us(planner))
    above = [(i - d) / e for i, d, e in zip(item_us, decision_us, unit_us, strict=True)]
    return [
        Row("E, beside BatchRoute", spread(unit_us, "us"), 1.0),
        Row("the decision on an item, alone", spread(decision_us, "us")),
        Row(f"BatchRoute of {ITEMS}, CPU an item", spread(item_us, "us")),
        Row.judged(
            "an item above its decision", spread(above, "E"), median(above), LIMIT, "E", units=median(above)
        ),
    ]


def _planner() -> Planner:
    """Return a planner as the service has it, with the policy as shipped."""
    catalog = load_catalog_files()
    return Planner(catalog, PolicyInForce(load_policy_file(None, catalog)), Observations())


def _turn(number: int) -> v1.Request:
    turn = v1.Request(conversation_id=f"batch-{number}")
    turn.MergeFrom(QUESTION)
    return turn


def _answered(number: int) -> v1.RecordRequest:
    """Return a call that was made elsewhere, so that a conversation is known."""
    return v1.RecordRequest(
        request_id=f"batch-{number}-{time.monotonic_ns()}",
        conversation_id=f"batch-{number}",
        model="claude-sonnet-5-5",
        usage_json=b'{"input_tokens": 120, "output_tokens": 8}',
    )


def _decision_us(planner: Planner) -> float:
    """Return the mean of decisions, every second of which has its conversation's place to go by."""
    requests = [model_request(_turn(number)) for number in range(DECISIONS)]
    start_ns = time.thread_time_ns()
    for number, request in enumerate(requests):
        plan = planner.plan(request, "default", AT)
        if number % 2 == 0:
            planner.continued(plan, KNOWN)
    return (time.thread_time_ns() - start_ns) / DECISIONS / 1000
