"""`costsvc report`: what a tenant spent and saved, by period and by one property."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from costsvc.cli.moment import MOMENT, timestamp
from costsvc.cli.remote import as_json_text, call, service_options
from costsvc.cli.text import percent, table
from costsvc.client import Client
from costsvc.core.money import format_usd
from costsvc.v1 import AtRiskTotals, ReportRequest, ReportResponse, ReportRow, ReportTotals

_PAGE_ROWS = 1000
_HEADERS = ("calls", "tokens in", "out", "cost", "baseline", "saved", "saved %")
_TECHNIQUE, _TECHNIQUE_HEADERS = "technique", ("saved", "of baseline")
_STARTS = {"hour": "%Y-%m-%d %H:00", "day": "%Y-%m-%d", "month": "%Y-%m"}


@click.command()
@click.option("--since", type=MOMENT, default="24h", show_default=True, help="From when: 24h, 7d, a date.")
@click.option("--until", type=MOMENT, help="Until when; now, unless given.")
@click.option(
    "--by", metavar="[model|tier|task|technique|label:KEY]", default="", help="What to split by, if anything."
)
@click.option("--granularity", type=click.Choice(tuple(_STARTS)), help="Split by period; UTC.")
@service_options
def report(
    *,
    since: datetime,
    until: datetime | None,
    by: str,
    granularity: str | None,
    target: str,
    tenant: str,
    as_json: bool,
) -> None:
    """Add up a tenant's ledger: calls, tokens, cost, and what was saved."""
    kind, label_key = _group_by(by)
    request = ReportRequest(
        start_time=timestamp(since),
        end_time=timestamp(until or datetime.now(UTC)),
        granularity=f"GRANULARITY_{(granularity or 'unspecified').upper()}",
        group_by=kind,
        label_key=label_key,
        page_size=_PAGE_ROWS,
    )
    response = call(target, tenant, lambda client: _all_pages(client, request))
    if as_json:
        click.echo(as_json_text(response))
    else:
        click.echo(_describe(response, granularity or "", by))
        if response.at_risk.attempt_count:
            click.echo(_describe_risk(response.at_risk))


def _group_by(by: str) -> tuple[str, str]:
    kind, _, key = by.partition(":")
    if kind not in {"", "model", "tier", "task", "technique", "label"} or (kind == "label") != bool(key):
        known = "model, tier, task, technique, label:KEY"
        raise click.BadParameter(f"{by!r} is none of {known}", param_hint="--by")
    return f"GROUP_BY_{(kind or 'unspecified').upper()}", key


async def _all_pages(client: Client, request: ReportRequest) -> ReportResponse:
    """Return every row in one response."""
    whole = await client.Report(request)
    token = whole.next_page_token
    while token:
        request.page_token = token
        page = await client.Report(request)
        whole.rows.extend(page.rows)
        token = page.next_page_token
    whole.next_page_token = ""
    return whole


def _describe(response: ReportResponse, granularity: str, by: str) -> str:
    """Return a line for each period and group that were asked for, and one for all."""
    names = [name for name in ("period" if granularity else "", by) if name]
    rows = [(_place(row, granularity, by), row.totals) for row in response.rows] if names else []
    lines = [*rows, (("total", *("" for _ in names[1:])), response.totals)]
    left = max(len(names), 1)
    if by == _TECHNIQUE:
        baseline_nano_usd = response.totals.bill.baseline_nano_usd
        cells = [(*place, *_technique_amounts(totals, baseline_nano_usd)) for place, totals in lines]
        return table((*names, *_TECHNIQUE_HEADERS), cells, left=left)
    average = f"average cost of a call: {format_usd(response.totals.average_cost_nano_usd)}"
    cells = [(*place, *_amounts(totals)) for place, totals in lines]
    return f"{table((*(names or ['']), *_HEADERS), cells, left=left)}\n\n{average}"


def _describe_risk(risk: AtRiskTotals) -> str:
    bounds = f"{format_usd(risk.lower_nano_usd)} to {format_usd(risk.upper_nano_usd)}"
    return f"at risk now, not in the sums: {bounds} in {risk.attempt_count:,} calls of unknown outcome"


def _place(row: ReportRow, granularity: str, by: str) -> tuple[str, ...]:
    """Return what a line is about: its period, its group, or both."""
    period = (row.period_start_time.ToDatetime().strftime(_STARTS[granularity]),) if granularity else ()
    group = row.group.replace("_", " ") if by == _TECHNIQUE else row.group
    return (*period, group) if by else period


def _technique_amounts(totals: ReportTotals, baseline_nano_usd: int) -> tuple[str, str]:
    saved_nano_usd = totals.bill.savings.total_nano_usd
    return format_usd(saved_nano_usd), percent(saved_nano_usd, baseline_nano_usd)


def _amounts(totals: ReportTotals) -> tuple[str, ...]:
    bill, usage = totals.bill, totals.bill.usage
    prompt_tokens = (
        usage.input_tokens
        + usage.cache_write_5m_tokens
        + usage.cache_write_1h_tokens
        + usage.cache_read_tokens
    )
    saved_nano_usd = bill.savings.total_nano_usd
    return (
        f"{totals.call_count:,}",
        f"{prompt_tokens:,}",
        f"{usage.output_tokens:,}",
        format_usd(bill.cost_nano_usd),
        format_usd(bill.baseline_nano_usd),
        format_usd(saved_nano_usd),
        percent(saved_nano_usd, bill.baseline_nano_usd),
    )
