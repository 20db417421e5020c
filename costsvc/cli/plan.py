"""`costsvc plan`: what would be done with a request, in words and dollars."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from costsvc.cli.remote import as_json_text, call, read_bytes, service_options
from costsvc.cli.text import tier_name
from costsvc.client import Client
from costsvc.core.money import format_usd
from costsvc.v1 import PlacedBreakpoint, PromptCachePlan, Request, RouteRequest, RouteResponse


@click.command()
@click.argument("request_json", metavar="REQUEST.json", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--task", default="", help="What kind of work it is, such as faq.")
@click.option("--model", default="", help="A model to pin, instead of the one that routing chooses.")
@click.option("--conversation", default="", metavar="ID", help="The conversation that it is a turn of.")
@service_options
def plan(
    *, request_json: Path, task: str, model: str, conversation: str, target: str, tenant: str, as_json: bool
) -> None:
    """Explain what would be done with a request, and why: the model, and each cache breakpoint.

    REQUEST.json is the body of a Messages request; - reads standard input. Calls no provider and spends
    nothing.
    """
    request = Request(
        messages_json=read_bytes(request_json), task=task, model=model, conversation_id=conversation
    )
    response = call(target, tenant, lambda client: _route(client, request))
    click.echo(as_json_text(response) if as_json else "\n".join(_describe(response)))


async def _route(client: Client, request: Request) -> RouteResponse:
    return await client.Route(RouteRequest(request=request))


def _describe(response: RouteResponse) -> Iterator[str]:
    decision, cache = response.decision, response.prompt_cache
    yield f"model: {decision.model} ({tier_name(decision.tier) or 'no tier'})"
    for reason in decision.reasons:
        if reason.code != "marker_added":  # said below, with more
            yield f"  {reason.code}: {reason.detail}"
    yield f"expected: {format_usd(decision.expected_cost_nano_usd)}"
    yield ""
    yield "prompt cache:" if cache.breakpoints else "prompt cache: no breakpoints"
    for each in cache.breakpoints:
        yield f"  {_breakpoint(each)}"
    for why in cache.reasons:
        yield f"  {why}"
    if cache.uncached_input_nano_usd:
        yield from _amounts(cache)


def _breakpoint(value: PlacedBreakpoint) -> str:
    """Say where a breakpoint is, how long the prefix is kept, and how likely it comes again until then."""
    whose = "the caller's, " if value.is_callers else ""
    place = f"{value.member}[{value.index}]"
    if value.member == "messages" and value.block >= 0:
        place += f".content[{value.block}]"
    return (
        f"after {place}: {whose}{value.prefix_tokens:,} tokens for {value.ttl}, "
        f"{value.reuse_permille / 10:.0f} % to come again within that time"
    )


def _amounts(cache: PromptCachePlan) -> Iterator[str]:
    yield (
        f"the prompt now: {format_usd(cache.expected_input_nano_usd)}, "
        f"uncached {format_usd(cache.uncached_input_nano_usd)}; "
        f"{cache.expected_read_tokens:,} tokens are expected to be read"
    )
    if cache.expected_later_savings_nano_usd:
        yield f"later calls are expected to save {format_usd(cache.expected_later_savings_nano_usd)} by it"
