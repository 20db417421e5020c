"""What every RPC has in common: caller, admission, validation, errors, and one line in the log.

A servicer's method is one `calls.run(...)`. What is raised inside ends the call with the status
that `edge/status.py` gives it; what is unknown becomes INTERNAL, and the log has the rest.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar, cast

import grpc
import protovalidate
import structlog
from google.protobuf.message import DecodeError, Message
from grpc.aio import ServicerContext

from costsvc.app.attempt import Caller
from costsvc.core.errors import CostsvcError, InvalidRequest, Violation
from costsvc.edge.admission import Admission
from costsvc.edge.outcome import Outcome, internal, set_status
from costsvc.edge.rules import check_rules
from costsvc.edge.status import Undecodable, outcome_of
from costsvc.metrics import Metrics
from costsvc.ports import Clock

TENANT_KEY = "costsvc-tenant"
_SKEW_S = 0.1
"""A caller's deadline passes before ours, by as long as its request was on its way."""

_TURN_S = 0.001
"""How long the items of one call are worked on before others have their turn, which takes time itself."""

QUOTING = frozenset({"provider_message"})
"""What of an error may quote the request: for the caller, never for the log."""

DEFAULT_TENANT = "default"
_TENANT = re.compile(r"[a-z0-9._-]{1,64}")

M = TypeVar("M", bound=Message)
R = TypeVar("R")

_NOBODY = Caller(tenant="", deadline_s=0.0)

log = structlog.get_logger()


class Calls:
    """Opens calls."""

    def __init__(self, admission: Admission, metrics: Metrics, clock: Clock, *, max_call_s: float) -> None:
        self.admission = admission
        self.metrics = metrics
        self.clock = clock
        self.max_call_s = max_call_s

    async def run(
        self,
        method: str,
        request: M,
        context: ServicerContext[Any, Any],
        answer: Callable[[M, Call], Awaitable[R]],
        *,
        check: Callable[[ServicerContext[Any, Any]], None] | None = None,
    ) -> R:
        """Return what `answer` answers, or end the call with the status of what it or `check` raises.

        The status is set, not raised: gRPC keeps what is raised, and with it the request, until the next
        garbage collection. With a status other than OK it sends no response, so there is none to return.
        """
        call = Call(self, method, request, context)
        try:
            if check is not None:
                check(context)
            call.enter()
            response = await answer(request, call)
        except asyncio.CancelledError:
            call.leave()
            call.note_departure()
            raise
        except grpc.aio.InternalError:  # what gRPC raises where it cannot send any more: the caller has left
            call.leave()
            call.note_departure()
            return cast(R, None)
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets a status
            call.leave()
            set_status(context, call.refuse(error))
            return cast(R, None)
        call.leave()
        call.finish("OK", "ok")
        return response

    async def each(self, count: int, do: Callable[[int], Awaitable[R]]) -> list[R | CostsvcError]:
        """Return what comes of each item of a call, in their order; others have their turn in between."""
        results: list[R | CostsvcError] = []
        paused_s = self.clock.monotonic()
        for index in range(count):
            try:
                results.append(await do(index))
            except CostsvcError as error:
                results.append(error)
            if self.clock.monotonic() - paused_s >= _TURN_S:
                await asyncio.sleep(0)
                paused_s = self.clock.monotonic()
        return results


