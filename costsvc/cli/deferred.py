"""`costsvc deferred`: what became of a request that may wait."""

from __future__ import annotations

import click

from costsvc.cli.complete import print_answer
from costsvc.cli.refusal import CALL_FAILED, Refusal
from costsvc.cli.remote import as_json_text, call, service_options
from costsvc.client import Client
from costsvc.v1 import (
    DEFERRED_STATE_ANSWERED,
    DEFERRED_STATE_FAILED,
    CancelDeferredRequest,
    CancelDeferredResponse,
    Deferred,
    DeferredState,
    GetDeferredRequest,
    GetDeferredResponse,
)


@click.group()
def deferred() -> None:
    """See what became of a deferred request, or take it back."""


@deferred.command()
@click.argument("deferred_id", metavar="ID")
@service_options
def get(*, deferred_id: str, target: str, tenant: str, as_json: bool) -> None:
    """Print where the request ID is, or its answer."""

    async def send(client: Client) -> GetDeferredResponse:
        return await client.GetDeferred(GetDeferredRequest(deferred_id=deferred_id))

    response = call(target, tenant, send)
    if as_json:
        click.echo(as_json_text(response))
    else:
        show(response.deferred)


@deferred.command()
@click.argument("deferred_id", metavar="ID")
@service_options
def cancel(*, deferred_id: str, target: str, tenant: str, as_json: bool) -> None:
    """Take the request ID back; what has not been sent costs nothing."""

    async def send(client: Client) -> CancelDeferredResponse:
        return await client.CancelDeferred(CancelDeferredRequest(deferred_id=deferred_id))

    response = call(target, tenant, send)
    if as_json:
        click.echo(as_json_text(response))
        return
    click.echo(_line(response.deferred))
    if response.may_be_billed:
        click.echo("it had been sent: what it costs is booked all the same", err=True)


def show(found: Deferred) -> None:
    """Print an answer with its bill, or where the request is."""
    if found.state == DEFERRED_STATE_FAILED:
        raise Refusal(f"{found.deferred_id} failed: {found.error.message}", CALL_FAILED)
    if found.state == DEFERRED_STATE_ANSWERED:
        print_answer(found.response)
    else:
        click.echo(_line(found))


def _line(found: Deferred) -> str:
    state = DeferredState.Name(found.state).removeprefix("DEFERRED_STATE_").lower().replace("_", " ")
    until = found.deadline_time.ToDatetime().isoformat(timespec="seconds")
    return (
        f"{found.deferred_id} {state}, answered by {until}Z"
        if not found.HasField("end_time")
        else (f"{found.deferred_id} {state}")
    )
