"""The public API, generated from protos/: messages, service stubs, error reasons."""

from costsvc.v1.admin_service_pb2 import *  # noqa: F403 - generated names are the point
from costsvc.v1.admin_service_pb2_grpc import AdminServiceServicer as AdminServiceServicer
from costsvc.v1.admin_service_pb2_grpc import AdminServiceStub as AdminServiceStub
from costsvc.v1.admin_service_pb2_grpc import (
    add_AdminServiceServicer_to_server as add_AdminServiceServicer_to_server,
)
from costsvc.v1.batch_service_pb2 import *  # noqa: F403
from costsvc.v1.batch_service_pb2_grpc import BatchServiceServicer as BatchServiceServicer
from costsvc.v1.batch_service_pb2_grpc import BatchServiceStub as BatchServiceStub
from costsvc.v1.batch_service_pb2_grpc import (
    add_BatchServiceServicer_to_server as add_BatchServiceServicer_to_server,
)
from costsvc.v1.cost_service_pb2 import *  # noqa: F403
from costsvc.v1.cost_service_pb2_grpc import CostServiceServicer as CostServiceServicer
from costsvc.v1.cost_service_pb2_grpc import CostServiceStub as CostServiceStub
from costsvc.v1.cost_service_pb2_grpc import (
    add_CostServiceServicer_to_server as add_CostServiceServicer_to_server,
)
from costsvc.v1.deferred_pb2 import *  # noqa: F403
from costsvc.v1.error_reason_pb2 import *  # noqa: F403
from costsvc.v1.types_pb2 import *  # noqa: F403
