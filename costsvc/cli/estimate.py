"""`costsvc estimate`: tokens and cost before anything is spent, of a request or of many calls of one size."""

from __future__ import annotations

from typing import Any

import click

from costsvc.cli.remote import as_json_text, build_request, call, request_options, service_options
from costsvc.cli.text import table, tier_name
from costsvc.cli.workload import WorkloadCommand, calculate, described, take_workload, workload_options
from costsvc.cli.workload import as_json as forecast_json
from costsvc.client import Client
from costsvc.core.money import format_usd
from costsvc.v1 import EstimateRequest, EstimateResponse, ModelEstimate, Proposal

_HEADERS = ("model", "tier", "tokens in", "out", "expected", "upper", "worst", "cache warm", "batch")


@click.command(cls=WorkloadCommand)
@request_options
@click.option("--all", "all_candidates", is_flag=True, help="Estimate on every model of the policy.")
@click.option("--advice", is_flag=True, help="Say what would make such calls cheaper, in dollars.")
@workload_options
@service_options
def estimate(
    *, all_candidates: bool, advice: bool, target: str, tenant: str, as_json: bool, **parts: Any
) -> None:
    """Say what an answer to TEXT would cost, or with --calls, what many calls of one size would.

    Calls no provider and spends nothing.
    """
    said = take_workload(parts)
    if said is not None:
        result = calculate(said, parts["model"])
        click.echo(forecast_json(result) if as_json else described(result))
        return
    request = EstimateRequest(
        request=build_request(**parts), all_candidates=all_candidates, include_advice=advice
    )
    response = call(target, tenant, lambda client: _estimate(client, request))
    if as_json:
        click.echo(as_json_text(response))
    else:
        click.echo(table(_HEADERS, [_row(estimate) for estimate in response.estimates], left=2))
        for proposal in response.advice:
            click.echo(f"\n{_said(proposal)}")


async def _estimate(client: Client, request: EstimateRequest) -> EstimateResponse:
    return await client.Estimate(request)


def _said(proposal: Proposal) -> str:
    monthly = (
        f", {format_usd(proposal.monthly_saving_nano_usd)} a month" if proposal.monthly_call_count else ""
    )
    worth = f"{format_usd(proposal.thousand_calls_saving_nano_usd)} per 1,000 calls{monthly}"
    return f"{proposal.code}: {proposal.text}\n  {worth}\n  if {proposal.assumption}"


def _row(estimate: ModelEstimate) -> tuple[str, ...]:
    cold = estimate.standard_cold
    return (
        estimate.model,
        tier_name(estimate.tier),
        f"{estimate.input_tokens.expected:,}",
        f"{estimate.output_tokens.expected:,}",
        format_usd(cold.expected_nano_usd),
        format_usd(cold.upper_nano_usd),
        format_usd(cold.worst_nano_usd) if cold.worst_nano_usd else "unbounded",
        format_usd(estimate.standard_warm.expected_nano_usd),
        format_usd(estimate.batch_cold.expected_nano_usd),
    )
