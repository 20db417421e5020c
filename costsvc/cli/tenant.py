"""`costsvc tenant`: what concerns a tenant as a whole."""

from __future__ import annotations

import click

from costsvc.cli.remote import administer, as_json_text, operator_options
from costsvc.client import Client
from costsvc.v1 import DeleteTenantDataRequest, DeleteTenantDataResponse


@click.group()
def tenant() -> None:
    """Erase what is kept of a tenant's contents.

    The service takes this only from its own machine.
    """


@tenant.command("delete-data")
@click.argument("name", metavar="TENANT")
@click.confirmation_option(prompt="Erase the answers that are kept for this tenant?")
@operator_options
def delete_data(*, name: str, target: str, as_json: bool) -> None:
    """Erase the answers that are kept for TENANT; money stays."""

    async def send(client: Client) -> DeleteTenantDataResponse:
        return await client.DeleteTenantData(DeleteTenantDataRequest(tenant=name))

    response = administer(target, send)
    if as_json:
        click.echo(as_json_text(response))
        return
    for content in response.contents:
        click.echo(f"{content.kind.replace('_', ' ')}: {content.erased_count:,} erased")
