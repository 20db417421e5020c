"""`costsvc budget`: what may be spent by whom, for how long, and what is left of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

import click

from costsvc.cli.budget_text import balances_table, budgets_table
from costsvc.cli.remote import administer, as_json_text, operator_options
from costsvc.cli.spec import LIMIT, PERMILLE, ROLLING, SCOPE
from costsvc.client import Client
from costsvc.v1 import (
    Budget,
    BudgetScope,
    BudgetWindow,
    CalendarWindow,
    DeleteBudgetRequest,
    GetBudgetRequest,
    GetBudgetResponse,
    ListBudgetsRequest,
    ListBudgetsResponse,
    SetBudgetRequest,
    SetBudgetResponse,
)

_UNITS = ("hour", "day", "week", "month")
_PAGE_ROWS = 1000


@click.group("budget")
def budget() -> None:
    """Set what may be spent, and see what is.

    The service takes these only from its own machine.
    """


@budget.command("set")
@click.argument("budget_id", metavar="ID")
@click.option("--limit", type=LIMIT, required=True, help="What may be spent in a window, in USD: 500.")
@click.option(
    "--scope",
    type=SCOPE,
    default="everything",
    show_default=True,
    help="Whose spend counts: everything, tenant=NAME, label:KEY=VALUE, model=NAME, or a budget each: "
    "each-tenant, each-label=KEY.",
)
@click.option("--per", type=click.Choice(_UNITS), help="A calendar's window; month, without --rolling.")
@click.option("--zone", default="", help="The IANA zone of the calendar: Europe/Berlin; UTC unless given.")
@click.option("--rolling", type=ROLLING, help="The last so long instead of a calendar: 90m, 24h, 30d.")
@click.option(
    "--mode",
    type=click.Choice(["hard", "soft", "shadow"]),
    default="hard",
    show_default=True,
    help="When it is full: refuse calls; alert; only count what it would refuse.",
)
@click.option("--strict", is_flag=True, help="Never pass the limit, whatever running calls cost at most.")
@click.option("--overshoot", type=PERMILLE, help="How far the worst case may go beyond it; 5 % unless given.")
@click.option("--alert", "alerts", type=PERMILLE, multiple=True, help="Alert at this share: 80%. Repeatable.")
@click.option(
    "--cap-tier",
    type=click.Choice(["simple", "medium", "complex"]),
    help="The highest tier while a soft budget is full.",
)
@click.option("--webhook-url", default="", help="Where its alerts go, instead of where all go.")
@operator_options
def set_(
    *,
    budget_id: str,
    limit: int,
    scope: BudgetScope,
    per: str | None,
    zone: str,
    rolling: int | None,
    mode: str,
    strict: bool,
    overshoot: int | None,
    alerts: tuple[int, ...],
    cap_tier: str | None,
    webhook_url: str,
    target: str,
    as_json: bool,
) -> None:
    """Create the budget ID, or replace its definition; what is spent already stays."""
    request = SetBudgetRequest(
        budget=Budget(
            id=budget_id,
            scope=scope,
            window=_window(per, zone, rolling),
            limit_nano_usd=limit,
            mode=f"BUDGET_MODE_{mode.upper()}",
            strict=strict,
            overshoot_permille=overshoot,
            thresholds_permille=sorted(alerts),
            cap_tier=f"TIER_{(cap_tier or 'unspecified').upper()}",
            webhook_url=webhook_url,
        )
    )

    async def send(client: Client) -> SetBudgetResponse:
        return await client.SetBudget(request)

    response = administer(target, send)
    click.echo(as_json_text(response) if as_json else budgets_table([response.budget]))


@budget.command()
@click.argument("budget_id", metavar="ID")
@operator_options
def get(*, budget_id: str, target: str, as_json: bool) -> None:
    """Show the budget ID, and what is spent, at risk, held and left in its current window."""

    async def fetch(client: Client, token: str) -> GetBudgetResponse:
        return await client.GetBudget(GetBudgetRequest(id=budget_id, page_size=_PAGE_ROWS, page_token=token))

    def join(whole: GetBudgetResponse, page: GetBudgetResponse) -> None:
        whole.status.balances.extend(page.status.balances)

    response = administer(target, lambda client: all_pages(client, fetch, join))
    status = response.status
    text = f"{budgets_table([status.budget])}\n\n{balances_table(status)}"
    click.echo(as_json_text(response) if as_json else text)


@budget.command("list")
@operator_options
def list_(*, target: str, as_json: bool) -> None:
    """Show every budget."""

    async def fetch(client: Client, token: str) -> ListBudgetsResponse:
        return await client.ListBudgets(ListBudgetsRequest(page_size=_PAGE_ROWS, page_token=token))

    def join(whole: ListBudgetsResponse, page: ListBudgetsResponse) -> None:
        whole.budgets.extend(page.budgets)

    response = administer(target, lambda client: all_pages(client, fetch, join))
    click.echo(as_json_text(response) if as_json else budgets_table(response.budgets))


@budget.command()
@click.argument("budget_id", metavar="ID")
@operator_options
def delete(*, budget_id: str, target: str, as_json: bool) -> None:
    """Delete the budget ID; the ledger keeps what was spent."""

    async def send(client: Client) -> None:
        await client.DeleteBudget(DeleteBudgetRequest(id=budget_id))

    administer(target, send)
    click.echo("{}" if as_json else f"budget {budget_id} is deleted")


class _Page(Protocol):
    next_page_token: str


P = TypeVar("P", bound=_Page)


async def all_pages(
    client: Client, fetch: Callable[[Client, str], Awaitable[P]], join: Callable[[P, P], None]
) -> P:
    """Return every page as one."""
    whole = await fetch(client, "")
    token = whole.next_page_token
    while token:
        page = await fetch(client, token)
        join(whole, page)
        token = page.next_page_token
    whole.next_page_token = ""
    return whole


def _window(per: str | None, zone: str, rolling: int | None) -> BudgetWindow:
    if rolling is None:
        unit = f"CALENDAR_UNIT_{(per or 'month').upper()}"
        return BudgetWindow(calendar=CalendarWindow(unit=unit, zone=zone))
    if per or zone:
        raise click.UsageError("--rolling goes without --per and --zone")
    window = BudgetWindow()
    window.duration.FromSeconds(rolling)
    return window
