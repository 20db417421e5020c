"""The Python client: the generated stub with channel options, default deadlines and a tenant.

    from costsvc.client import Client
    from costsvc.v1 import CompleteRequest, Message, Request

    async with Client("dns:///costsvc:50051", tenant="search") as costs:
        request = Request(messages=[Message(text="What is a monad?")], task="faq")
        answer = await costs.Complete(CompleteRequest(request=request))
        print(answer.text, answer.bill.cost_nano_usd)

Calls that spend nothing are retried while the service is unavailable; Complete is not, because only the
caller knows whether its request carries a `request_id`, which makes that safe.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Self, TypeVar, cast

import grpc
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from costsvc.v1.admin_service_pb2_grpc import AdminServiceStub
from costsvc.v1.batch_service_pb2_grpc import BatchServiceStub
from costsvc.v1.cost_service_pb2_grpc import CostServiceStub
from costsvc.v1.error_reason_pb2 import ERROR_REASON_UNSPECIFIED, ErrorReason

_MB = 1 << 20

_RETRIED = ("Route", "BatchRoute", "Estimate", "BatchEstimate", "Report")
_RETRY = {"maxAttempts": 4, "initialBackoff": "0.05s", "maxBackoff": "1s", "backoffMultiplier": 2}
SERVICE_CONFIG = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "methodConfig": [
        {
            "name": [{"service": "costsvc.v1.CostService", "method": method} for method in _RETRIED],
            "retryPolicy": {**_RETRY, "retryableStatusCodes": ["UNAVAILABLE"]},
        }
    ],
    "retryThrottling": {"maxTokens": 10, "tokenRatio": 0.1},
}
"""No timeouts: one in here would also shorten a longer one that a caller gives."""

CHANNEL_OPTIONS = (
    ("grpc.service_config", json.dumps(SERVICE_CONFIG)),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.max_send_message_length", 40 * _MB),
    ("grpc.max_receive_message_length", 40 * _MB),
)

C = TypeVar("C", bound=Callable[..., Any])


class Client:
    """A channel to one costsvc with every RPC as an attribute; `async with`, or `close` it.

    Deadlines apply where a call gives no `timeout`. Those of completions are as long as the service allows:
    a caller that gives up earlier pays for an answer that it does not get.
    """

    def __init__(
        self,
        target: str,
        *,
        tenant: str = "default",
        credentials: grpc.ChannelCredentials | None = None,
        options: Sequence[tuple[str, Any]] = (),
    ) -> None:
        options = (*CHANNEL_OPTIONS, *options)
        if credentials is None:
            self._channel = grpc.aio.insecure_channel(target, options)
        else:
            self._channel = grpc.aio.secure_channel(target, credentials, options)
        self._metadata = (("costsvc-tenant", tenant),)
        stub = CostServiceStub(self._channel)
        self.Route = self._with_defaults(stub.Route, timeout_s=2)
        self.BatchRoute = self._with_defaults(stub.BatchRoute, timeout_s=10)
        self.Complete = self._with_defaults(stub.Complete, timeout_s=600)
        self.StreamComplete = self._with_defaults(stub.StreamComplete, timeout_s=600)
        self.Estimate = self._with_defaults(stub.Estimate, timeout_s=2)
        self.BatchEstimate = self._with_defaults(stub.BatchEstimate, timeout_s=10)
        self.Record = self._with_defaults(stub.Record, timeout_s=5)
        self.Release = self._with_defaults(stub.Release, timeout_s=5)
        self.Report = self._with_defaults(stub.Report, timeout_s=10)
        batches = BatchServiceStub(self._channel)
        self.CreateBatch = self._with_defaults(batches.CreateBatch, timeout_s=600)
        self.CreateBatchStream = self._with_defaults(batches.CreateBatchStream, timeout_s=600)
        self.GetBatch = self._with_defaults(batches.GetBatch, timeout_s=5)
        self.ListBatches = self._with_defaults(batches.ListBatches, timeout_s=10)
        self.CancelBatch = self._with_defaults(batches.CancelBatch, timeout_s=30)
        self.StreamBatchResults = self._with_defaults(batches.StreamBatchResults, timeout_s=600)
        self.Defer = self._with_defaults(batches.Defer, timeout_s=10)
        self.GetDeferred = self._with_defaults(batches.GetDeferred, timeout_s=5)
        self.WatchDeferred = self._with_defaults(batches.WatchDeferred, timeout_s=600)
        self.CancelDeferred = self._with_defaults(batches.CancelDeferred, timeout_s=5)
        admin = AdminServiceStub(self._channel)
        self.SetBudget = self._with_defaults(admin.SetBudget, timeout_s=5)
        self.GetBudget = self._with_defaults(admin.GetBudget, timeout_s=5)
        self.ListBudgets = self._with_defaults(admin.ListBudgets, timeout_s=5)
        self.DeleteBudget = self._with_defaults(admin.DeleteBudget, timeout_s=5)
        self.ListAtRisk = self._with_defaults(admin.ListAtRisk, timeout_s=5)
        self.ResolveAtRisk = self._with_defaults(admin.ResolveAtRisk, timeout_s=5)
        self.DeleteTenantData = self._with_defaults(admin.DeleteTenantData, timeout_s=60)
        self.InvalidateCache = self._with_defaults(admin.InvalidateCache, timeout_s=10)
        self.ReportCacheMistake = self._with_defaults(admin.ReportCacheMistake, timeout_s=10)
        self.RecordOutcome = self._with_defaults(admin.RecordOutcome, timeout_s=5)
        self.GetRouterStatus = self._with_defaults(admin.GetRouterStatus, timeout_s=10)
        self.ListPairs = self._with_defaults(admin.ListPairs, timeout_s=10)
        self.ReportPromptCache = self._with_defaults(admin.ReportPromptCache, timeout_s=10)

    def _with_defaults(self, call: C, *, timeout_s: float) -> C:
        def invoke(
            request: object, *, timeout: float | None = timeout_s, metadata: Any = (), **options: Any
        ) -> Any:
            return call(request, timeout=timeout, metadata=(*self._metadata, *(metadata or ())), **options)

        return cast("C", invoke)

    async def close(self) -> None:
        """Close the channel; calls that still run are cancelled."""
        await self._channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def status_of(error: grpc.aio.AioRpcError) -> Status:
    """Return the whole status of a failed call, with its details where the service sent them."""
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            return Status.FromString(cast("bytes", value))
    return Status(code=error.code().value[0], message=error.details() or "")


def error_info(error: grpc.aio.AioRpcError) -> ErrorInfo | None:
    """Return the reason and its metadata, or None for an error that is not costsvc's own."""
    info = ErrorInfo()
    found = any(detail.Unpack(info) for detail in status_of(error).details)
    return info if found and info.domain == "costsvc.v1" else None


def error_reason(error: grpc.aio.AioRpcError) -> int:
    """Return a value of ErrorReason, its UNSPECIFIED where the service does not say or is newer than this."""
    info = error_info(error)
    try:
        return ErrorReason.Value(f"ERROR_REASON_{info.reason}") if info else ERROR_REASON_UNSPECIFIED
    except ValueError:
        return ERROR_REASON_UNSPECIFIED
