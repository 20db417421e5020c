"""Values of the domain as messages of the API."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from google.protobuf.timestamp_pb2 import Timestamp

from costsvc import v1
from costsvc.app.advice import Advice
from costsvc.app.attempt import Completed, Origin, Started
from costsvc.app.estimate import Estimate, ModelEstimate, Range
from costsvc.app.plan import Plan
from costsvc.app.record import Recorded
from costsvc.app.report import Report, Row
from costsvc.app.reserve import Held
from costsvc.core.accept import Failed
from costsvc.core.cacheable import CacheOutcome
from costsvc.core.candidates import Candidate
from costsvc.core.entry import MEASURES
from costsvc.core.escalation import Checked, Escalation
from costsvc.core.request import Tier
from costsvc.core.routing import Decision
from costsvc.core.savings import Savings
from costsvc.core.usage import Usage
from costsvc.edge.prompt_cache_proto import prompt_cache_plan


def decision(value: Decision) -> v1.Decision:
    """Return a decision with its candidates and reasons."""
    return v1.Decision(
        model=value.model.id,
        tier=_tier(value.tier),
        baseline_model=value.baseline.id,
        candidates=[_candidate(candidate) for candidate in value.candidates],
        reasons=[v1.Reason(code=reason.code, detail=reason.detail) for reason in value.reasons],
        expected_cost_nano_usd=value.expected_cost_nano_usd,
        expected_baseline_nano_usd=value.expected_baseline_nano_usd,
    )


def route_response(plan: Plan, held: Held | None, advice: Advice, *, include_body: bool) -> v1.RouteResponse:
    """Return a decision with what its caller needs to carry it out, and the reservation if any."""
    response = v1.RouteResponse(
        decision=decision(plan.decision),
        messages_json=plan.body(stream=False) if include_body else b"",
        alternatives=[_candidate(candidate) for candidate in advice.alternatives],
        expected_batch_cost_nano_usd=advice.batch_cost_nano_usd,
    )
    if plan.markers is not None:
        response.prompt_cache.CopyFrom(prompt_cache_plan(plan.markers))
    else:
        response.prompt_cache.reasons.extend(advice.why_unmarked)
    if held is not None:
        response.hold_id = held.hold_id
        response.hold_expire_time.FromDatetime(held.expires_at)
    return response


def complete_response(value: Completed) -> v1.CompleteResponse:
    """Return a whole answer."""
    attempt = value.attempt
    return v1.CompleteResponse(
        text=value.text,
        message_json=value.message_json,
        stop_reason=value.stop_reason,
        bill=_bill_of(value),
        decision=decision(attempt.plan.decision),
        cache_outcome=_OUTCOMES[attempt.cache_outcome],
        cache_origin=_origin(value.origin),
        attempt_count=value.attempt.number,
        provider_request_id=value.provider_request_id,
        response_id=attempt.response_id,
        model=value.model,
        replayed=value.is_replay,
        checked=_checked(value.checked),
    )


def stream_event(
    value: Started | list[str] | Completed, *, provider_events: bool
) -> v1.StreamCompleteResponse:
    """Return one event of a stream."""
    match value:
        case Started():
            attempt = value.attempt
            started = v1.StreamStarted(
                decision=decision(attempt.plan.decision),
                response_id=attempt.response_id,
                provider_request_id=value.provider_request_id,
                cache_outcome=_OUTCOMES[attempt.cache_outcome],
                cache_origin=_origin(value.origin),
                replayed=value.is_replay,
            )
            return v1.StreamCompleteResponse(started=started)
        case Completed():
            completed = v1.StreamCompleted(
                message_json=value.message_json,
                stop_reason=value.stop_reason,
                bill=_bill_of(value),
                attempt_count=value.attempt.number,
                model=value.model,
                checked=_checked(value.checked),
            )
            return v1.StreamCompleteResponse(completed=completed)
        case pieces if provider_events:
            return v1.StreamCompleteResponse(provider_events=v1.ProviderEvents(event_json=pieces))
        case pieces:
            return v1.StreamCompleteResponse(text_delta="".join(pieces))


def estimate_response(value: Estimate) -> v1.EstimateResponse:
    """Return estimates, the chosen model's first."""
    return v1.EstimateResponse(
        estimates=[_model_estimate(estimate) for estimate in value.models], decision=decision(value.decision)
    )


def record_response(value: Recorded) -> v1.RecordResponse:
    """Return what was booked."""
    accounted = value.account
    message = bill(
        value.reported.totals, accounted.cost_nano_usd, accounted.baseline_nano_usd, accounted.savings
    )
    return v1.RecordResponse(entry_id=value.entry_id, bill=message)


def report_response(value: Report) -> v1.ReportResponse:
    """Return a page of a report."""
    return v1.ReportResponse(
        rows=[_row(row) for row in value.rows],
        totals=_totals(value.totals),
        next_page_token=value.next_page_token,
        at_risk=v1.AtRiskTotals(
            attempt_count=value.at_risk.attempt_count,
            lower_nano_usd=value.at_risk.lower_nano_usd,
            upper_nano_usd=value.at_risk.upper_nano_usd,
        ),
    )


def _candidate(value: Candidate) -> v1.Candidate:
    return v1.Candidate(
        model=value.model.id,
        tier=_tier(value.tier),
        expected_cost_nano_usd=value.expected_cost_nano_usd,
        ruled_out=value.ruled_out,
    )


def _tier(value: Tier | None) -> v1.Tier:
    return _TIERS[value]


