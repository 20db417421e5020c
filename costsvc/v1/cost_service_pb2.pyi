from costsvc.v1 import types_pb2 as _types_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.rpc import status_pb2 as _status_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class StreamFormat(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STREAM_FORMAT_UNSPECIFIED: _ClassVar[StreamFormat]
    STREAM_FORMAT_TEXT: _ClassVar[StreamFormat]
    STREAM_FORMAT_PROVIDER_EVENTS: _ClassVar[StreamFormat]

class Granularity(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    GRANULARITY_UNSPECIFIED: _ClassVar[Granularity]
    GRANULARITY_HOUR: _ClassVar[Granularity]
    GRANULARITY_DAY: _ClassVar[Granularity]
    GRANULARITY_MONTH: _ClassVar[Granularity]

class GroupBy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    GROUP_BY_UNSPECIFIED: _ClassVar[GroupBy]
    GROUP_BY_MODEL: _ClassVar[GroupBy]
    GROUP_BY_TIER: _ClassVar[GroupBy]
    GROUP_BY_LABEL: _ClassVar[GroupBy]
    GROUP_BY_TECHNIQUE: _ClassVar[GroupBy]
    GROUP_BY_TASK: _ClassVar[GroupBy]
STREAM_FORMAT_UNSPECIFIED: StreamFormat
STREAM_FORMAT_TEXT: StreamFormat
STREAM_FORMAT_PROVIDER_EVENTS: StreamFormat
GRANULARITY_UNSPECIFIED: Granularity
GRANULARITY_HOUR: Granularity
GRANULARITY_DAY: Granularity
GRANULARITY_MONTH: Granularity
GROUP_BY_UNSPECIFIED: GroupBy
GROUP_BY_MODEL: GroupBy
GROUP_BY_TIER: GroupBy
GROUP_BY_LABEL: GroupBy
GROUP_BY_TECHNIQUE: GroupBy
GROUP_BY_TASK: GroupBy

class RouteRequest(_message.Message):
    __slots__ = ("request", "include_body", "reserve", "include_alternatives")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_BODY_FIELD_NUMBER: _ClassVar[int]
    RESERVE_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_ALTERNATIVES_FIELD_NUMBER: _ClassVar[int]
    request: _types_pb2.Request
    include_body: bool
    reserve: _duration_pb2.Duration
    include_alternatives: bool
    def __init__(self, request: _Optional[_Union[_types_pb2.Request, _Mapping]] = ..., include_body: bool = ..., reserve: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., include_alternatives: bool = ...) -> None: ...

class PlacedBreakpoint(_message.Message):
    __slots__ = ("member", "prefix_tokens", "ttl", "index", "block", "is_callers", "reuse_permille")
    MEMBER_FIELD_NUMBER: _ClassVar[int]
    PREFIX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    TTL_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    BLOCK_FIELD_NUMBER: _ClassVar[int]
    IS_CALLERS_FIELD_NUMBER: _ClassVar[int]
    REUSE_PERMILLE_FIELD_NUMBER: _ClassVar[int]
    member: str
    prefix_tokens: int
    ttl: str
    index: int
    block: int
    is_callers: bool
    reuse_permille: int
    def __init__(self, member: _Optional[str] = ..., prefix_tokens: _Optional[int] = ..., ttl: _Optional[str] = ..., index: _Optional[int] = ..., block: _Optional[int] = ..., is_callers: bool = ..., reuse_permille: _Optional[int] = ...) -> None: ...

class PromptCachePlan(_message.Message):
    __slots__ = ("breakpoints", "expected_read_tokens", "expected_input_nano_usd", "uncached_input_nano_usd", "expected_later_savings_nano_usd", "reasons")
    BREAKPOINTS_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_READ_TOKENS_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_INPUT_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    UNCACHED_INPUT_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_LATER_SAVINGS_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    breakpoints: _containers.RepeatedCompositeFieldContainer[PlacedBreakpoint]
    expected_read_tokens: int
    expected_input_nano_usd: int
    uncached_input_nano_usd: int
    expected_later_savings_nano_usd: int
    reasons: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, breakpoints: _Optional[_Iterable[_Union[PlacedBreakpoint, _Mapping]]] = ..., expected_read_tokens: _Optional[int] = ..., expected_input_nano_usd: _Optional[int] = ..., uncached_input_nano_usd: _Optional[int] = ..., expected_later_savings_nano_usd: _Optional[int] = ..., reasons: _Optional[_Iterable[str]] = ...) -> None: ...

class RouteResponse(_message.Message):
    __slots__ = ("decision", "messages_json", "hold_id", "hold_expire_time", "alternatives", "prompt_cache", "expected_batch_cost_nano_usd")
    DECISION_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_JSON_FIELD_NUMBER: _ClassVar[int]
    HOLD_ID_FIELD_NUMBER: _ClassVar[int]
    HOLD_EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    ALTERNATIVES_FIELD_NUMBER: _ClassVar[int]
    PROMPT_CACHE_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_BATCH_COST_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    decision: _types_pb2.Decision
    messages_json: bytes
    hold_id: str
    hold_expire_time: _timestamp_pb2.Timestamp
    alternatives: _containers.RepeatedCompositeFieldContainer[_types_pb2.Candidate]
    prompt_cache: PromptCachePlan
    expected_batch_cost_nano_usd: int
    def __init__(self, decision: _Optional[_Union[_types_pb2.Decision, _Mapping]] = ..., messages_json: _Optional[bytes] = ..., hold_id: _Optional[str] = ..., hold_expire_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., alternatives: _Optional[_Iterable[_Union[_types_pb2.Candidate, _Mapping]]] = ..., prompt_cache: _Optional[_Union[PromptCachePlan, _Mapping]] = ..., expected_batch_cost_nano_usd: _Optional[int] = ...) -> None: ...

class BatchRouteRequest(_message.Message):
    __slots__ = ("requests",)
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    requests: _containers.RepeatedCompositeFieldContainer[RouteRequest]
    def __init__(self, requests: _Optional[_Iterable[_Union[RouteRequest, _Mapping]]] = ...) -> None: ...

class BatchRouteResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[BatchRouteResult]
    def __init__(self, results: _Optional[_Iterable[_Union[BatchRouteResult, _Mapping]]] = ...) -> None: ...

class BatchRouteResult(_message.Message):
    __slots__ = ("response", "error")
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    response: RouteResponse
    error: _status_pb2.Status
    def __init__(self, response: _Optional[_Union[RouteResponse, _Mapping]] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...

class CompleteRequest(_message.Message):
    __slots__ = ("request",)
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    request: _types_pb2.Request
    def __init__(self, request: _Optional[_Union[_types_pb2.Request, _Mapping]] = ...) -> None: ...

class CompleteResponse(_message.Message):
    __slots__ = ("text", "message_json", "stop_reason", "bill", "decision", "cache_outcome", "attempt_count", "provider_request_id", "response_id", "model", "replayed", "checked", "cache_origin")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_JSON_FIELD_NUMBER: _ClassVar[int]
    STOP_REASON_FIELD_NUMBER: _ClassVar[int]
    BILL_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    CACHE_OUTCOME_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_COUNT_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    CHECKED_FIELD_NUMBER: _ClassVar[int]
    CACHE_ORIGIN_FIELD_NUMBER: _ClassVar[int]
    text: str
    message_json: bytes
    stop_reason: str
    bill: _types_pb2.Bill
    decision: _types_pb2.Decision
    cache_outcome: _types_pb2.CacheOutcome
    attempt_count: int
    provider_request_id: str
    response_id: str
    model: str
    replayed: bool
    checked: _types_pb2.Checked
    cache_origin: _types_pb2.CacheOrigin
    def __init__(self, text: _Optional[str] = ..., message_json: _Optional[bytes] = ..., stop_reason: _Optional[str] = ..., bill: _Optional[_Union[_types_pb2.Bill, _Mapping]] = ..., decision: _Optional[_Union[_types_pb2.Decision, _Mapping]] = ..., cache_outcome: _Optional[_Union[_types_pb2.CacheOutcome, str]] = ..., attempt_count: _Optional[int] = ..., provider_request_id: _Optional[str] = ..., response_id: _Optional[str] = ..., model: _Optional[str] = ..., replayed: bool = ..., checked: _Optional[_Union[_types_pb2.Checked, _Mapping]] = ..., cache_origin: _Optional[_Union[_types_pb2.CacheOrigin, _Mapping]] = ...) -> None: ...

class StreamCompleteRequest(_message.Message):
    __slots__ = ("request", "format")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    request: _types_pb2.Request
    format: StreamFormat
    def __init__(self, request: _Optional[_Union[_types_pb2.Request, _Mapping]] = ..., format: _Optional[_Union[StreamFormat, str]] = ...) -> None: ...

class StreamCompleteResponse(_message.Message):
    __slots__ = ("started", "text_delta", "provider_events", "completed")
    STARTED_FIELD_NUMBER: _ClassVar[int]
    TEXT_DELTA_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_EVENTS_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_FIELD_NUMBER: _ClassVar[int]
    started: StreamStarted
    text_delta: str
    provider_events: ProviderEvents
    completed: StreamCompleted
    def __init__(self, started: _Optional[_Union[StreamStarted, _Mapping]] = ..., text_delta: _Optional[str] = ..., provider_events: _Optional[_Union[ProviderEvents, _Mapping]] = ..., completed: _Optional[_Union[StreamCompleted, _Mapping]] = ...) -> None: ...

class StreamStarted(_message.Message):
    __slots__ = ("decision", "response_id", "provider_request_id", "cache_outcome", "replayed", "cache_origin")
    DECISION_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_ID_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    CACHE_OUTCOME_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    CACHE_ORIGIN_FIELD_NUMBER: _ClassVar[int]
    decision: _types_pb2.Decision
    response_id: str
    provider_request_id: str
    cache_outcome: _types_pb2.CacheOutcome
    replayed: bool
    cache_origin: _types_pb2.CacheOrigin
    def __init__(self, decision: _Optional[_Union[_types_pb2.Decision, _Mapping]] = ..., response_id: _Optional[str] = ..., provider_request_id: _Optional[str] = ..., cache_outcome: _Optional[_Union[_types_pb2.CacheOutcome, str]] = ..., replayed: bool = ..., cache_origin: _Optional[_Union[_types_pb2.CacheOrigin, _Mapping]] = ...) -> None: ...

class ProviderEvents(_message.Message):
    __slots__ = ("event_json",)
    EVENT_JSON_FIELD_NUMBER: _ClassVar[int]
    event_json: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, event_json: _Optional[_Iterable[str]] = ...) -> None: ...

class StreamCompleted(_message.Message):
    __slots__ = ("message_json", "stop_reason", "bill", "attempt_count", "model", "checked")
    MESSAGE_JSON_FIELD_NUMBER: _ClassVar[int]
    STOP_REASON_FIELD_NUMBER: _ClassVar[int]
    BILL_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_COUNT_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    CHECKED_FIELD_NUMBER: _ClassVar[int]
    message_json: bytes
    stop_reason: str
    bill: _types_pb2.Bill
    attempt_count: int
    model: str
    checked: _types_pb2.Checked
    def __init__(self, message_json: _Optional[bytes] = ..., stop_reason: _Optional[str] = ..., bill: _Optional[_Union[_types_pb2.Bill, _Mapping]] = ..., attempt_count: _Optional[int] = ..., model: _Optional[str] = ..., checked: _Optional[_Union[_types_pb2.Checked, _Mapping]] = ...) -> None: ...

class EstimateRequest(_message.Message):
    __slots__ = ("request", "all_candidates", "include_advice")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    ALL_CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_ADVICE_FIELD_NUMBER: _ClassVar[int]
    request: _types_pb2.Request
    all_candidates: bool
    include_advice: bool
    def __init__(self, request: _Optional[_Union[_types_pb2.Request, _Mapping]] = ..., all_candidates: bool = ..., include_advice: bool = ...) -> None: ...

class Proposal(_message.Message):
    __slots__ = ("code", "text", "assumption", "thousand_calls_saving_nano_usd", "monthly_call_count", "monthly_saving_nano_usd")
    CODE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    ASSUMPTION_FIELD_NUMBER: _ClassVar[int]
    THOUSAND_CALLS_SAVING_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    MONTHLY_CALL_COUNT_FIELD_NUMBER: _ClassVar[int]
    MONTHLY_SAVING_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    code: str
    text: str
    assumption: str
    thousand_calls_saving_nano_usd: int
    monthly_call_count: int
    monthly_saving_nano_usd: int
    def __init__(self, code: _Optional[str] = ..., text: _Optional[str] = ..., assumption: _Optional[str] = ..., thousand_calls_saving_nano_usd: _Optional[int] = ..., monthly_call_count: _Optional[int] = ..., monthly_saving_nano_usd: _Optional[int] = ...) -> None: ...

class EstimateResponse(_message.Message):
    __slots__ = ("estimates", "decision", "advice")
    ESTIMATES_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    ADVICE_FIELD_NUMBER: _ClassVar[int]
    estimates: _containers.RepeatedCompositeFieldContainer[ModelEstimate]
    decision: _types_pb2.Decision
    advice: _containers.RepeatedCompositeFieldContainer[Proposal]
    def __init__(self, estimates: _Optional[_Iterable[_Union[ModelEstimate, _Mapping]]] = ..., decision: _Optional[_Union[_types_pb2.Decision, _Mapping]] = ..., advice: _Optional[_Iterable[_Union[Proposal, _Mapping]]] = ...) -> None: ...

class ModelEstimate(_message.Message):
    __slots__ = ("model", "tier", "input_tokens", "output_tokens", "standard_cold", "standard_warm", "batch_cold", "batch_warm")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TIER_FIELD_NUMBER: _ClassVar[int]
    INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    STANDARD_COLD_FIELD_NUMBER: _ClassVar[int]
    STANDARD_WARM_FIELD_NUMBER: _ClassVar[int]
    BATCH_COLD_FIELD_NUMBER: _ClassVar[int]
    BATCH_WARM_FIELD_NUMBER: _ClassVar[int]
    model: str
    tier: _types_pb2.Tier
    input_tokens: TokenRange
    output_tokens: TokenRange
    standard_cold: CostRange
    standard_warm: CostRange
    batch_cold: CostRange
    batch_warm: CostRange
    def __init__(self, model: _Optional[str] = ..., tier: _Optional[_Union[_types_pb2.Tier, str]] = ..., input_tokens: _Optional[_Union[TokenRange, _Mapping]] = ..., output_tokens: _Optional[_Union[TokenRange, _Mapping]] = ..., standard_cold: _Optional[_Union[CostRange, _Mapping]] = ..., standard_warm: _Optional[_Union[CostRange, _Mapping]] = ..., batch_cold: _Optional[_Union[CostRange, _Mapping]] = ..., batch_warm: _Optional[_Union[CostRange, _Mapping]] = ...) -> None: ...

class TokenRange(_message.Message):
    __slots__ = ("expected", "upper", "worst")
    EXPECTED_FIELD_NUMBER: _ClassVar[int]
    UPPER_FIELD_NUMBER: _ClassVar[int]
    WORST_FIELD_NUMBER: _ClassVar[int]
    expected: int
    upper: int
    worst: int
    def __init__(self, expected: _Optional[int] = ..., upper: _Optional[int] = ..., worst: _Optional[int] = ...) -> None: ...

class CostRange(_message.Message):
    __slots__ = ("expected_nano_usd", "upper_nano_usd", "worst_nano_usd")
    EXPECTED_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    UPPER_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    WORST_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    expected_nano_usd: int
    upper_nano_usd: int
    worst_nano_usd: int
    def __init__(self, expected_nano_usd: _Optional[int] = ..., upper_nano_usd: _Optional[int] = ..., worst_nano_usd: _Optional[int] = ...) -> None: ...

class BatchEstimateRequest(_message.Message):
    __slots__ = ("requests",)
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    requests: _containers.RepeatedCompositeFieldContainer[EstimateRequest]
    def __init__(self, requests: _Optional[_Iterable[_Union[EstimateRequest, _Mapping]]] = ...) -> None: ...

class BatchEstimateResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[BatchEstimateResult]
    def __init__(self, results: _Optional[_Iterable[_Union[BatchEstimateResult, _Mapping]]] = ...) -> None: ...

class BatchEstimateResult(_message.Message):
    __slots__ = ("response", "error")
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    response: EstimateResponse
    error: _status_pb2.Status
    def __init__(self, response: _Optional[_Union[EstimateResponse, _Mapping]] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...

class RecordRequest(_message.Message):
    __slots__ = ("request_id", "model", "usage_json", "stop_reason", "refusal_category", "start_time", "end_time", "labels", "task", "conversation_id", "requested_model", "provider_request_id", "hold_id")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    USAGE_JSON_FIELD_NUMBER: _ClassVar[int]
    STOP_REASON_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_CATEGORY_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    CONVERSATION_ID_FIELD_NUMBER: _ClassVar[int]
    REQUESTED_MODEL_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    HOLD_ID_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    model: str
    usage_json: bytes
    stop_reason: str
    refusal_category: str
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    labels: _containers.ScalarMap[str, str]
    task: str
    conversation_id: str
    requested_model: str
    provider_request_id: str
    hold_id: str
    def __init__(self, request_id: _Optional[str] = ..., model: _Optional[str] = ..., usage_json: _Optional[bytes] = ..., stop_reason: _Optional[str] = ..., refusal_category: _Optional[str] = ..., start_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., labels: _Optional[_Mapping[str, str]] = ..., task: _Optional[str] = ..., conversation_id: _Optional[str] = ..., requested_model: _Optional[str] = ..., provider_request_id: _Optional[str] = ..., hold_id: _Optional[str] = ...) -> None: ...

class RecordResponse(_message.Message):
    __slots__ = ("entry_id", "bill")
    ENTRY_ID_FIELD_NUMBER: _ClassVar[int]
    BILL_FIELD_NUMBER: _ClassVar[int]
    entry_id: str
    bill: _types_pb2.Bill
    def __init__(self, entry_id: _Optional[str] = ..., bill: _Optional[_Union[_types_pb2.Bill, _Mapping]] = ...) -> None: ...

class ReleaseRequest(_message.Message):
    __slots__ = ("hold_id",)
    HOLD_ID_FIELD_NUMBER: _ClassVar[int]
    hold_id: str
    def __init__(self, hold_id: _Optional[str] = ...) -> None: ...

class ReleaseResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ReportRequest(_message.Message):
    __slots__ = ("start_time", "end_time", "granularity", "group_by", "label_key", "page_size", "page_token")
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    GRANULARITY_FIELD_NUMBER: _ClassVar[int]
    GROUP_BY_FIELD_NUMBER: _ClassVar[int]
    LABEL_KEY_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    granularity: Granularity
    group_by: GroupBy
    label_key: str
    page_size: int
    page_token: str
    def __init__(self, start_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., granularity: _Optional[_Union[Granularity, str]] = ..., group_by: _Optional[_Union[GroupBy, str]] = ..., label_key: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ReportResponse(_message.Message):
    __slots__ = ("rows", "totals", "next_page_token", "at_risk")
    ROWS_FIELD_NUMBER: _ClassVar[int]
    TOTALS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    AT_RISK_FIELD_NUMBER: _ClassVar[int]
    rows: _containers.RepeatedCompositeFieldContainer[ReportRow]
    totals: ReportTotals
    next_page_token: str
    at_risk: AtRiskTotals
    def __init__(self, rows: _Optional[_Iterable[_Union[ReportRow, _Mapping]]] = ..., totals: _Optional[_Union[ReportTotals, _Mapping]] = ..., next_page_token: _Optional[str] = ..., at_risk: _Optional[_Union[AtRiskTotals, _Mapping]] = ...) -> None: ...

class AtRiskTotals(_message.Message):
    __slots__ = ("attempt_count", "lower_nano_usd", "upper_nano_usd")
    ATTEMPT_COUNT_FIELD_NUMBER: _ClassVar[int]
    LOWER_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    UPPER_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    attempt_count: int
    lower_nano_usd: int
    upper_nano_usd: int
    def __init__(self, attempt_count: _Optional[int] = ..., lower_nano_usd: _Optional[int] = ..., upper_nano_usd: _Optional[int] = ...) -> None: ...

class ReportRow(_message.Message):
    __slots__ = ("period_start_time", "group", "totals")
    PERIOD_START_TIME_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    TOTALS_FIELD_NUMBER: _ClassVar[int]
    period_start_time: _timestamp_pb2.Timestamp
    group: str
    totals: ReportTotals
    def __init__(self, period_start_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., group: _Optional[str] = ..., totals: _Optional[_Union[ReportTotals, _Mapping]] = ...) -> None: ...

class ReportTotals(_message.Message):
    __slots__ = ("call_count", "bill", "hit_count", "avoided_input_tokens", "avoided_output_tokens", "average_cost_nano_usd")
    CALL_COUNT_FIELD_NUMBER: _ClassVar[int]
    BILL_FIELD_NUMBER: _ClassVar[int]
    HIT_COUNT_FIELD_NUMBER: _ClassVar[int]
    AVOIDED_INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    AVOIDED_OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    AVERAGE_COST_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    call_count: int
    bill: _types_pb2.Bill
    hit_count: int
    avoided_input_tokens: int
    avoided_output_tokens: int
    average_cost_nano_usd: int
    def __init__(self, call_count: _Optional[int] = ..., bill: _Optional[_Union[_types_pb2.Bill, _Mapping]] = ..., hit_count: _Optional[int] = ..., avoided_input_tokens: _Optional[int] = ..., avoided_output_tokens: _Optional[int] = ..., average_cost_nano_usd: _Optional[int] = ...) -> None: ...
