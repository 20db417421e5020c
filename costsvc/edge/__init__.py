"""gRPC at the edge: the only place that knows protobuf."""
