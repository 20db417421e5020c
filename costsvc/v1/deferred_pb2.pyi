from costsvc.v1 import cost_service_pb2 as _cost_service_pb2
from costsvc.v1 import types_pb2 as _types_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.rpc import status_pb2 as _status_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DeferredState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DEFERRED_STATE_UNSPECIFIED: _ClassVar[DeferredState]
    DEFERRED_STATE_QUEUED: _ClassVar[DeferredState]
    DEFERRED_STATE_IN_BATCH: _ClassVar[DeferredState]
    DEFERRED_STATE_SENT_ALONE: _ClassVar[DeferredState]
    DEFERRED_STATE_SENT_AGAIN: _ClassVar[DeferredState]
    DEFERRED_STATE_ANSWERED: _ClassVar[DeferredState]
    DEFERRED_STATE_FAILED: _ClassVar[DeferredState]
    DEFERRED_STATE_CANCELED: _ClassVar[DeferredState]
DEFERRED_STATE_UNSPECIFIED: DeferredState
DEFERRED_STATE_QUEUED: DeferredState
DEFERRED_STATE_IN_BATCH: DeferredState
DEFERRED_STATE_SENT_ALONE: DeferredState
DEFERRED_STATE_SENT_AGAIN: DeferredState
DEFERRED_STATE_ANSWERED: DeferredState
DEFERRED_STATE_FAILED: DeferredState
DEFERRED_STATE_CANCELED: DeferredState

class Deferred(_message.Message):
    __slots__ = ("deferred_id", "state", "request_id", "task", "create_time", "deadline_time", "end_time", "batch_id", "response", "error")
    DEFERRED_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    BATCH_ID_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    deferred_id: str
    state: DeferredState
    request_id: str
    task: str
    create_time: _timestamp_pb2.Timestamp
    deadline_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    batch_id: str
    response: _cost_service_pb2.CompleteResponse
    error: _status_pb2.Status
    def __init__(self, deferred_id: _Optional[str] = ..., state: _Optional[_Union[DeferredState, str]] = ..., request_id: _Optional[str] = ..., task: _Optional[str] = ..., create_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., deadline_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., batch_id: _Optional[str] = ..., response: _Optional[_Union[_cost_service_pb2.CompleteResponse, _Mapping]] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...

class DeferRequest(_message.Message):
    __slots__ = ("request", "tolerance", "webhook_url")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    TOLERANCE_FIELD_NUMBER: _ClassVar[int]
    WEBHOOK_URL_FIELD_NUMBER: _ClassVar[int]
    request: _types_pb2.Request
    tolerance: _duration_pb2.Duration
    webhook_url: str
    def __init__(self, request: _Optional[_Union[_types_pb2.Request, _Mapping]] = ..., tolerance: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., webhook_url: _Optional[str] = ...) -> None: ...

class DeferResponse(_message.Message):
    __slots__ = ("deferred",)
    DEFERRED_FIELD_NUMBER: _ClassVar[int]
    deferred: Deferred
    def __init__(self, deferred: _Optional[_Union[Deferred, _Mapping]] = ...) -> None: ...

class GetDeferredRequest(_message.Message):
    __slots__ = ("deferred_id",)
    DEFERRED_ID_FIELD_NUMBER: _ClassVar[int]
    deferred_id: str
    def __init__(self, deferred_id: _Optional[str] = ...) -> None: ...

class GetDeferredResponse(_message.Message):
    __slots__ = ("deferred",)
    DEFERRED_FIELD_NUMBER: _ClassVar[int]
    deferred: Deferred
    def __init__(self, deferred: _Optional[_Union[Deferred, _Mapping]] = ...) -> None: ...

class WatchDeferredRequest(_message.Message):
    __slots__ = ("deferred_id",)
    DEFERRED_ID_FIELD_NUMBER: _ClassVar[int]
    deferred_id: str
    def __init__(self, deferred_id: _Optional[str] = ...) -> None: ...

class WatchDeferredResponse(_message.Message):
    __slots__ = ("deferred",)
    DEFERRED_FIELD_NUMBER: _ClassVar[int]
    deferred: Deferred
    def __init__(self, deferred: _Optional[_Union[Deferred, _Mapping]] = ...) -> None: ...

class CancelDeferredRequest(_message.Message):
    __slots__ = ("deferred_id",)
    DEFERRED_ID_FIELD_NUMBER: _ClassVar[int]
    deferred_id: str
    def __init__(self, deferred_id: _Optional[str] = ...) -> None: ...

class CancelDeferredResponse(_message.Message):
    __slots__ = ("deferred", "may_be_billed")
    DEFERRED_FIELD_NUMBER: _ClassVar[int]
    MAY_BE_BILLED_FIELD_NUMBER: _ClassVar[int]
    deferred: Deferred
    may_be_billed: bool
    def __init__(self, deferred: _Optional[_Union[Deferred, _Mapping]] = ..., may_be_billed: bool = ...) -> None: ...
