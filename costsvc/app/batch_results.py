"""A line of a batch's results as what became of an item: its answer and its account, or why there is none."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from costsvc.app.attempt import text_of
from costsvc.core.batch import Batch, Item, Outcome, Part, attempt_id, index_of
from costsvc.core.catalog import Catalog
from costsvc.core.entry import Entry
from costsvc.core.errors import UnknownModel
from costsvc.core.json_text import parse_answer, to_json
from costsvc.core.savings import Account, Savings, account
from costsvc.core.usage import MalformedUsage, Reported, Usage, read_usage

NOTHING = Account(cost_nano_usd=0, baseline_nano_usd=0, savings=Savings())
_MESSAGE = '"message":'
_DECODER = json.JSONDecoder()


class Unreadable(Exception):
    """A line that is no result of an item of the part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemResult:
    """What became of an item. Without a `reported` usage it was not billed.

    `unpriced` says why an answer that may be billed cannot be. `error_type` and `problem` are the provider's
    words, or for a refused item ours.
    """

    item: Item
    outcome: Outcome
    source: str = field(default="", repr=False)
    message: Mapping[str, Any] = field(default_factory=dict)
    reported: Reported | None = None
    account: Account = NOTHING
    entry_id: str = ""
    error_type: str = ""
    problem: str = ""
    unpriced: str = ""

    @property
    def usage(self) -> Usage:
        """What was used."""
        return self.reported.totals if self.reported else Usage()

    @property
    def message_json(self) -> str:
        """The answer as the provider wrote it."""
        if not self.message:
            return ""
        at = self.source.find(_MESSAGE) + len(_MESSAGE)
        try:
            _, end = _DECODER.raw_decode(self.source, at)
        except ValueError:  # white space, or half of a surrogate pair: the same, spelt by us
            return to_json(self.message)
        return self.source[at:end]

    @property
    def text(self) -> str:
        """The answer's text blocks, joined."""
        return text_of(self.message)

    @property
    def stop_reason(self) -> str:
        """Why the model stopped, in the provider's words."""
        return _word(self.message.get("stop_reason"))


def index_in(line: bytes, part: Part) -> tuple[int, Mapping[str, Any]]:
    """Return the position of the item that a line is of, and what the line says.

    Raises:
        Unreadable: it is none of the part's.
    """
    try:
        told = parse_answer(line.decode(errors="replace"))
        index = index_of(told["custom_id"], part.id)
    except (ValueError, RecursionError, TypeError, KeyError) as error:
        raise Unreadable(type(error).__name__) from error
    if index is None:
        raise Unreadable("it is of another part")
    return index, told


def read_result(line: bytes, told: Mapping[str, Any], item: Item, part: Part, catalog: Catalog) -> ItemResult:
    """Return what became of an item.

    Raises:
        Unreadable: the line says nothing that we know.
    """
    result = told.get("result")
    kind = result.get("type") if isinstance(result, dict) else None
    if not isinstance(result, dict) or kind not in _OUTCOMES:
        raise Unreadable(f"a result of type {kind!r}")
    outcome = _OUTCOMES[kind]
    if outcome is not Outcome.SUCCEEDED:
        return _failed(outcome, item, result)
    message = result.get("message")
    if not isinstance(message, dict):
        raise Unreadable("an answer without a message")
    source = line.decode(errors="replace")
    priced = _priced(message, item, part, catalog)
    if isinstance(priced, str):
        return ItemResult(item=item, outcome=outcome, source=source, message=message, unpriced=priced)
    reported, accounted = priced
    return ItemResult(
        item=item,
        outcome=outcome,
        source=source,
        message=message,
        reported=reported,
        account=accounted,
        entry_id=attempt_id(part.id, item.index),
    )


def refused_result(item: Item) -> ItemResult:
    """Return what became of an item that was bad."""
    return ItemResult(item=item, outcome=Outcome.REFUSED, error_type=item.reason, problem=item.problem)


def unsent_result(item: Item, part: Part) -> ItemResult:
    """Return what became of an item whose part was never at the provider."""
    end = part.end.value if part.end else ""
    outcome = Outcome.CANCELED if end == Outcome.CANCELED.value else Outcome.ERRORED
    return ItemResult(item=item, outcome=outcome, error_type=end, problem=part.problem)


def entry_of(result: ItemResult, batch: Batch, part: Part, catalog: Catalog, now: datetime) -> Entry:
    """Return the ledger's entry for an answer that is priced."""
    item, reported, accounted = result.item, result.reported, result.account
    assert reported is not None
    return Entry(
        entry_id=result.entry_id,
        attempt_id=result.entry_id,
        response_id=batch.id,
        request_id=item.request_id,
        provider_request_id=_word(result.message.get("id")),
        tenant=batch.tenant,
        labels=item.labels,
        task=item.task,
        conversation_id=item.conversation_id,
        requested_model=item.requested_model,
        answering_model=catalog.resolve(reported.model).id,
        baseline_model=item.baseline_model,
        tier=item.tier,
        inference_geo=reported.inference_geo,
        speed=reported.speed,
        service_tier=reported.service_tier,
        stop_reason=result.stop_reason,
        raw_usage_json=to_json(result.message.get("usage")),
        usage=reported.totals,
        cost_nano_usd=accounted.cost_nano_usd,
        baseline_nano_usd=accounted.baseline_nano_usd,
        savings=accounted.savings,
        catalog_hash=catalog.hash,
        started_at=part.started_at,
        settled_at=now,
    )


_OUTCOMES = {outcome.value: outcome for outcome in Outcome if outcome is not Outcome.REFUSED}


def _priced(
    message: Mapping[str, Any], item: Item, part: Part, catalog: Catalog
) -> tuple[Reported, Account] | str:
    """Return usage and account of an answer, or why it cannot be priced.

    An answer that does not say by what tier it came, came in a batch.
    """
    name = message.get("model")
    try:
        reported = read_usage(
            {"service_tier": "batch", **(message.get("usage") or {})},
            model=name if isinstance(name, str) and name in catalog.names else item.model,
            stop_reason=message.get("stop_reason"),
            stop_details=message.get("stop_details"),
        )
        accounted = account(
            catalog,
            reported,
            baseline_model=item.baseline_model,
            marked_by_us=item.marked,
            at=part.started_at,
        )
    except (MalformedUsage, UnknownModel, TypeError) as error:
        return f"{type(error).__name__}: {error}"
    return reported, accounted


def _failed(outcome: Outcome, item: Item, result: Mapping[str, Any]) -> ItemResult:
    envelope = result.get("error")
    inner = envelope.get("error") if isinstance(envelope, dict) else None
    told = inner if isinstance(inner, dict) else {}
    return ItemResult(
        item=item, outcome=outcome, error_type=_word(told.get("type")), problem=_word(told.get("message"))
    )


def _word(value: Any) -> str:
    return value if isinstance(value, str) else ""
