"""`costsvc router`: what the local score learns from, what it has learned, and whether it decides."""

from __future__ import annotations

import click

from costsvc.cli.budget import all_pages
from costsvc.cli.remote import administer, as_json_text, operator_options
from costsvc.cli.router_fit import fit
from costsvc.cli.text import table
from costsvc.client import Client
from costsvc.core.money import format_usd
from costsvc.v1 import (
    AnswerPair,
    GetRouterStatusRequest,
    GetRouterStatusResponse,
    ListPairsRequest,
    ListPairsResponse,
    Preference,
    RecordOutcomeRequest,
    RecordOutcomeResponse,
    RouterState,
    RouterStatus,
    TierScore,
)

_PAGE_ROWS = 1000
_HEADERS = (
    *("tenant", "task", "state", "outcomes", "complete", "proved with", "quality kept", "cost"),
    *("best mix", "advantage, at least", "fitted (UTC)", "why not"),
)
_TEXT_COLUMNS = 3
_PAIRS_A_PAGE = 20
_PAIR_HEADERS = (
    *("response", "task", "answered by", "baseline", "better", "made (UTC)"),
    *("answer cost", "baseline cost"),
)
_PAIR_TEXT_COLUMNS = 6
_TIERS = ("simple", "medium", "complex")


@click.group("router")
def router() -> None:
    """Teach the local score, and see what it has learned.

    The service takes outcomes and shows its state only on its own machine.
    """


router.add_command(fit)


@router.command()
@click.option("--tenant", default="", help="Only this tenant's tasks.")
@click.option("--task", default="", help="Only this task.")
@operator_options
def status(*, tenant: str, task: str, target: str, as_json: bool) -> None:
    """Show what is learned, and whether it decides.

    Shares are of the best tier's quality, and of the cost of always taking the dearest tier, on
    outcomes that the score was not fitted to.
    """

    async def fetch(client: Client, token: str) -> GetRouterStatusResponse:
        request = GetRouterStatusRequest(tenant=tenant, task=task, page_size=_PAGE_ROWS, page_token=token)
        return await client.GetRouterStatus(request)

    def join(whole: GetRouterStatusResponse, page: GetRouterStatusResponse) -> None:
        whole.tasks.extend(page.tasks)

    response = administer(target, lambda client: all_pages(client, fetch, join))
    rows = [_row(each) for each in response.tasks]
    click.echo(as_json_text(response) if as_json else table(_HEADERS, rows, left=_TEXT_COLUMNS))


@router.command("record-outcome")
@click.argument("response_id", metavar="RESPONSE")
@click.option("--score", type=click.FloatRange(0, 1), help="How good the answer was, from 0 to 1.")
@click.option(
    "--tier-score",
    "tier_scores",
    type=(click.Choice(_TIERS), click.FloatRange(0, 1)),
    multiple=True,
    help="How good a tier's answer is: medium 0.8. Repeatable.",
)
@operator_options
def record_outcome(
    *,
    response_id: str,
    score: float | None,
    tier_scores: tuple[tuple[str, float], ...],
    target: str,
    as_json: bool,
) -> None:
    """Say how good the answer RESPONSE was.

    Or, with --tier-score, how good the answers of several tiers to its prompt are.
    """
    if (score is None) == (not tier_scores):
        raise click.UsageError("give either --score or --tier-score")
    request = RecordOutcomeRequest(response_id=response_id)
    if score is not None:
        request.score_permille = round(score * 1000)
    else:
        request.scores.scores.extend(
            TierScore(tier=f"TIER_{tier.upper()}", score_permille=round(each * 1000))
            for tier, each in tier_scores
        )

    async def send(client: Client) -> RecordOutcomeResponse:
        return await client.RecordOutcome(request)

    response = administer(target, send)
    learned = f"{response.outcome_count:,} outcomes, {response.complete_count:,} of them of every tier"
    text = f"{response.tenant} {response.task}: {learned}"
    click.echo(as_json_text(response) if as_json else text)


@router.command()
@click.argument("tenant", metavar="TENANT")
@operator_options
def pairs(*, tenant: str, target: str, as_json: bool) -> None:
    """Show TENANT's pairs of answers, of the routed model and of the baseline.

    With --json also their texts.
    """

    async def fetch(client: Client, token: str) -> ListPairsResponse:
        request = ListPairsRequest(tenant=tenant, page_size=_PAIRS_A_PAGE, page_token=token)
        return await client.ListPairs(request)

    def join(whole: ListPairsResponse, page: ListPairsResponse) -> None:
        whole.pairs.extend(page.pairs)

    response = administer(target, lambda client: all_pages(client, fetch, join))
    rows = [_pair_row(each) for each in response.pairs]
    shown = table(_PAIR_HEADERS, rows, left=_PAIR_TEXT_COLUMNS)
    click.echo(as_json_text(response) if as_json else shown)


def _pair_row(pair: AnswerPair) -> tuple[str, ...]:
    answered, baseline = pair.answered, pair.baseline
    preferred = Preference.Name(pair.preference).removeprefix("PREFERENCE_").lower()
    return (
        pair.response_id,
        pair.task or "-",
        answered.model,
        baseline.model,
        "-" if preferred == "unspecified" else preferred,
        f"{pair.pair_time.ToDatetime():%Y-%m-%d %H:%M}",
        format_usd(answered.cost_nano_usd),
        format_usd(baseline.cost_nano_usd),
    )


def _row(status: RouterStatus) -> tuple[str, ...]:
    proof = status.proof
    shares = (
        proof.quality_kept_permille,
        proof.cost_share_permille,
        proof.mix_cost_share_permille,
        proof.advantage_lower_permille,
    )
    proved = (f"{proof.example_count:,}", *(f"{share / 10:.1f} %" for share in shares))
    return (
        status.tenant,
        status.task,
        RouterState.Name(status.state).removeprefix("ROUTER_STATE_").lower(),
        f"{status.outcome_count:,}",
        f"{status.complete_count:,}",
        *(proved if status.HasField("proof") else ("-",) * len(proved)),
        f"{status.fit_time.ToDatetime():%Y-%m-%d %H:%M}" if status.HasField("fit_time") else "-",
        status.why_not or "-",
    )
