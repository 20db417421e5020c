"""`costsvc at-risk`: attempts of unknown outcome, and what an operator found out about them."""

from __future__ import annotations

from pathlib import Path

import click

from costsvc.cli.budget import all_pages
from costsvc.cli.budget_text import risks_table
from costsvc.cli.remote import administer, as_json_text, operator_options, read_bytes
from costsvc.client import Client
from costsvc.core.money import format_usd
from costsvc.v1 import (
    AttemptUsage,
    ListAtRiskRequest,
    ListAtRiskResponse,
    ResolveAtRiskRequest,
    ResolveAtRiskResponse,
)

_PAGE_ROWS = 1000


@click.group("at-risk")
def at_risk() -> None:
    """See what calls of unknown outcome may have cost, and settle it.

    The service takes these only from its own machine.
    """


@at_risk.command("list")
@click.option("--tenant", default="", help="Only this tenant's.")
@operator_options
def list_(*, tenant: str, target: str, as_json: bool) -> None:
    """Show every attempt whose cost is not known, and between what it lies."""

    async def fetch(client: Client, token: str) -> ListAtRiskResponse:
        request = ListAtRiskRequest(tenant=tenant, page_size=_PAGE_ROWS, page_token=token)
        return await client.ListAtRisk(request)

    def join(whole: ListAtRiskResponse, page: ListAtRiskResponse) -> None:
        whole.attempts.extend(page.attempts)

    response = administer(target, lambda client: all_pages(client, fetch, join))
    click.echo(as_json_text(response) if as_json else risks_table(response.attempts))


@at_risk.command()
@click.argument("attempt_id", metavar="ATTEMPT")
@click.option("--not-spent", is_flag=True, help="The provider did not bill it.")
@click.option("--model", default="", help="It was billed: the model that answered.")
@click.option(
    "--usage-json",
    metavar="FILE",
    type=click.Path(path_type=Path, allow_dash=True),
    help="It was billed: the provider's usage object as JSON; - reads standard input.",
)
@operator_options
def resolve(
    *, attempt_id: str, not_spent: bool, model: str, usage_json: Path | None, target: str, as_json: bool
) -> None:
    """Book what ATTEMPT really cost, once."""
    if not_spent == bool(model) or bool(model) != (usage_json is not None):
        raise click.UsageError("give either --not-spent, or --model and --usage-json")
    request = ResolveAtRiskRequest(attempt_id=attempt_id)
    if usage_json is None:
        request.not_spent = True
    else:
        request.usage.CopyFrom(AttemptUsage(model=model, usage_json=read_bytes(usage_json)))

    async def send(client: Client) -> ResolveAtRiskResponse:
        return await client.ResolveAtRisk(request)

    response = administer(target, send)
    text = f"booked as {response.entry_id}" if response.entry_id else "not spent"
    click.echo(as_json_text(response) if as_json else f"{text}: {format_usd(response.cost_nano_usd)}")
