"""Sending the workload: every job as a well-behaved backend would, over one channel."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
import grpc
from google.protobuf.json_format import ParseDict

from benchmarks.workload import Job
from costsvc import v1
from costsvc.client import Client

_SIMPLE_ROLES = {"user": v1.ROLE_USER, "assistant": v1.ROLE_ASSISTANT}
_OWN_HEADERS = {
    "x-api-key": "simulated",
    "anthropic-version": "2023-06-01",
    "content-type": "application/json",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The answer to one call: `text` as delivered, `content` the blocks as the provider wrote them."""

    job: Job
    streamed: bool
    own_call: bool
    response_id: str
    model: str
    bill: v1.Bill
    attempt_count: int
    text: str
    content: list[dict[str, Any]]

    @property
    def written_text(self) -> str:
        """The text blocks of the provider's message, joined: what must have been delivered."""
        return _text_of(self.content)


async def send(
    client: Client, jobs: Sequence[Job], *, run: str, at_once: int, provider_url: str | None
) -> tuple[list[Answer], list[str]]:
    """Send all jobs, `at_once` of them side by side; return every answer, and a sentence for each failed job.

    Without the provider's address, jobs that call it themselves are left out.
    """
    answers: list[Answer] = []
    failures: list[str] = []
    waiting = iter(jobs)
    async with aiohttp.ClientSession() as http:

        async def work() -> None:
            for job in waiting:
                try:
                    await work_on(job)
                except (grpc.aio.AioRpcError, aiohttp.ClientError) as error:
                    failures.append(f"{job.job_id}: {said(error)}")

        async def work_on(job: Job) -> None:
            if not job.own_call:
                await _converse(client, job, run, answers)
            elif provider_url is not None:
                answers.append(await _route_and_record(client, http, provider_url, job, run))

        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(work())
    return answers, failures


async def _converse(client: Client, job: Job, run: str, answers: list[Answer]) -> None:
    """Send a job's turns; each sees what was answered before it, also when a later one fails."""
    history: list[dict[str, Any]] = []
    streams = iter(job.streams)
    for turn in job.turns:
        history.append({"role": "user", "content": _user_content(job, turn, first=not history)})
        answer = await _ask(client, job, history, run, streamed=next(streams))
        answers.append(answer)
        _append_answer(history, job, answer)
    calls = [block for block in history[-1]["content"] if job.tool_result and block["type"] == "tool_use"]
    if calls:
        history.append({"role": "user", "content": [_tool_result(job, call["id"]) for call in calls]})
        answers.append(await _ask(client, job, history, run, streamed=next(streams)))


async def _ask(
    client: Client, job: Job, history: list[dict[str, Any]], run: str, *, streamed: bool
) -> Answer:
    request = _request(job, history, run)
    if streamed:
        return await _stream(client, job, request)
    response = await client.Complete(v1.CompleteRequest(request=request))
    return Answer(
        job=job,
        streamed=False,
        own_call=False,
        response_id=response.response_id,
        model=response.decision.model,
        bill=response.bill,
        attempt_count=response.attempt_count,
        text=response.text,
        content=json.loads(response.message_json)["content"],
    )


async def _stream(client: Client, job: Job, request: v1.Request) -> Answer:
    """Read a stream to its end; jobs in the provider's JSON get the provider's events."""
    wanted = v1.STREAM_FORMAT_PROVIDER_EVENTS if job.as_json else v1.STREAM_FORMAT_TEXT
    started, completed = v1.StreamStarted(), v1.StreamCompleted()
    text: list[str] = []
    async for event in client.StreamComplete(v1.StreamCompleteRequest(request=request, format=wanted)):
        match event.WhichOneof("event"):
            case "started":
                started = event.started
            case "text_delta":
                text.append(event.text_delta)
            case "provider_events":
                text += [_delta_text(json.loads(data)) for data in event.provider_events.event_json]
            case "completed":
                completed = event.completed
    return Answer(
        job=job,
        streamed=True,
        own_call=False,
        response_id=started.response_id,
        model=started.decision.model,
        bill=completed.bill,
        attempt_count=completed.attempt_count,
        text="".join(text),
        content=json.loads(completed.message_json)["content"],
    )


async def _route_and_record(
    client: Client, http: aiohttp.ClientSession, provider_url: str, job: Job, run: str
) -> Answer:
    """Ask for a decision only, call the provider ourselves, and book what it reported."""
    request = _request(job, [{"role": "user", "content": job.turns[0]}], run)
    route = await client.Route(v1.RouteRequest(request=request, include_body=True))
    async with http.post(
        f"{provider_url}/v1/messages", data=route.messages_json, headers=_OWN_HEADERS
    ) as reply:
        reply.raise_for_status()
        message, provider_request_id = await reply.json(), reply.headers["request-id"]
    record = v1.RecordRequest(
        request_id=request.request_id,
        model=message["model"],
        usage_json=json.dumps(message["usage"]).encode(),
        stop_reason=message["stop_reason"],
        labels=request.labels,
        task=request.task,
        provider_request_id=provider_request_id,
    )
    recorded = await client.Record(record)
    return Answer(
        job=job,
        streamed=False,
        own_call=True,
        response_id=recorded.entry_id,
        model=route.decision.model,
        bill=recorded.bill,
        attempt_count=1,
        text=_text_of(message["content"]),
        content=message["content"],
    )


def _request(job: Job, history: list[dict[str, Any]], run: str) -> v1.Request:
    """Return a turn in simple fields where they can say it, else as the provider's own JSON."""
    fields = dict(job.request)
    fields["request_id"] = f"{run}-{job.job_id}-{len(history)}"
    if job.conversation:
        fields["conversation_id"] = f"{run}-{job.job_id}"
    if not job.as_json:
        request = ParseDict(fields, v1.Request(system=job.system))
        request.messages.extend(
            v1.Message(role=_SIMPLE_ROLES[turn["role"]], text=turn["content"]) for turn in history
        )
        return request
    body = {name: fields.pop(name) for name in ("max_tokens",) if name in fields} | dict(job.body)
    if job.system:
        body["system"] = _marked(job.system) if job.mark_system else job.system
    body["messages"] = history
    return ParseDict(fields, v1.Request(messages_json=json.dumps(body).encode()))


def _append_answer(history: list[dict[str, Any]], job: Job, answer: Answer) -> None:
    """Put the answer into the history: whole where blocks can be sent, as text where only text can."""
    content: Any = answer.content if job.as_json else answer.text
    history.append({"role": "assistant", "content": content or "(no answer)"})


def _user_content(job: Job, text: str, *, first: bool) -> str | list[dict[str, Any]]:
    if not (first and job.image_base64):
        return text
    source = {"type": "base64", "media_type": "image/png", "data": job.image_base64}
    return [{"type": "image", "source": source}, {"type": "text", "text": text}]


def _tool_result(job: Job, call_id: str) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": call_id, "content": job.tool_result}


def _marked(system: str) -> list[dict[str, Any]]:
    return [{"type": "text", "text": system, "cache_control": {"type": "ephemeral"}}]


def _delta_text(event: dict[str, Any]) -> str:
    """Return the text that a provider's event adds: in a delta, or in the block that it starts."""
    part = event.get("delta") or event.get("content_block") or {}
    return part.get("text") or ""


def _text_of(content: list[dict[str, Any]]) -> str:
    return "".join(block["text"] for block in content if block["type"] == "text")


def said(error: Exception) -> str:
    """Return what went wrong with a call, in one line."""
    return (
        f"{error.code().name}: {error.details()}" if isinstance(error, grpc.aio.AioRpcError) else str(error)
    )
