from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Tier(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TIER_UNSPECIFIED: _ClassVar[Tier]
    TIER_SIMPLE: _ClassVar[Tier]
    TIER_MEDIUM: _ClassVar[Tier]
    TIER_COMPLEX: _ClassVar[Tier]

class Role(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROLE_UNSPECIFIED: _ClassVar[Role]
    ROLE_USER: _ClassVar[Role]
    ROLE_ASSISTANT: _ClassVar[Role]

class CacheMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CACHE_MODE_UNSPECIFIED: _ClassVar[CacheMode]
    CACHE_MODE_BYPASS: _ClassVar[CacheMode]
    CACHE_MODE_REFRESH: _ClassVar[CacheMode]
    CACHE_MODE_ONLY: _ClassVar[CacheMode]

class RoutingMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROUTING_MODE_UNSPECIFIED: _ClassVar[RoutingMode]
    ROUTING_MODE_BASELINE: _ClassVar[RoutingMode]

class MarkerMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MARKER_MODE_UNSPECIFIED: _ClassVar[MarkerMode]
    MARKER_MODE_CALLER_ONLY: _ClassVar[MarkerMode]

class CacheOutcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CACHE_OUTCOME_UNSPECIFIED: _ClassVar[CacheOutcome]
    CACHE_OUTCOME_DISABLED: _ClassVar[CacheOutcome]
    CACHE_OUTCOME_BYPASSED: _ClassVar[CacheOutcome]
    CACHE_OUTCOME_NOT_CACHEABLE: _ClassVar[CacheOutcome]
    CACHE_OUTCOME_MISS: _ClassVar[CacheOutcome]
    CACHE_OUTCOME_HIT: _ClassVar[CacheOutcome]
    CACHE_OUTCOME_NEAR_IDENTICAL: _ClassVar[CacheOutcome]
TIER_UNSPECIFIED: Tier
TIER_SIMPLE: Tier
TIER_MEDIUM: Tier
TIER_COMPLEX: Tier
ROLE_UNSPECIFIED: Role
ROLE_USER: Role
ROLE_ASSISTANT: Role
CACHE_MODE_UNSPECIFIED: CacheMode
CACHE_MODE_BYPASS: CacheMode
CACHE_MODE_REFRESH: CacheMode
CACHE_MODE_ONLY: CacheMode
ROUTING_MODE_UNSPECIFIED: RoutingMode
ROUTING_MODE_BASELINE: RoutingMode
MARKER_MODE_UNSPECIFIED: MarkerMode
MARKER_MODE_CALLER_ONLY: MarkerMode
CACHE_OUTCOME_UNSPECIFIED: CacheOutcome
CACHE_OUTCOME_DISABLED: CacheOutcome
CACHE_OUTCOME_BYPASSED: CacheOutcome
CACHE_OUTCOME_NOT_CACHEABLE: CacheOutcome
CACHE_OUTCOME_MISS: CacheOutcome
CACHE_OUTCOME_HIT: CacheOutcome
CACHE_OUTCOME_NEAR_IDENTICAL: CacheOutcome

class CacheOrigin(_message.Message):
    __slots__ = ("response_id", "store_time", "age_ms", "question", "rules")
    RESPONSE_ID_FIELD_NUMBER: _ClassVar[int]
    STORE_TIME_FIELD_NUMBER: _ClassVar[int]
    AGE_MS_FIELD_NUMBER: _ClassVar[int]
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    RULES_FIELD_NUMBER: _ClassVar[int]
    response_id: str
    store_time: _timestamp_pb2.Timestamp
    age_ms: int
    question: str
    rules: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, response_id: _Optional[str] = ..., store_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., age_ms: _Optional[int] = ..., question: _Optional[str] = ..., rules: _Optional[_Iterable[str]] = ...) -> None: ...

class Message(_message.Message):
    __slots__ = ("role", "text")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    role: Role
    text: str
    def __init__(self, role: _Optional[_Union[Role, str]] = ..., text: _Optional[str] = ...) -> None: ...

class Accept(_message.Message):
    __slots__ = ("json_schema", "pattern", "allowed_values", "min_chars", "max_chars", "no_refusal", "no_truncation")
    JSON_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    PATTERN_FIELD_NUMBER: _ClassVar[int]
    ALLOWED_VALUES_FIELD_NUMBER: _ClassVar[int]
    MIN_CHARS_FIELD_NUMBER: _ClassVar[int]
    MAX_CHARS_FIELD_NUMBER: _ClassVar[int]
    NO_REFUSAL_FIELD_NUMBER: _ClassVar[int]
    NO_TRUNCATION_FIELD_NUMBER: _ClassVar[int]
    json_schema: bytes
    pattern: str
    allowed_values: _containers.RepeatedScalarFieldContainer[str]
    min_chars: int
    max_chars: int
    no_refusal: bool
    no_truncation: bool
    def __init__(self, json_schema: _Optional[bytes] = ..., pattern: _Optional[str] = ..., allowed_values: _Optional[_Iterable[str]] = ..., min_chars: _Optional[int] = ..., max_chars: _Optional[int] = ..., no_refusal: bool = ..., no_truncation: bool = ...) -> None: ...

class FailedCheck(_message.Message):
    __slots__ = ("check", "problem")
    CHECK_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    check: str
    problem: str
    def __init__(self, check: _Optional[str] = ..., problem: _Optional[str] = ...) -> None: ...

class Escalation(_message.Message):
    __slots__ = ("entry_id", "model", "failed_checks", "usage", "cost_nano_usd")
    ENTRY_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    FAILED_CHECKS_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    COST_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    entry_id: str
    model: str
    failed_checks: _containers.RepeatedCompositeFieldContainer[FailedCheck]
    usage: Usage
    cost_nano_usd: int
    def __init__(self, entry_id: _Optional[str] = ..., model: _Optional[str] = ..., failed_checks: _Optional[_Iterable[_Union[FailedCheck, _Mapping]]] = ..., usage: _Optional[_Union[Usage, _Mapping]] = ..., cost_nano_usd: _Optional[int] = ...) -> None: ...

class Checked(_message.Message):
    __slots__ = ("accepted", "passed_checks", "failed_checks", "escalations")
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    PASSED_CHECKS_FIELD_NUMBER: _ClassVar[int]
    FAILED_CHECKS_FIELD_NUMBER: _ClassVar[int]
    ESCALATIONS_FIELD_NUMBER: _ClassVar[int]
    accepted: bool
    passed_checks: _containers.RepeatedScalarFieldContainer[str]
    failed_checks: _containers.RepeatedCompositeFieldContainer[FailedCheck]
    escalations: _containers.RepeatedCompositeFieldContainer[Escalation]
    def __init__(self, accepted: bool = ..., passed_checks: _Optional[_Iterable[str]] = ..., failed_checks: _Optional[_Iterable[_Union[FailedCheck, _Mapping]]] = ..., escalations: _Optional[_Iterable[_Union[Escalation, _Mapping]]] = ...) -> None: ...

class Request(_message.Message):
    __slots__ = ("messages", "system", "max_tokens", "messages_json", "request_id", "labels", "task", "conversation_id", "model", "min_tier", "max_tier", "cache_mode", "routing_mode", "marker_mode", "betas", "max_cost_nano_usd", "accept", "cache_namespace", "cache_max_age_s")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    SYSTEM_FIELD_NUMBER: _ClassVar[int]
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_JSON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    CONVERSATION_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MIN_TIER_FIELD_NUMBER: _ClassVar[int]
    MAX_TIER_FIELD_NUMBER: _ClassVar[int]
    CACHE_MODE_FIELD_NUMBER: _ClassVar[int]
    ROUTING_MODE_FIELD_NUMBER: _ClassVar[int]
    MARKER_MODE_FIELD_NUMBER: _ClassVar[int]
    BETAS_FIELD_NUMBER: _ClassVar[int]
    MAX_COST_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    ACCEPT_FIELD_NUMBER: _ClassVar[int]
    CACHE_NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    CACHE_MAX_AGE_S_FIELD_NUMBER: _ClassVar[int]
    messages: _containers.RepeatedCompositeFieldContainer[Message]
    system: str
    max_tokens: int
    messages_json: bytes
    request_id: str
    labels: _containers.ScalarMap[str, str]
    task: str
    conversation_id: str
    model: str
    min_tier: Tier
    max_tier: Tier
    cache_mode: CacheMode
    routing_mode: RoutingMode
    marker_mode: MarkerMode
    betas: _containers.RepeatedScalarFieldContainer[str]
    max_cost_nano_usd: int
    accept: Accept
    cache_namespace: str
    cache_max_age_s: int
    def __init__(self, messages: _Optional[_Iterable[_Union[Message, _Mapping]]] = ..., system: _Optional[str] = ..., max_tokens: _Optional[int] = ..., messages_json: _Optional[bytes] = ..., request_id: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., task: _Optional[str] = ..., conversation_id: _Optional[str] = ..., model: _Optional[str] = ..., min_tier: _Optional[_Union[Tier, str]] = ..., max_tier: _Optional[_Union[Tier, str]] = ..., cache_mode: _Optional[_Union[CacheMode, str]] = ..., routing_mode: _Optional[_Union[RoutingMode, str]] = ..., marker_mode: _Optional[_Union[MarkerMode, str]] = ..., betas: _Optional[_Iterable[str]] = ..., max_cost_nano_usd: _Optional[int] = ..., accept: _Optional[_Union[Accept, _Mapping]] = ..., cache_namespace: _Optional[str] = ..., cache_max_age_s: _Optional[int] = ...) -> None: ...

class Usage(_message.Message):
    __slots__ = ("input_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens", "cache_read_tokens", "output_tokens", "web_search_count")
    INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CACHE_WRITE_5M_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CACHE_WRITE_1H_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CACHE_READ_TOKENS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    WEB_SEARCH_COUNT_FIELD_NUMBER: _ClassVar[int]
    input_tokens: int
    cache_write_5m_tokens: int
    cache_write_1h_tokens: int
    cache_read_tokens: int
    output_tokens: int
    web_search_count: int
    def __init__(self, input_tokens: _Optional[int] = ..., cache_write_5m_tokens: _Optional[int] = ..., cache_write_1h_tokens: _Optional[int] = ..., cache_read_tokens: _Optional[int] = ..., output_tokens: _Optional[int] = ..., web_search_count: _Optional[int] = ...) -> None: ...

class Savings(_message.Message):
    __slots__ = ("routing_nano_usd", "token_reduction_nano_usd", "caller_nano_usd", "prompt_cache_nano_usd", "batch_nano_usd", "response_cache_nano_usd", "total_nano_usd")
    ROUTING_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    TOKEN_REDUCTION_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    CALLER_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    PROMPT_CACHE_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    BATCH_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_CACHE_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    TOTAL_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    routing_nano_usd: int
    token_reduction_nano_usd: int
    caller_nano_usd: int
    prompt_cache_nano_usd: int
    batch_nano_usd: int
    response_cache_nano_usd: int
    total_nano_usd: int
    def __init__(self, routing_nano_usd: _Optional[int] = ..., token_reduction_nano_usd: _Optional[int] = ..., caller_nano_usd: _Optional[int] = ..., prompt_cache_nano_usd: _Optional[int] = ..., batch_nano_usd: _Optional[int] = ..., response_cache_nano_usd: _Optional[int] = ..., total_nano_usd: _Optional[int] = ...) -> None: ...

class LeverSaving(_message.Message):
    __slots__ = ("lever", "saved_nano_usd")
    LEVER_FIELD_NUMBER: _ClassVar[int]
    SAVED_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    lever: str
    saved_nano_usd: int
    def __init__(self, lever: _Optional[str] = ..., saved_nano_usd: _Optional[int] = ...) -> None: ...

class Bill(_message.Message):
    __slots__ = ("usage", "cost_nano_usd", "baseline_nano_usd", "savings", "avoided_usage", "lever_savings")
    USAGE_FIELD_NUMBER: _ClassVar[int]
    COST_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    BASELINE_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    SAVINGS_FIELD_NUMBER: _ClassVar[int]
    AVOIDED_USAGE_FIELD_NUMBER: _ClassVar[int]
    LEVER_SAVINGS_FIELD_NUMBER: _ClassVar[int]
    usage: Usage
    cost_nano_usd: int
    baseline_nano_usd: int
    savings: Savings
    avoided_usage: Usage
    lever_savings: _containers.RepeatedCompositeFieldContainer[LeverSaving]
    def __init__(self, usage: _Optional[_Union[Usage, _Mapping]] = ..., cost_nano_usd: _Optional[int] = ..., baseline_nano_usd: _Optional[int] = ..., savings: _Optional[_Union[Savings, _Mapping]] = ..., avoided_usage: _Optional[_Union[Usage, _Mapping]] = ..., lever_savings: _Optional[_Iterable[_Union[LeverSaving, _Mapping]]] = ...) -> None: ...

class Candidate(_message.Message):
    __slots__ = ("model", "tier", "expected_cost_nano_usd", "ruled_out")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TIER_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_COST_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    RULED_OUT_FIELD_NUMBER: _ClassVar[int]
    model: str
    tier: Tier
    expected_cost_nano_usd: int
    ruled_out: str
    def __init__(self, model: _Optional[str] = ..., tier: _Optional[_Union[Tier, str]] = ..., expected_cost_nano_usd: _Optional[int] = ..., ruled_out: _Optional[str] = ...) -> None: ...

class Reason(_message.Message):
    __slots__ = ("code", "detail")
    CODE_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    code: str
    detail: str
    def __init__(self, code: _Optional[str] = ..., detail: _Optional[str] = ...) -> None: ...

class Decision(_message.Message):
    __slots__ = ("model", "tier", "baseline_model", "candidates", "reasons", "expected_cost_nano_usd", "expected_baseline_nano_usd")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TIER_FIELD_NUMBER: _ClassVar[int]
    BASELINE_MODEL_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_COST_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_BASELINE_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    model: str
    tier: Tier
    baseline_model: str
    candidates: _containers.RepeatedCompositeFieldContainer[Candidate]
    reasons: _containers.RepeatedCompositeFieldContainer[Reason]
    expected_cost_nano_usd: int
    expected_baseline_nano_usd: int
    def __init__(self, model: _Optional[str] = ..., tier: _Optional[_Union[Tier, str]] = ..., baseline_model: _Optional[str] = ..., candidates: _Optional[_Iterable[_Union[Candidate, _Mapping]]] = ..., reasons: _Optional[_Iterable[_Union[Reason, _Mapping]]] = ..., expected_cost_nano_usd: _Optional[int] = ..., expected_baseline_nano_usd: _Optional[int] = ...) -> None: ...
