from costsvc.v1 import deferred_pb2 as _deferred_pb2
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

class BatchState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BATCH_STATE_UNSPECIFIED: _ClassVar[BatchState]
    BATCH_STATE_SUBMITTING: _ClassVar[BatchState]
    BATCH_STATE_RUNNING: _ClassVar[BatchState]
    BATCH_STATE_CANCELING: _ClassVar[BatchState]
    BATCH_STATE_ENDED: _ClassVar[BatchState]

class BatchOutcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BATCH_OUTCOME_UNSPECIFIED: _ClassVar[BatchOutcome]
    BATCH_OUTCOME_SUCCEEDED: _ClassVar[BatchOutcome]
    BATCH_OUTCOME_ERRORED: _ClassVar[BatchOutcome]
    BATCH_OUTCOME_CANCELED: _ClassVar[BatchOutcome]
    BATCH_OUTCOME_EXPIRED: _ClassVar[BatchOutcome]
    BATCH_OUTCOME_REFUSED: _ClassVar[BatchOutcome]
BATCH_STATE_UNSPECIFIED: BatchState
BATCH_STATE_SUBMITTING: BatchState
BATCH_STATE_RUNNING: BatchState
BATCH_STATE_CANCELING: BatchState
BATCH_STATE_ENDED: BatchState
BATCH_OUTCOME_UNSPECIFIED: BatchOutcome
BATCH_OUTCOME_SUCCEEDED: BatchOutcome
BATCH_OUTCOME_ERRORED: BatchOutcome
BATCH_OUTCOME_CANCELED: BatchOutcome
BATCH_OUTCOME_EXPIRED: BatchOutcome
BATCH_OUTCOME_REFUSED: BatchOutcome

class BatchItem(_message.Message):
    __slots__ = ("custom_id", "request")
    CUSTOM_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    custom_id: str
    request: _types_pb2.Request
    def __init__(self, custom_id: _Optional[str] = ..., request: _Optional[_Union[_types_pb2.Request, _Mapping]] = ...) -> None: ...

class BatchOptions(_message.Message):
    __slots__ = ("request_id", "all_or_nothing", "dry_run")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ALL_OR_NOTHING_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    all_or_nothing: bool
    dry_run: bool
    def __init__(self, request_id: _Optional[str] = ..., all_or_nothing: bool = ..., dry_run: bool = ...) -> None: ...

class CreateBatchRequest(_message.Message):
    __slots__ = ("options", "requests")
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    options: BatchOptions
    requests: _containers.RepeatedCompositeFieldContainer[BatchItem]
    def __init__(self, options: _Optional[_Union[BatchOptions, _Mapping]] = ..., requests: _Optional[_Iterable[_Union[BatchItem, _Mapping]]] = ...) -> None: ...

class CreateBatchResponse(_message.Message):
    __slots__ = ("batch", "refused")
    BATCH_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    batch: Batch
    refused: _containers.RepeatedCompositeFieldContainer[RefusedItem]
    def __init__(self, batch: _Optional[_Union[Batch, _Mapping]] = ..., refused: _Optional[_Iterable[_Union[RefusedItem, _Mapping]]] = ...) -> None: ...

class CreateBatchStreamRequest(_message.Message):
    __slots__ = ("options", "requests")
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    options: BatchOptions
    requests: _containers.RepeatedCompositeFieldContainer[BatchItem]
    def __init__(self, options: _Optional[_Union[BatchOptions, _Mapping]] = ..., requests: _Optional[_Iterable[_Union[BatchItem, _Mapping]]] = ...) -> None: ...

class CreateBatchStreamResponse(_message.Message):
    __slots__ = ("batch", "refused")
    BATCH_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    batch: Batch
    refused: _containers.RepeatedCompositeFieldContainer[RefusedItem]
    def __init__(self, batch: _Optional[_Union[Batch, _Mapping]] = ..., refused: _Optional[_Iterable[_Union[RefusedItem, _Mapping]]] = ...) -> None: ...

