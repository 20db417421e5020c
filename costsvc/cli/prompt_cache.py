"""`costsvc prompt-cache`: what the provider's prompt cache did for a tenant, and what to change."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import click

from costsvc.cli.moment import MOMENT, timestamp
from costsvc.cli.remote import administer, as_json_text, operator_options
from costsvc.cli.text import table
from costsvc.client import Client
from costsvc.core.money import format_usd
from costsvc.v1 import ReportPromptCacheRequest, ReportPromptCacheResponse

_SHOWN = 20
_PREFIXES = ("prefix", "task", "model", "calls", "read", "written 5m", "1h", "saved", "by callers")
_MISSES = ("reason", "block", "task", "model", "count", "tokens", "cost more")


@click.group("prompt-cache")
def prompt_cache() -> None:
    """See what the provider's prompt cache did, and what to change about prompts.

    The service takes these only from its own machine.
    """


@prompt_cache.command()
@click.option("--tenant", default="default", show_default=True, help="Whose prompts.")
@click.option("--since", type=MOMENT, default="24h", show_default=True, help="From when: 24h, 7d, a date.")
@click.option("--until", type=MOMENT, help="Until when; now, unless given.")
@operator_options
def report(*, tenant: str, since: datetime, until: datetime | None, target: str, as_json: bool) -> None:
    """Show sums by prefix and by miss over whole days (UTC), and advice.

    These are observations, to learn from; what calls cost is in `costsvc report`.
    """
    request = ReportPromptCacheRequest(
        tenant=tenant, start_time=timestamp(since), end_time=timestamp(until or datetime.now(UTC))
    )

    async def send(client: Client) -> ReportPromptCacheResponse:
        return await client.ReportPromptCache(request)

    response = administer(target, send)
    click.echo(as_json_text(response) if as_json else "\n\n".join(_describe(response)))


def _describe(response: ReportPromptCacheResponse) -> Iterator[str]:
    if not response.prefixes:
        yield "no prompts that could be cached"
        return
    advice = [f"  {each.text}{_where(each.task, each.model)}" for each in response.advice]
    yield "\n".join(("advice:", *advice)) if advice else "advice: none"
    rows = [
        (
            each.prefix,
            each.task,
            each.model,
            f"{each.call_count:,}",
            f"{each.read_tokens:,}",
            f"{each.write_5m_tokens:,}",
            f"{each.write_1h_tokens:,}",
            format_usd(each.saved_nano_usd),
            format_usd(each.caller_saved_nano_usd),
        )
        for each in response.prefixes[:_SHOWN]
    ]
    yield table(_PREFIXES, rows, left=3)
    misses = [
        (
            each.reason,
            each.block,
            each.task,
            each.model,
            f"{each.miss_count:,}",
            f"{each.tokens:,}",
            format_usd(each.lost_nano_usd),
        )
        for each in response.misses[:_SHOWN]
    ]
    if misses:
        yield table(_MISSES, misses, left=4)
    yield "observations, not the ledger: what calls cost is in `costsvc report`"


def _where(task: str, model: str) -> str:
    return f" ({f'task {task}, ' if task else ''}{model})"
