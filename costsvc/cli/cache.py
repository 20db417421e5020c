"""`costsvc cache`: what an operator does with stored answers."""

from __future__ import annotations

import click

from costsvc.cli.remote import administer, as_json_text, as_label, operator_options
from costsvc.client import Client
from costsvc.v1 import (
    InvalidateCacheRequest,
    InvalidateCacheResponse,
    ReportCacheMistakeRequest,
    ReportCacheMistakeResponse,
)


@click.group()
def cache() -> None:
    """Serve stored answers no more, or say that one was wrong.

    The service takes these only from its own machine.
    """


@cache.command()
@click.option("--tenant", default="", help="What this tenant paid for.")
@click.option("--namespace", default="", help="Of the tenant's, only this namespace.")
@click.option("--label", metavar="KEY=VALUE", help="Of the tenant's, only what it paid for under this.")
@click.option("--everything", is_flag=True, help="What everybody paid for.")
@operator_options
def invalidate(
    *, tenant: str, namespace: str, label: str | None, everything: bool, target: str, as_json: bool
) -> None:
    """Serve nothing any more that is stored by now.

    It takes a second, however much that is; then it holds on every replica.
    """
    if everything == bool(tenant):
        raise click.UsageError("give either --tenant or --everything")
    if sum(map(bool, (everything, namespace, label))) > 1:
        raise click.UsageError("give one of --namespace, --label and --everything")
    key, value = as_label(label) if label else ("", "")
    if label and not key:
        raise click.UsageError("--label needs a key")
    request = InvalidateCacheRequest(tenant=tenant, namespace=namespace, label_key=key, label_value=value)

    async def send(client: Client) -> InvalidateCacheResponse:
        return await client.InvalidateCache(request)

    response = administer(target, send)
    click.echo(as_json_text(response) if as_json else "invalidated")


@cache.command("report-mistake")
@click.argument("response_id", metavar="RESPONSE")
@operator_options
def report_mistake(*, response_id: str, target: str, as_json: bool) -> None:
    """Say that the stored answer was wrong that the call RESPONSE got.

    It is removed, and the two questions are never taken for the same again.
    """

    async def send(client: Client) -> ReportCacheMistakeResponse:
        return await client.ReportCacheMistake(ReportCacheMistakeRequest(response_id=response_id))

    response = administer(target, send)
    click.echo(as_json_text(response) if as_json else "removed")
