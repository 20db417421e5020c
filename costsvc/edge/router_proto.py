"""Outcomes, what is learned from them, and pairs of answers, from and to the wire."""

from __future__ import annotations

from collections.abc import Mapping

from costsvc import v1
from costsvc.app.admin import Page
from costsvc.app.outcomes import TaskStatus, Taught
from costsvc.core.errors import InvalidRequest, Violation
from costsvc.core.local_score import Proof
from costsvc.core.request import Tier
from costsvc.store.pairs import Pair, Side

_WHOLE_PERMILLE = 1000


def scores(request: v1.RecordOutcomeRequest) -> Mapping[Tier | None, float]:
    """Return what a caller says, by tier; None is the tier that answered.

    Raises:
        InvalidRequest: a tier is named twice.
    """
    if request.HasField("score_permille"):
        return {None: request.score_permille / _WHOLE_PERMILLE}
    found: dict[Tier | None, float] = {}
    for index, each in enumerate(request.scores.scores):
        tier = Tier(each.tier)
        if tier in found:
            raise InvalidRequest(Violation(f"scores.scores[{index}].tier", f"{tier.label} is named before"))
        found[tier] = each.score_permille / _WHOLE_PERMILLE
    return found


def taught_response(taught: Taught) -> v1.RecordOutcomeResponse:
    """Return what there is to learn from now."""
    return v1.RecordOutcomeResponse(
        tenant=taught.seen.tenant,
        task=taught.seen.task,
        outcome_count=taught.counts.outcomes,
        complete_count=taught.counts.complete,
    )


def status_response(page: Page[TaskStatus]) -> v1.GetRouterStatusResponse:
    """Return a page of what is learned."""
    return v1.GetRouterStatusResponse(
        tasks=[_status(each) for each in page.rows], next_page_token=page.next_page_token
    )


def pairs_response(page: Page[Pair]) -> v1.ListPairsResponse:
    """Return a page of pairs."""
    return v1.ListPairsResponse(
        pairs=[_pair(each) for each in page.rows], next_page_token=page.next_page_token
    )


def _pair(pair: Pair) -> v1.AnswerPair:
    message = v1.AnswerPair(
        task=pair.task,
        response_id=pair.response_id,
        asked=pair.asked,
        answered=_side(pair.answered),
        baseline=_side(pair.baseline),
        preference=f"PREFERENCE_{(pair.preference or 'unspecified').upper()}",
    )
    message.pair_time.FromDatetime(pair.made_at)
    return message


def _side(side: Side) -> v1.PairedAnswer:
    return v1.PairedAnswer(
        model=side.model, attempt_id=side.attempt_id, cost_nano_usd=side.cost_nano_usd, text=side.text
    )


def _status(status: TaskStatus) -> v1.RouterStatus:
    message = v1.RouterStatus(
        tenant=status.tenant,
        task=status.task,
        outcome_count=status.counts.outcomes,
        complete_count=status.counts.complete,
        state=f"ROUTER_STATE_{status.state.name}",
        why_not=status.why_not,
    )
    if (fit := status.fit) is not None:
        message.models.extend(fit.models)
        message.fit_time.FromDatetime(fit.fitted_at)
        if fit.proof is not None:
            message.proof.CopyFrom(_proof(fit.proof))
    return message


def _proof(proof: Proof) -> v1.RouterProof:
    return v1.RouterProof(
        example_count=proof.example_count,
        quality_floor_permille=_permille(proof.quality_floor),
        quality_kept_permille=_permille(proof.quality_kept),
        cost_share_permille=_permille(proof.routed.cost_share),
        mix_cost_share_permille=_permille(proof.routed.mix_cost_share),
        advantage_lower_permille=_permille(proof.advantage_lower),
    )


def _permille(share: float) -> int:
    return round(share * _WHOLE_PERMILLE)