def _origin(value: Origin | None) -> v1.CacheOrigin | None:
    if value is None:
        return None
    origin = v1.CacheOrigin(
        response_id=value.response_id,
        age_ms=value.age // timedelta(milliseconds=1),
        question=value.question,
        rules=value.rules,
    )
    origin.store_time.FromDatetime(value.stored_at)
    return origin


def _bill_of(value: Completed) -> v1.Bill:
    whole = value.bill
    message = bill(value.usage, whole.cost_nano_usd, whole.baseline_nano_usd, whole.savings)
    message.lever_savings.extend(
        v1.LeverSaving(lever=each.lever, saved_nano_usd=each.nano_usd) for each in whole.levers
    )
    if value.origin is not None:
        message.avoided_usage.CopyFrom(_usage(value.avoided))
    return message


def _checked(value: Checked | None) -> v1.Checked | None:
    if value is None:
        return None
    return v1.Checked(
        accepted=value.verdict.is_accepted,
        passed_checks=value.verdict.passed,
        failed_checks=_failed(value.verdict.failed),
        escalations=[_escalation(each) for each in value.escalations],
    )


def _escalation(value: Escalation) -> v1.Escalation:
    return v1.Escalation(
        entry_id=value.entry_id,
        model=value.model,
        failed_checks=_failed(value.failed),
        usage=_usage(value.usage),
        cost_nano_usd=value.cost_nano_usd,
    )


def _failed(value: Sequence[Failed]) -> list[v1.FailedCheck]:
    return [v1.FailedCheck(check=each.check, problem=each.problem) for each in value]


def bill(usage: Usage, cost_nano_usd: int, baseline_nano_usd: int, savings: Savings) -> v1.Bill:
    """Return what a call used, cost, and saved."""
    return v1.Bill(
        usage=_usage(usage),
        cost_nano_usd=cost_nano_usd,
        baseline_nano_usd=baseline_nano_usd,
        savings=v1.Savings(
            routing_nano_usd=savings.routing_nano_usd,
            token_reduction_nano_usd=savings.token_reduction_nano_usd,
            caller_nano_usd=savings.caller_nano_usd,
            prompt_cache_nano_usd=savings.prompt_cache_nano_usd,
            batch_nano_usd=savings.batch_nano_usd,
            response_cache_nano_usd=savings.response_cache_nano_usd,
            total_nano_usd=savings.total_nano_usd,
        ),
    )


def _usage(usage: Usage) -> v1.Usage:
    return v1.Usage(
        input_tokens=usage.input_tokens,
        cache_write_5m_tokens=usage.cache_write_5m_tokens,
        cache_write_1h_tokens=usage.cache_write_1h_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        output_tokens=usage.output_tokens,
        web_search_count=usage.web_search_count,
    )


def _model_estimate(value: ModelEstimate) -> v1.ModelEstimate:
    return v1.ModelEstimate(
        model=value.model.id,
        tier=_tier(value.tier),
        input_tokens=_token_range(value.input_tokens),
        output_tokens=_token_range(value.output_tokens),
        standard_cold=_cost_range(value.standard_cold),
        standard_warm=_cost_range(value.standard_warm),
        batch_cold=_cost_range(value.batch_cold),
        batch_warm=_cost_range(value.batch_warm),
    )


def _token_range(value: Range) -> v1.TokenRange:
    return v1.TokenRange(expected=value.expected, upper=value.upper, worst=value.worst)


def _cost_range(value: Range) -> v1.CostRange:
    return v1.CostRange(
        expected_nano_usd=value.expected, upper_nano_usd=value.upper, worst_nano_usd=value.worst
    )


def _row(row: Row) -> v1.ReportRow:
    period = Timestamp(seconds=int(row.period_start.timestamp()))
    return v1.ReportRow(period_start_time=period, group=row.group, totals=_totals(row.sums))


def _totals(sums: Sequence[int]) -> v1.ReportTotals:
    by_name = dict(zip(MEASURES, sums, strict=True))
    call_count, cost = by_name["call_count"], by_name["cost_nano_usd"]
    savings = Savings(**{name: by_name[name] for name in _SAVINGS})
    usage = Usage(**{name: by_name[name] for name in _USAGE})
    return v1.ReportTotals(
        call_count=call_count,
        bill=bill(usage, cost, by_name["baseline_nano_usd"], savings),
        hit_count=by_name["hit_count"],
        avoided_input_tokens=by_name["avoided_input_tokens"],
        avoided_output_tokens=by_name["avoided_output_tokens"],
        average_cost_nano_usd=(2 * cost + call_count) // (2 * call_count) if call_count else 0,
    )


_OUTCOMES = {
    CacheOutcome.DISABLED: v1.CACHE_OUTCOME_DISABLED,
    CacheOutcome.BYPASSED: v1.CACHE_OUTCOME_BYPASSED,
    CacheOutcome.NOT_CACHEABLE: v1.CACHE_OUTCOME_NOT_CACHEABLE,
    CacheOutcome.MISS: v1.CACHE_OUTCOME_MISS,
    CacheOutcome.HIT: v1.CACHE_OUTCOME_HIT,
    CacheOutcome.NEAR_IDENTICAL: v1.CACHE_OUTCOME_NEAR_IDENTICAL,
}
_TIERS = {
    None: v1.TIER_UNSPECIFIED,
    Tier.SIMPLE: v1.TIER_SIMPLE,
    Tier.MEDIUM: v1.TIER_MEDIUM,
    Tier.COMPLEX: v1.TIER_COMPLEX,
}
_SAVINGS = tuple(Savings.__dataclass_fields__)
_USAGE = tuple(Usage.__dataclass_fields__)
