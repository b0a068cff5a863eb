"""gRPC as JSON over HTTP."""
