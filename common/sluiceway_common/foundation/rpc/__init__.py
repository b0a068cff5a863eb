"""gRPC as we use it: one server, one kind of channel, one error model, one access check."""