class Call:
    """One RPC from its arrival to its line in the log. `note` adds to that line."""

    def __init__(
        self, calls: Calls, method: str, request: Message, context: ServicerContext[Any, Any]
    ) -> None:
        self._calls = calls
        self._method = method
        self._request = request
        self._context = context
        self._notes: dict[str, Any] = {}
        self._broken_items: Mapping[int, Sequence[Violation]] = {}
        self._byte_count = -1
        self._started_s = calls.clock.monotonic()
        self.caller = _NOBODY
        calls.metrics.call_began()

    def note(self, **fields: Any) -> None:
        """Add fields to the call's line."""
        self._notes |= fields

    def check_item(self, index: int) -> None:
        """Raise InvalidRequest when an item of a batch breaks a rule of the schema."""
        if index in self._broken_items:
            raise InvalidRequest(*self._broken_items[index])

    def enter(self) -> None:
        """Name the caller, take the call in, and check the rules of the schema."""
        remaining_s = self._context.time_remaining()
        longest_s = self._calls.max_call_s
        deadline_s = self._started_s + (longest_s if remaining_s is None else min(remaining_s, longest_s))
        self.caller = Caller(tenant=_tenant(self._context), deadline_s=deadline_s)
        check_decoded(self._request)
        byte_count = self._request.ByteSize()
        self._calls.admission.enter(self.caller.tenant, byte_count)
        self._byte_count = byte_count
        self._broken_items = check_rules(self._request)

    def outcome_of(self, error: CostsvcError) -> Outcome:
        """Return what a caller gets for an error of now."""
        return outcome_of(error, self._calls.clock.now())

    def leave(self) -> None:
        """Let the call out of admission, if it was let in."""
        if self._byte_count >= 0:
            self._calls.admission.leave(self.caller.tenant, self._byte_count)
            self._byte_count = -1

    def refuse(self, error: Exception) -> Outcome:
        """Log the call as failed, and return what the caller gets."""
        if isinstance(error, CostsvcError):
            outcome = self.outcome_of(error)
            shown = {name: value for name, value in outcome.metadata.items() if name not in QUOTING}
            self.note(reason=outcome.reason_name, **shown)
        else:
            log.error("defect", method=self._method, tenant=self.caller.tenant, exc_info=error)
            outcome = internal()
        self.finish(outcome.code.name, "error")
        return outcome

    def note_departure(self) -> None:
        """Log the call as one whose caller has left, or whose time is over."""
        expired = self._calls.clock.monotonic() >= self.caller.deadline_s - _SKEW_S
        self.finish(*(("DEADLINE_EXCEEDED", "expired") if expired else ("CANCELLED", "cancelled")))

    def finish(self, code: str, outcome: str) -> None:
        """Count the call, and write its line."""
        seconds = self._calls.clock.monotonic() - self._started_s
        self._calls.metrics.call_ended(self._method, code, seconds)
        log.info(
            "rpc",
            method=self._method,
            code=code,
            outcome=outcome,
            ms=round(seconds * 1000, 2),
            tenant=self.caller.tenant,
            **self._notes,
        )


class _Undecoded(Message):
    """Stands for bytes that are not a message of the RPC's type."""


def check_decoded(message: Message) -> None:
    """Raise Undecodable where the bytes of a message were none."""
    if isinstance(message, _Undecoded):
        raise Undecodable


def decoding(handler: grpc.RpcMethodHandler[Any, Any]) -> grpc.RpcMethodHandler[Any, Any]:
    """Return the handler with a deserializer that never raises: gRPC would make INTERNAL of it."""
    deserialize = handler.request_deserializer

    def attempt(source: bytes) -> Message:
        try:
            return deserialize(source)  # type: ignore[misc,no-any-return]
        except DecodeError:
            return _UNDECODED

    return handler._replace(request_deserializer=attempt)  # type: ignore[attr-defined,no-any-return]


_UNDECODED = _Undecoded()


def warm_up(*messages: Message) -> None:
    """Compile the schema's rules for these messages, which would else delay the first calls."""
    for message in messages:
        protovalidate.collect_violations(message)


def _tenant(context: ServicerContext[Any, Any]) -> str:
    """Return the tenant that the caller names; without authentication, its word is taken."""
    named = [value for key, value in context.invocation_metadata() or () if key == TENANT_KEY]
    if not named:
        return DEFAULT_TENANT
    tenant = named[0]
    if len(named) > 1 or not isinstance(tenant, str) or not _TENANT.fullmatch(tenant):
        raise InvalidRequest(Violation(TENANT_KEY, "must be one value of 1 to 64 of a-z 0-9 . _ -"))
    return tenant
