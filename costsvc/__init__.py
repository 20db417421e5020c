"""costsvc: a gRPC service that decides, caches and accounts for Claude calls."""
