"""`costsvc complete`: the answer on standard output, its bill on standard error."""

from __future__ import annotations

from typing import Any

import click

from costsvc.cli.refusal import CALL_FAILED, Refusal
from costsvc.cli.remote import as_json_text, build_request, call, request_options, service_options
from costsvc.cli.text import percent, techniques
from costsvc.client import Client
from costsvc.core.money import format_usd
from costsvc.v1 import (
    Bill,
    CacheOrigin,
    CompleteRequest,
    CompleteResponse,
    Request,
    StreamCompleted,
    StreamCompleteRequest,
    StreamCompleteResponse,
)


@click.command()
@request_options
@click.option("--stream", is_flag=True, help="Print the answer as it is written.")
@service_options
def complete(*, stream: bool, target: str, tenant: str, as_json: bool, **parts: Any) -> None:
    """Answer TEXT. The answer goes to standard output, what it cost to standard error."""
    request = build_request(**parts)
    if stream:
        call(target, tenant, lambda client: _stream(client, request, as_json=as_json))
        return
    response = call(target, tenant, lambda client: _complete(client, request))
    if as_json:
        click.echo(as_json_text(response))
        return
    print_answer(response)


def print_answer(response: CompleteResponse) -> None:
    """Print an answer to standard output, and its bill to standard error."""
    click.echo(response.text, nl=False)
    _end_text(has_text=bool(response.text))
    click.echo(_summary(response.model, response.stop_reason, response.bill), err=True)
    if response.HasField("cache_origin"):
        click.echo(_stored(response.response_id, response.cache_origin), err=True)


async def _complete(client: Client, request: Request) -> CompleteResponse:
    return await client.Complete(CompleteRequest(request=request))


async def _stream(client: Client, request: Request, *, as_json: bool) -> None:
    completed: StreamCompleted | None = None
    stored, has_text = "", False
    async for event in client.StreamComplete(StreamCompleteRequest(request=request)):
        if event.WhichOneof("event") == "completed":
            completed = event.completed
        if event.started.HasField("cache_origin"):
            stored = _stored(event.started.response_id, event.started.cache_origin)
        has_text = has_text or bool(event.text_delta)
        _print(event, as_json=as_json)
    if completed is None:
        raise Refusal("the stream ended without its bill", CALL_FAILED)
    if not as_json:
        _end_text(has_text=has_text)
        click.echo(_summary(completed.model, completed.stop_reason, completed.bill), err=True)
        if stored:
            click.echo(stored, err=True)


def _print(event: StreamCompleteResponse, *, as_json: bool) -> None:
    if as_json:
        click.echo(as_json_text(event, indent=None))
    elif event.WhichOneof("event") == "text_delta":
        click.echo(event.text_delta, nl=False)


def _end_text(*, has_text: bool) -> None:
    """End the last line of an answer, or say that it has none: it may think, or use tools, and no more."""
    if has_text:
        click.echo()
    else:
        click.echo("no text in this answer: --json, without --stream, prints all of it", err=True)


def _stored(response_id: str, origin: CacheOrigin) -> str:
    """Return one line: how old the answer is, what it answered, and what to do where that is not right."""
    question = f" to {origin.question!r}" if origin.question else ""
    report = f"costsvc cache report-mistake {response_id}"
    return f"stored answer{question}, {origin.age_ms / 1000:,.0f} s old; if it is wrong: {report}"


def _summary(model: str, stop_reason: str, bill: Bill) -> str:
    """Return one line: who answered, with how many tokens, for how much, and what that saved."""
    usage, total_nano_usd = bill.usage, bill.savings.total_nano_usd
    prompt_tokens = (
        usage.input_tokens
        + usage.cache_write_5m_tokens
        + usage.cache_write_1h_tokens
        + usage.cache_read_tokens
    )
    cached = f" ({usage.cache_read_tokens:,} from the prompt cache)" if usage.cache_read_tokens else ""
    by = techniques(bill.savings)
    return (
        f"{model} | {stop_reason} | {prompt_tokens:,} tokens in{cached}, {usage.output_tokens:,} out"
        f" | cost {format_usd(bill.cost_nano_usd)} | baseline {format_usd(bill.baseline_nano_usd)}"
        f" | saved {format_usd(total_nano_usd)}, {percent(total_nano_usd, bill.baseline_nano_usd)}"
        + (f" ({by})" if by else "")
    )
