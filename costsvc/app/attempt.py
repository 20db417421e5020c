"""One attempt at the provider, from its plan to its entry in the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from costsvc.app.plan import Plan
from costsvc.core.cacheable import CacheOutcome
from costsvc.core.catalog import Catalog
from costsvc.core.entry import NO_USAGE, Entry
from costsvc.core.errors import Failure, ProviderError, UnknownModel
from costsvc.core.escalation import Checked, Escalation, SideCall
from costsvc.core.json_text import parse_answer, to_json
from costsvc.core.savings import Account, account, spent_in_vain
from costsvc.core.usage import MalformedUsage, Reported, Usage, read_usage
from costsvc.ports import UpstreamRequest
from costsvc.store.answer_codec import KeptAnswer


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who calls, and until when (monotonic seconds) an answer is of use."""

    tenant: str
    deadline_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A plan on its way to the provider, for the `number`th time, counted from 1."""

    response_id: str
    number: int
    tenant: str
    plan: Plan
    started_at: datetime
    started_s: float  # monotonic
    timeout_s: float
    cache_outcome: CacheOutcome = CacheOutcome.DISABLED
    side_calls: tuple[SideCall, ...] = ()
    """What the call has paid for besides answers."""

    def left_s(self, now_s: float) -> float:
        """Return how much of its time is left."""
        return self.started_s + self.timeout_s - now_s

    @property
    def attempt_id(self) -> str:
        """What the provider's bill can be joined on."""
        return f"{self.response_id}.{self.number}"

    def upstream_request(self, *, stream: bool) -> UpstreamRequest:
        """Return what goes over the wire."""
        return UpstreamRequest(
            attempt_id=self.attempt_id,
            body=self.plan.body(stream=stream),
            timeout_s=self.timeout_s,
            headers=self.plan.headers,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """The provider has begun to answer, or (`is_replay`) an answer that is known begins to be said again."""

    attempt: Attempt
    provider_request_id: str
    is_replay: bool = False
    origin: Origin | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a stored answer came from: the call that paid for it, when, and how long ago that was.

    `ref` is what the hit is found by later. `question` is what that call asked, and `rules` made it the same;
    both empty where it was the same anyway.
    """

    ref: str
    response_id: str
    stored_at: datetime
    age: timedelta
    question: str = ""
    rules: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """A complete answer with its bill; `is_replay` where another call with the same request id paid it.

    A stored answer has an `origin`; what it would have used is `avoided`.
    """

    attempt: Attempt
    message: Mapping[str, Any]
    message_json: bytes
    provider_request_id: str
    reported: Reported
    account: Account
    is_replay: bool = False
    checked: Checked | None = None
    avoided: Usage = NO_USAGE
    origin: Origin | None = None

    @property
    def is_accepted(self) -> bool:
        """Whether it passed its checks; an answer without any did."""
        return self.checked is None or self.checked.verdict.is_accepted

    @property
    def usage(self) -> Usage:
        """What the whole call used: this answer, those before it that failed their checks, and side calls."""
        return sum((each.usage for each in self._before), start=self.reported.totals)

    @property
    def bill(self) -> Account:
        """What the whole call cost, and saved."""
        return sum((spent_in_vain(each.cost_nano_usd) for each in self._before), start=self.account)

    @property
    def _before(self) -> tuple[Escalation | SideCall, ...]:
        return (*self.attempt.side_calls, *(self.checked.escalations if self.checked else ()))

    @property
    def text(self) -> str:
        """The answer's text blocks, joined."""
        return text_of(self.message)

    @property
    def stop_reason(self) -> str:
        """Why the model stopped, in the provider's words."""
        return _word(self.message.get("stop_reason"))

    @property
    def model(self) -> str:
        """The model that answered, as the provider names it."""
        return _word(self.message.get("model")) or self.attempt.plan.decision.model.id


def complete(
    attempt: Attempt,
    message: Mapping[str, Any],
    message_json: bytes,
    provider_request_id: str,
    catalog: Catalog,
) -> Completed:
    """Account for an answer.

    Raises:
        ProviderError: MALFORMED, its usage cannot be read.
    """
    decision = attempt.plan.decision
    try:
        reported = read_usage(
            message.get("usage") or {},
            model=_answering_model(message, decision.model.id, catalog),
            stop_reason=message.get("stop_reason"),
            stop_details=message.get("stop_details"),
        )
        accounted = account(
            catalog,
            reported,
            baseline_model=decision.baseline.id,
            marked_by_us=attempt.plan.marked_by_us,
            at=attempt.started_at,
            reductions=attempt.plan.levers.reductions(
                reported.totals.output_tokens, _word(message.get("stop_reason"))
            ),
        )
    except (MalformedUsage, UnknownModel) as error:
        raise ProviderError(
            Failure.MALFORMED,
            http_status=200,
            message=f"the answer cannot be priced: {error}",
            provider_request_id=provider_request_id,
            may_have_spent=True,
        ) from error
    return Completed(
        attempt=attempt,
        message=message,
        message_json=message_json,
        provider_request_id=provider_request_id,
        reported=reported,
        account=accounted,
    )


def completed_before(kept: KeptAnswer, attempt: Attempt) -> Completed:
    """Return the answer of an earlier call to who repeats it: its ids, its decision, its bill."""
    entry = kept.entry
    number = int(entry.attempt_id.rpartition(".")[2])
    plan = replace(attempt.plan, decision=kept.decision)
    return Completed(
        attempt=replace(
            attempt, response_id=entry.response_id, number=number, plan=plan, side_calls=kept.side_calls
        ),
        message=parse_answer(kept.message_json.decode()),
        message_json=kept.message_json,
        provider_request_id=entry.provider_request_id,
        reported=Reported(model=entry.answering_model, parts=(), totals=entry.usage),
        account=Account(
            cost_nano_usd=entry.cost_nano_usd,
            baseline_nano_usd=entry.baseline_nano_usd,
            savings=entry.savings,
            levers=entry.levers,
        ),
        is_replay=True,
        checked=kept.checked,
    )


def entry_of(
    completed: Completed,
    catalog: Catalog,
    *,
    charges: tuple[str, ...],
    settled_at: datetime,
    first_byte_ms: int,
    total_ms: int,
) -> Entry:
    """Return the ledger's entry for an answer."""
    attempt, reported, accounted = completed.attempt, completed.reported, completed.account
    request, decision = attempt.plan.request, attempt.plan.decision
    return Entry(
        entry_id=attempt.attempt_id,
        attempt_id=attempt.attempt_id,
        response_id=attempt.response_id,
        request_id=request.request_id,
        provider_request_id=completed.provider_request_id,
        tenant=attempt.tenant,
        labels=request.labels,
        task=request.task,
        conversation_id=request.conversation_id,
        requested_model=request.model or "auto",
        answering_model=catalog.resolve(reported.model).id,
        baseline_model=decision.baseline.id,
        tier=decision.tier.label if decision.tier else "",
        inference_geo=reported.inference_geo,
        speed=reported.speed,
        service_tier=reported.service_tier,
        stop_reason=completed.stop_reason,
        raw_usage_json=to_json(completed.message.get("usage")) if completed.origin is None else "",
        usage=reported.totals,
        cost_nano_usd=accounted.cost_nano_usd,
        baseline_nano_usd=accounted.baseline_nano_usd,
        savings=accounted.savings,
        levers=accounted.levers,
        catalog_hash=catalog.hash,
        charges=charges,
        cache_outcome=attempt.cache_outcome.value,
        avoided=completed.avoided,
        cache_ref=completed.origin.ref if completed.origin else "",
        started_at=attempt.started_at,
        settled_at=settled_at,
        first_byte_ms=first_byte_ms,
        total_ms=total_ms,
    )


def text_of(message: Mapping[str, Any]) -> str:
    """Return an answer's text blocks, joined."""
    blocks = message.get("content")
    found = blocks if isinstance(blocks, list) else ()
    texts = (block.get("text") for block in found if isinstance(block, dict) and block.get("type") == "text")
    return "".join(text for text in texts if isinstance(text, str))


def _answering_model(message: Mapping[str, Any], asked: str, catalog: Catalog) -> str:
    """Return the model to price by: the one that answered; a name nobody knows is priced as the one asked."""
    name = message.get("model")
    return name if isinstance(name, str) and name in catalog.names else asked


def _word(value: Any) -> str:
    """Return a text of the provider; whatever else stands there must not lose an answer that is paid."""
    return value if isinstance(value, str) else ""
