"""`costsvc estimate`: tokens and cost before anything is spent."""

from __future__ import annotations

from typing import Any

import click

from costsvc.cli.remote import as_json_text, build_request, call, request_options, service_options
from costsvc.cli.text import table, tier_name
from costsvc.client import Client
from costsvc.core.money import format_usd
from costsvc.v1 import EstimateRequest, EstimateResponse, ModelEstimate

_HEADERS = ("model", "tier", "tokens in", "out", "expected", "upper", "worst", "cache warm", "batch")


@click.command()
@request_options
@click.option("--all", "all_candidates", is_flag=True, help="Estimate on every model of the policy.")
@service_options
def estimate(*, all_candidates: bool, target: str, tenant: str, as_json: bool, **parts: Any) -> None:
    """Say what an answer to TEXT would cost. Calls no provider and spends nothing."""
    request = EstimateRequest(request=build_request(**parts), all_candidates=all_candidates)
    response = call(target, tenant, lambda client: _estimate(client, request))
    if as_json:
        click.echo(as_json_text(response))
    else:
        click.echo(table(_HEADERS, [_row(estimate) for estimate in response.estimates], left=2))


async def _estimate(client: Client, request: EstimateRequest) -> EstimateResponse:
    return await client.Estimate(request)


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
