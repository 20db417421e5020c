"""Batches as messages of the API, and back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from costsvc import v1
from costsvc.app.batch_intake import Given
from costsvc.app.batch_results import ItemResult
from costsvc.app.batches import Created
from costsvc.core.batch import RESULTS_KEPT, Batch, BatchOptions, Outcome, Part, PartState
from costsvc.core.batch_errors import Refused
from costsvc.core.errors import CostsvcError, InvalidRequest, Violation
from costsvc.core.request import ModelRequest
from costsvc.edge import from_proto, to_proto
from costsvc.edge.outcome import Outcome as CallOutcome
from costsvc.edge.rules import plainly_keeps_rules, violations_of
from costsvc.edge.status import outcome_of

_OUTCOMES = {
    Outcome.SUCCEEDED: v1.BATCH_OUTCOME_SUCCEEDED,
    Outcome.ERRORED: v1.BATCH_OUTCOME_ERRORED,
    Outcome.CANCELED: v1.BATCH_OUTCOME_CANCELED,
    Outcome.EXPIRED: v1.BATCH_OUTCOME_EXPIRED,
    Outcome.REFUSED: v1.BATCH_OUTCOME_REFUSED,
}
_UNSENT_STATES = frozenset({PartState.WAITING, PartState.ACCEPTED, PartState.CREATING, PartState.UNKNOWN})
_INVALID_ARGUMENT, _ABORTED, _CANCELLED, _DEADLINE = 3, 10, 1, 4
_CODES = {
    Outcome.ERRORED: _ABORTED,
    Outcome.CANCELED: _CANCELLED,
    Outcome.EXPIRED: _DEADLINE,
    Outcome.REFUSED: _INVALID_ARGUMENT,
}


def options(message: v1.BatchOptions) -> BatchOptions:
    """Return how a batch is to be treated."""
    return BatchOptions(
        request_id=message.request_id, all_or_nothing=message.all_or_nothing, dry_run=message.dry_run
    )


def given(items: Iterable[v1.BatchItem]) -> Iterable[Given]:
    """Yield items as they come, each with its request or with what is wrong with it."""
    for item in items:
        yield Given(
            custom_id=item.custom_id,
            request=_request(item),
            source=item.request.SerializeToString(deterministic=True),
        )


def created(made: Created, now: datetime) -> tuple[v1.Batch, list[v1.RefusedItem]]:
    """Return a batch as it begins, and what of it is not sent."""
    return batch(made.batch, now), [_refused(each, now) for each in made.refused]


def batch(found: Batch, now: datetime) -> v1.Batch:
    """Return a batch as it is now."""
    tallies = [found.tally(part) for part in found.parts]
    cost = sum(tally.cost_nano_usd for tally in tallies)
    standard = sum(tally.standard_nano_usd for tally in tallies)
    message = v1.Batch(
        batch_id=found.id,
        request_id=found.options.request_id,
        state=_state(found),
        counts=_counts(found),
        expected_cost_nano_usd=found.expected_nano_usd,
        cost_nano_usd=cost,
        standard_cost_nano_usd=standard,
        saved_nano_usd=standard - cost,
        held_nano_usd=max(found.held_nano_usd, 0),
        parts=[_part(part) for part in found.parts],
    )
    message.create_time.FromDatetime(found.created_at)
    message.results_expire_time.FromDatetime(found.created_at + RESULTS_KEPT)
    message.age.FromTimedelta(max((found.ended_at or now) - found.created_at, timedelta(0)))
    if found.ended_at is not None:
        message.end_time.FromDatetime(found.ended_at)
    return message


def item_results(results: Sequence[ItemResult]) -> list[v1.BatchItemResult]:
    """Return what became of some items."""
    return [_item_result(result) for result in results]


def _request(item: v1.BatchItem) -> ModelRequest | CostsvcError:
    try:
        if not item.HasField("request"):
            return InvalidRequest(Violation("request", "value is required"))
        if item.request.HasField("accept"):
            return InvalidRequest(Violation("request.accept", "is not for batches"))
        if not plainly_keeps_rules(item.request):
            broken = violations_of(item.request, "request")
            if broken:
                return InvalidRequest(*broken)
        return from_proto.model_request(item.request)
    except CostsvcError as error:
        return error


def _refused(refused: Refused, now: datetime) -> v1.RefusedItem:
    outcome: CallOutcome = outcome_of(refused.error, now)
    return v1.RefusedItem(index=refused.index, custom_id=refused.custom_id, error=outcome.status())


def _state(found: Batch) -> v1.BatchState:
    if found.ended_at is not None:
        return v1.BATCH_STATE_ENDED
    if found.canceled:
        return v1.BATCH_STATE_CANCELING
    if any(part.state in _UNSENT_STATES for part in found.current_parts):
        return v1.BATCH_STATE_SUBMITTING
    return v1.BATCH_STATE_RUNNING


def _counts(found: Batch) -> v1.BatchCounts:
    ended = {outcome: found.count(outcome) for outcome in Outcome}
    sent_count = found.item_count - found.refused_count
    return v1.BatchCounts(
        processing_count=sent_count - sum(ended.values()),
        succeeded_count=ended[Outcome.SUCCEEDED],
        errored_count=ended[Outcome.ERRORED],
        canceled_count=ended[Outcome.CANCELED],
        expired_count=ended[Outcome.EXPIRED],
        refused_count=found.refused_count,
    )


def _part(part: Part) -> v1.BatchPart:
    return v1.BatchPart(
        part_id=part.id,
        provider_batch_id=part.provider_id,
        state=part.state.value,
        item_count=part.item_count,
    )


def _item_result(result: ItemResult) -> v1.BatchItemResult:
    message = v1.BatchItemResult(
        index=result.item.index,
        custom_id=result.item.custom_id,
        outcome=_OUTCOMES[result.outcome],
        entry_id=result.entry_id,
    )
    if result.outcome is Outcome.SUCCEEDED:
        message.message_json = result.message_json.encode()
        message.text = result.text
        message.stop_reason = result.stop_reason
        message.model = str(result.message.get("model", ""))
        message.bill.CopyFrom(_bill(result))
    else:
        message.error.code = _CODES[result.outcome]
        message.error.message = ": ".join(filter(None, (result.error_type, result.problem)))
    return message


def _bill(result: ItemResult) -> v1.Bill:
    account = result.account
    return to_proto.bill(result.usage, account.cost_nano_usd, account.baseline_nano_usd, account.savings)
