"""What a caller gets for an error, as `google.rpc.Status` and metadata; `edge/status.py` says which."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2 as details
from google.rpc.status_pb2 import Status
from grpc.aio import ServicerContext

from costsvc import v1

DOMAIN = "costsvc.v1"
NEVER_RETRY = -1
_MAX_VIOLATIONS = 20
# Clients refuse metadata above 8 KB, in which what is quoted counts several times, in its encoded forms.
_MAX_TEXT_BYTES, _MAX_VIOLATIONS_BYTES = 500, 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a caller gets for an error: a code, a reason of ErrorReason, details, and when to try again.

    `retry_s` is None where waiting does not help, and `never` where a retry may pay twice.
    """

    code: grpc.StatusCode
    reason: v1.ErrorReason
    message: str
    metadata: dict[str, str] = field(default_factory=dict)
    details: tuple[Message, ...] = ()
    retry_s: float | None = None
    never: bool = False

    @property
    def reason_name(self) -> str:
        """The reason as ErrorInfo has it."""
        return v1.ErrorReason.Name(self.reason).removeprefix("ERROR_REASON_")

    def status(self) -> Status:
        """Return the status with ErrorInfo first."""
        info = details.ErrorInfo(reason=self.reason_name, domain=DOMAIN, metadata=self.metadata)
        retry = () if self.retry_s is None else (details.RetryInfo(retry_delay=duration_of(self.retry_s)),)
        packed = []
        for detail in (info, *self.details, *retry):
            packed.append(AnyMessage())
            packed[-1].Pack(detail)
        return Status(code=self.code.value[0], message=self.message, details=packed)

    def trailing_metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        """Return the rich status and, for gRPC's own retries, the pushback."""
        rich = ("grpc-status-details-bin", self.status().SerializeToString())
        if self.never:
            return (rich, ("grpc-retry-pushback-ms", str(NEVER_RETRY)))
        if self.retry_s is None:
            return (rich,)
        return (rich, ("grpc-retry-pushback-ms", str(round(self.retry_s * 1000))))


def internal() -> Outcome:
    """Return what a caller gets for a defect: a fixed text; the log has the rest."""
    message = "internal error; the service's log has the details"
    return Outcome(code=grpc.StatusCode.INTERNAL, reason=v1.ERROR_REASON_INTERNAL, message=message)


def not_found(error: Exception, reason: v1.ErrorReason, kind: str, name: str) -> Outcome:
    """Return the outcome where something that the caller names is not there."""
    name = cut(name)
    return Outcome(
        code=grpc.StatusCode.NOT_FOUND,
        reason=reason,
        message=cut(str(error)),
        metadata={f"{kind}_id": name},
        details=(details.ResourceInfo(resource_type=kind, resource_name=name),),
    )


def set_status(context: ServicerContext[Any, Any], outcome: Outcome) -> None:
    """Give the call an outcome, which is sent when its method returns."""
    context.set_code(outcome.code)
    context.set_details(outcome.message)
    context.set_trailing_metadata(outcome.trailing_metadata())


def cut(text: str) -> str:
    """Return a text, or as much of its beginning as there is room for."""
    raw = text.encode(errors="replace")
    return (
        raw.decode() if len(raw) <= _MAX_TEXT_BYTES else f"{raw[:_MAX_TEXT_BYTES].decode(errors='ignore')}..."
    )


def shorten(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the first pairs, as many as there is room for; always at least one."""
    shown: list[tuple[str, str]] = []
    left = _MAX_VIOLATIONS_BYTES
    for pair in islice(pairs, _MAX_VIOLATIONS):
        first, second = map(cut, pair)
        left -= len(first.encode()) + len(second.encode())
        if left < 0:
            break
        shown.append((first, second))
    return shown


def duration_of(seconds: float) -> Duration:
    """Return seconds as the wire has them."""
    duration = Duration()
    duration.FromMilliseconds(round(seconds * 1000))
    return duration
