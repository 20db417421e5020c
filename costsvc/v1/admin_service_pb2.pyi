from costsvc.v1 import types_pb2 as _types_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class BudgetKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BUDGET_KIND_UNSPECIFIED: _ClassVar[BudgetKind]
    BUDGET_KIND_EVERYTHING: _ClassVar[BudgetKind]
    BUDGET_KIND_TENANT: _ClassVar[BudgetKind]
    BUDGET_KIND_LABEL: _ClassVar[BudgetKind]
    BUDGET_KIND_MODEL: _ClassVar[BudgetKind]
    BUDGET_KIND_EACH_TENANT: _ClassVar[BudgetKind]
    BUDGET_KIND_EACH_LABEL: _ClassVar[BudgetKind]

class CalendarUnit(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CALENDAR_UNIT_UNSPECIFIED: _ClassVar[CalendarUnit]
    CALENDAR_UNIT_HOUR: _ClassVar[CalendarUnit]
    CALENDAR_UNIT_DAY: _ClassVar[CalendarUnit]
    CALENDAR_UNIT_WEEK: _ClassVar[CalendarUnit]
    CALENDAR_UNIT_MONTH: _ClassVar[CalendarUnit]

class BudgetMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BUDGET_MODE_UNSPECIFIED: _ClassVar[BudgetMode]
    BUDGET_MODE_HARD: _ClassVar[BudgetMode]
    BUDGET_MODE_SOFT: _ClassVar[BudgetMode]
    BUDGET_MODE_SHADOW: _ClassVar[BudgetMode]

class RouterState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROUTER_STATE_UNSPECIFIED: _ClassVar[RouterState]
    ROUTER_STATE_LEARNING: _ClassVar[RouterState]
    ROUTER_STATE_SHADOW: _ClassVar[RouterState]
    ROUTER_STATE_SERVING: _ClassVar[RouterState]

class Preference(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PREFERENCE_UNSPECIFIED: _ClassVar[Preference]
    PREFERENCE_ANSWERED: _ClassVar[Preference]
    PREFERENCE_BASELINE: _ClassVar[Preference]
    PREFERENCE_SAME: _ClassVar[Preference]
BUDGET_KIND_UNSPECIFIED: BudgetKind
BUDGET_KIND_EVERYTHING: BudgetKind
BUDGET_KIND_TENANT: BudgetKind
BUDGET_KIND_LABEL: BudgetKind
BUDGET_KIND_MODEL: BudgetKind
BUDGET_KIND_EACH_TENANT: BudgetKind
BUDGET_KIND_EACH_LABEL: BudgetKind
CALENDAR_UNIT_UNSPECIFIED: CalendarUnit
CALENDAR_UNIT_HOUR: CalendarUnit
CALENDAR_UNIT_DAY: CalendarUnit
CALENDAR_UNIT_WEEK: CalendarUnit
CALENDAR_UNIT_MONTH: CalendarUnit
BUDGET_MODE_UNSPECIFIED: BudgetMode
BUDGET_MODE_HARD: BudgetMode
BUDGET_MODE_SOFT: BudgetMode
BUDGET_MODE_SHADOW: BudgetMode
ROUTER_STATE_UNSPECIFIED: RouterState
ROUTER_STATE_LEARNING: RouterState
ROUTER_STATE_SHADOW: RouterState
ROUTER_STATE_SERVING: RouterState
PREFERENCE_UNSPECIFIED: Preference
PREFERENCE_ANSWERED: Preference
PREFERENCE_BASELINE: Preference
PREFERENCE_SAME: Preference

class BudgetScope(_message.Message):
    __slots__ = ("kind", "key", "value")
    KIND_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    kind: BudgetKind
    key: str
    value: str
    def __init__(self, kind: _Optional[_Union[BudgetKind, str]] = ..., key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...

class CalendarWindow(_message.Message):
    __slots__ = ("unit", "zone")
    UNIT_FIELD_NUMBER: _ClassVar[int]
    ZONE_FIELD_NUMBER: _ClassVar[int]
    unit: CalendarUnit
    zone: str
    def __init__(self, unit: _Optional[_Union[CalendarUnit, str]] = ..., zone: _Optional[str] = ...) -> None: ...

class BudgetWindow(_message.Message):
    __slots__ = ("calendar", "duration")
    CALENDAR_FIELD_NUMBER: _ClassVar[int]
    DURATION_FIELD_NUMBER: _ClassVar[int]
    calendar: CalendarWindow
    duration: _duration_pb2.Duration
    def __init__(self, calendar: _Optional[_Union[CalendarWindow, _Mapping]] = ..., duration: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class Budget(_message.Message):
    __slots__ = ("id", "scope", "window", "limit_nano_usd", "mode", "strict", "overshoot_permille", "thresholds_permille", "cap_tier", "webhook_url")
    ID_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    LIMIT_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    STRICT_FIELD_NUMBER: _ClassVar[int]
    OVERSHOOT_PERMILLE_FIELD_NUMBER: _ClassVar[int]
    THRESHOLDS_PERMILLE_FIELD_NUMBER: _ClassVar[int]
    CAP_TIER_FIELD_NUMBER: _ClassVar[int]
    WEBHOOK_URL_FIELD_NUMBER: _ClassVar[int]
    id: str
    scope: BudgetScope
    window: BudgetWindow
    limit_nano_usd: int
    mode: BudgetMode
    strict: bool
    overshoot_permille: int
    thresholds_permille: _containers.RepeatedScalarFieldContainer[int]
    cap_tier: _types_pb2.Tier
    webhook_url: str
    def __init__(self, id: _Optional[str] = ..., scope: _Optional[_Union[BudgetScope, _Mapping]] = ..., window: _Optional[_Union[BudgetWindow, _Mapping]] = ..., limit_nano_usd: _Optional[int] = ..., mode: _Optional[_Union[BudgetMode, str]] = ..., strict: bool = ..., overshoot_permille: _Optional[int] = ..., thresholds_permille: _Optional[_Iterable[int]] = ..., cap_tier: _Optional[_Union[_types_pb2.Tier, str]] = ..., webhook_url: _Optional[str] = ...) -> None: ...

class BudgetBalance(_message.Message):
    __slots__ = ("instance", "window_start_time", "window_end_time", "spent_nano_usd", "at_risk_nano_usd", "held_nano_usd", "held_worst_nano_usd", "remaining_nano_usd")
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    WINDOW_START_TIME_FIELD_NUMBER: _ClassVar[int]
    WINDOW_END_TIME_FIELD_NUMBER: _ClassVar[int]
    SPENT_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    AT_RISK_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    HELD_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    HELD_WORST_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    REMAINING_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    instance: str
    window_start_time: _timestamp_pb2.Timestamp
    window_end_time: _timestamp_pb2.Timestamp
    spent_nano_usd: int
    at_risk_nano_usd: int
    held_nano_usd: int
    held_worst_nano_usd: int
    remaining_nano_usd: int
    def __init__(self, instance: _Optional[str] = ..., window_start_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., window_end_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., spent_nano_usd: _Optional[int] = ..., at_risk_nano_usd: _Optional[int] = ..., held_nano_usd: _Optional[int] = ..., held_worst_nano_usd: _Optional[int] = ..., remaining_nano_usd: _Optional[int] = ...) -> None: ...

class BudgetStatus(_message.Message):
    __slots__ = ("budget", "balances")
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    BALANCES_FIELD_NUMBER: _ClassVar[int]
    budget: Budget
    balances: _containers.RepeatedCompositeFieldContainer[BudgetBalance]
    def __init__(self, budget: _Optional[_Union[Budget, _Mapping]] = ..., balances: _Optional[_Iterable[_Union[BudgetBalance, _Mapping]]] = ...) -> None: ...

class SetBudgetRequest(_message.Message):
    __slots__ = ("budget",)
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    budget: Budget
    def __init__(self, budget: _Optional[_Union[Budget, _Mapping]] = ...) -> None: ...

class SetBudgetResponse(_message.Message):
    __slots__ = ("budget",)
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    budget: Budget
    def __init__(self, budget: _Optional[_Union[Budget, _Mapping]] = ...) -> None: ...

class GetBudgetRequest(_message.Message):
    __slots__ = ("id", "page_size", "page_token")
    ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    id: str
    page_size: int
    page_token: str
    def __init__(self, id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class GetBudgetResponse(_message.Message):
    __slots__ = ("status", "next_page_token")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    status: BudgetStatus
    next_page_token: str
    def __init__(self, status: _Optional[_Union[BudgetStatus, _Mapping]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ListBudgetsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListBudgetsResponse(_message.Message):
    __slots__ = ("budgets", "next_page_token")
    BUDGETS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    budgets: _containers.RepeatedCompositeFieldContainer[Budget]
    next_page_token: str
    def __init__(self, budgets: _Optional[_Iterable[_Union[Budget, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class DeleteBudgetRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class DeleteBudgetResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class AtRisk(_message.Message):
    __slots__ = ("attempt_id", "start_time", "at_risk_time", "tenant", "model", "labels", "lower_nano_usd", "upper_nano_usd", "reason")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    AT_RISK_TIME_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    LOWER_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    UPPER_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    attempt_id: str
    start_time: _timestamp_pb2.Timestamp
    at_risk_time: _timestamp_pb2.Timestamp
    tenant: str
    model: str
    labels: _containers.ScalarMap[str, str]
    lower_nano_usd: int
    upper_nano_usd: int
    reason: str
    def __init__(self, attempt_id: _Optional[str] = ..., start_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., at_risk_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., tenant: _Optional[str] = ..., model: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., lower_nano_usd: _Optional[int] = ..., upper_nano_usd: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class ListAtRiskRequest(_message.Message):
    __slots__ = ("tenant", "page_size", "page_token")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    page_size: int
    page_token: str
    def __init__(self, tenant: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListAtRiskResponse(_message.Message):
    __slots__ = ("attempts", "next_page_token")
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    attempts: _containers.RepeatedCompositeFieldContainer[AtRisk]
    next_page_token: str
    def __init__(self, attempts: _Optional[_Iterable[_Union[AtRisk, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class AttemptUsage(_message.Message):
    __slots__ = ("model", "usage_json")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    USAGE_JSON_FIELD_NUMBER: _ClassVar[int]
    model: str
    usage_json: bytes
    def __init__(self, model: _Optional[str] = ..., usage_json: _Optional[bytes] = ...) -> None: ...

class ResolveAtRiskRequest(_message.Message):
    __slots__ = ("attempt_id", "usage", "not_spent")
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    NOT_SPENT_FIELD_NUMBER: _ClassVar[int]
    attempt_id: str
    usage: AttemptUsage
    not_spent: bool
    def __init__(self, attempt_id: _Optional[str] = ..., usage: _Optional[_Union[AttemptUsage, _Mapping]] = ..., not_spent: bool = ...) -> None: ...

class ResolveAtRiskResponse(_message.Message):
    __slots__ = ("entry_id", "cost_nano_usd")
    ENTRY_ID_FIELD_NUMBER: _ClassVar[int]
    COST_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    entry_id: str
    cost_nano_usd: int
    def __init__(self, entry_id: _Optional[str] = ..., cost_nano_usd: _Optional[int] = ...) -> None: ...

class DeleteTenantDataRequest(_message.Message):
    __slots__ = ("tenant",)
    TENANT_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    def __init__(self, tenant: _Optional[str] = ...) -> None: ...

class DeleteTenantDataResponse(_message.Message):
    __slots__ = ("contents",)
    CONTENTS_FIELD_NUMBER: _ClassVar[int]
    contents: _containers.RepeatedCompositeFieldContainer[ErasedContent]
    def __init__(self, contents: _Optional[_Iterable[_Union[ErasedContent, _Mapping]]] = ...) -> None: ...

class ErasedContent(_message.Message):
    __slots__ = ("kind", "erased_count")
    KIND_FIELD_NUMBER: _ClassVar[int]
    ERASED_COUNT_FIELD_NUMBER: _ClassVar[int]
    kind: str
    erased_count: int
    def __init__(self, kind: _Optional[str] = ..., erased_count: _Optional[int] = ...) -> None: ...

class InvalidateCacheRequest(_message.Message):
    __slots__ = ("tenant", "namespace", "label_key", "label_value")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    LABEL_KEY_FIELD_NUMBER: _ClassVar[int]
    LABEL_VALUE_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    namespace: str
    label_key: str
    label_value: str
    def __init__(self, tenant: _Optional[str] = ..., namespace: _Optional[str] = ..., label_key: _Optional[str] = ..., label_value: _Optional[str] = ...) -> None: ...

class InvalidateCacheResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ReportCacheMistakeRequest(_message.Message):
    __slots__ = ("response_id",)
    RESPONSE_ID_FIELD_NUMBER: _ClassVar[int]
    response_id: str
    def __init__(self, response_id: _Optional[str] = ...) -> None: ...

class ReportCacheMistakeResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class TierScore(_message.Message):
    __slots__ = ("tier", "score_permille")
    TIER_FIELD_NUMBER: _ClassVar[int]
    SCORE_PERMILLE_FIELD_NUMBER: _ClassVar[int]
    tier: _types_pb2.Tier
    score_permille: int
    def __init__(self, tier: _Optional[_Union[_types_pb2.Tier, str]] = ..., score_permille: _Optional[int] = ...) -> None: ...

class TierScores(_message.Message):
    __slots__ = ("scores",)
    SCORES_FIELD_NUMBER: _ClassVar[int]
    scores: _containers.RepeatedCompositeFieldContainer[TierScore]
    def __init__(self, scores: _Optional[_Iterable[_Union[TierScore, _Mapping]]] = ...) -> None: ...

class RecordOutcomeRequest(_message.Message):
    __slots__ = ("response_id", "score_permille", "scores")
    RESPONSE_ID_FIELD_NUMBER: _ClassVar[int]
    SCORE_PERMILLE_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    response_id: str
    score_permille: int
    scores: TierScores
    def __init__(self, response_id: _Optional[str] = ..., score_permille: _Optional[int] = ..., scores: _Optional[_Union[TierScores, _Mapping]] = ...) -> None: ...

class RecordOutcomeResponse(_message.Message):
    __slots__ = ("tenant", "task", "outcome_count", "complete_count")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_COUNT_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_COUNT_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    task: str
    outcome_count: int
    complete_count: int
    def __init__(self, tenant: _Optional[str] = ..., task: _Optional[str] = ..., outcome_count: _Optional[int] = ..., complete_count: _Optional[int] = ...) -> None: ...

class GetRouterStatusRequest(_message.Message):
    __slots__ = ("tenant", "task", "page_size", "page_token")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    task: str
    page_size: int
    page_token: str
    def __init__(self, tenant: _Optional[str] = ..., task: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class RouterProof(_message.Message):
    __slots__ = ("example_count", "quality_floor_permille", "quality_kept_permille", "cost_share_permille", "mix_cost_share_permille", "advantage_lower_permille")
    EXAMPLE_COUNT_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FLOOR_PERMILLE_FIELD_NUMBER: _ClassVar[int]
    QUALITY_KEPT_PERMILLE_FIELD_NUMBER: _ClassVar[int]
    COST_SHARE_PERMILLE_FIELD_NUMBER: _ClassVar[int]
    MIX_COST_SHARE_PERMILLE_FIELD_NUMBER: _ClassVar[int]
    ADVANTAGE_LOWER_PERMILLE_FIELD_NUMBER: _ClassVar[int]
    example_count: int
    quality_floor_permille: int
    quality_kept_permille: int
    cost_share_permille: int
    mix_cost_share_permille: int
    advantage_lower_permille: int
    def __init__(self, example_count: _Optional[int] = ..., quality_floor_permille: _Optional[int] = ..., quality_kept_permille: _Optional[int] = ..., cost_share_permille: _Optional[int] = ..., mix_cost_share_permille: _Optional[int] = ..., advantage_lower_permille: _Optional[int] = ...) -> None: ...

class RouterStatus(_message.Message):
    __slots__ = ("tenant", "task", "outcome_count", "complete_count", "state", "why_not", "models", "proof", "fit_time")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_COUNT_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_COUNT_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    WHY_NOT_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    PROOF_FIELD_NUMBER: _ClassVar[int]
    FIT_TIME_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    task: str
    outcome_count: int
    complete_count: int
    state: RouterState
    why_not: str
    models: _containers.RepeatedScalarFieldContainer[str]
    proof: RouterProof
    fit_time: _timestamp_pb2.Timestamp
    def __init__(self, tenant: _Optional[str] = ..., task: _Optional[str] = ..., outcome_count: _Optional[int] = ..., complete_count: _Optional[int] = ..., state: _Optional[_Union[RouterState, str]] = ..., why_not: _Optional[str] = ..., models: _Optional[_Iterable[str]] = ..., proof: _Optional[_Union[RouterProof, _Mapping]] = ..., fit_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class GetRouterStatusResponse(_message.Message):
    __slots__ = ("tasks", "next_page_token")
    TASKS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    tasks: _containers.RepeatedCompositeFieldContainer[RouterStatus]
    next_page_token: str
    def __init__(self, tasks: _Optional[_Iterable[_Union[RouterStatus, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ListPairsRequest(_message.Message):
    __slots__ = ("tenant", "page_size", "page_token")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    page_size: int
    page_token: str
    def __init__(self, tenant: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class PairedAnswer(_message.Message):
    __slots__ = ("model", "attempt_id", "cost_nano_usd", "text")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    COST_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    model: str
    attempt_id: str
    cost_nano_usd: int
    text: str
    def __init__(self, model: _Optional[str] = ..., attempt_id: _Optional[str] = ..., cost_nano_usd: _Optional[int] = ..., text: _Optional[str] = ...) -> None: ...

class AnswerPair(_message.Message):
    __slots__ = ("task", "response_id", "asked", "answered", "baseline", "preference", "pair_time")
    TASK_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_ID_FIELD_NUMBER: _ClassVar[int]
    ASKED_FIELD_NUMBER: _ClassVar[int]
    ANSWERED_FIELD_NUMBER: _ClassVar[int]
    BASELINE_FIELD_NUMBER: _ClassVar[int]
    PREFERENCE_FIELD_NUMBER: _ClassVar[int]
    PAIR_TIME_FIELD_NUMBER: _ClassVar[int]
    task: str
    response_id: str
    asked: str
    answered: PairedAnswer
    baseline: PairedAnswer
    preference: Preference
    pair_time: _timestamp_pb2.Timestamp
    def __init__(self, task: _Optional[str] = ..., response_id: _Optional[str] = ..., asked: _Optional[str] = ..., answered: _Optional[_Union[PairedAnswer, _Mapping]] = ..., baseline: _Optional[_Union[PairedAnswer, _Mapping]] = ..., preference: _Optional[_Union[Preference, str]] = ..., pair_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListPairsResponse(_message.Message):
    __slots__ = ("pairs", "next_page_token")
    PAIRS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    pairs: _containers.RepeatedCompositeFieldContainer[AnswerPair]
    next_page_token: str
    def __init__(self, pairs: _Optional[_Iterable[_Union[AnswerPair, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ReportPromptCacheRequest(_message.Message):
    __slots__ = ("tenant", "start_time", "end_time")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    def __init__(self, tenant: _Optional[str] = ..., start_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class PromptPrefix(_message.Message):
    __slots__ = ("prefix", "task", "model", "call_count", "read_tokens", "write_5m_tokens", "write_1h_tokens", "saved_nano_usd", "caller_saved_nano_usd")
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    CALL_COUNT_FIELD_NUMBER: _ClassVar[int]
    READ_TOKENS_FIELD_NUMBER: _ClassVar[int]
    WRITE_5M_TOKENS_FIELD_NUMBER: _ClassVar[int]
    WRITE_1H_TOKENS_FIELD_NUMBER: _ClassVar[int]
    SAVED_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    CALLER_SAVED_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    prefix: str
    task: str
    model: str
    call_count: int
    read_tokens: int
    write_5m_tokens: int
    write_1h_tokens: int
    saved_nano_usd: int
    caller_saved_nano_usd: int
    def __init__(self, prefix: _Optional[str] = ..., task: _Optional[str] = ..., model: _Optional[str] = ..., call_count: _Optional[int] = ..., read_tokens: _Optional[int] = ..., write_5m_tokens: _Optional[int] = ..., write_1h_tokens: _Optional[int] = ..., saved_nano_usd: _Optional[int] = ..., caller_saved_nano_usd: _Optional[int] = ...) -> None: ...

class PromptMisses(_message.Message):
    __slots__ = ("reason", "block", "task", "model", "miss_count", "tokens", "lost_nano_usd")
    REASON_FIELD_NUMBER: _ClassVar[int]
    BLOCK_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MISS_COUNT_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    LOST_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    reason: str
    block: str
    task: str
    model: str
    miss_count: int
    tokens: int
    lost_nano_usd: int
    def __init__(self, reason: _Optional[str] = ..., block: _Optional[str] = ..., task: _Optional[str] = ..., model: _Optional[str] = ..., miss_count: _Optional[int] = ..., tokens: _Optional[int] = ..., lost_nano_usd: _Optional[int] = ...) -> None: ...

class PromptAdvice(_message.Message):
    __slots__ = ("reason", "block", "task", "model", "text", "daily_nano_usd")
    REASON_FIELD_NUMBER: _ClassVar[int]
    BLOCK_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    DAILY_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    reason: str
    block: str
    task: str
    model: str
    text: str
    daily_nano_usd: int
    def __init__(self, reason: _Optional[str] = ..., block: _Optional[str] = ..., task: _Optional[str] = ..., model: _Optional[str] = ..., text: _Optional[str] = ..., daily_nano_usd: _Optional[int] = ...) -> None: ...

class ReportPromptCacheResponse(_message.Message):
    __slots__ = ("prefixes", "misses", "advice", "observed_duration")
    PREFIXES_FIELD_NUMBER: _ClassVar[int]
    MISSES_FIELD_NUMBER: _ClassVar[int]
    ADVICE_FIELD_NUMBER: _ClassVar[int]
    OBSERVED_DURATION_FIELD_NUMBER: _ClassVar[int]
    prefixes: _containers.RepeatedCompositeFieldContainer[PromptPrefix]
    misses: _containers.RepeatedCompositeFieldContainer[PromptMisses]
    advice: _containers.RepeatedCompositeFieldContainer[PromptAdvice]
    observed_duration: _duration_pb2.Duration
    def __init__(self, prefixes: _Optional[_Iterable[_Union[PromptPrefix, _Mapping]]] = ..., misses: _Optional[_Iterable[_Union[PromptMisses, _Mapping]]] = ..., advice: _Optional[_Iterable[_Union[PromptAdvice, _Mapping]]] = ..., observed_duration: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ...) -> None: ...
