"""The public API, generated from protos/: messages, service stubs, error reasons."""

from costsvc.v1.cost_service_pb2 import *  # noqa: F403 - generated names are the point
from costsvc.v1.cost_service_pb2_grpc import CostServiceServicer, CostServiceStub
from costsvc.v1.error_reason_pb2 import *  # noqa: F403
from costsvc.v1.types_pb2 import *  # noqa: F403

__all__ = [name for name in dir() if name[0].isupper() and name != "DESCRIPTOR"]  # noqa: PLE0605
