"""Calls of a crowd of hurried clients, each with the misfortune that a seed and its number give it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import grpc

from costsvc import v1
from costsvc.client import error_info
from tests.faults.processes import Provider, Server

TENANTS = ("strict", "hard", "soft", "free")
TASKS = ("classification", "faq", "support", "extraction", "summary", "analysis")
TASK_WEIGHTS = (4, 4, 3, 3, 1, 1)
PATIENCE_S = 6.0
_MANUAL = " ".join(f"Rule {number}: check the tension of spoke {number} twice." for number in range(400))
_BACK_OFF_S = 0.1

_ANY_CALL = (
    {"kind": "rate_limit", "retry_after": 0.05},
    {"kind": "server_error"},
    {"kind": "overloaded"},
    {"kind": "cut_before_headers"},
    {"kind": "cut_before_headers", "billed": False},
    {"kind": "cut_after_headers"},
    {"kind": "malformed"},
    {"kind": "refusal"},
    {"kind": "refusal", "category": "bio"},
    {"kind": "hang"},
)
_STREAMS_ONLY = ("cut_mid_stream", "error_mid_stream", "odd_events", "refusal")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call: what is asked, how long its caller waits, and what the provider does to it."""

    number: int
    tenant: str
    team: str
    task: str
    has_prompt: bool
    streams: bool
    timeout_s: float
    gives_up_after_s: float | None
    fault: dict[str, Any] | None

    def request(self) -> v1.Request:
        """Return what is asked; its text has the number, by which the provider knows the call again."""
        fields: dict[str, Any] = {"task": self.task, "labels": {"call": str(self.number)}}
        if self.team:
            fields["labels"]["team"] = self.team
        text = f"How does a bicycle stay upright, and who found out? {self.mark}"
        if not self.has_prompt:
            return v1.Request(messages=[v1.Message(text=text)], **fields)
        system = [{"type": "text", "text": _MANUAL, "cache_control": {"type": "ephemeral"}}]
        body = {"max_tokens": 300, "system": system, "messages": [{"role": "user", "content": text}]}
        return v1.Request(messages_json=json.dumps(body).encode(), **fields)

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Name the tenant."""
        return (("costsvc-tenant", self.tenant),)

    @property
    def mark(self) -> str:
        """The text that no other call has."""
        return f"(call {self.number:06})"

    def script(self) -> list[dict[str, Any]]:
        """Return what the provider is to do to it."""
        return [{**self.fault, "match": {"text": self.mark}}] if self.fault else []


def draw(seed: int, number: int) -> Call:
    """Return the call of a number: the same for the same seed."""
    dice = Random(f"{seed}/{number}")
    streams = dice.random() < 0.5
    return Call(
        number=number,
        tenant=dice.choice(TENANTS),
        team=dice.choice(("", "red", "blue", "green")),
        task=dice.choices(TASKS, TASK_WEIGHTS)[0],
        has_prompt=dice.random() < 0.1,
        streams=streams,
        timeout_s=dice.uniform(0.02, 0.4) if dice.random() < 0.06 else PATIENCE_S * dice.uniform(0.5, 1),
        gives_up_after_s=dice.uniform(0.001, 0.4) if dice.random() < 0.08 else None,
        fault=_draw_fault(dice, streams=streams) if dice.random() < 0.2 else None,
    )


def _draw_fault(dice: Random, *, streams: bool) -> dict[str, Any]:
    count = dice.choice((1, 1, 1, 2, 4))
    if dice.random() < 0.15:
        return {"kind": "slow", "delay_s": dice.uniform(0.2, 1.5), "count": count}
    if streams and dice.random() < 0.5:
        return {
            "kind": dice.choice(_STREAMS_ONLY),
            "after_events": dice.randint(0, 12),
            "count": count,
        }
    return {**dice.choice(_ANY_CALL), "count": count}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a caller saw: OK, a status, or `gave up`."""

    call: Call
    code: str
    reason: str = ""
    response_id: str = ""
    cost_nano_usd: int = 0


@dataclass
class Load:
    """The callers. `outcomes` grows while they call."""

    provider: Provider
    servers: Callable[[], Sequence[Server]]
    seed: int
    outcomes: list[Outcome] = field(default_factory=list)
    begun: int = 0
    _progress: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def run(self, call_count: int, at_once: int) -> None:
        """Make calls 1 to `call_count`, so many at once."""
        numbers = iter(range(1, call_count + 1))
        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(self._work(numbers))

    async def reached(self, number: int) -> None:
        """Wait until so many calls have begun."""
        async with self._progress:
            await self._progress.wait_for(lambda: self.begun >= number)

    async def _work(self, numbers: Iterator[int]) -> None:
        for number in numbers:
            call = draw(self.seed, number)
            dice = Random(f"{self.seed}/{number}/caller")
            async with self._progress:
                self.begun += 1
                self._progress.notify_all()
            if call.fault:
                await self.provider.misbehave(*call.script())
            outcome = await _make(call, dice.choice(self.servers()))
            self.outcomes.append(outcome)
            if outcome.code in {"UNAVAILABLE", "RESOURCE_EXHAUSTED"}:
                await asyncio.sleep(_BACK_OFF_S * dice.uniform(0.5, 1.5))


async def _make(call: Call, server: Server) -> Outcome:
    """Make one call, and return what came of it."""
    try:
        async with asyncio.timeout(call.gives_up_after_s):
            return await (_stream if call.streams else _complete)(call, v1.CostServiceStub(server.channel))
    except TimeoutError:
        return Outcome(call=call, code="gave up")
    except grpc.aio.AioRpcError as error:
        info = error_info(error)
        return Outcome(call=call, code=error.code().name, reason=info.reason if info else "")


async def _complete(call: Call, stub: v1.CostServiceStub) -> Outcome:
    request = v1.CompleteRequest(request=call.request())
    answer = await stub.Complete(request, timeout=call.timeout_s, metadata=call.metadata)
    return _answered(call, answer.response_id, answer.bill)


async def _stream(call: Call, stub: v1.CostServiceStub) -> Outcome:
    request = v1.StreamCompleteRequest(request=call.request())
    stream = stub.StreamComplete(request, timeout=call.timeout_s, metadata=call.metadata)
    events = [event async for event in stream]
    return _answered(call, events[0].started.response_id, events[-1].completed.bill)


def _answered(call: Call, response_id: str, bill: v1.Bill) -> Outcome:
    return Outcome(call=call, code="OK", response_id=response_id, cost_nano_usd=bill.cost_nano_usd)
