"""What can be set of a gateway."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

__all__ = ["GatewaySettings"]

_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """The limits of a gateway, with their defaults.

    Attributes:
        max_body_bytes: of a request; larger ones are 413. Raise it for runs of very many tasks, up to gRPC's 16 MiB.
        max_header_bytes: of a request's line and headers together; larger ones are 431.
        max_large_bodies: bodies of more than 64 KiB, or of unknown length, that are read and translated at a time;
            others wait. They may take `max_body_bytes` each.
        max_workers: processes that translate large messages. Each takes a processor and up to 1 GiB for a while.
        max_calls: unary calls at a time; more are 429. Lower it when the gateway's memory is small.
        max_streams: streams at a time; more are 429.
        deadline: of a unary call that asks for none.
        max_deadline: that a call may ask for with `sluice-timeout`.
        read_timeout: for a request's headers, and again for its body; slower ones are cut.
        linger_timeout: how long a client may go on sending a request that was answered already; then it is cut.
        linger_bytes: how much it may send in that time. What it sends is thrown away.
        idle: how often an open SSE stream is sent a comment. Lower it when a proxy cuts sooner.
        stall: how long a reader may take none of what it is sent.
        first_message: how long a stream's answer waits for its first message, so that a call that fails at once is
            answered with its own HTTP code.
        cors_origins: which other origins may call from a browser, exactly as a browser sends them
            (`https://ci.example.org`).
    """

    max_body_bytes: int = 8 * _MIB
    max_header_bytes: int = 32 * 1024
    max_large_bodies: int = 16
    max_workers: int = 2
    max_calls: int = 1024
    max_streams: int = 4096
    deadline: timedelta = timedelta(seconds=30)
    max_deadline: timedelta = timedelta(minutes=10)
    read_timeout: timedelta = timedelta(seconds=30)
    linger_timeout: timedelta = timedelta(seconds=30)
    linger_bytes: int = 256 * _MIB
    idle: timedelta = timedelta(seconds=15)
    stall: timedelta = timedelta(seconds=60)
    first_message: timedelta = timedelta(seconds=2)
    cors_origins: frozenset[str] = frozenset()
