"""Tests that prompts, answers and keys stay where they belong, and that a call is one line in the log."""

from __future__ import annotations

import re
from contextlib import suppress

import aiohttp
import grpc

from costsvc import v1

CANARY = "canary-7391"
KEY = "sk-ant-canary-key"


async def ops_text(service) -> str:
    """Return all that is served beside the API."""
    texts = []
    async with aiohttp.ClientSession() as session:
        for path in ("/metrics", "/configz", "/readyz"):
            async with session.get(f"http://{service.running.ops_address}{path}") as response:
                texts.append(await response.text())
    return "\n".join(texts)


def bodies() -> list[dict]:
    """Return requests with a canary in every place that is the caller's content; some are refused."""
    turn = {"role": "user", "content": f"{CANARY}?"}
    tool = {"name": CANARY, "description": CANARY, "input_schema": {"type": "object"}}
    choice = {"type": "tool", "name": f"no-{CANARY}"}
    return [
        {"max_tokens": 50, "system": f"{CANARY}.", "messages": [turn]},
        {"max_tokens": 50, "tools": [tool], "messages": [turn], "x_later": CANARY},
        {"max_tokens": 50, "tools": [tool], "tool_choice": choice, "messages": [turn]},
        {"max_tokens": 50, "messages": [turn, {"role": CANARY, "content": CANARY}]},
        {"max_tokens": 50, "messages": [turn], "metadata": {"user_id": CANARY}, "stop_sequences": [CANARY]},
        {"max_tokens": 50, "thinking": {"type": CANARY}, "messages": [turn]},
    ]


async def test_nothing_that_is_said_is_logged(service):
    """Neither prompt nor answer nor key is in a log line, a metric or the configuration shown."""
    said, errors = [], []
    for body in bodies():
        request = service.request(body=body, model="claude-haiku-4-5")
        call = service.stub.Complete(v1.CompleteRequest(request=request))
        if await call.code() is grpc.StatusCode.OK:
            said.append((await call).text)
        else:
            errors.append(await call.details())
    for kind in ("malformed", "cut_mid_stream", "error_mid_stream", "server_error", "refusal"):
        service.sim.faults.add(kind, message=CANARY, explanation=CANARY)
        request = service.request(f"{CANARY}?", system=CANARY)
        call = service.stub.StreamComplete(v1.StreamCompleteRequest(request=request))
        with suppress(grpc.aio.AioRpcError):
            said.append("".join([event.text_delta async for event in call]))
        errors.append(await call.details())
    long = [text[:40] for text in said if len(text) > 20]
    assert long
    shown = await service.log.text() + await ops_text(service)
    for secret in (CANARY, KEY, *long):
        assert secret not in shown
    assert KEY not in "".join(errors)


async def test_a_call_is_one_line(service, refused):
    """The line names the method, its end, its time, who called, and what it cost."""
    answer = await service.complete(task="faq", request_id="r-1")
    [line] = service.lines()
    assert line.pop("ms") > 0
    assert line == {
        "event": "rpc",
        "method": "Complete",
        "code": "OK",
        "outcome": "ok",
        "tenant": "default",
        "request_id": "r-1",
        "response_id": answer.response_id,
        "model": "claude-haiku-5-5",
        "tier": "simple",
        "decision": "task_hint",
        "cost_nano_usd": answer.bill.cost_nano_usd,
        "saved_nano_usd": answer.bill.savings.total_nano_usd,
        "cache": "disabled",
        "stop_reason": answer.stop_reason,
    }
    await service.stream()
    await service.route()
    await service.stub.Estimate(v1.EstimateRequest(request=service.request()))
    await service.report()
    await refused(service.complete(model="gpt-4o"))
    rest = [(line["method"], line["code"], line["outcome"]) for line in service.lines()[1:]]
    assert rest == [
        ("StreamComplete", "OK", "ok"),
        ("Route", "OK", "ok"),
        ("Estimate", "OK", "ok"),
        ("Report", "OK", "ok"),
        ("Complete", "NOT_FOUND", "error"),
    ]
    assert len(re.findall('"event":"rpc"', await service.log.text())) == 6


async def test_metrics_count_calls_by_their_end(service, refused):
    """Calls that end are no longer in flight, and what they cost is there."""
    await service.complete(task="faq")
    await refused(service.complete(model="gpt-4o"))
    text = await ops_text(service)
    assert 'costsvc_calls_total{code="OK",method="Complete"} 1.0' in text
    assert 'costsvc_calls_total{code="NOT_FOUND",method="Complete"} 1.0' in text
    assert "costsvc_in_flight_calls 0.0" in text
    assert re.search(r'costsvc_cost_usd_total\{model="claude-haiku-5-5"\} [0-9.e-]+', text)
