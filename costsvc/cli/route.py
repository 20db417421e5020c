"""`costsvc route`: the decision, its reasons, and the models that were considered."""

from __future__ import annotations

from typing import Any

import click

from costsvc.cli.remote import as_json_text, build_request, call, request_options, service_options
from costsvc.cli.text import table, tier_name
from costsvc.client import Client
from costsvc.core.money import format_usd
from costsvc.v1 import Candidate, Decision, Request, RouteRequest, RouteResponse


@click.command()
@request_options
@service_options
def route(*, target: str, tenant: str, as_json: bool, **parts: Any) -> None:
    """Say which model should answer TEXT, and why. Calls no provider and spends nothing."""
    request = build_request(**parts)
    response = call(target, tenant, lambda client: _route(client, request))
    click.echo(as_json_text(response) if as_json else _describe(response.decision))


async def _route(client: Client, request: Request) -> RouteResponse:
    return await client.Route(RouteRequest(request=request))


def _describe(decision: Decision) -> str:
    expected = (
        f"expected {format_usd(decision.expected_cost_nano_usd)}, "
        f"on {decision.baseline_model} {format_usd(decision.expected_baseline_nano_usd)}"
    )
    reasons = [f"  {reason.code}: {reason.detail}" for reason in decision.reasons]
    candidates = table(
        ("candidate", "tier", "expected cost"), [_candidate_row(c) for c in decision.candidates], left=3
    )
    return "\n".join(
        (
            f"{decision.model} ({tier_name(decision.tier)})",
            *reasons,
            expected,
            "",
            candidates,
        )
    )


def _candidate_row(candidate: Candidate) -> tuple[str, str, str]:
    cost = candidate.ruled_out or format_usd(candidate.expected_cost_nano_usd)
    return candidate.model, tier_name(candidate.tier), cost
