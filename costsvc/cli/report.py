"""`costsvc report`: what a tenant spent and saved, by period and by one property."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import click
from google.protobuf.timestamp_pb2 import Timestamp

from costsvc.cli.remote import as_json_text, call, service_options
from costsvc.cli.text import percent, table
from costsvc.client import Client
from costsvc.core.money import format_usd
from costsvc.v1 import ReportRequest, ReportResponse, ReportTotals

_SPAN = re.compile(r"(\d{1,5})([hd])")
_PAGE_ROWS = 1000
_HEADERS = ("period", "", "calls", "tokens in", "out", "cost", "baseline", "saved", "saved %")
_TECHNIQUE_HEADERS = ("period", "", "saved", "of baseline")
_STARTS = {"hour": "%Y-%m-%d %H:00", "day": "%Y-%m-%d", "month": "%Y-%m"}


class _Moment(click.ParamType[datetime]):
    """A UTC date or time, or how long ago: 24h, 7d."""

    name = "when"

    def convert(
        self, value: str | datetime, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            return _moment(value)
        except (ValueError, OverflowError):
            self.fail(
                f"{value!r} is neither a span such as 24h or 7d nor a date such as 2026-11-22", param, ctx
            )


@click.command()
@click.option("--since", type=_Moment(), default="24h", show_default=True, help="From when: 24h, 7d, a date.")
@click.option("--until", type=_Moment(), help="Until when; now, unless given.")
@click.option(
    "--by", metavar="[model|tier|technique|label:KEY]", default="", help="What to split by, if anything."
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
        start_time=_timestamp(since),
        end_time=_timestamp(until or datetime.now(UTC)),
        granularity=f"GRANULARITY_{(granularity or 'unspecified').upper()}",
        group_by=kind,
        label_key=label_key,
        page_size=_PAGE_ROWS,
    )
    response = call(target, tenant, lambda client: _all_pages(client, request))
    if as_json:
        click.echo(as_json_text(response))
    else:
        click.echo(_describe(response, granularity or "", by_technique=kind == "GROUP_BY_TECHNIQUE"))


def _moment(text: str) -> datetime:
    if span := _SPAN.fullmatch(text):
        count, unit = int(span[1]), span[2]
        return datetime.now(UTC) - (timedelta(hours=count) if unit == "h" else timedelta(days=count))
    moment = datetime.fromisoformat(text)
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _timestamp(moment: datetime) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromDatetime(moment)
    return timestamp


def _group_by(by: str) -> tuple[str, str]:
    kind, _, key = by.partition(":")
    if kind not in {"", "model", "tier", "technique", "label"} or (kind == "label") != bool(key):
        raise click.BadParameter(f"{by!r} is none of model, tier, technique, label:KEY", param_hint="--by")
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


def _describe(response: ReportResponse, granularity: str, *, by_technique: bool) -> str:
    starts = _STARTS.get(granularity, "%Y-%m-%d %H:%M")
    groups = [(r.period_start_time.ToDatetime().strftime(starts), r.group, r.totals) for r in response.rows]
    lines = [*groups, ("total", "", response.totals)]
    if by_technique:
        baseline_nano_usd = response.totals.bill.baseline_nano_usd
        return table(_TECHNIQUE_HEADERS, [_technique_row(*line, baseline_nano_usd) for line in lines], left=2)
    average = f"average cost of a call: {format_usd(response.totals.average_cost_nano_usd)}"
    return f"{table(_HEADERS, [_row(*line) for line in lines], left=2)}\n\n{average}"


def _technique_row(
    period: str, technique: str, totals: ReportTotals, baseline_nano_usd: int
) -> tuple[str, str, str, str]:
    saved_nano_usd = totals.bill.savings.total_nano_usd
    name = technique.replace("_", " ")
    return period, name, format_usd(saved_nano_usd), percent(saved_nano_usd, baseline_nano_usd)


def _row(period: str, group: str, totals: ReportTotals) -> tuple[str, ...]:
    bill, usage = totals.bill, totals.bill.usage
    prompt_tokens = (
        usage.input_tokens
        + usage.cache_write_5m_tokens
        + usage.cache_write_1h_tokens
        + usage.cache_read_tokens
    )
    saved_nano_usd = bill.savings.total_nano_usd
    return (
        period,
        group,
        f"{totals.call_count:,}",
        f"{prompt_tokens:,}",
        f"{usage.output_tokens:,}",
        format_usd(bill.cost_nano_usd),
        format_usd(bill.baseline_nano_usd),
        format_usd(saved_nano_usd),
        percent(saved_nano_usd, bill.baseline_nano_usd),
    )