class RefusedItem(_message.Message):
    __slots__ = ("index", "custom_id", "error")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    CUSTOM_ID_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    index: int
    custom_id: str
    error: _status_pb2.Status
    def __init__(self, index: _Optional[int] = ..., custom_id: _Optional[str] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...

class BatchCounts(_message.Message):
    __slots__ = ("processing_count", "succeeded_count", "errored_count", "canceled_count", "expired_count", "refused_count")
    PROCESSING_COUNT_FIELD_NUMBER: _ClassVar[int]
    SUCCEEDED_COUNT_FIELD_NUMBER: _ClassVar[int]
    ERRORED_COUNT_FIELD_NUMBER: _ClassVar[int]
    CANCELED_COUNT_FIELD_NUMBER: _ClassVar[int]
    EXPIRED_COUNT_FIELD_NUMBER: _ClassVar[int]
    REFUSED_COUNT_FIELD_NUMBER: _ClassVar[int]
    processing_count: int
    succeeded_count: int
    errored_count: int
    canceled_count: int
    expired_count: int
    refused_count: int
    def __init__(self, processing_count: _Optional[int] = ..., succeeded_count: _Optional[int] = ..., errored_count: _Optional[int] = ..., canceled_count: _Optional[int] = ..., expired_count: _Optional[int] = ..., refused_count: _Optional[int] = ...) -> None: ...

class Batch(_message.Message):
    __slots__ = ("batch_id", "request_id", "state", "counts", "create_time", "end_time", "results_expire_time", "age", "expected_cost_nano_usd", "cost_nano_usd", "standard_cost_nano_usd", "saved_nano_usd", "held_nano_usd", "parts")
    BATCH_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    RESULTS_EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    AGE_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_COST_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    COST_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    STANDARD_COST_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    SAVED_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    HELD_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    batch_id: str
    request_id: str
    state: BatchState
    counts: BatchCounts
    create_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    results_expire_time: _timestamp_pb2.Timestamp
    age: _duration_pb2.Duration
    expected_cost_nano_usd: int
    cost_nano_usd: int
    standard_cost_nano_usd: int
    saved_nano_usd: int
    held_nano_usd: int
    parts: _containers.RepeatedCompositeFieldContainer[BatchPart]
    def __init__(self, batch_id: _Optional[str] = ..., request_id: _Optional[str] = ..., state: _Optional[_Union[BatchState, str]] = ..., counts: _Optional[_Union[BatchCounts, _Mapping]] = ..., create_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., results_expire_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., age: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., expected_cost_nano_usd: _Optional[int] = ..., cost_nano_usd: _Optional[int] = ..., standard_cost_nano_usd: _Optional[int] = ..., saved_nano_usd: _Optional[int] = ..., held_nano_usd: _Optional[int] = ..., parts: _Optional[_Iterable[_Union[BatchPart, _Mapping]]] = ...) -> None: ...

class BatchPart(_message.Message):
    __slots__ = ("part_id", "provider_batch_id", "state", "item_count")
    PART_ID_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_BATCH_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ITEM_COUNT_FIELD_NUMBER: _ClassVar[int]
    part_id: str
    provider_batch_id: str
    state: str
    item_count: int
    def __init__(self, part_id: _Optional[str] = ..., provider_batch_id: _Optional[str] = ..., state: _Optional[str] = ..., item_count: _Optional[int] = ...) -> None: ...

class GetBatchRequest(_message.Message):
    __slots__ = ("batch_id",)
    BATCH_ID_FIELD_NUMBER: _ClassVar[int]
    batch_id: str
    def __init__(self, batch_id: _Optional[str] = ...) -> None: ...

class GetBatchResponse(_message.Message):
    __slots__ = ("batch",)
    BATCH_FIELD_NUMBER: _ClassVar[int]
    batch: Batch
    def __init__(self, batch: _Optional[_Union[Batch, _Mapping]] = ...) -> None: ...

class ListBatchesRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListBatchesResponse(_message.Message):
    __slots__ = ("batches", "next_page_token")
    BATCHES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    batches: _containers.RepeatedCompositeFieldContainer[Batch]
    next_page_token: str
    def __init__(self, batches: _Optional[_Iterable[_Union[Batch, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class CancelBatchRequest(_message.Message):
    __slots__ = ("batch_id",)
    BATCH_ID_FIELD_NUMBER: _ClassVar[int]
    batch_id: str
    def __init__(self, batch_id: _Optional[str] = ...) -> None: ...

class CancelBatchResponse(_message.Message):
    __slots__ = ("batch",)
    BATCH_FIELD_NUMBER: _ClassVar[int]
    batch: Batch
    def __init__(self, batch: _Optional[_Union[Batch, _Mapping]] = ...) -> None: ...

class StreamBatchResultsRequest(_message.Message):
    __slots__ = ("batch_id", "cursor")
    BATCH_ID_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    batch_id: str
    cursor: str
    def __init__(self, batch_id: _Optional[str] = ..., cursor: _Optional[str] = ...) -> None: ...

class StreamBatchResultsResponse(_message.Message):
    __slots__ = ("results", "cursor")
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[BatchItemResult]
    cursor: str
    def __init__(self, results: _Optional[_Iterable[_Union[BatchItemResult, _Mapping]]] = ..., cursor: _Optional[str] = ...) -> None: ...

class BatchItemResult(_message.Message):
    __slots__ = ("index", "custom_id", "outcome", "message_json", "text", "stop_reason", "model", "bill", "error", "entry_id")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    CUSTOM_ID_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_JSON_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    STOP_REASON_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    BILL_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    ENTRY_ID_FIELD_NUMBER: _ClassVar[int]
    index: int
    custom_id: str
    outcome: BatchOutcome
    message_json: bytes
    text: str
    stop_reason: str
    model: str
    bill: _types_pb2.Bill
    error: _status_pb2.Status
    entry_id: str
    def __init__(self, index: _Optional[int] = ..., custom_id: _Optional[str] = ..., outcome: _Optional[_Union[BatchOutcome, str]] = ..., message_json: _Optional[bytes] = ..., text: _Optional[str] = ..., stop_reason: _Optional[str] = ..., model: _Optional[str] = ..., bill: _Optional[_Union[_types_pb2.Bill, _Mapping]] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ..., entry_id: _Optional[str] = ...) -> None: ...
