"""The options of every channel and every server, in one place, because both ends of a connection must agree on them.

A client that pings more often than its server allows is sent GOAWAY `too_many_pings`, and a message or a trailer that
is larger than the receiver's limit ends its call. gRPC ignores an option whose name it does not know: what each of
these does is tested, in `tests/service/rpc/test_rpc_options.py`.
"""

from __future__ import annotations

# The largest response is a page of 2,000 tasks; the largest request is a run of as many.
MAX_MESSAGE_BYTES = 16 * 1024 * 1024

# Errors travel in the trailers. Their limit is 8 KiB unless both ends say otherwise, and a request with many faults
# needs more: the details take up to 24 KiB, a third more in base64, and the message, percent-encoded, up to 12.
_METADATA_BYTES = 64 * 1024
MAX_DETAILS_BYTES = 24 * 1024
MAX_TEXT_BYTES = 4 * 1024

# Our clients and servers ping a connection this often, and close it when the response takes longer than that.
_KEEPALIVE_MILLISECONDS = 30_000
_PING_TIMEOUT_MILLISECONDS = 10_000
# Other clients may ping every 10 s, the shortest keepalive that grpc-go has. Half of it allows for two pings that the
# network brings close together. (gRFC A8; the server's default is five minutes.)
_SHORTEST_PING_INTERVAL_MILLISECONDS = 5_000

_BOTH: tuple[tuple[str, int], ...] = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_metadata_size", _METADATA_BYTES),
    ("grpc.keepalive_time_ms", _KEEPALIVE_MILLISECONDS),
    ("grpc.keepalive_permit_without_calls", 1),
    # gRPC 1.85 waits this long for the response to a keepalive ping; `grpc.keepalive_timeout_ms` has no effect.
    ("grpc.http2.ping_timeout_ms", _PING_TIMEOUT_MILLISECONDS),
)

CHANNEL_OPTIONS: tuple[tuple[str, int | str], ...] = (
    *_BOTH,
    # By default a client stops pinging a quiet connection after two pings.
    ("grpc.http2.max_pings_without_data", 0),
    # A server that comes back is found within seconds, not within the two minutes of the default.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 3_000),
    # Without it, two channels of one process to one target would share a connection, and its failures.
    ("grpc.use_local_subchannel_pool", 1),
)

REUSE_PORT = "grpc.so_reuseport"

SERVER_OPTIONS: tuple[tuple[str, int | str], ...] = (
    *_BOTH,
    ("grpc.http2.min_ping_interval_without_data_ms", _SHORTEST_PING_INTERVAL_MILLISECONDS),
    # Clients connect again from time to time, so that load spreads to servers that came later. Open streams stay: the
    # grace after that age has no end.
    ("grpc.max_connection_age_ms", 3_600_000),
    # Otherwise the kernel would let two servers listen on one port, and each would get half of the calls.
    (REUSE_PORT, 0),
)
