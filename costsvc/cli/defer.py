"""`costsvc defer`: a question that may wait; with --wait the answer, else the id to ask for it."""

from __future__ import annotations

from typing import Any

import click

from costsvc.cli.deferred import show
from costsvc.cli.remote import as_json_text, build_request, call, request_options, service_options
from costsvc.cli.spec import ROLLING
from costsvc.client import Client
from costsvc.v1 import Deferred, DeferRequest, WatchDeferredRequest

_DAY_S = 86_400


@click.command()
@request_options
@click.option(
    "--tolerance",
    "tolerance_s",
    type=ROLLING,
    default="24h",
    help="How long it may take: 1m to 24h.",
    show_default=True,
)
@click.option("--request-id", default="", help="Your id of the request; repeating it gets the same request.")
@click.option("--wait", is_flag=True, help="Wait for the answer.")
@service_options
def defer(
    *,
    tolerance_s: int,
    request_id: str,
    wait: bool,
    target: str,
    tenant: str,
    as_json: bool,
    **parts: Any,
) -> None:
    """Ask TEXT, to be answered within a tolerance: at half price where a batch ends in time."""
    message = DeferRequest(request=build_request(**parts))
    message.request.request_id = request_id
    message.tolerance.FromSeconds(min(tolerance_s, _DAY_S + 1))

    async def send(client: Client) -> Deferred:
        deferred = (await client.Defer(message)).deferred
        return await _ended(client, deferred) if wait else deferred

    deferred = call(target, tenant, send)
    if as_json:
        click.echo(as_json_text(deferred))
    else:
        show(deferred)


async def _ended(client: Client, deferred: Deferred) -> Deferred:
    """Return a request when it has ended; a watch may end before."""
    while not deferred.HasField("end_time"):
        request = WatchDeferredRequest(deferred_id=deferred.deferred_id)
        async for seen in client.WatchDeferred(request):
            deferred = seen.deferred
    return deferred
